"""The Python face of kubetuna, by the names of the contest's guide. It decides nothing; the core does."""
