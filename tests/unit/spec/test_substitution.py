"""Arguments and variables that name a parameter which a trial does not have."""

from __future__ import annotations

from typing import Any

import pytest

from kubetuna.errors import SpecError
from kubetuna.parsing.parse import parse_file_text
from kubetuna.trials.substitution import substitute
from tests.local.runs import experiment

NAMES = {name: name for name in ("lr", "m", "amp", "tag")}


def filled(template: dict[str, Any], **params: Any) -> dict[str, Any]:
    return substitute(template, NAMES, params, {"name": "n-1", "namespace": "d"})


def p(name: str, form: str = "") -> str:
    return f"${{trialParameters.{name}{form}}}"


@pytest.mark.parametrize(
    ("args", "left"),
    [
        ([f"--lr={p('lr')}", f"--m={p('m')}"], ["--lr=0.1"]),
        (["--m", p("m"), "--lr", p("lr")], ["--lr", "0.1"]),
        (["train", "-m", p("m")], ["train"]),
        # Only the flag that the value belongs to goes with it.
        (["--quiet", f"--m={p('m')}"], ["--quiet"]),
        (["--lr=1", p("m"), p("tag")], ["--lr=1"]),
        (["--a", "--m", p("m"), p("tag")], ["--a"]),
        (["--", p("m")], ["--"]),
        (["--size", f"{p('m')}x{p('lr')}", "--x"], ["--x"]),
        (["--out", f"runs/{p('m')}"], []),
        (["--multirun", f"opt.m={p('m')}"], ["--multirun"]),
        ([f"--both={p('lr')}:{p('m')}"], []),
        (["--m", p("m", ":-0.9")], ["--m", "0.9"]),
        (["--lr", p("lr", ":-7")], ["--lr", "0.1"]),
        (["--quiet", p("m", ":+--momentum")], ["--quiet"]),
        (["--opt", p("m", ":+sgd")], []),
        ([f"--opts=a{p('m', ':+,b')}"], ["--opts=a"]),
        ([p("lr", ":+--has-lr")], ["--has-lr"]),
    ],
)
def test_an_argument_goes_with_its_parameter(args: list[str], left: list[str]) -> None:
    assert filled({"args": args, "command": args}, lr=0.1) == {"args": left, "command": left}


@pytest.mark.parametrize(
    ("value", "there"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("False", False),
        (None, False),
        ("", False),
        (0, True),
        (3, True),
    ],
)
def test_a_boolean_is_a_flag(value: Any, there: bool) -> None:
    assert filled({"args": [p("amp", ":+--amp")]}, amp=value)["args"] == (["--amp"] if there else [])


def test_a_value_that_is_there_and_empty_stays() -> None:
    assert filled({"args": ["--tag", p("tag"), f"--t={p('tag')}"]}, tag="") == {"args": ["--tag", "", "--t="]}


@pytest.mark.parametrize(
    ("script", "left"),
    [
        (f"python t.py --lr={p('lr')} --m={p('m')} --x", "python t.py --lr=0.1 --x"),
        (f"python t.py --m {p('m')} --lr {p('lr')}", "python t.py --lr 0.1"),
        (f'python t.py --m "{p("m")}" --x', "python t.py --x"),
        (f"python t.py --m {p('m')}; echo done", "python t.py; echo done"),
        (f'python t.py --m "{p("m")}"; echo done', "python t.py; echo done"),
        (f"(cd x && python t.py --m {p('m')}) | tee log", "(cd x && python t.py) | tee log"),
        (f"if true; then t --m={p('m')}; else t; fi", "if true; then t; else t; fi"),
        (
            f"python t.py --lr={p('lr')} --m={p('m')} 2>&1 | tee $(date +%s).log",
            "python t.py --lr=0.1 2>&1 | tee $(date +%s).log",
        ),
        (f"export M={p('m')}\npython t.py", "export M=\npython t.py"),
        (f"export LR={p('lr')} M={p('m')}; t", "export LR=0.1 M=; t"),
        (f"M={p('m')} LR={p('lr')} t", " LR=0.1 t"),
        (f'echo "lr {p("lr")} m {p("m")}"', 'echo "lr 0.1 m "'),
        (f"python t.py \\\n  --m={p('m')} \\\n  --lr={p('lr')}", "python t.py \\\n   \\\n  --lr=0.1"),
        (f"python t.py {p('lr', ':+--flag two')} {p('m', ':+--no two')}", "python t.py --flag two"),
    ],
)
def test_in_a_shells_text_words_go_as_arguments_do(script: str, left: str) -> None:
    assert filled({"args": ["-c", script]}, lr=0.1)["args"] == ["-c", left]


def test_a_variable_goes_with_its_parameter() -> None:
    env = [
        {"name": "A", "value": p("m")},
        {"name": "B", "value": p("lr")},
        {"name": "C", "value": ""},
        {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "x"}}},
        {"name": "E", "value": p("amp", ":+1")},
    ]
    assert filled({"env": env}, lr=0.1, amp=False)["env"] == [{"name": "B", "value": "0.1"}, *env[2:4]]


SPACE = [
    {"name": "opt", "parameterType": "categorical", "feasibleSpace": {"list": ["sgd", "adam"]}},
    {
        "name": "m",
        "parameterType": "double",
        "feasibleSpace": {"min": 0, "max": 1},
        "when": "opt == 'sgd'",
    },
]


def test_plan_says_what_is_left_out() -> None:
    words = ["python", "t.py", "--m", p("m"), f"--x={p('m', ':-0')}"]
    (note,) = parse_file_text(experiment("", command=words, parameters=SPACE)).warnings
    assert note == "where 'm' does not exist, a trial runs without: --m ${trialParameters.m}"


def test_a_program_that_may_not_exist_is_refused() -> None:
    with pytest.raises(
        SpecError, match=r"containers\[0\].command\[0\].*'m' does not exist in every trial.*:-DEFAULT"
    ):
        parse_file_text(experiment("", command=[p("m")], parameters=SPACE))
    assert parse_file_text(experiment("", command=[p("m", ":-python")], parameters=SPACE)).parameters


def test_a_slip_in_a_name_is_found_in_every_form() -> None:
    with pytest.raises(SpecError, match="'n' is not a parameter"):
        parse_file_text(experiment("", command=["a", p("n", ":+--n")], parameters=SPACE))
