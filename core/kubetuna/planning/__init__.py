"""What to do next: pure functions from a snapshot to actions, a stop decision and a status."""
