"""What a script of a Katib user does, with Katib's own SDK and nothing of ours: run by `test_katib.py`, apart.

    python katib_client.py NAMESPACE IMAGE

The last line of what it prints is one JSON object: what the SDK read back.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import kubeflow.katib as katib


def objective(parameters: dict[str, str]) -> None:
    """Katib's own example, with a curve."""
    for step in (1, 2, 3):
        print(f"result={4 * int(parameters['a']) - float(parameters['b']) ** 2 - 1 / step}", flush=True)


def main(namespace: str, image: str) -> dict[str, Any]:
    """Tune, read everything back, raise the budget, delete."""
    client, name = katib.KatibClient(namespace=namespace), "tune-experiment"
    space = {"a": katib.search.int(min=10, max=20), "b": katib.search.double(min=0.1, max=0.2)}
    client.tune(
        name=name, objective=objective, parameters=space, objective_metric_name="result", max_trial_count=4,
        parallel_trial_count=2, base_image=image, resources_per_trial={"cpu": "100m"},
    )  # fmt: skip
    client.wait_for_experiment_condition(name=name, timeout=120, polling_interval=1)
    best = client.get_optimal_hyperparameters(name)
    found = {
        "succeeded": client.is_experiment_succeeded(name),
        "running": client.is_experiment_running(name),
        "listed": [e.metadata.name for e in client.list_experiments()],
        "trials": {t.metadata.name: t.status.conditions[-1].type for t in client.list_trials(name)},
        "best": {p.name: p.value for p in best.parameter_assignments},
        "metrics": [m.to_dict() for m in best.observation.metrics],
        "details": client.get_success_trial_details(name),
        "trial": client.get_trial(f"{name}-0").metadata.name,
    }
    client.edit_experiment_budget(name, max_trial_count=5)
    found["edited"] = _until(lambda: client.get_experiment(name).status.trials_succeeded == 5)
    client.delete_experiment(name)
    found["deleted"] = _until(lambda: not client.list_experiments())
    return found


def _until(reached: Any, patience: float = 60.0) -> bool:
    deadline = time.monotonic() + patience
    while not reached():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


if __name__ == "__main__":
    print("\n" + json.dumps(main(*sys.argv[1:]), default=str))
