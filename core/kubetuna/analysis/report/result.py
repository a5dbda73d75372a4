"""The head of the page, readable without a script: the result in a sentence, and the best parameters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import yaml

from kubetuna.analysis.report.chart import Section, card, table
from kubetuna.analysis.report.kinds import FAILED, trial_kind
from kubetuna.analysis.report.repeats import runs_of
from kubetuna.analysis.report.text import cut, esc, moment, number, scalar, span
from kubetuna.analysis.report.view import View, thinned, value_of
from kubetuna.experiment.units import count
from kubetuna.files import strict
from kubetuna.planning.status import state_word
from kubetuna.trials.records import TrialRecord

ROWS = 10
# As many as leave the other cards on the first screen.
PARAMETER_ROWS = 20
NAME_LIMIT = 50
RANKING_LEAD = "Values that the best trials share are safer to keep than those in which they differ."


def head(view: View) -> str:
    """The title and one sentence with the result."""
    about = f"<br>{esc(view.spec.description)}" if view.spec.description else ""
    about += f"<br>Search: {esc(view.status['search'])}." if view.status.get("search") else ""
    return header(
        "Hyperparameter tuning report", view.spec.name, answer(view) + about, view.generated, _progress(view)
    )


def header(kind: str, title: str, sentence: str, written: float, progress: str = "") -> str:
    """The head of a page; ``sentence`` and ``progress`` are HTML already."""
    return (
        f'<header><p class="kicker">{kind}</p><h1>{esc(title)}</h1><p class="answer">{sentence}</p>'
        f'<p class="meta">{progress} Written {moment(written)}.</p></header>'
    )


def answer(view: View) -> str:
    """One sentence with the result, as HTML."""
    objectives = view.spec.objectives
    if view.spec.multi_objective and view.winners:
        names = " and ".join(f"<b>{esc(o.metric)}</b>" for o in objectives)
        return f"{count(len(view.winners), 'trial')} on the Pareto front: the best trade-offs of {names}."
    if view.best is None:
        if not view.trials:
            return "No result yet: no trial has started."
        return f"No result: {esc(view.why_no_best)}."
    objective, value = objectives[0], value_of(view.best)
    return (
        f'Best <b>{esc(objective.metric)}</b>: <span class="value">{esc(number(value))}</span> '
        f"in trial {view.best.number} ({objective.better_word}){_means(view, view.best)}."
    )


def _means(view: View, best: TrialRecord) -> str:
    """What further runs of the best show, if there are any."""
    parts = [f"; mean of {len(best.repeats)} runs"] if best.repeats else []
    parts += [
        f"; re-test with {len(runs.values)} seeds: {number(runs.mean)} (95 % interval {span(runs.low, runs.high)})"
        for runs in runs_of(view)
        if runs.trial == best.number and runs.chosen_at is not None
    ]
    return "".join(parts)


def _progress(view: View) -> str:
    state, text = state_word(view.status), str(view.status.get("message") or "").rstrip(".")
    if view.over or view.status.get("interrupted"):
        return f"{esc(state)}: {esc(text)}." if text else f"{esc(state)}."
    return f"{esc(state)}; this page shows the state so far." if state else ""


def result_card(view: View) -> str:
    """The best parameters as a table, as YAML and as JSON; of a Pareto front, its trials."""
    if not view.winners:
        failed = any(trial_kind(t) is FAILED for t in view.trials)
        hint = ' Start with <a href="#failures">the failures</a>.' if failed else ""
        text = f"<p>There are no best parameters: {esc(view.why_no_best)}.{hint}</p>"
        return card("Result", text)
    if view.best is None:
        return card("Result", _front(view), wide=True)
    return card("Result", _parameters(view, view.best) + _copyable(view.best.params))


def _parameters(view: View, best: TrialRecord) -> str:
    order = [p.name for p in view.spec.parameters if p.name in best.params]
    names = order + [name for name in best.params if name not in order]
    first, more = names[:PARAMETER_ROWS], names[PARAMETER_ROWS:]
    rest = f"<details><summary>{len(more)} more</summary>{_assigned(best, more)}</details>" if more else ""
    return _assigned(best, first) + rest


def _assigned(best: TrialRecord, names: Sequence[str]) -> str:
    rows = [
        [f"<code>{esc(cut(n, NAME_LIMIT))}</code>", f"<code>{esc(scalar(best.params[n]))}</code>"] for n in names
    ]
    return table(("parameter", "best value"), rows, (1,))


def _front(view: View) -> str:
    """Trials from one end of the front to the other, evenly chosen where there are many."""
    along = sorted(view.winners, key=lambda t: (value_of(t), t.number))
    shown = thinned(along, ROWS)
    more = len(along) - len(shown)
    note = f"<p class='small'>{count(more, 'trial')} between these left out.</p>" if more else ""
    return _trials(view, shown) + note + _copyable(front_points(shown))


def front_points(trials: Sequence[TrialRecord]) -> list[dict[str, Any]]:
    """Trials of a Pareto front as JSON."""
    return [{"trial": t.number, "values": list(t.values or ()), "params": dict(t.params)} for t in trials]


def ranking(view: View) -> Section | None:
    """The best trials of a single objective, next to each other; nothing where there are not two of them."""
    ranked = view.ranked()[:ROWS]
    if view.spec.multi_objective or len(ranked) < 2:
        return None
    return Section("ranking", "Best trials", RANKING_LEAD, [_trials(view, ranked)])


def _trials(view: View, shown: Sequence[TrialRecord]) -> str:
    """A row for each trial: its number, its values, its parameters."""
    names = [p.name for p in view.spec.parameters if any(p.name in t.params for t in shown)]
    heads = ("trial", *(o.metric for o in view.spec.objectives), *names)
    rows = [
        [
            str(trial.number),
            *(f"<b>{number(v)}</b>" for v in trial.values or ()),
            *(esc(scalar(trial.params[n])) if n in trial.params else "–" for n in names),
        ]
        for trial in shown
    ]
    return table(heads, rows, range(len(heads)))


def _copyable(value: Any) -> str:
    plain = strict(value)
    as_yaml = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    as_json = json.dumps(plain, indent=2, ensure_ascii=False)
    return _snippet("as YAML", as_yaml) + _snippet("as JSON", as_json)


def _snippet(title: str, text: str) -> str:
    lines = "\n".join(esc(line) for line in text.rstrip("\n").split("\n"))
    return f"<details><summary>{title}</summary>{copyable(lines)}</details>"


def copyable(escaped: str) -> str:
    """Text with a button that copies it."""
    return f'<div class="copyable"><pre>{escaped}</pre><button type="button" class="copy">Copy</button></div>'
