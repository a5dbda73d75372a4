"""Optuna's record of an experiment: opened, asked and told, and read back by anyone who did not run it."""
