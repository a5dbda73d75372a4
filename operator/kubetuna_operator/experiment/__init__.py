"""From an Experiment object to its trials, its status and its Trial objects."""
