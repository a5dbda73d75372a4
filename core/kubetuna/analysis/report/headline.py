"""The head of the page: what was found, what it cost, and what to type next, readable without a script.

Whether to believe it stands between them and has a module of its own, ``belief``.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import yaml

from kubetuna.analysis.report.chart import table
from kubetuna.analysis.report.kinds import KINDS, trial_kind
from kubetuna.analysis.report.repeats import runs_of
from kubetuna.analysis.report.text import cut, esc, finite, moment, number, scalar
from kubetuna.analysis.report.view import View, better_word, thinned, value_of
from kubetuna.experiment.units import SECONDS_PER_HOUR, count, duration, unit_of
from kubetuna.files import strict
from kubetuna.trials.records import TrialRecord

FRONT_ROWS = 10
# As many as leave the other cards on the first screen.
PARAMETER_ROWS = 20
NAME_LIMIT = 50

# Commands to type, each with a word on what it does.
Commands: TypeAlias = Sequence[tuple[str, str]]


def head(view: View) -> str:
    """The title and one sentence with the result."""
    name = esc(view.spec.name)
    return (
        f'<header><p class="kicker">Hyperparameter tuning report</p><h1>{name}</h1>'
        f'<p class="answer">{answer(view)}</p>'
        f'<p class="meta">{_progress(view)} Written {esc(moment(view.generated))}.</p></header>'
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
        return f"No result: of {count(len(view.trials), 'trial')}, none has completed with a valid value."
    objective, value = objectives[0], value_of(view.best)
    return (
        f'Best <b>{esc(objective.metric)}</b>: <span class="value">{esc(number(value))}</span> '
        f"in trial {view.best.number} ({better_word(objective)}){esc(means_line(view))}."
    )


def means_line(view: View) -> str:
    """What further runs of the best say, where there were any."""
    assert view.best is not None
    parts = [f"the mean of {len(view.best.repeats)} runs"] if view.best.repeats else []
    again = next((runs for runs in runs_of(view) if runs.trial == view.best.number), None)
    if again is not None and again.chosen_at is not None:
        span = f"{number(again.low)} to {number(again.high)}"
        parts.append(f"run again with {len(again.values)} seeds {number(again.mean)} (95 %: {span})")
    return "".join(f"; {part}" for part in parts)


def _progress(view: View) -> str:
    state, text = str(view.status.get("state", "")), str(view.status.get("message") or "").rstrip(".")
    if view.over:
        return f"{esc(state)}: {esc(text)}." if text else f"{esc(state)}."
    return f"{esc(state)}; what follows is how things stand now." if state else ""


def found_card(view: View) -> str:
    """The best parameters as a table, as YAML and as JSON; of a Pareto front, its trials."""
    if view.spec.multi_objective:
        return _card("What was found", _front(view), wide=True) if view.winners else _none_found(view)
    if view.best is None:
        return _none_found(view)
    return _card("What was found", _parameters(view, view.best) + _copyable(view.best.params))


def _none_found(view: View) -> str:
    failed = any(trial_kind(t).word == "failed" for t in view.trials)
    hint = ' Start with <a href="#failures">what went wrong</a>.' if failed else ""
    text = f"<p>No trial has completed with a valid value, so there are no best parameters.{hint}</p>"
    return _card("What was found", text)


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
    return table(("parameter", "best value"), rows, frozenset((1,)))


def _front(view: View) -> str:
    """Trials from one end of the front to the other, evenly chosen where there are many."""
    along = sorted(view.winners, key=lambda t: (value_of(t), t.number))
    shown = thinned(along, FRONT_ROWS)
    names = [p.name for p in view.spec.parameters if any(p.name in t.params for t in shown)]
    heads = ("trial", *(o.metric for o in view.spec.objectives), *names)
    rows = [_front_row(trial, names) for trial in shown]
    more = len(along) - len(shown)
    note = f"<p class='small'>{count(more, 'trial')} between these left out.</p>" if more else ""
    points = [{"trial": t.number, "values": list(t.values or ()), "params": dict(t.params)} for t in shown]
    return table(heads, rows, frozenset(range(len(heads)))) + note + _copyable(points)


def _front_row(trial: TrialRecord, names: Sequence[str]) -> list[str]:
    values = [f"<b>{esc(number(v))}</b>" for v in trial.values or ()]
    params = [esc(scalar(trial.params[n])) if n in trial.params else "–" for n in names]
    return [str(trial.number), *values, *params]


def _copyable(value: Any) -> str:
    plain = strict(value)
    as_yaml = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
    as_json = json.dumps(plain, indent=2, ensure_ascii=False)
    return _snippet("as YAML", as_yaml) + _snippet("as JSON", as_json)


def _snippet(title: str, text: str) -> str:
    return (
        f'<details><summary>{title}</summary><div class="copyable"><pre>{esc_lines(text)}</pre>'
        f'<button type="button" class="copy">Copy</button></div></details>'
    )


def esc_lines(text: str) -> str:
    """Text of several lines for a ``pre`` element."""
    return "\n".join(esc(line) for line in text.rstrip("\n").split("\n"))


def _card(title: str, inner: str, *, wide: bool = False) -> str:
    return f'<section class="card{" wide" if wide else ""}"><h2>{title}</h2>{inner}</section>'


def cost_card(view: View) -> str:
    """Trials by what became of them, the time spent, and what pruning saved."""
    rows = [*_spent(view.status), *_saved(view), *_forecast(view)]
    facts = "".join(f"<dt>{esc(name)}</dt><dd>{esc(text)}</dd>" for name, text in rows)
    return _card("What it cost", f"{_bar(view)}<dl>{facts}</dl>")


def _bar(view: View) -> str:
    """Trials by kind: a bar in CSS, and the same as words."""
    total = len(view.trials)
    if not total:
        return "<p>No trial has started.</p>"
    counts = [(kind, sum(1 for t in view.trials if trial_kind(t) is kind)) for kind in KINDS]
    parts = "".join(f'<i style="flex:{n};background:var(--{k.colour})"></i>' for k, n in counts if n)
    words = "".join(
        f'<li><i style="background:var(--{k.colour})"></i><b>{n:,}</b> {esc(k.word)}</li>' for k, n in counts if n
    )
    limit = view.spec.max_trials
    of = f" of {limit:,} allowed" if limit is not None and not view.over else ""
    return f'<p><b>{count(total, "trial")}</b>{of}</p><div class="bar">{parts}</div><ul class="key">{words}</ul>'


def hours(amounts: Mapping[str, Any]) -> tuple[float, str]:
    """Seconds of the template's unit in a part of the status, and the unit's name."""
    unit = unit_of(amounts)
    return (finite(amounts.get(unit.hours)) or 0.0) * SECONDS_PER_HOUR, unit.noun


def hours_text(amounts: Mapping[str, Any]) -> str:
    """``1.5 GPU-hours (1 h 30 min)``."""
    seconds, _ = hours(amounts)
    return f"{unit_of(amounts).amount(seconds / SECONDS_PER_HOUR)} ({duration(seconds)})"


def _spent(status: Mapping[str, Any]) -> list[tuple[str, str]]:
    spent = status.get("spent") or {}
    wall = finite(spent.get("wallClockSeconds"))
    rows = [("spent", hours_text(spent))]
    rows += [("by the clock", duration(wall))] if wall else []
    return [*rows, ("steps reported", number(spent.get("steps", 0)))]


def _saved(view: View) -> list[tuple[str, str]]:
    status = view.status
    saved = status.get("savedByPruning") or {}
    trials = finite(saved.get("trials")) or 0
    if not trials:
        why = "no trial was pruned" if view.spec.pruner else "the experiment has no pruner"
        return [("saved by pruning", f"nothing: {why}")]
    seconds, name = hours(saved)
    spent, _ = hours(status.get("spent") or {})
    share = f", {seconds / (seconds + spent):.0%} of what it would have cost" if seconds + spent > 0 else ""
    steps = number(saved.get("steps", 0))
    return [("saved by pruning", f"about  {duration(seconds)} of {name} time and {steps} steps{share}")]


def _forecast(view: View) -> list[tuple[str, str]]:
    found = view.status.get("forecast")
    if view.over or not found:
        return []
    return [("expected in all", hours_text(found))]


def next_card(view: View, more: Commands = ()) -> str:
    """The commands that come next; ``more`` are a domain's."""
    return _card(
        "What to type next",
        f"{command_list(_commands(view, more))}"
        '<p class="small">Add <code>--store URL</code> where the study is not in the default store.</p>',
    )


