"""The shape of what is optimised: one objective or several, and the names of metrics."""

from __future__ import annotations

from kubetuna.parsing.schema import List, Number, Object, Rule, Text

HOLDS_THE_OBJECTIVE = "holds the objective, which is collected already"
METRIC_LIMIT = 200
# Control characters and ends of lines, as a character class has them here and in the API server.
_UNSEEN = r"\x00-\x1f\x7f-\x9f"


def _metric(description: str = "", required: bool = False) -> Text:
    # As trainers print them: "valid_1 auc", ndcg@10, validation:auc, mAP50-95(B).
    says, pattern = "printable characters, no blank at either end", f"^[^ {_UNSEEN}]([^{_UNSEEN}]*[^ {_UNSEEN}])?$"
    return Text(low=1, high=METRIC_LIMIT, pattern=pattern, says=says, description=description, required=required)


def _direction() -> Text:
    return Text(words=("minimize", "maximize"), required=True)


def _directions() -> Object:
    return Object(
        {},
        values=Text(words=("minimize", "maximize")),
        high=51,
        editable=True,
        description="Which way further metrics are better, {accuracy: maximize}, for --metric and comparisons.",
    )


OBJECTIVE = Object(
    {
        "type": _direction(),
        "goal": Number(editable=True, description="The experiment ends once a trial reaches this value."),
        "objectiveMetricName": _metric(
            'The name that trials print, as in {"step":3,"loss":0.25} or loss=0.25.', required=True
        ),
        "additionalMetricNames": List(_metric(), high=50, distinct=True, description="Further metrics to collect."),
        "metricStrategies": List(
            Object(
                {
                    "name": Text(low=1, high=METRIC_LIMIT, required=True),
                    "value": Text(words=("min", "max", "latest"), required=True),
                }
            ),
            high=51,
            key="name",
            description="Which value of a metric's curve stands for the trial (latest).",
        ),
        "metricDirections": _directions(),
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
