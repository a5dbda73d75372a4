"""What a terminal shows: tables and the live view."""
