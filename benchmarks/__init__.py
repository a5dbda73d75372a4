"""What kubetuna costs, as ratios inside one run. ``python -m benchmarks``; never part of the tests."""
