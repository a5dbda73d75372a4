"""What ``import kubetuna`` offers: run an experiment, or tune a function, and read studies back."""
