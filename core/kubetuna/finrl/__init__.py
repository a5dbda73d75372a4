"""The FinRL contest's face: its tasks, their judging, and the guide's Python names over the neutral core."""
