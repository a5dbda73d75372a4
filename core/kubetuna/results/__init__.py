"""What is left of an experiment once it ended: read from a store, a cluster or a folder, and written for people."""
