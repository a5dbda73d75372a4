"""Metrics in files, through the container that follows them, on real nodes: live, and to the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cluster.operators import World
from tests.cluster.test_operator import HANGS

pytestmark = pytest.mark.cluster

EVENTS = Path(__file__).parents[1] / "event_files.py"
FILE, TENSORFLOW = {"collector": {"kind": "File"}}, {"collector": {"kind": "TensorFlowEvent"}}
JSON = {**FILE, "source": {"fileSystemPath": {"path": "/katib/mnist.log", "format": "JSON"}}}
OUT = {**FILE, "source": {"fileSystemPath": {"path": "/kubetuna/out/metrics.log"}}}
NAMED = "import os; path = os.environ['KUBETUNA_METRICS']; print('loss=77')\n"
WRITES_EVENTS = EVENTS.read_text() + (
    "\nimport os\nos.mkdir('/var/log/katib/tfevent/train')\n"
    "with open('/var/log/katib/tfevent/train/events.out.tfevents.1', 'wb') as out:\n"
    "    out.write(record(event(1, ('loss', simple(3.0)))) + record(event(2, ('loss', simple(0.5)))))\n"
)
# By name: the script, what is different of the Pod, the spec, and the value that counts.
WRITTEN: dict[str, tuple[str, dict[str, Any], dict[str, Any], float]] = {
    "text": (NAMED + "open(path, 'w').write('loss=3\\nloss=0.5')", {}, {"metricsCollectorSpec": FILE}, 0.5),
    "json": (
        "open('/katib/mnist.log', 'w').write('{\"loss\": \"0.5\"}\\n')", {}, {"metricsCollectorSpec": JSON}, 0.5,
    ),
    "events": (WRITES_EVENTS, {}, {"metricsCollectorSpec": TENSORFLOW}, 0.5),
    "own-volume": (NAMED + "open(path, 'w').write('loss=0.5')", {}, {"metricsCollectorSpec": OUT}, 0.5),
    "again": (
        NAMED + "again = os.environ['KUBETUNA_ATTEMPT'] == '1'\n"
        "open(path, 'w').write(f'loss={0.5 if again else 9}')\n"
        "raise SystemExit(0 if again else 3)", {}, {"metricsCollectorSpec": FILE, "retryPolicy": {"limit": 1}}, 0.5,
    ),
    "many-lines": (
        NAMED + "open(path, 'w').write(''.join(f'loss={n}\\n' for n in range(20_000)))",
        {}, {"metricsCollectorSpec": FILE}, 19_999.0,
    ),
    "others-go-on": (
        NAMED + "open(path, 'w').write('loss=0.5\\n')", {"sidecar": HANGS}, {"metricsCollectorSpec": FILE}, 0.5,
    ),
}  # fmt: skip


def test_what_trials_write_counts_whatever_they_print(world: World) -> None:
    world.operator()
    for name, (script, changes, spec, _) in WRITTEN.items():
        # A busy node may need longer than a second to say 20,000 lines.
        pod: dict[str, Any] = {"terminationGracePeriodSeconds": 30}
        pod |= {
            key: {"name": "more", "image": world.cluster.image, "command": ["python3", "-u", "-c", value]}
            for key, value in changes.items()
        }
        world.apply(script, name, pod, maxTrialCount=1, **spec)
    found = {}
    for name in WRITTEN:
        world.ended(name)
        (trial,) = world.trials(name)
        found[name] = (trial.outcome, trial.message, trial.values)
    assert found == {name: ("Succeeded", "", (value,)) for name, (*_, value) in WRITTEN.items()}


def test_a_trial_that_writes_is_pruned_while_it_runs(world: World) -> None:
    script = NAMED + (
        "import time\nwith open(path, 'a', buffering=1) as out:\n"
        '    for step in range(10_000): out.write(f\'{{"step": {step}, "loss": 9.0}}\\n\'); time.sleep(0.1)\n'
    )
    stopping = {"algorithmName": "threshold", "algorithmSettings": [{"name": "upper", "value": 1}]}
    world.operator()
    world.apply(script, maxTrialCount=1, metricsCollectorSpec=FILE, earlyStopping=stopping)
    world.until("it is pruned", lambda: world.status().get("trialsEarlyStopped") == 1)
