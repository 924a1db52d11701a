"""A softmax inside the network (attention) replaced by constants that are fitted, and trained later.

The exponentials and the division of a softmax have no form under encryption. In its place every head gets a factor, and
every pair of query and key a shift: the line closest to the softmax over the calibration inputs, by least squares. The
shifts are what softmax answers on average, so a head that attends by position alone loses nothing. Softmax attention
becomes linear attention (Katharopoulos and others 2020, arXiv 2006.16236) without its division.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from compress.conversion.calibrate import check_samples
from compress.graph.composite import FittedSoftmax
from compress.graph.layers import Layer

Array = NDArray[np.float64]


def fitted_softmax(layer: Layer, inputs: Array, outputs: Array, dtype: torch.dtype) -> tuple[FittedSoftmax, float]:
    """(the module in the place of a softmax, the share of the variance of its outputs that it explains).

    inputs, outputs: the scores and what softmax makes of them on the calibration inputs, both (count, *shape). Values
    of three axes or more besides the batch have heads along the first.
    Raises: CalibrationError.
    """
    check_samples(layer.name, inputs)
    check_samples(layer.name, outputs)
    middle, level = inputs.mean(axis=0), outputs.mean(axis=0)
    over = (0, *range(2 if inputs.ndim > 3 else 1, inputs.ndim))
    spread = ((inputs - middle) ** 2).mean(axis=over, keepdims=True)
    slope = ((inputs - middle) * (outputs - level)).mean(axis=over, keepdims=True)
    scale = np.divide(slope, spread, out=np.zeros_like(slope), where=spread > 0)[0]
    shift = level - scale * middle
    left = float(((outputs - scale * inputs - shift) ** 2).mean() / outputs.var())
    return FittedSoftmax(*(torch.as_tensor(part, dtype=dtype) for part in (scale, shift))), 1.0 - left
