"""Why a program ended, in the one line of its log that says so."""

from __future__ import annotations

import pytest

from kubetuna.trials.last_words import LIMIT, last_words

CRASH = (
    "Traceback (most recent call last):\n  File \"t.py\", line 1, in <module>\n    main()\nKeyError: 'DATA_URL'\n"
)


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("", ""),
        ("\n \n", ""),
        ("epoch 1\nSegmentation fault\n\n", "Segmentation fault"),
        (f"epoch 1\n{CRASH}", "KeyError: 'DATA_URL'"),
        (f"{CRASH}cleaning up\nbye\n", "KeyError: 'DATA_URL'"),
        (f"{CRASH}\nDuring handling, another one:\n\n{CRASH.replace('Key', 'Value')}", "ValueError: 'DATA_URL'"),
        ("".join(f"[rank0]: {line}\n" for line in CRASH.splitlines()) + "[rank1]: x\n", "KeyError: 'DATA_URL'"),
        (CRASH.replace("KeyError", "\x1b[31mKeyError\x1b[0m"), "KeyError: 'DATA_URL'"),
        ("Traceback (most recent call last):\n  File", "File"),
        (f"ValueError: {'x' * 1000}", f"ValueError: {'x' * 1000}"[:LIMIT]),
    ],
)
def test_the_line_that_says_why(log: str, line: str) -> None:
    assert last_words(log) == line
