"""Filters for what well-known libraries print, by the name that stands beside ``metricsFormat``'s expressions.

``tests/corpus/`` holds what each library really prints, with its version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LibraryFilter:
    """A pattern whose first group is the metric's name and whose second is its value.

    Or, for a row that does not name what it holds, a pattern with one group for each of the ``names``, and the
    ``mark`` that every such row has.
    """

    pattern: str
    names: Sequence[str] = ()
    mark: str = ""


_NUMBER = r"([+-]?(?:\d[\d.]*(?:[eE][+-]?\d+)?|nan|inf))"
_ROW = rf"^\s+all\s+\d+\s+\d+\s+{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}(?:\s|$)"
_HEADS = ("P", "R", "mAP50", "mAP50-95")
_COLUMNS = tuple(f"metrics/{name}(B)" for name in ("precision", "recall", "mAP50", "mAP50-95"))

LIBRARY_FILTERS: Mapping[str, Sequence[LibraryFilter]] = {
    # 6/6 - 0s - 39ms/step - accuracy: 0.5208 - val_loss: 0.8401, with or without a bar
    "keras": [LibraryFilter(rf" - (\S+?): {_NUMBER}")],
    # a bar with val_loss=0.238, the table of validate() and test(), with and without rich
    "lightning": [
        LibraryFilter(rf"[\[ ]([\w./-]+)={_NUMBER}"),
        LibraryFilter(rf"[│|]\s+(\S+)\s+[│|]\s+{_NUMBER}\s+[│|]"),
        LibraryFilter(rf"^\s+(\S+)\s{{3,}}{_NUMBER}\s*$"),
    ],
    # log_metrics' lines eval_loss = 0.6937; the dicts are read without any filter
    "huggingface": [LibraryFilter(rf"^\s*(\S+)\s+=\s+{_NUMBER}\s*$")],
    # [0] validation-auc:0.95873, tabs between; of xgb.cv the mean
    "xgboost": [LibraryFilter(rf"\t([^\t]+):{_NUMBER}")],
    # [1] valid_1's auc: 0.965345, tabs between; of the command line Iteration:1, valid_1 auc : 0.965345
    "lightgbm": [LibraryFilter(rf"\t([^\t]+): {_NUMBER}"), LibraryFilter(rf", ([^,:]+?) : {_NUMBER}")],
    # 2:learn: 0.5215 test: 0.5861 best: 0.5861 (2), tabs between; at the end bestTest = 0.5432
    "catboost": [LibraryFilter(rf"\t(learn|test\d*|best): {_NUMBER}"), LibraryFilter(rf"^(best\w+) = {_NUMBER}")],
    # the row of all classes, by its heads and by the names in results.csv
    "ultralytics": [LibraryFilter(_ROW, _HEADS, " all "), LibraryFilter(_ROW, _COLUMNS, " all ")],
}
