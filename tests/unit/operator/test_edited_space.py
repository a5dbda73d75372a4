"""An Experiment whose search space is edited while it runs in a cluster, and one whose edit is refused there."""

from __future__ import annotations

from typing import Any

from tests.apiserver.lab import Lab, curve, hangs

NARROW = [{"name": "x", "parameterType": "double", "feasibleSpace": {"min": 0, "max": 0.001}}]


def shown(lab: Lab) -> dict[int, dict[str, Any]]:
    return {t["status"]["number"]: t["status"] for t in lab.shown()}


def test_what_runs_goes_on_and_what_comes_is_of_the_new_space(lab: Lab) -> None:
    lab.program = hangs
    lab.operator()
    lab.apply(maxTrialCount=4, parallelTrialCount=2)
    lab.until(lab.running(2))
    first = list(lab.made)
    lab.apply(maxTrialCount=4, parallelTrialCount=2, parameters=NARROW)
    lab.until(lambda: lab.status().get("observedGeneration") == 2)
    assert lab.conditions()["Accepted"][0] == "True" and lab.running(2)()
    lab.program = curve
    for pod in lab.pods():
        lab.cluster.kubelet.exit(pod["metadata"]["name"])
    lab.ended()
    assert lab.made[:2] == first and len(lab.made) == 4
    trials = shown(lab)
    assert [n for n, trial in sorted(trials.items()) if trial["params"]["x"] > 0.001] == [0, 1]
    assert trials[0]["space"] == {"x": {"min": 0.0, "max": 1.0}} and "space" not in trials[3]


def test_an_edit_that_is_refused_says_why_and_the_experiment_goes_on_as_it_was(lab: Lab) -> None:
    cmaes = {"algorithmName": "cmaes"}
    lab.program = hangs
    lab.operator()
    lab.apply(maxTrialCount=2, parallelTrialCount=1, algorithm=cmaes)
    lab.until(lab.running(1))
    lab.apply(maxTrialCount=2, parallelTrialCount=1, algorithm=cmaes, parameters=NARROW)
    lab.until(lambda: lab.conditions().get("Accepted", ("", ""))[0] == "False")
    why = lab.conditions()["Accepted"][1]
    assert "spec.parameters[0].feasibleSpace: the sampler cmaes keeps a distribution over the space" in why
    assert lab.running(1)()
