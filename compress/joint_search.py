"""The search over one unified module's grids: every combination in a small window, by the squared error at its output.

Inputs are quantized already, the target is what the float network makes of float inputs. Derived: the page on joint quantization, 2.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from torch import nn

from compress.codebook import LayerCodes, bits_levels, quantize
from compress.fixed_point import Grid, fraction_window
from compress.joint_network import total_bias
from compress.module_arithmetic import after, module_sum
from compress.quantizer import layer_codes
from compress.unified import UnifiedModule

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """One module's grids: fraction bits by weighted layer and of the bias, the output's grid, and the squared error left."""

    weights: tuple[int, ...]
    bias: int
    output: Grid | None
    error: float


def search(
    module: UnifiedModule,
    values: Mapping[str, Array],
    grids: Mapping[str, Grid | None],
    wanted: Array,
    bits: int,
    *,
    requantize: bool,
) -> Choice:
    """The grids of least squared error at the module's output; of equals the fewest fraction bits, weights first."""
    bias = total_bias(module)
    best: Choice | None = None
    for weights in product(*(_weight_window(layer.torch_module, bits) for layer in module.weighted)):
        dense = dequantized(module, weights, bits)
        total = module_sum(module, dense, values, np.zeros(1))
        finest = max(_fractions(module, weights, grids))
        for bias_fraction in sorted({min(n, finest) for n in fraction_window(bias, bits, True)}):
            rounded = Grid(bias_fraction, bits, True).rounded(bias)
            result = after(module.after, total + rounded.reshape((-1,) + (1,) * (total.ndim - 2)))
            outputs: tuple[Grid | None, ...] = (None,)
            if requantize:
                outputs = tuple(Grid(n, bits, module.signed) for n in fraction_window(wanted, bits, module.signed))
            for output in outputs:
                found = result if output is None else output.rounded(result)
                error = float(np.sum((found - wanted) ** 2))
                if best is None or error < best.error:
                    best = Choice(weights, bias_fraction, output, error)
    assert best is not None  # every window holds at least one number
    return best


def float_weight(layer: nn.Module) -> Array:
    return np.asarray(layer.weight.detach().double().numpy())  # type: ignore[operator, union-attr]


def _weight_window(layer: nn.Module, bits: int) -> tuple[int, ...]:
    """Fraction bits to try; only its own for a layer that has a codebook."""
    codes = layer_codes(layer)
    if codes is not None:
        return (-int(codes.log2_step.min()),)
    weight = float_weight(layer)
    return fraction_window(weight, bits, True)


def dequantized(module: UnifiedModule, fractions: tuple[int, ...], bits: int) -> list[Array | None]:
    """Weights by term on the tried grids; codes are symmetric as in the codebooks."""
    given: Iterator[int] = iter(fractions)
    result: list[Array | None] = []
    for term in module.terms:
        if term.layer is None:
            result.append(None)
            continue
        fraction = next(given)
        codes = layer_codes(term.layer.torch_module)
        if codes is None:
            weight = float_weight(term.layer.torch_module)
            log2_step = np.array(-fraction, dtype=np.int32)
            levels = bits_levels(bits)
            codes = LayerCodes(
                quantize(weight, log2_step, levels), log2_step, np.ones(weight.shape, dtype=bool), levels
            )
        result.append(codes.values())
    return result


def _fractions(module: UnifiedModule, weights: tuple[int, ...], grids: Mapping[str, Grid | None]) -> list[int]:
    """Fraction bits of every term's sum."""
    given = iter(weights)
    found = []
    for term in module.terms:
        grid = grids[term.source]
        assert grid is not None  # only the last module has no output grid, and nothing reads it
        found.append(grid.fraction_bits + (0 if term.layer is None else next(given)))
    return found
