"""A seed that failed, shortened to the fewest faults, and told so that a person can follow it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from tests.sim.draws import Moment
from tests.sim.world import Profile, Verdict, simulate

MOST_RUNS = 200


def shorten(
    verdict: Verdict, profile: Profile, run: Callable[[frozenset[Moment]], Verdict] | None = None
) -> Verdict:
    """The same oracle broken by as few faults and deeds as were found to do it."""

    def replay(only: frozenset[Moment]) -> Verdict:
        return simulate(verdict.seed, profile, only)

    return _shorten(verdict, run or replay)


def _shorten(verdict: Verdict, run: Callable[[frozenset[Moment]], Verdict]) -> Verdict:
    best, parts, runs = verdict, 2, 0
    while runs < MOST_RUNS:
        kept = _moments(best)
        size = max(1, len(kept) // parts)
        for chunk in [kept[i : i + size] for i in range(0, len(kept), size)]:
            runs += 1
            found = run(frozenset(kept) - frozenset(chunk))
            if found.wrong and _kind(found) == _kind(verdict):
                best, parts = found, max(2, parts - 1)
                break
        else:
            if size == 1:
                break
            parts = min(len(kept), parts * 2)
    return best


def _moments(verdict: Verdict) -> Sequence[Moment]:
    return tuple(dict.fromkeys([*verdict.met, *verdict.deeds]))


def _kind(verdict: Verdict) -> str:
    """Which oracle was broken: its words, without names and numbers."""
    return " ".join(word for word in verdict.wrong[0].split()[:12] if word.isalpha())


def tell(verdict: Verdict, profile: Profile) -> str:
    """What happened, in the order in which it did."""
    faults = sum(1 for _ in _moments(verdict))
    head = f"seed {verdict.seed}, shortened to {faults} faults and deeds: {verdict.wrong[0]}"
    told = [line for line in verdict.trace if not _dull(line)]
    return "\n".join([head, "", *told, "", f"replay it whole with: {_again(verdict.seed, profile)}"])


def _again(seed: int, profile: Profile) -> str:
    if profile == Profile():
        return f"make sim SEED={seed}"
    database = " --database postgres" if profile.postgres else ""
    much = f"--rate {profile.rate} --deeds {profile.deeds} --operators {profile.operators}"
    return f".venv/bin/python -m tests.sim --seed {seed} {much}{database}"


def _dull(line: str) -> bool:
    return any(word in line for word in (" GET ", "events ")) and "FAULT" not in line


def lines(verdicts: Iterable[Verdict]) -> list[str]:
    """One line for each that failed."""
    return [f"seed {v.seed}: {v.wrong[0]}" for v in verdicts if v.wrong]
