"""Task 1: an ensemble of Q-learning agents that trades bitcoin on second-by-second data."""
