"""Optuna's own tables in SQLite or PostgreSQL, written in batches behind a working copy in memory."""
