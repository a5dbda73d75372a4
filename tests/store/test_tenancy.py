"""Namespaces share a store: none reads another's studies, or learns from a message that there are any."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from kubetuna import errors
from kubetuna.errors import KubetunaError, StoreError, StudyMismatch
from kubetuna.parsing.parse import parse_file_text
from kubetuna.store.database import open_engine, parse_url, place
from kubetuna.store.reader import study_names
from kubetuna.store.schema import ensure_schema
from kubetuna.study.open import Opened, open_study
from kubetuna.trials.outcome import Classified, Outcome
from tests.local.runs import experiment

FOREIGN = ("other/secret/1a2b3c4d", "lab2/first/1a2b3c4d", "LAB/first/1a2b3c4d", "secret")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/hidden.db")
    ensure_schema(engine)
    for number, name in enumerate((*FOREIGN, "lab/first/aaaaaaaa", "lab/first/bbbbbbbb", "lab/second/cccccccc")):
        opened = make(engine, name)
        opened.study.ask(0)
        opened.study.tell(0, Classified(Outcome.SUCCEEDED, ""), {"loss": float(number)})
        opened.study.flush()
    yield engine
    engine.dispose()


def make(engine: Engine, name: str, *studies: str) -> Opened:
    warm = {"warmStart": {"studies": [{"study": s, "points": 1} for s in studies]}} if studies else {}
    spec = parse_file_text(experiment("", **warm))
    return open_study(engine, spec, name, "test", 0.0, iter(range(7, 1_000)).__next__)


def point_of(engine: Engine, name: str) -> float:
    return float(make(engine, name).study.record(0).params["x"])


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("first", "lab/first/bbbbbbbb"),
        ("lab/first", "lab/first/bbbbbbbb"),
        ("first/aaaaaaaa", "lab/first/aaaaaaaa"),
        ("lab/first/aaaaaaaa", "lab/first/aaaaaaaa"),
        ("second", "lab/second/cccccccc"),
    ],
)
def test_in_a_cluster_a_name_means_the_newest_study_of_the_namespace(
    store: Engine, wanted: str, found: str
) -> None:
    opened = make(store, "lab/new/dddddddd", wanted)
    assert [point["x"] for point in opened.study.spec.warm_start] == [point_of(store, found)]


@pytest.mark.parametrize(
    "wanted",
    [*FOREIGN, "other/secret", "First", "%", "f_rst", "fir", "first/", "../other/secret", "lab/", "/", " "],
)
def test_no_other_namespaces_study_is_reached_or_named(store: Engine, wanted: str) -> None:
    with pytest.raises(StudyMismatch) as refused:
        make(store, "lab/new/dddddddd", wanted)
    text = f"no study {wanted!r} in namespace 'lab'; name an Experiment of this namespace"
    assert refused.value.public == f"spec.warmStart.studies[0]: {text}"
    assert "lab/new/dddddddd" not in study_names(store), "what cannot start leaves no study behind"


def test_on_a_laptop_every_study_of_the_store_is_reached(store: Engine) -> None:
    assert make(store, "mine", "other/secret/1a2b3c4d").study.spec.warm_start


def kinds(kind: type[StoreError] = StoreError) -> Iterator[type[StoreError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from kinds(one)


@pytest.mark.parametrize("kind", [k for k in kinds() if k is not StudyMismatch], ids=lambda k: k.__name__)
def test_what_anyone_may_read_of_a_store_error_is_no_part_of_its_message(kind: type[StoreError]) -> None:
    error = kind("the store at postgresql://kubetuna@db.example:5432/x failed")
    assert isinstance(error, KubetunaError) and kind.__name__ in vars(errors)
    assert error.public and "db.example" not in error.public


def test_a_password_among_the_options_of_a_url_is_not_shown() -> None:
    url = "postgresql://host/base?password=secret1&sslpassword=secret2"
    assert "secret" not in place(parse_url(url))
    with pytest.raises(StoreError) as refused:
        parse_url("post gres://u:secret3@host/base?password=secret4")
    assert "secret" not in json.dumps(str(refused.value))
