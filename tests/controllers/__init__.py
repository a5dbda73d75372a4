"""Trials made by others' controllers, the real ones, on the test cluster."""
