"""Attempts as Pods and Jobs: made, observed, read, stopped, deleted."""
