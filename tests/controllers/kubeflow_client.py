"""What a script does that uses Kubeflow's SDK and nothing of ours: run by `test_trainer.py`, apart.

    python kubeflow_client.py NAMESPACE RUNTIME

The last line of what it prints is one JSON object: what the SDK read back.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from kubeflow.common.types import KubernetesBackendConfig
from kubeflow.optimizer import GridSearch, Objective, OptimizerClient, Search, TrialConfig
from kubeflow.trainer import CustomTrainer, TrainerClient
from kubeflow.trainer.types.types import TrainJobTemplate


def train(x: str, kind: str) -> None:
    """A curve; one kind of trial fails."""
    if kind == "bad":
        raise SystemExit(3)
    for step in (1, 2, 3):
        print(f"loss={float(x) + 1 / step}", flush=True)


def main(namespace: str, runtime: str) -> dict[str, Any]:
    """Optimize, wait, read everything back, delete."""
    config = KubernetesBackendConfig(namespace=namespace)
    client, trainer = OptimizerClient(config), TrainerClient(config)
    template = TrainJobTemplate(runtime=runtime, trainer=CustomTrainer(func=train, num_nodes=2))
    space = {"x": Search.choice([0.1, 0.5]), "kind": Search.choice(["good", "bad"])}
    name = client.optimize(
        template,
        search_space=space,
        objectives=[Objective(metric="loss", direction="minimize")],
        trial_config=TrialConfig(num_trials=4, parallel_trials=2),
        algorithm=GridSearch(),
    )
    seen: set[str] = set()
    done = client.wait_for_job_status(
        name, timeout=400, polling_interval=1, callbacks=[lambda job: seen.add(job.status)]
    )
    best = client.get_best_results(name)
    first = min(t.name for t in done.trials if t.metrics)
    found = {
        "name": name,
        "status": done.status,
        "seen": sorted(seen),
        "listed": [job.name for job in client.list_jobs()],
        "trials": {t.name: [t.parameters["kind"], t.trainjob.status] for t in done.trials},
        "best": best and {"parameters": best.parameters, "metrics": [vars(m) for m in best.metrics]},
        "events": [e.reason for e in client.get_job_events(name)],
        "log": list(trainer.get_job_logs(first)),
        "job log": _told(lambda: list(client.get_job_logs(name, first))),
    }
    client.delete_job(name)
    found["deleted"] = _until(lambda: not client.list_jobs() and not trainer.list_jobs())
    return found


def _told(ask: Any) -> Any:
    try:
        return ask()
    except RuntimeError as error:
        return str(error)


def _until(reached: Any, patience: float = 90.0) -> bool:
    deadline = time.monotonic() + patience
    while not reached():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


if __name__ == "__main__":
    print("\n" + json.dumps(main(*sys.argv[1:]), default=str))
