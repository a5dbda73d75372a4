"""Names and spaces of an Experiment in Optuna's terms: samplers, pruners, distributions."""
