"""``spec.description``: written by a person, found again wherever people look."""

from __future__ import annotations

from pathlib import Path

import optuna
from sqlalchemy import Engine

from kubetuna.analysis.report.page import render_report
from kubetuna.analysis.report.view import view_of
from kubetuna.parsing.definition import definitions
from kubetuna.parsing.edits import immutable_changes
from kubetuna.parsing.parse import parse_experiment
from kubetuna.store.database import open_engine
from kubetuna.store.schema import ensure_schema
from kubetuna.study.open import open_study
from tests.spec_table import document

WORDS = "learning rate <b>first</b>"


def opened(engine: Engine, text: str) -> None:
    spec = parse_experiment(document({"spec.description": text}))
    open_study(engine, spec, spec.name, "me", 0.0, lambda: 7)


def test_optuna_and_its_dashboard_find_it_with_the_study_and_an_edit_reaches_them(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    engine = open_engine(url)
    ensure_schema(engine)
    for text in (WORDS, "another"):
        opened(engine, text)
        assert optuna.load_study(study_name="small", storage=url).user_attrs["description"] == text


def test_the_report_shows_it_as_text() -> None:
    spec = parse_experiment(document({"spec.description": WORDS}))
    page = render_report(view_of(spec, {}, (), 0.0))
    assert "learning rate &lt;b&gt;first&lt;/b&gt;" in page


def test_it_is_a_wide_column_and_may_be_edited() -> None:
    (columns,) = (d["spec"]["versions"][0]["additionalPrinterColumns"] for d in list(definitions())[:1])
    assert {"name": "Description", "type": "string", "jsonPath": ".spec.description", "priority": 1} in columns
    assert not immutable_changes(document({}), document({"spec.description": WORDS}))
