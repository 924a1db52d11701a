"""The options of `opq`, their defaults and their checks. Loads no torch, and numpy only when it checks.

Commands can therefore check before they load data, and `cipherpress --help` loads neither.
"""

from __future__ import annotations

from typing import Literal, get_args

from compress.checks import is_number
from compress.errors import ConfigError

#: The weight omega of a layer's error in the objective that all layers share.
Weighting = Literal["raw", "relative", "relative_layer", "mean", "curvature"]
#: What a bit of a layer costs. "storage": one per surviving weight. "encrypted": one per layer, because under CKKS the
#: weights of a layer are plaintexts of one scale, and the scale uses up modulus however many weights there are.
Objective = Literal["storage", "encrypted"]

#: What `opq`, a Setting and the command line take unless told otherwise: the share of weights that is pruned, and the
#: mean bits of a surviving weight.
DEFAULT_SPARSITY = 0.5
DEFAULT_BITS = 5.0
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
    from compress.model.codebook import Granularity  # imports numpy, which `cipherpress --help` does not need

    if not (is_number(sparsity) and 0 <= sparsity < 1):
        raise ConfigError("sparsity", sparsity, "a share in [0, 1)")
    if not (is_number(bits) and LOWEST_BITS <= bits <= HIGHEST_BITS):
        raise ConfigError("bits", bits, f"a number from {LOWEST_BITS} to {HIGHEST_BITS} per surviving weight")
    if weighting not in get_args(Weighting):
        raise ConfigError("weighting", weighting, f"one of {', '.join(get_args(Weighting))}")
    if granularity not in get_args(Granularity):
        raise ConfigError("granularity", granularity, f"one of {', '.join(get_args(Granularity))}")
    if not (is_number(cap) and 0 < cap < 1):
        raise ConfigError("cap", cap, "a share between 0 and 1")
    if objective not in get_args(Objective):
        raise ConfigError("objective", objective, f"one of {', '.join(get_args(Objective))}")
