"""Why a program ended, in the one line of its log that says so."""

from __future__ import annotations

import pytest

from kubetuna.trials.last_words import LIMIT, last_words
from kubetuna.trials.records import MESSAGE_LIMIT, bounded

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
        ("cannot reach postgresql://me:p@ss/w@db:5432/x", "cannot reach postgresql://***@db:5432/x"),
        ("see https://docs.example.org/a", "see https://docs.example.org/a"),
        (f"ValueError: {'x' * 1000}", f"ValueError: {'x' * 1000}"[:LIMIT]),
    ],
)
def test_the_line_that_says_why(log: str, line: str) -> None:
    assert last_words(log) == line


def test_a_message_that_many_read_shows_no_password_and_says_that_it_was_cut() -> None:
    assert bounded("nearest: 'redis://:hunter2@cache/0 loss 3'") == "nearest: 'redis://***@cache/0 loss 3'"
    assert (bounded("x" * 300, 200), bounded("x" * 200, 200)) == (f"{'x' * 199}…", "x" * 200)
    assert len(bounded("://" * 50_000)) == MESSAGE_LIMIT
