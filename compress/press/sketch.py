"""sketched: what a compressed network looks like to a compiler, without training. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compress.errors import CompressError
from compress.network import Conv, Dense, Network, Polynomial, Weights

Array = NDArray[np.float64]


def sketched(network: Network, masks: Mapping[str, NDArray[np.bool_]], straight: Collection[str] = ()) -> Network:
    """What a compressed network looks like to a compiler, from the uncompressed one and without training.

    Weights are zero where masks (by layer, the weights' shape) are False; polynomials named in `straight` are the lines
    through their ends of the calibrated range.
    Raises: CompressError naming a layer that the network does not have under this name and shape.
    """
    nodes = {node.name: node for node in network.nodes}
    for layer, mask in masks.items():
        node = nodes.get(layer)
        if not isinstance(node, Dense | Conv) or node.weights.codes.shape != mask.shape:
            raise CompressError(layer, "is pruned, but the converted network has no layer of this name and shape")
        nodes[layer] = replace(node, weights=_masked(node.weights, mask))
    for layer in straight:
        node = nodes.get(layer)
        if not isinstance(node, Polynomial):
            raise CompressError(layer, "becomes a line, but the converted network has no polynomial of this name")
        seen = network.ranges[node.inputs[0]]
        nodes[layer] = replace(node, coefficients=_chord(node.coefficients, seen.low, seen.high))
    return replace(network, nodes=tuple(nodes.values()))


def _chord(coefficients: Array, low: float, high: float) -> Array:
    """The line through a polynomial's values at both ends, (2, channels)."""
    ends = [sum(row * end**power for power, row in enumerate(coefficients)) for end in (low, high)]
    slope = (ends[1] - ends[0]) / (high - low)
    return np.stack([ends[0] - slope * low, slope])


def _masked(weights: Weights, mask: NDArray[np.bool_]) -> Weights:
    kept = mask if weights.mask is None else mask & weights.mask
    return replace(weights, codes=weights.codes * mask.astype(weights.codes.dtype), mask=kept)
