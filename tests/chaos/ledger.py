"""What really ran, as the trials themselves told it: a Pod that takes their notes, and what the notes prove.

The notes go neither through the operator nor through its database, so neither can be wrong about them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kubetuna.trials.records import TrialRecord

NAME, PORT = "ledger", 8080

SERVER = """
import json, http.server, threading, time
notes, lock = [], threading.Lock()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        note = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with lock:
            notes.append([time.monotonic(), note])
        self.answer({})
    def do_GET(self):
        with lock:
            self.answer({"notes": list(notes)})
    def answer(self, found):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())
    def log_message(self, *words):
        pass
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""

# A trial that reports a curve and tells the ledger, where there is one, of each step.
TRIAL = """
import json, os, sys, time, urllib.request
e = os.environ
who = [e["KUBETUNA_EXPERIMENT"], int(e["KUBETUNA_TRIAL"]), int(e["KUBETUNA_ATTEMPT"]), e["KUBETUNA_PARAMS"]]
url = sys.argv[1]
def note(word):
    body = [word, *who]
    for _ in range(3 if url else 0):
        try:
            return urllib.request.urlopen(url, json.dumps(body).encode(), timeout=5)
        except OSError:
            time.sleep(0.2)
x = json.loads(e["KUBETUNA_PARAMS"])["x"]
note("started")
for step in range(1, 6):
    print(json.dumps({"step": step, "loss": (x - 0.3) ** 2 + 1 / step}), flush=True)
    note("step")
    time.sleep(float(sys.argv[2]))
note("finished")
"""


@dataclass(frozen=True, slots=True)
class Note:
    """One word of an attempt, and when the ledger took it, in its seconds."""

    at: float
    word: str
    experiment: str
    trial: int
    attempt: int
    params: str

    @property
    def of(self) -> tuple[str, int]:
        """The trial."""
        return self.experiment, self.trial


@dataclass(frozen=True, slots=True)
class Verdict:
    """What went wrong, each as a line that names the trial; all empty where nothing did."""

    lost: tuple[str, ...]
    told_twice: tuple[str, ...]
    changed: tuple[str, ...]
    again: tuple[str, ...]
    overlaps: tuple[str, ...]

    def as_json(self) -> dict[str, list[str]]:
        """By name."""
        return {name: list(getattr(self, name)) for name in self.__slots__}


def read(answer: Mapping[str, Any]) -> list[Note]:
    """The ledger's notes."""
    return [Note(at, *note) for at, note in answer["notes"]]


def judge(
    notes: Iterable[Note], trials: Mapping[str, list[TrialRecord]], hit: Mapping[tuple[str, int], set[int]],
    forced: Mapping[tuple[str, int], set[int]],
) -> Verdict:  # fmt: skip
    """Compare what ran with what the studies hold.

    Args:
        notes: the ledger's.
        trials: each experiment's, from the store.
        hit: attempts whose own Pod was deleted, evicted or drained, by trial.
        forced: those of them that were deleted without grace; they may run on beside the next attempt.
    """
    ran: dict[tuple[str, int], list[Note]] = defaultdict(list)
    for note in notes:
        ran[note.of].append(note)
    known = {(name, trial.number): trial for name, found in trials.items() for trial in found}
    return Verdict(
        tuple(f"{of}: {t.state} {t.outcome} {t.message}" for of, t in known.items() if t.state != "COMPLETE"),
        tuple(f"{of}" for of, t in known.items() if sum(a.outcome == "Succeeded" for a in t.attempts) != 1),
        tuple(f"{of}: {found}" for of, words in ran.items() if len(found := {n.params for n in words}) > 1),
        tuple(f"{of}: {_ends(known, of)}" for of, words in ran.items() if _again(words, hit.get(of, set()))),
        tuple(f"{of}" for of, words in ran.items() if _overlap(words, forced.get(of, set()))),
    )


def _ends(trials: Mapping[tuple[str, int], TrialRecord], of: tuple[str, int]) -> str:
    attempts = trials[of].attempts if of in trials else ()
    return ", ".join(f"{a.number} {a.outcome} {a.reason or ''} {a.message}" for a in attempts)


def _again(words: list[Note], hit: set[int]) -> bool:
    """Whether an attempt ran although the one that had run before it was left alone."""
    ran = sorted({note.attempt for note in words})
    return any(before not in hit for before in ran[:-1])


def _overlap(words: list[Note], forced: set[int]) -> bool:
    spans = {
        number: (min(times), max(times))
        for number in {note.attempt for note in words}
        if (times := [note.at for note in words if note.attempt == number])
    }
    return any(
        number + 1 in spans and spans[number + 1][0] < end and number not in forced
        for number, (_, end) in spans.items()
    )
