"""Statistics of backtests, on plain numbers."""
