"""One self-contained HTML page over a study."""
