"""The shape of what is optimised: one objective or several, and the names of metrics."""

from __future__ import annotations

from kubetuna.experiment.model import DIRECTIONS
from kubetuna.parsing.schema import List, Node, Number, Object, Rule, Text

HOLDS_THE_OBJECTIVE = "holds the objective, which is collected already"
BELONGS_TO_ONE = "is for several objectives; with one it belongs into spec.objective"
METRIC_LIMIT = 200
# As a character class has them here and in the API server: control characters, ends of lines, blanks that look like
# others, and what turns the direction of all that follows in a table.
_UNSEEN = r"\x00-\x1f\x7f-\xa0\xad" + "\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff"


def _metric(description: str = "", required: bool = False) -> Text:
    # As trainers print them: "valid_1 auc", ndcg@10, validation:auc, mAP50-95(B).
    says, pattern = "printable characters, no blank at either end", f"^[^ {_UNSEEN}]([^{_UNSEEN}]*[^ {_UNSEEN}])?$"
    return Text(low=1, high=METRIC_LIMIT, pattern=pattern, says=says, description=description, required=required)


def _direction() -> Text:
    return Text(words=DIRECTIONS, required=True)


def _further(limit: int) -> dict[str, Node]:
    """What may be said of metrics beside the objectives."""
    strategy = {
        "name": Text(low=1, high=METRIC_LIMIT, required=True),
        "value": Text(words=("min", "max", "latest"), required=True),
    }
    return {
        "additionalMetricNames": List(
            _metric(), high=limit, distinct=True, description="Further metrics to collect."
        ),
        "metricStrategies": List(
            Object(strategy),
            high=limit + 1,
            key="name",
            description="Which value of a metric's curve stands for the trial (latest).",
        ),
        "metricDirections": Object(
            {},
            values=Text(words=DIRECTIONS),
            high=limit + 1,
            editable=True,
            description="Which way further metrics are better, {accuracy: maximize}, for --metric and comparisons.",
        ),
    }


# With --metric all but one of several objectives become further metrics beside those that are: they must find room.
BESIDE_SEVERAL = _further(40)
SEVERAL_RULES = (
    *(
        Rule(field, BELONGS_TO_ONE, f"has(self.objectives) || !has(self.{field})", forbidden=True)
        for field in BESIDE_SEVERAL
    ),
    Rule(
        "additionalMetricNames",
        HOLDS_THE_OBJECTIVE,
        "!has(self.additionalMetricNames) || !has(self.objectives) || "
        "!self.objectives.exists(o, o.metric in self.additionalMetricNames)",
    ),
)

OBJECTIVE = Object(
    {
        "type": _direction(),
        "goal": Number(editable=True, description="The experiment ends once a trial reaches this value."),
        "objectiveMetricName": _metric(
            'The name that trials print, as in {"step":3,"loss":0.25} or loss=0.25.', required=True
        ),
        **_further(50),
    },
    rules=(
        Rule(
            "additionalMetricNames",
            HOLDS_THE_OBJECTIVE,
            "!has(self.additionalMetricNames) || !(self.objectiveMetricName in self.additionalMetricNames)",
        ),
    ),
    description="The metric to optimise.",
)

OBJECTIVES = List(
    Object(
        {
            "metric": _metric(required=True),
            "direction": _direction(),
            "goal": Number(editable=True, description="The experiment ends once a trial reaches the goals."),
        }
    ),
    low=1,
    high=8,
    key="metric",
    description="Several metrics at once, in place of objective; the result is a Pareto front.",
)
