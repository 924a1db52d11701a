"""The search over one unified module's grids: every combination in a small window, by the squared error at its output.

Inputs are quantized already; outputs are compared with those of the float network on float inputs (derived). Endings of
a module and normalizations are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from torch import nn

from compress.errors import CompressError
from compress.joint.arithmetic import after, along_channels, module_sum
from compress.joint.code_table import arguments, table_errors
from compress.joint.codes import norm_codes, norm_parameters, total_bias, total_constant
from compress.joint.fixed_point import Grid, fraction_window
from compress.joint.norm import deviations, divided
from compress.joint.softmax import MOST_ENTRIES, exponent, simulated_softmax, softmax_grid
from compress.joint.unified import Normalization, UnifiedModule
from compress.model.codebook import LayerCodes, bits_levels, quantize
from compress.model.quantizer import layer_codes

Array = NDArray[np.float64]
Grids = Mapping[str, Grid | None]


#: How many fraction bits more than the output the gains and shifts of a normalization may have.
GUARD_BITS = 4


@dataclass(frozen=True)
class Choice:
    """The grids of one module and the squared error that they leave.

    weights: fraction bits per weighted layer. bias, constant: fraction bits. output: the grid of the output.
    table_index: for a module that ends in a table, the grid of the sum that it looks up.
    """

    weights: tuple[int, ...]
    bias: int
    output: Grid | None
    error: float
    constant: int = 0
    table_index: Grid | None = None


@dataclass(frozen=True)
class NormChoice:
    """Fraction bits of the gains and shifts of a normalization, its output grid, and the squared error left."""

    gain: int
    shift: int
    output: Grid
    error: float


@dataclass(frozen=True)
class Ending:
    """The grids at the end of a module and the squared error that they leave."""

    output: Grid | None
    table_index: Grid | None
    error: float


def search(
    module: UnifiedModule,
    values: Mapping[str, Array],
    grids: Grids,
    wanted: Array,
    bits: int,
    *,
    requantize: bool,
    bias_bits: int | None = None,
) -> Choice:
    """The grids with the least squared error at the output; of equal ones those with the fewest fraction bits."""
    bias, constant = total_bias(module), total_constant(module)
    bias_bits = bits if bias_bits is None else bias_bits
    best: Choice | None = None
    for weights in product(*(_weight_window(layer.torch_module, bits) for layer in module.weighted)):
        total = module_sum(module, dequantized(module, weights, bits), values)
        finest = max(_fractions(module, weights, grids))
        for bias_fraction in _window_up_to(finest, bias, bias_bits):
            biased = total + along_channels(module, Grid(bias_fraction, bias_bits, True).rounded(bias), total.ndim)
            for constant_fraction in _window_up_to(finest, constant, bits):
                result = after(module.after, biased + Grid(constant_fraction, bits, True).rounded(constant))
                for ending in endings(module, result, wanted, bits, requantize=requantize):
                    if best is None or ending.error < best.error:
                        best = Choice(
                            weights, bias_fraction, ending.output, ending.error, constant_fraction, ending.table_index
                        )
    assert best is not None  # every window holds at least one number
    return best


def endings(module: UnifiedModule, result: Array, wanted: Array, bits: int, *, requantize: bool) -> Iterator[Ending]:
    """All endings of a sum after ReLU and pools: shift, table or softmax, on every grid of the window."""
    if module.softmax is not None:
        if result.shape[-1] >= MOST_ENTRIES:
            raise CompressError(
                module.name, f"is a softmax over {result.shape[-1]} entries; integers take fewer than {MOST_ENTRIES}"
            )
        rule = exponent(module.softmax.name, module.scale)
        for output in dict.fromkeys(softmax_grid(n, bits) for n in fraction_window(wanted, bits, False)):
            yield Ending(output, None, _squared(simulated_softmax(result, rule, output), wanted))
        return
    result = np.ldexp(result, module.log2_scale)
    if module.table is not None:
        for index in (Grid(n, bits, module.signed) for n in fraction_window(result, bits, module.signed)):
            signed = bool((module.table.evaluated(arguments(index)) < 0).any())
            outputs = tuple(Grid(n, bits, signed) for n in fraction_window(wanted, bits, signed))
            errors = table_errors(module.table.evaluated, index, outputs, result, wanted)
            yield from (Ending(output, index, error) for output, error in zip(outputs, errors, strict=True))
    elif requantize:
        for output in (Grid(n, bits, module.signed) for n in fraction_window(wanted, bits, module.signed)):
            yield Ending(output, None, _squared(output.rounded(result), wanted))
    else:
        yield Ending(None, None, _squared(result, wanted))


def search_norm(
    module: Normalization, values: Mapping[str, Array], grids: Grids, wanted: Array, bits: int
) -> NormChoice:
    """As `search`, for a normalization. Grids much finer than that of the output are not tried, nor are those too wide.

    Raises: CompressError when none fits.
    """
    gain, shift = norm_parameters(module.layer)
    spread = (len(gain).bit_length() + 1) // 2  # a normalized entry is at most the square root of the width
    tried = []
    for output in (Grid(n, bits, True) for n in fraction_window(wanted, bits, True)):
        finest = output.fraction_bits + GUARD_BITS
        for pair in product(_window_up_to(finest + spread, gain, bits), _window_up_to(finest, shift, bits)):
            tried.append(norm_codes(module, grids, pair, output, bits))
    tried.sort(key=lambda norm: (norm.gain_fraction_bits, norm.shift_fraction_bits))
    fitting = [norm for norm in tried if norm.fits]
    if not fitting:
        tried[0].check()
    centred, root = deviations(values[module.source], tried[0])
    errors = [_squared(divided(centred, root, norm), wanted) for norm in fitting]
    best = int(np.argmin(errors))
    found = fitting[best]
    return NormChoice(found.gain_fraction_bits, found.shift_fraction_bits, found.output, errors[best])


def float_weight(layer: nn.Module) -> Array:
    return np.asarray(layer.weight.detach().double().numpy())  # type: ignore[operator, union-attr]


def dequantized(module: UnifiedModule, fractions: tuple[int, ...], bits: int) -> list[Array | None]:
    """The weights of each term on the tried grids; codes are symmetric, as in codebooks."""
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


def _weight_window(layer: nn.Module, bits: int) -> tuple[int, ...]:
    """Fraction bits to try for the weights of a layer; with a codebook only those that it has."""
    codes = layer_codes(layer)
    if codes is not None:
        return (-int(codes.log2_step.min()),)
    weight = float_weight(layer)
    return fraction_window(weight, bits, True)


def _window_up_to(finest: int, values: Array, bits: int) -> list[int]:
    """Fraction bits to try for what is added to a sum, at most those of the sum."""
    return sorted({min(n, finest) for n in fraction_window(values, bits, True)})


def _fractions(module: UnifiedModule, weights: tuple[int, ...], grids: Grids) -> list[int]:
    """The fraction bits of the sum of each term."""
    given = iter(weights)
    found = []
    for term in module.terms:
        factors = [grids[name] for name in (term.source, term.factor) if name is not None]
        own = sum(grid.fraction_bits for grid in factors if grid is not None)
        found.append(own + (0 if term.layer is None else next(given)))
    return found


def _squared(found: Array, wanted: Array) -> float:
    return float(np.sum((found - wanted) ** 2))
