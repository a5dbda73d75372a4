"""Models from results: the winner trained again, with further seeds, with a model card."""
