"""What is wrong with an input, in words for the person who gave it."""

from __future__ import annotations


class InputError(Exception):
    """A parameter, option or data file that cannot be used. Its text names the value and what is allowed."""
