"""Talking to the Kubernetes API: requests, watches, work queue, leader election, Events."""
