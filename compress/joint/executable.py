"""A jointly quantized network and its two executions: fake-quantized in float64, and in integers and shifts only.

Every number of the first is a multiple of a power of two that float64 holds exactly, or a quotient of two such numbers
that is rounded at once. The two therefore agree bit for bit (derived; a test holds it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compress.checks import MALFORMED
from compress.errors import CompressError
from compress.joint.arithmetic import (
    after,
    along_channels,
    integer_after,
    integer_layer,
    integer_product,
    module_sum,
    view,
)
from compress.joint.codes import Codes, ModuleCodes, step_codes
from compress.joint.fixed_point import ACCUMULATOR_BITS, Grid, Integers, aligned_sum, check_accumulator, requantized
from compress.joint.norm import NormCodes, integer_norm, simulated_norm
from compress.joint.regroup import unify
from compress.joint.softmax import exponent, integer_softmax, simulated_softmax
from compress.joint.unified import Module, Program, UnifiedModule, View
from compress.model.compressed import CompressedModel
from compress.network import Images

Array = NDArray[np.float64]
Coded = tuple[Integers, Grid]


@dataclass(frozen=True)
class JointNetwork:
    """A program with the grid of its input and the integers of every module."""

    program: Program
    input_grid: Grid
    modules: Mapping[str, Codes]

    def run_fake(self, images: Images) -> Array:
        """(images, outputs): float64 on dequantized values, rounded where the integers are."""
        values: dict[str, Array] = {"input": self.input_grid.rounded(np.asarray(images, dtype=np.float64))}
        for step in self.program.steps:
            if isinstance(step, View):
                values[step.name] = view(step.layer, values[step.source])
            else:
                values[step.name] = simulated(step, self.modules[step.name], values)
        return values[self.program.output]

    def run_integer(self, images: Array) -> Array:
        """The same as float64 (images, outputs), computed in integers: products, additions, shifts and maxima.

        Codes have `bits` bits and sums 32. Attention also needs table look-ups and rounded integer divisions, and a
        normalization one 64-bit variance per row.
        Raises: CompressError naming the layer whose sums may leave 32 bits.
        """
        values: dict[str, Coded] = {"input": (self.input_grid.codes(np.asarray(images)), self.input_grid)}
        for step in self.program.steps:
            if isinstance(step, View):
                codes, grid = values[step.source]
                values[step.name] = view(step.layer, codes), step.grid(grid)
            else:
                values[step.name] = executed(step, self.modules[step.name], values)
        codes, grid = values[self.program.output]
        return grid.values(codes)


def joint_network(model: CompressedModel) -> JointNetwork:
    """The executable network of a model whose last quantization step was joint.

    Raises: CompressError for a model without one, or whose record of that step does not fit it.
    """
    record = next((step for step in reversed(model.history) if step["method"] == "joint"), None)
    if record is None or model.input_shape is None:
        raise CompressError(
            None, f"model {type(model.module).__name__}: it is not jointly quantized; run joint_quantize first"
        )
    program, input_grid = unify(model.module, model.input_shape), Grid(**record["input"])
    rows = {row["module"]: row for row in record["modules"]}
    modules: dict[str, Codes] = {}
    grids: dict[str, Grid | None] = {"input": input_grid}
    for step in program.steps:
        if isinstance(step, View):
            grids[step.name] = step.grid(grids[step.source])
            continue
        if step.name not in rows:
            raise CompressError(step.name, "was not there when the model was jointly quantized; quantize it again")
        try:
            modules[step.name] = step_codes(step, rows[step.name], grids, int(record["options"]["bits"]))
        except MALFORMED as error:
            raise CompressError(step.name, f"the record of its joint quantization is malformed ({error!r})") from error
        grids[step.name] = modules[step.name].output
    return JointNetwork(program, input_grid, modules)


def simulated(step: Module, codes: Codes, values: Mapping[str, Array]) -> Array:
    """A module's value in float64, from the values before it."""
    if isinstance(codes, NormCodes):
        return simulated_norm(values[step.sources[0]], codes)
    assert isinstance(step, UnifiedModule)
    weights = [None if term is None else np.ldexp(term.weights, -term.fraction_bits) for term in codes.terms]
    total = module_sum(step, weights, values)
    bias = along_channels(step, np.ldexp(codes.bias.astype(np.float64), -codes.bias_fraction_bits), total.ndim)
    constant = np.ldexp(codes.constant.astype(np.float64), -codes.constant_fraction_bits)
    result = after(step.after, total + bias + constant)
    if step.softmax is not None and codes.output is not None:
        return simulated_softmax(result, exponent(step.softmax.name, step.scale), codes.output)
    result = np.ldexp(result, step.log2_scale)
    if codes.table is not None:
        return codes.table.rounded(result)
    return result if codes.output is None else codes.output.rounded(result)


def executed(step: Module, codes: Codes, values: Mapping[str, Coded]) -> Coded:
    """Codes of a module and their grid, from the codes before it. The last module's sums keep all their bits."""
    if isinstance(codes, NormCodes):
        return integer_norm(values[step.sources[0]][0], codes), codes.output
    assert isinstance(step, UnifiedModule)
    total, fraction_bits = _integer_sum(step, codes, values)
    for layer in step.after:
        total, extra = integer_after(layer, total)
        fraction_bits += extra
        check_accumulator(layer.name, int(np.abs(total).max(initial=0)))
    if step.softmax is not None and codes.output is not None:
        check_accumulator(step.softmax.name, 2 * int(np.abs(total).max(initial=0)))
        rule = exponent(step.softmax.name, step.scale)
        return integer_softmax(total, fraction_bits, rule, codes.output), codes.output
    fraction_bits -= step.log2_scale
    if codes.table is not None:
        return codes.table.looked_up(total, fraction_bits), codes.table.output
    if codes.output is None:
        return total, Grid(fraction_bits, ACCUMULATOR_BITS, True)
    return requantized(total, fraction_bits, codes.output), codes.output


def _integer_sum(step: UnifiedModule, codes: ModuleCodes, values: Mapping[str, Coded]) -> tuple[Integers, int]:
    """(sum of terms, bias and constants, fraction bits)."""
    sums: list[tuple[Integers, int]] = []
    for term, weights in zip(step.terms, codes.terms, strict=True):
        value, grid = values[term.source]
        if term.layer is not None and weights is not None:
            fan_in = np.abs(weights.weights).reshape(len(weights.weights), -1).sum(axis=1).max(initial=0)
            check_accumulator(term.layer.name, int(fan_in) * grid.largest)
            sums.append((integer_layer(term.layer, value, weights.weights), grid.fraction_bits + weights.fraction_bits))
        elif term.factor is not None:
            other, other_grid = values[term.factor]
            check_accumulator(step.name, value.shape[-1] * grid.largest * other_grid.largest)
            sums.append((integer_product(value, other), grid.fraction_bits + other_grid.fraction_bits))
        else:
            sums.append((value, grid.fraction_bits))
    bias = along_channels(step, codes.bias, sums[0][0].ndim)
    sums += [(bias, codes.bias_fraction_bits), (codes.constant, codes.constant_fraction_bits)]
    common = max(fraction for _, fraction in sums)
    total = aligned_sum(sums, common)
    check_accumulator(step.name, int(np.abs(total).max(initial=0)))
    return total, common
