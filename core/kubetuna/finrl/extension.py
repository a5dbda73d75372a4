"""The contest's part in what is shown of a study, registered as an extension (``kubetuna.analysis.extensions``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kubetuna.analysis.extensions import Extension
from kubetuna.analysis.report.chart import Section
from kubetuna.analysis.report.checks import Check
from kubetuna.analysis.report.view import View
from kubetuna.experiment.model import Experiment
from kubetuna.files import read_object
from kubetuna.finrl.baselines import baseline_checks, closing_lines, folds_checks, looks_checks, test_checks
from kubetuna.finrl.fold_results import walk_of
from kubetuna.finrl.sections import folds_section, test_section
from kubetuna.finrl.shipped import shipped_task
from kubetuna.study.record import StudyRecord

LOADING = {
    "task1": """\
```python
import json
from safetensors.numpy import load_file
tensors = load_file("ensemble.safetensors")     # "<member>.trunk.<layer>.weight", "<member>.heads.<head>.…"
about = json.load(open("ensemble.json"))        # widths, kinds of agents, inputs and their scale
print(about["inputs"], {name: t.shape for name, t in tensors.items()})
```""",
    "task2": """\
```python
import json
from peft import PeftModel
from transformers import AutoModelForCausalLM
base = json.load(open("adapter/adapter_config.json"))["base_model_name_or_path"]
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), "adapter")
```""",
}
LIMITS = {
    "task1": "One asset and one period are one regime. The protocol's slippage is far below what most exchanges "
    "charge; `kubetuna evaluate` shows the result at other costs.",
    "task2": "The same news may be in the base model's training data; only later dates are a fair test.",
}


class Contest(Extension):
    """Held-out test, walk-forward, baselines, and how to load the shipped trainers' models."""

    def task(self, spec: Experiment) -> str | None:
        """``task1`` or ``task2`` where one of the shipped trainers is tuned."""
        return shipped_task(spec)

    def sections(self, seen: StudyRecord) -> Iterator[Section]:
        """The held-out test and the folds, once there are results."""
        return filter(None, (test_section(seen.final), folds_section(walk_of(seen))))

    def checks(self, seen: StudyRecord, view: View) -> Iterator[Check]:
        """The held-out test, the folds and the baselines."""
        yield from looks_checks(seen)
        if view.scored:
            yield from test_checks(seen.final)
            yield from folds_checks(view, walk_of(seen))
            yield from baseline_checks(view)

    def figures(self, seen: StudyRecord) -> Mapping[str, Any]:
        """``final`` and ``walkForward``, null before these commands ran."""
        walk = walk_of(seen)
        return {"final": seen.final, "walkForward": None if walk is None else walk.as_json()}

    def commands(self, spec: Experiment, study: str) -> Iterator[tuple[str, str]]:
        """What only the shipped trainers can do."""
        if shipped_task(spec) is not None:
            yield f"kubetuna walkforward {study}", "judge the best trials on successive periods"
            yield f"kubetuna finalize {study}", "score the held-out test, once"

    def closing(self, metrics: Mapping[str, float]) -> Iterator[str]:
        """The best trial against the baselines."""
        return closing_lines(metrics)

    def card(self, task: str, folder: Path) -> Mapping[str, str]:
        """How a model decides, how to load it without kubetuna, and its limits."""
        if task not in LOADING:
            return {}
        return {"decides": _decides(task, folder), "loading": LOADING[task], "limits": LIMITS[task]}


def _decides(task: str, folder: Path) -> str:
    """What its weights alone do not say, from what the trainer wrote beside them."""
    path = folder / ("ensemble.json" if task == "task1" else "adapter/trial.json")
    note = read_object(path) if path.exists() else {}
    tie = dict(note.get("protocol") or {}).get("tie_rule", "not told")
    if task == "task1":
        return (
            f"Each member votes for the action that it values most, every {note.get('step_gap', '?')} s, and the "
            f"most votes win ({tie}). An action moves the position by one of {note.get('max_position', '?')} units."
        )
    scale = dict(note.get("parameters") or {}).get("signal_strength", "?")
    asked = dict(note.get("prompting") or {})
    prompt = f"{asked.get('template', 'not told')}\n{asked.get('answer', '')}".strip()
    chat = "in the model's own form of a chat" if asked.get("chat") else "as plain text"
    return (
        f"A score is the most probable whole number from -{scale} to {scale}; no other answer is looked at. In "
        f"trading, {tie}. It is asked {chat}, the newest {asked.get('articles', '?')} articles of "
        f"{asked.get('news_days', '?')} days in place of `{{news}}`:\n\n````\n{prompt}\n````"
    )


EXTENSION = Contest()
