"""The options of `opq` and their checks. Loads no torch, so that commands can check before they load data."""

from __future__ import annotations

from typing import get_args

from compress.errors import ConfigError
from compress.model.codebook import Granularity
from compress.opq.allocation import Objective, Weighting

#: Largest pruning rate of a layer.
DEFAULT_CAP = 0.99
LOWEST_BITS, HIGHEST_BITS = 2, 8


def check_opq(
    *,
    sparsity: float,
    bits: float,
    weighting: str = "raw",
    granularity: str = "layer",
    cap: float = DEFAULT_CAP,
    objective: str = "storage",
) -> None:
    """Refuse options that `opq` cannot take, whatever the model is.

    Raises: ConfigError.
    """
    if not 0 <= sparsity < 1:
        raise ConfigError("sparsity", sparsity, "a share in [0, 1)")
    if not LOWEST_BITS <= bits <= HIGHEST_BITS:
        raise ConfigError("bits", bits, f"{LOWEST_BITS} to {HIGHEST_BITS} per surviving weight")
    if weighting not in get_args(Weighting):
        raise ConfigError("weighting", weighting, f"one of {', '.join(get_args(Weighting))}")
    if granularity not in get_args(Granularity):
        raise ConfigError("granularity", granularity, f"one of {', '.join(get_args(Granularity))}")
    if not 0 < cap < 1:
        raise ConfigError("cap", cap, "a share between 0 and 1")
    if objective not in get_args(Objective):
        raise ConfigError("objective", objective, f"one of {', '.join(get_args(Objective))}")
