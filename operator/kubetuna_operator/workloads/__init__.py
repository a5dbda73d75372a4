"""Attempts as Pods, and what makes those: made, observed, read, stopped, deleted."""
