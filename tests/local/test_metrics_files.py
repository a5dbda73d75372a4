"""Metrics in files instead of the log, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.local.runs import Runner, experiment

ROOT = Path(__file__).parents[2]
NAMED = "import os; path = os.environ['KUBETUNA_METRICS']; x = float(os.environ['KUBETUNA_PARAM_X'])\n"
PRINTS = "print('loss=77')\n"
SCRIPTS: dict[str, tuple[str, dict[str, Any]]] = {
    "text": ("File", {"path": "/katib/a.log"}),
    "JSON": ("File", {"path": "/katib/a.log", "format": "JSON"}),
    "events": ("TensorFlowEvent", {"path": "/katib/tf/"}),
}
WRITES = {
    "text": "open(path, 'w').write(f'loss={x + 1}\\nloss={x}')",
    "JSON": "import json; open(path, 'w').write(json.dumps({'step': 1, 'loss': str(x)}) + '\\n')",
    "events": f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.event_files import *; "
    "import struct; os.mkdir(path + '/train'); open(path + '/train/events.out.tfevents.1', 'wb')"
    ".write(record(event(1, ('loss', block(8, whole(1, 2) + block(4, struct.pack('<d', x)))))))",
}


@pytest.fixture
def small(tmp_path: Path) -> Runner:
    return Runner(tmp_path, f"sqlite:///{tmp_path}/study.db")


def collected(script: str, kind: str, place: dict[str, Any], **more: Any) -> str:
    spec = {"collector": {"kind": kind}, "source": {"fileSystemPath": place}}
    return experiment(script, metricsCollectorSpec=spec, **more)


@pytest.mark.parametrize("form", SCRIPTS)
def test_what_a_trial_writes_counts_and_what_it_prints_does_not(form: str, small: Runner) -> None:
    kind, place = SCRIPTS[form]
    status = small.run(collected(NAMED + PRINTS + WRITES[form], kind, place))
    assert status["trialsSucceeded"] == 4
    assert all(t["values"] == [t["params"]["x"]] for t in small.trials())


def test_a_path_in_the_command_is_the_attempts_own(small: Runner) -> None:
    """As in Katib's example: its trials know no variable of ours, and run beside each other."""
    script = "import os, sys; open(sys.argv[1].split('=')[1], 'w').write('loss=' + os.environ['KUBETUNA_PARAM_X'])"
    command = ["python", "-c", script, "--log=/katib/a.log"]
    status = small.run(collected("", "File", {"path": "/katib/a.log"}, command=command))
    assert status["trialsSucceeded"] == 4 and not Path("/katib").exists()


def test_a_trial_that_is_pruned_is_followed_while_it_runs(small: Runner) -> None:
    script = NAMED + (
        "import time\nwith open(path, 'a', buffering=1) as out:\n"
        ' for step in range(1, 1000): out.write(f\'{{"step": {step}, "loss": {1e9 if x > 0.3 else x}}}\\n\'); '
        "time.sleep(0.02) if x > 0.3 else None\n"
    )
    stopping = {"algorithmName": "threshold", "algorithmSettings": [{"name": "upper", "value": 1000}]}
    status = small.run(collected(script, "File", {"path": "/katib/a.log"}, earlyStopping=stopping))
    assert status["trialsEarlyStopped"] > 0


def test_without_the_file_its_metric_is_missing(small: Runner) -> None:
    text = collected(PRINTS, "File", {"path": "/katib/a.log"}, maxTrialCount=1)
    small.run(text, code=1)
    (trial,) = small.trials()
    assert trial["outcome"] == "MetricsUnavailable" and "no line of /katib/a.log" in trial["message"]


def test_an_explanation_of_the_log_says_that_it_is_not_read(small: Runner) -> None:
    kind, place = SCRIPTS["text"]
    small.run(collected(NAMED + WRITES["text"], kind, place, maxTrialCount=1))
    assert "metrics are read from /katib/a.log" in small.call("logs", "small", "0", "--explain", code=1)
