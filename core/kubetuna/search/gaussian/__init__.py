"""A Gaussian process as a sampler of Optuna's, in numpy and scipy alone, so that it runs wherever the core does."""
