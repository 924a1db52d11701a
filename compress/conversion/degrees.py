"""The largest degree of polynomials, where the user leaves it open: chosen on training rows set aside.

Two quadratics in a row make a polynomial of degree 4 of the inputs, which cannot follow every function that a network
of ReLUs has learned. Of classes only the order of the outputs counts, and quadratics hardly ever lose any. A regression
shows every error of the function: a network of two ReLUs with R2 0.903 keeps 0.82 with quadratics and 0.90 with
quartics, which take twice the levels (docs/compression.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from torch import nn

from compress.conversion.options import DEFAULT_DEGREE
from compress.conversion.recipes import Lesson, plain
from compress.conversion.stable import depth
from compress.dataset import Dataset
from compress.errors import CalibrationError
from compress.graph.layers import Imported
from compress.training.held_out import hold_out
from compress.training.loop import predict

logger = logging.getLogger(__name__)

#: The degree that is tried beside DEFAULT_DEGREE. It takes twice the levels.
HIGHER_DEGREE = 4

#: R2 on rows set aside that HIGHER_DEGREE has to gain, and that DEFAULT_DEGREE has to lose before it is tried.
LEAST_GAIN = 0.02

#: Networks with more activations in a row keep DEFAULT_DEGREE: levels double, and quartics of quartics diverge.
SHALLOW = 2

#: With fewer training rows, a quarter of them says too little about a gain.
LEAST_ROWS = 100

#: Rows that the trials train on and score with, together, at most.
TRIAL_ROWS = 5000


def with_degrees(lesson: Lesson, fresh: Callable[[], Imported]) -> list[Lesson]:
    """The lesson with a degree where its conversion has none; with two, the second is for when the first fails.

    fresh: imports the model with modules of its own, for one training.

    HIGHER_DEGREE where the task is a regression scored by R2, the network is shallow, and the higher degree gains more
    than LEAST_GAIN on training rows set aside, after both have been distilled on the others.
    Raises: ConfigError.
    """
    conversion = lesson.conversion
    if conversion.degree is not None:
        return [lesson]
    chosen = [DEFAULT_DEGREE]
    scoring = lesson.objective.scoring
    numbers = (scoring.task, scoring.score) == ("regression", "r2")
    if numbers and conversion.epochs != 0 and 1 <= depth(fresh().layers, conversion.straight) <= SHALLOW:
        chosen = sorted({DEFAULT_DEGREE, _better_degree(lesson, fresh)}, reverse=True)
    return [replace(lesson, conversion=replace(conversion, degree=degree)) for degree in chosen]


def _better_degree(lesson: Lesson, fresh: Callable[[], Imported]) -> int:
    """The better degree on rows set aside; DEFAULT_DEGREE where there are too few rows to set any aside."""
    if len(lesson.data.x_train) < LEAST_ROWS:
        return DEFAULT_DEGREE
    data = hold_out(_few(lesson.data, lesson.seed), seed=lesson.seed)
    trial = replace(lesson, data=data, progress=lambda label, fraction: None)
    before, low = _score(lesson.guide, data, lesson), _distilled_score(trial, fresh, DEFAULT_DEGREE)
    if before - low <= LEAST_GAIN:
        return DEFAULT_DEGREE
    high = _distilled_score(trial, fresh, HIGHER_DEGREE)
    logger.info("R2 on rows set aside: %.3f before, %.3f with degree 2, %.3f with degree 4", before, low, high)
    return HIGHER_DEGREE if high - low > LEAST_GAIN else DEFAULT_DEGREE


def _distilled_score(trial: Lesson, fresh: Callable[[], Imported], degree: int) -> float:
    """The score after plain distillation with a degree; -inf where training diverges."""
    try:
        student, _ = plain(fresh(), replace(trial, conversion=replace(trial.conversion, degree=degree)))
    except CalibrationError:
        return -np.inf
    return _score(student.eval(), trial.data, trial)


def _score(module: nn.Module, data: Dataset, lesson: Lesson) -> float:
    """R2 on the rows set aside; -inf where it is no number."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = lesson.objective.scoring.share(predict(module, data.x_test), np.asarray(data.y_test))
    return found if np.isfinite(found) else -np.inf


def _few(data: Dataset, seed: int) -> Dataset:
    """The data with TRIAL_ROWS of its training rows at most, drawn at random."""
    if len(data.x_train) <= TRIAL_ROWS:
        return data
    chosen = np.sort(np.random.default_rng(seed).permutation(len(data.x_train))[:TRIAL_ROWS])
    return replace(data, x_train=data.x_train[chosen], y_train=None if data.y_train is None else data.y_train[chosen])
