"""Writing small experiments and running the command line on them, as a person would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

KUBETUNA = Path(sys.executable).parent / "kubetuna"


def experiment(script: str, name: str = "small", command: list[str] | None = None, **spec: Any) -> str:
    """The YAML of an experiment over ``x`` in [0, 1] whose trials run a Python script."""
    container = {
        "name": "trial",
        "image": "python",
        "command": command or ["python", "-u", "-c"],
        "args": [] if command else [script],
    }
    pod: dict[str, Any] = {"containers": [container], "terminationGracePeriodSeconds": 1}
    if "cpu" in spec:
        container["resources"] = {"requests": {"cpu": spec.pop("cpu")}}
    whole = {
        "maxTrialCount": 4,
        "parallelTrialCount": min(2, spec.get("maxTrialCount", 4)),
        "objective": {"type": "minimize", "objectiveMetricName": "loss"},
        "algorithm": {"algorithmName": "random", "algorithmSettings": [{"name": "seed", "value": 1}]},
        "parameters": [{"name": "x", "parameterType": "double", "feasibleSpace": {"min": 0, "max": 1}}],
        **spec,
        "trialTemplate": {"trialSpec": {"apiVersion": "v1", "kind": "Pod", "spec": pod}},
    }
    document = {
        "apiVersion": "kubetuna.dev/v1alpha1",
        "kind": "Experiment",
        "metadata": {"name": name},
        "spec": whole,
    }
    text: str = json.dumps(document)
    return text


@dataclass
class Runner:
    """The command line in a folder of its own, with a store."""

    folder: Path
    store: str

    def write(self, text: str) -> Path:
        """Put the experiment into a file."""
        path = self.folder / "experiment.yaml"
        path.write_text(text)
        return path

    def start(self, *words: str, stdin: TextIO | None = None, **changes: str) -> subprocess.Popen[str]:
        """Start ``kubetuna`` with these words."""
        return subprocess.Popen(
            [KUBETUNA, *words],
            cwd=self.folder,
            stdin=stdin,
            env={**os.environ, "KUBETUNA_STORE": self.store, **changes},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *words: str, code: int = 0, timeout: float = 120) -> str:
        """Run ``kubetuna`` to its end, which must be this exit code; what it printed."""
        process = self.start(*words)
        out, errors = process.communicate(timeout=timeout)
        assert process.returncode == code, f"exit {process.returncode}, not {code}\n{out}\n{errors}"
        assert "Traceback" not in errors, errors
        return out if code == 0 else out + errors

    def run(self, text: str, *words: str, code: int = 0) -> dict[str, Any]:
        """Run an experiment to its end; the status that it prints."""
        out = self.call("run", str(self.write(text)), "--json", *words, code=code)
        found = next(line for line in reversed(out.splitlines()) if line.startswith("{"))
        status: dict[str, Any] = json.loads(found)
        return status

    def trials(self, name: str = "small") -> list[dict[str, Any]]:
        """What ``kubetuna trials --json`` prints; empty while there is no such study."""
        process = self.start("trials", name, "--json")
        out, _ = process.communicate(timeout=60)
        return list(json.loads(out)) if process.returncode == 0 else []


def until(condition: Callable[[], bool], seconds: float = 200) -> None:
    """Wait for something that another process brings about."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.02)


def running_with(mark: str) -> list[int]:
    """The processes whose command line holds a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if mark.encode() in words and int(path.parent.name) != os.getpid():
            found.append(int(path.parent.name))
    return found


def kill(process: subprocess.Popen[str]) -> None:
    """End a process without any chance to say goodbye."""
    process.send_signal(signal.SIGKILL)
    process.communicate()
