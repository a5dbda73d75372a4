"""Secrets in lines of a trial: masked wherever a line is quoted, before anything cuts it."""

from __future__ import annotations

import json

import pytest

from kubetuna.experiment.model import Experiment
from kubetuna.metrics.collector import TrialLog
from kubetuna.metrics.explanation import Explanation
from kubetuna.metrics.lines import LineReader, MetricLine
from kubetuna.metrics.nearest import Nearest
from kubetuna.parsing.parse import parse_file_text
from kubetuna.trials.attempts import LINE_LIMIT, ExitFacts, LogChunk, end_of
from kubetuna.trials.last_words import LIMIT, last_words
from kubetuna.trials.masking import masked
from kubetuna.trials.outcome import classify
from kubetuna.trials.records import bounded
from kubetuna_operator.experiment.run import _said
from kubetuna_operator.pods.status import _message, _why
from tests.local.runs import experiment

SECRET = "hunter2xyzzyplugh"
KNOWN = {
    "a URL": f"postgresql://me:{SECRET}@db/x",
    "a URL with signs": f"redis://:a@b/c:{SECRET}@cache:1/0",
    "an assignment": f"password={SECRET}",
    "a variable": f"export WANDB_API_KEY='{SECRET}'",
    "YAML": f"client_secret: {SECRET}",
    "JSON": f'{{"hf_token": "{SECRET}", "epochs": 3}}',
    "JSON in JSON": f'{{\\"db_password\\": \\"{SECRET} {SECRET}\\"}}',
    "Python": f"{{'aws_secret_access_key': '{SECRET}'}}",
    "an option": f"train.py --api-key {SECRET} --lr 0.1",
    "a header": f"Authorization: Bearer {SECRET}.x-y",
    "a query": f"GET /blob?se=1&sig={SECRET}%3D&x=1",
    "Hugging Face": f"login hf_{SECRET}AbCd ok",
    "GitHub": f"using ghp_{SECRET}0123",
    "AWS": "AKIAHUNTER2XYZZYPLUG",
    "a JSON Web Token": f"eyJhbGciOiJIUzI1NiJ9.{SECRET}.{SECRET}",
}
PLAIN = [
    "see https://docs.example.org/a",
    "loss_per_token: 0.25 tokens_per_second=1.2e4",
    'secret "token" not found',
    "KeyError: 'API_KEY'",
    "password is wrong",
    "ndcg@10=0.5 at user@host",
    "the primary key=3 of --max-tokens 512",
    '{"token": 0.5, "loss": 1}',
]


def hidden(text: str) -> bool:
    """Not even a piece of it is left."""
    return not any(SECRET[i : i + 5].lower() in text.lower() for i in range(len(SECRET) - 4))


@pytest.mark.parametrize("case", KNOWN)
def test_a_secret_is_masked_and_what_is_around_it_stays(case: str) -> None:
    shown = masked(f"at first {KNOWN[case]} loss=3")
    assert hidden(shown) and "***" in shown and shown.startswith("at first ") and shown.endswith(" loss=3")


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_secret_stays(text: str) -> None:
    assert masked(text) == text


def spec() -> Experiment:
    return parse_file_text(experiment("pass"))


def nearest(line: str) -> str:
    near = Nearest("loss")
    near.look(end_of(f"{line} my_loss: 3".encode()))
    assert near.found
    return f"{near.found} {near.hint()}"


def explained(line: str) -> str:
    lines = Explanation(spec()).lines([end_of(f"{line} loss".encode())])
    return " ".join(f"{one.text} {one.why}" for one in lines)


def of_a_trial(line: str) -> str:
    log = TrialLog(spec(), {})
    log.turn_to(0)
    log.take(LogChunk((end_of(line.encode()), end_of(f"{line} train_loss: 3".encode())), "1", drained=True))
    list(log.records({}))
    return f"{classify(ExitFacts(exit_code=0), None, 'go', log.reading()).message} {log.state()}"


def not_finite(line: str) -> str:
    record = LineReader(("loss",), ()).read(json.dumps({"loss": line}).encode())
    assert isinstance(record, MetricLine)
    return str(record.invalid)


QUOTED = {
    "last words": lambda line: last_words(f"x\n{line}"),
    "a message": bounded,
    "a short message": lambda line: bounded(line, 40),
    "the nearest lines": nearest,
    "an explanation": explained,
    "a trial": of_a_trial,
    "what is no number": not_finite,
    "a Pod's message": lambda line: _message({}, {"message": line}),
    "why a Pod waits": lambda line: _why({"reason": "A", "message": line}),
    "a turn that failed": lambda line: _said(ValueError(line)),
}


@pytest.mark.parametrize("place", QUOTED)
@pytest.mark.parametrize("case", KNOWN)
def test_no_cut_shows_a_piece_of_it_wherever_the_line_is_quoted(place: str, case: str) -> None:
    """Each place cuts elsewhere: what stands before and after it puts the cut into it."""
    for before in (0, 20, 30, 70, 140, LIMIT - 20, 980):
        for after in (0, 8, 16):
            assert hidden(QUOTED[place](f"{'x ' * (before // 2)}{KNOWN[case]} {'y' * after}")), (before, after)


@pytest.mark.parametrize("left", range(1, 35))
def test_a_line_of_which_only_the_end_is_known_may_begin_within_a_login(left: int) -> None:
    login, tail = f"postgresql://me:{SECRET}@db/x ", " my_loss: 3"
    line = f"{login}{'y' * (left + LINE_LIMIT + 1 - len(login) - len(tail))}{tail}".encode()
    assert end_of(line) == line[left:]
    near = Nearest("loss")
    near.look(end_of(line))
    (told,) = Explanation(spec()).lines([end_of(line)])
    assert near.found and hidden(f"{near.found} {told}") and hidden(last_words(f"{login}after"[left:]))


@pytest.mark.parametrize("text", ["://", "password=", "://a@", "Bearer ", "token:", "eyJ", "a" * 9, "--", '"'])
def test_it_takes_no_longer_for_a_hostile_line(text: str) -> None:
    assert len(masked(text * 30_000)) <= len(text) * 30_000 + 10
