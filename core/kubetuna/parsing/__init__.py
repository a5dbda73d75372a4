"""From a document to a validated Experiment, with every fault of the document at once."""
