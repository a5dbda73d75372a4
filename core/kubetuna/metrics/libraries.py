"""Filters for what well-known libraries print, by the name that stands beside ``metricsFormat``'s expressions.

Each is a list of patterns with the names of their groups; without names, the first group is the metric's name and
the second its value. ``tests/corpus/`` holds what each library really prints, with its version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_NUMBER = r"([+-]?(?:\d[\d.]*(?:[eE][+-]?\d+)?|nan|inf))"
_BOX = ("P", "R", "mAP50", "mAP50-95")
_DETECTED = tuple(f"metrics/{name}(B)" for name in ("precision", "recall", "mAP50", "mAP50-95"))
_ALL_CLASSES = rf"^\s+all\s+\d+\s+\d+\s+{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}(?:\s|$)"

LIBRARY_FILTERS: Mapping[str, Sequence[tuple[Sequence[str], str]]] = {
    # 6/6 - 0s - 39ms/step - accuracy: 0.5208 - val_loss: 0.8401, with or without a bar
    "keras": [((), rf" - ([^:]+?): {_NUMBER}")],
    # a bar with val_loss=0.238, the table of validate() and test(), with and without rich
    "lightning": [
        ((), rf"[\[ ]([\w./-]+)={_NUMBER}"),
        ((), rf"[│|]\s+(\S+)\s+[│|]\s+{_NUMBER}\s+[│|]"),
        ((), rf"^\s+(\S+)\s{{3,}}{_NUMBER}\s*$"),
    ],
    # log_metrics' lines eval_loss = 0.6937; the dicts are read without any filter
    "huggingface": [((), rf"^\s*(\S+)\s+=\s+{_NUMBER}\s*$")],
    # [0] validation-auc:0.95873, tabs between; of xgb.cv the mean
    "xgboost": [((), rf"\t([^\t]+):{_NUMBER}")],
    # [1] valid_1's auc: 0.965345, tabs between; of the command line Iteration:1, valid_1 auc : 0.965345
    "lightgbm": [((), rf"\t([^\t]+): {_NUMBER}"), ((), rf", ([^,:]+?) : {_NUMBER}")],
    # the row of all classes, by its heads and by the names in results.csv
    "ultralytics": [(_BOX, _ALL_CLASSES), (_DETECTED, _ALL_CLASSES)],
}
