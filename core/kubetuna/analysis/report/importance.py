"""Parameter importance: PED-ANOVA over the completed trials, beside what chance alone would show.

Optuna's PED-ANOVA compares where the better trials lie with where all lie, in the region in which a
parameter exists, so a conditional parameter is neither dropped nor filled in. Its shares always add up to
one, even over pure noise; hence the same figures are computed with the results shuffled among the trials,
and a parameter that does not exceed those is drawn grey.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, create_trial

from kubetuna.analysis.report.chart import Chart, Section, points
from kubetuna.analysis.report.kinds import BLUE, GREY
from kubetuna.analysis.report.text import esc, label
from kubetuna.analysis.report.view import View, thinned, value_of
from kubetuna.experiment.model import Experiment
from kubetuna.search.space import distribution, stored
from kubetuna.trials.records import TrialRecord

# Below that, half of the trials would be the "better" ones and the estimate says nothing.
TRIALS_NEEDED = 10
# Optuna's advice: at least five trials among the better ones, else a tenth of all.
BETTER_TRIALS = 5
BETTER_SHARE = 0.1
# Enough for a 95th percentile; each costs as much as the estimate itself.
SHUFFLES = 50
# Keeps the page of ten thousand trials within seconds.
TRIAL_LIMIT = 1000
BAR_LIMIT = 20
BAR_HEIGHT = 26

LEAD = (
    "How strongly the better trials differ from all trials in each parameter (PED-ANOVA), as shares of the "
    "whole. The vertical mark is what chance alone reaches; a grey bar does not exceed it and should be ignored. "
    "A conditional parameter is judged where it exists."
)


@dataclass(frozen=True, slots=True)
class Importance:
    """One parameter: its share, the share that chance reaches, and in how many trials it exists."""

    name: str
    share: float
    luck: float
    trials: int

    @property
    def real(self) -> bool:
        """Whether it exceeds what shuffled results show nineteen times in twenty."""
        return self.share > self.luck


def importances(view: View, index: int) -> tuple[Importance, ...]:
    """The importance of each parameter for one objective, greatest first; none where it cannot be told."""
    usable = [(t, frozen) for t in view.eligible if (frozen := _frozen(view.spec, t)) is not None]
    usable = thinned(usable, TRIAL_LIMIT)
    values = np.array([view.spec.objectives[index].sign * value_of(t, index) for t, _ in usable])
    if len(usable) < TRIALS_NEEDED or np.ptp(values) == 0:
        return ()
    with _quiet():
        study = optuna.create_study()
        study.add_trials([frozen for _, frozen in usable])
        return _compared(study, values)


def _compared(study: optuna.Study, values: np.ndarray) -> tuple[Importance, ...]:
    raw = _evaluate(study, values)
    total = sum(raw.values())
    if not total > 0:
        return ()
    random = np.random.default_rng(0)
    shuffled = [_evaluate(study, random.permutation(values)) for _ in range(SHUFFLES)]
    trials = study.get_trials(deepcopy=False)
    return tuple(
        Importance(
            name,
            share / total,
            float(np.quantile([s[name] for s in shuffled], 0.95)) / total,
            sum(1 for t in trials if name in t.params),
        )
        for name, share in sorted(raw.items(), key=lambda item: (-item[1], item[0]))
    )


def _evaluate(study: optuna.Study, values: Sequence[float] | np.ndarray) -> Mapping[str, float]:
    quantile = min(0.5, max(BETTER_SHARE, BETTER_TRIALS / len(values)))
    evaluator = PedAnovaImportanceEvaluator(target_quantile=quantile)
    found = evaluator.evaluate(study, target=lambda t: float(values[t.number]))
    return {name: float(v) if np.isfinite(v) else 0.0 for name, v in found.items()}


def _frozen(spec: Experiment, trial: TrialRecord) -> FrozenTrial | None:
    """The trial in Optuna's terms; None where its parameters do not fit the search space as it is now."""
    space = {p.name: distribution(p) for p in spec.parameters if p.name in trial.params}
    params = {name: stored(trial.params[name]) for name in space}
    try:
        return create_trial(value=0.0, params=params, distributions=space) if space else None
    except (ValueError, TypeError):
        return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's own words: a note on every study made, warnings that the page itself explains."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


def section(view: View) -> Section:
    """The importance of the parameters for each objective."""
    title = "Parameter importance"
    found = [importances(view, index) for index in range(len(view.spec.objectives))]
    if not any(found):
        return Section("importance", title, "", missing=_why_not(view))
    blocks: list[Chart | str] = []
    for objective, ranked in zip(view.spec.objectives, found, strict=True):
        if view.spec.multi_objective:
            blocks.append(f"<h3>For {esc(objective.metric)}</h3>")
        blocks.append(
            _chart(objective.metric, ranked, len(view.eligible)) if ranked else f"<p>{_why_not(view)}</p>"
        )
    more = max(map(len, found)) - BAR_LIMIT
    rest = f" The {more} least important are left out." if more > 0 else ""
    return Section("importance", title, LEAD + rest, blocks)


def _why_not(view: View) -> str:
    done = len(view.eligible)
    if done < TRIALS_NEEDED:
        return f"Importance needs at least {TRIALS_NEEDED} completed trials; there are {done}."
    if len({value_of(t) for t in view.eligible}) == 1:
        return "All completed trials have the same value, so no parameter made a difference."
    return "The completed trials do not distinguish the parameters."


def _chart(metric: str, ranked: Sequence[Importance], total: int) -> Chart:
    shown = list(reversed(ranked[:BAR_LIMIT]))
    places = list(range(len(shown)))
    mark = {"symbol": "line-ns-open", "size": 16, "color": "ink", "line": {"width": 2}}
    chance = points("chance alone", [i.luck for i in shown], places, (), **mark)
    layout = {
        "xaxis": {"tickformat": ".0%", "rangemode": "tozero"},
        "yaxis": {"tickvals": places, "ticktext": [label(i.name) for i in shown], "automargin": True},
        "showlegend": False,
        "margin": {"t": 8},
    }
    alt = f"Importance of the parameters for {metric}: " + ", ".join(f"{i.name} {i.share:.0%}" for i in ranked[:5])
    return Chart(alt, [_bars(shown, places, total), chance], layout, 70 + BAR_HEIGHT * max(3, len(shown)))


def _bars(shown: Sequence[Importance], places: Sequence[int], total: int) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "y": list(places),
        "x": [i.share for i in shown],
        "hovertext": [_hover(i, total) for i in shown],
        "hoverinfo": "text",
        "text": [f"{i.share:.0%}" for i in shown],
        "textposition": "auto",
        "cliponaxis": False,
        "marker": {"color": [BLUE if i.real else GREY for i in shown]},
    }


def _hover(item: Importance, total: int) -> str:
    where = "" if item.trials >= total else f"<br>exists in {item.trials} of {total} completed trials"
    return f"{label(item.name, 60)}: {item.share:.1%}<br>chance alone reaches {item.luck:.1%}{where}"
