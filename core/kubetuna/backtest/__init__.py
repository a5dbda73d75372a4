"""Statistics of backtests: how much of a winner's return is skill, given how many were tried. Pure numpy."""
