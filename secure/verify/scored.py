"""Outputs against labels, as the task of a bundle has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.scores import Scoring, scoring_of

Array = NDArray[np.float64]


def scoring_with(
    about: Mapping[str, Any], labels: NDArray[Any] | None, outputs: int
) -> tuple[Scoring, NDArray[Any] | None]:
    """How outputs are read, and labels as the score takes them; none for task none.

    about: of the bundle's report. Raises: DataError for labels that do not fit.
    """
    scoring = scoring_of(about)
    if labels is None or scoring.task == "none":
        return scoring, None
    return scoring, scoring.numbered(labels, outputs, tuple(about.get("class_names", ())))


def scored(scoring: Scoring, which: str, outputs: Array, labels: NDArray[Any] | None) -> dict[str, float]:
    """The score of outputs against labels as `score_<which>`, and an accuracy as `accuracy_<which>` too."""
    if labels is None:
        return {}
    score = scoring.measured(outputs, labels)
    return {f"score_{which}": score} | ({f"accuracy_{which}": score} if scoring.names_classes else {})