def command_list(commands: Commands) -> str:
    """Commands that can be copied, each with a word on what it does."""
    lines = "".join(
        f'<li><div class="copyable"><pre>{esc(command)}</pre>'
        f'<button type="button" class="copy">Copy</button></div><span>{esc(what)}</span></li>'
        for command, what in commands
    )
    return f'<ul class="commands">{lines}</ul>'


def _commands(view: View, more: Commands) -> Commands:
    name = shlex.quote(view.spec.name)
    found = [] if view.over else [(f"kubetuna status {name}", "how it goes right now")]
    if view.winners:
        found.append((f"kubetuna best {name} --json", "the best parameters for a script"))
    if view.best is not None:
        found += [*with_the_winner(view, name), *more]
        found.append((f"kubetuna logs {name} {view.best.number}", "what the best trial printed"))
    failed = next((t for t in view.trials if trial_kind(t).word == "failed"), None)
    if failed is not None:
        found.append((f"kubetuna logs {name} {failed.number}", "what the first failed trial printed"))
    return [*found, (f"kubetuna trials {name}", "every trial"), ("kubetuna dashboard", "look at it live")]


def with_the_winner(view: View, name: str) -> list[tuple[str, str]]:
    """What only a study can do whose template says how a trial is started, with what each command does."""
    if not view.spec.template.trial_spec:
        return []
    model = shlex.quote(f"{view.spec.name}_final")
    return [
        (f"kubetuna train {name} --save-path {model}", "train with the winner"),
        (f"kubetuna retest {name}", "the best trials again, with further seeds"),
    ]
