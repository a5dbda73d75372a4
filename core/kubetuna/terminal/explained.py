"""An explained log on a terminal, and as JSON: line by line what was read from it, and what it came to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from kubetuna.metrics.explanation import ExplainedLine, Explanation

WIDTH = 32


def explained_line(line: ExplainedLine) -> str:
    """Number, what was read, the line; and below it why not more, if something is to be said."""
    read = ", ".join(f"{name}={value}" for name, value in line.read.items())
    step = "" if line.step is None else f"  step {line.step}"
    first = f"{line.number:>6}  {read + step or '-':<{WIDTH}}  {line.text}".rstrip()
    return f"{first}\n{'':8}{line.why}" if line.why and (line.read or line.text) else first


def explained_sum(whole: Explanation) -> str:
    """What the log came to."""
    values = ", ".join(f"{name}={value}" for name, value in whole.values.items()) or "none"
    hint = f"\n{whole.hint}" if whole.hint else ""
    steps = "1 step" if len(whole.curve) == 1 else f"{len(whole.curve):,} steps"
    return f"\nValues: {values}\nCurve of {whole.spec.curve.metric}: {steps}{hint}"


def explained_json(whole: Explanation, lines: Iterable[ExplainedLine]) -> dict[str, Any]:
    """The same for scripts."""
    shown = [asdict(line) for line in lines]
    curve = [{"step": step, "value": value} for step, value in sorted(whole.curve.items())]
    return {"lines": shown, "values": dict(whole.values), "curve": curve, "hint": whole.hint}
