"""The trainers that kubetuna tunes. They share a wire format with the tuner, not code."""
