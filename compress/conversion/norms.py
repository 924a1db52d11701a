"""A normalization of each input (LayerNorm, GroupNorm, ...) replaced by constants that are fitted, and trained later.

The division by the deviation of each input has no form under encryption. In its place every channel, or every element
of the normalized axes, gets a factor and a shift: the line closest to the normalization over the calibration inputs, by
least squares. Where the mean runs over one axis it is still subtracted exactly, because it is linear.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from compress.conversion.calibrate import check_samples
from compress.graph.composite import FittedNorm
from compress.graph.layers import Layer

Array = NDArray[np.float64]


def fitted_norm(layer: Layer, inputs: Array, outputs: Array, dtype: torch.dtype) -> tuple[FittedNorm, float]:
    """(the module in the place of a normalization, the share of the variance of its outputs that it explains).

    inputs, outputs: the normalization's values on the calibration inputs, both (count, *shape).
    Raises: CalibrationError.
    """
    check_samples(layer.name, inputs)
    check_samples(layer.name, outputs)
    axes, centred = layer.options["axes"], layer.options["centred"]
    x = inputs - inputs.mean(axis=-1, keepdims=True) if centred else inputs
    own = tuple(range(outputs.ndim - axes, outputs.ndim)) if axes else (1,)
    over = tuple(axis for axis in range(outputs.ndim) if axis not in own)
    middle, level = x.mean(axis=over, keepdims=True), outputs.mean(axis=over, keepdims=True)
    spread = ((x - middle) ** 2).mean(axis=over, keepdims=True)
    slope = ((x - middle) * (outputs - level)).mean(axis=over, keepdims=True)
    scale = np.divide(slope, spread, out=np.zeros_like(slope), where=spread > 0)
    shift = level - scale * middle
    left = float(((outputs - scale * x - shift) ** 2).mean() / outputs.var())
    values = (torch.as_tensor(part[0], dtype=dtype) for part in (scale, shift))
    return FittedNorm(*values, centred=centred), 1.0 - left
