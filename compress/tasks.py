"""The tasks that a network may have, and the scores that measure it. Imports no numpy."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

from compress.errors import ConfigError

Task = Literal["classes", "binary", "regression", "none"]
ScoreName = Literal["accuracy", "r2", "mse"]

TASKS: tuple[Task, ...] = get_args(Task)
#: What people call each score.
SCORE_WORDS: Mapping[ScoreName, str] = MappingProxyType(
    {"accuracy": "accuracy", "r2": "R2", "mse": "mean squared error"}
)
SCORES: tuple[ScoreName, ...] = get_args(ScoreName)


def check_task(task: object) -> None:
    """Refuse what is neither None nor a task.

    Raises: ConfigError.
    """
    if task is not None and task not in TASKS:
        raise ConfigError("task", task, f"one of {', '.join(TASKS)}, or None to derive it from labels and outputs")
