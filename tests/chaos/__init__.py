"""Faults on a real cluster, one after another while experiments run, and a ledger of what really ran."""
