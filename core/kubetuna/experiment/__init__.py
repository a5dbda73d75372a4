"""What an Experiment is: the frozen model, its expressions and the resources it asks for. No Optuna, no YAML."""
