"""Limits: what a plan may cost, and how far encryption may change the network's answers. Imports no numpy."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from compress.errors import ConfigError

#: The default of Limits.max_disagreement.
ACCEPTABLE_DISAGREEMENT = 2.5e-3


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What `compile_network` must keep to.

    max_error: the largest predicted error of any output, in the outputs' units, at six standard deviations. None: for a
    network with several outputs, max_disagreement counts instead; for one with a single output, a fixed share of the
    output's root mean square.
    max_disagreement: the largest expected share of inputs whose class encryption changes. It counts when max_error is
    None and the network has several outputs.
    keys_bytes: the most bytes of all evaluation keys together. upload_bytes: the most bytes of one request.
    Raises: ConfigError.
    """

    max_error: float | None = None
    max_disagreement: float = ACCEPTABLE_DISAGREEMENT
    keys_bytes: float = inf
    upload_bytes: float = inf

    def __post_init__(self) -> None:
        if self.max_error is not None and not self.max_error > 0:
            raise ConfigError(
                "max_error", self.max_error, "above 0, or None to limit only the share of changed classes"
            )
        if not 0 < self.max_disagreement <= 1:
            raise ConfigError("max_disagreement", self.max_disagreement, "above 0, at most 1")
        for field in ("keys_bytes", "upload_bytes"):
            if not getattr(self, field) > 0:
                raise ConfigError(field, getattr(self, field), "above 0; infinity sets no limit")
