"""A jointly quantized network and its two executions: fake-quantized in float64, and in integers and shifts only.

Every number of the first is a multiple of a power of two that float64 holds exactly, so that the two agree bit for bit; a test holds it.
(Derived: the page on joint quantization, 2.2.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compress.errors import CompressError
from compress.fixed_point import Grid, Integers, aligned_sum, check_accumulator, requantized
from compress.model import CompressedModel
from compress.module_arithmetic import after, integer_after, integer_layer, module_sum, view
from compress.quantizer import layer_codes
from compress.unified import Program, Term, UnifiedModule, View, unify

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TermCodes:
    """Integer weights of a weighted term and their fraction bits; one number for the layer."""

    weights: Integers
    fraction_bits: int


@dataclass(frozen=True)
class ModuleCodes:
    """A module's integers: weights by term (None for residual values), bias (channels,) on its own grid, output grid.

    output: None for the last module, whose sums are the answer.
    """

    terms: tuple[TermCodes | None, ...]
    bias: Integers
    bias_fraction_bits: int
    output: Grid | None


@dataclass(frozen=True)
class JointNetwork:
    """The program with a grid on its input and integers in every module."""

    program: Program
    input_grid: Grid
    modules: Mapping[str, ModuleCodes]

    def run_fake(self, images: Array) -> Array:
        """(images, outputs): float64 on dequantized values, rounded where the integers are shifted."""
        values: dict[str, Array] = {"input": self.input_grid.rounded(np.asarray(images, dtype=np.float64))}
        for step in self.program.steps:
            if isinstance(step, View):
                values[step.name] = view(step.layer, values[step.source])
                continue
            codes = self.modules[step.name]
            weights = [None if term is None else np.ldexp(term.weights, -term.fraction_bits) for term in codes.terms]
            total = module_sum(
                step, weights, values, np.ldexp(codes.bias.astype(np.float64), -codes.bias_fraction_bits)
            )
            result = after(step.after, total)
            values[step.name] = result if codes.output is None else codes.output.rounded(result)
        return values[self.program.output]

    def run_integer(self, images: Array) -> Array:
        """The same from codes of `bits` bits in 32-bit sums: products, additions, shifts, maxima. (images, outputs) float64.

        Raises: CompressError naming the layer whose sums may leave 32 bits.
        """
        values: dict[str, tuple[Integers, Grid]] = {
            "input": (self.input_grid.codes(np.asarray(images)), self.input_grid)
        }
        answer = np.zeros(0)
        for step in self.program.steps:
            if isinstance(step, View):
                codes, grid = values[step.source]
                values[step.name] = view(step.layer, codes), grid
                continue
            total, fraction_bits = self._integer_sum(step, values)
            for layer in step.after:
                total, extra = integer_after(layer, total)
                fraction_bits += extra
            grid_out = self.modules[step.name].output
            if grid_out is None:
                answer = np.ldexp(total.astype(np.float64), -fraction_bits)
            else:
                values[step.name] = requantized(total, fraction_bits, grid_out), grid_out
        return answer if answer.size else values[self.program.output][1].values(values[self.program.output][0])

    def _integer_sum(self, step: UnifiedModule, values: Mapping[str, tuple[Integers, Grid]]) -> tuple[Integers, int]:
        codes = self.modules[step.name]
        sums: list[tuple[Integers, int]] = []
        for term, weights in zip(step.terms, codes.terms, strict=True):
            value, grid = values[term.source]
            largest = max(grid.high, -grid.low)
            if term.layer is None or weights is None:
                sums.append((value, grid.fraction_bits))
                continue
            fan_in = np.abs(weights.weights).reshape(len(weights.weights), -1).sum(axis=1).max(initial=0)
            check_accumulator(term.layer.name, int(fan_in) * largest)
            sums.append((integer_layer(term.layer, value, weights.weights), grid.fraction_bits + weights.fraction_bits))
        common = max([fraction for _, fraction in sums] + [codes.bias_fraction_bits])
        bias = codes.bias.reshape((-1,) + (1,) * (sums[0][0].ndim - 2))
        total = aligned_sum([*sums, (bias, codes.bias_fraction_bits)], common)
        check_accumulator(step.name, int(np.abs(total).max(initial=0)))
        return total, common


def joint_network(model: CompressedModel) -> JointNetwork:
    """The executable network of a model whose last quantization step was joint.

    Raises: CompressError for a model without one.
    """
    record = next((step for step in reversed(model.history) if step["method"] == "joint"), None)
    if record is None or model.input_shape is None:
        raise CompressError(type(model.module).__name__, "has no joint quantization; run joint_quantize first")
    program = unify(model.module, model.input_shape)
    rows = {row["module"]: row for row in record["modules"]}
    modules = {}
    for module in program.modules:
        row = rows.get(module.name)
        if row is None:
            raise CompressError(module.name, "was not there when the model was jointly quantized; quantize it again")
        output = None if row["output"] is None else Grid(**row["output"])
        bias = total_bias(module)
        fraction = int(row["bias_fraction_bits"])
        modules[module.name] = ModuleCodes(
            tuple(term_codes(term) for term in module.terms),
            np.rint(np.ldexp(bias, fraction)).astype(np.int64),
            fraction,
            output,
        )
    return JointNetwork(program, Grid(**record["input"]), modules)


def term_codes(term: Term) -> TermCodes | None:
    """A quantized layer's integers on one grid: rows with coarser steps are shifted up to the finest."""
    if term.layer is None:
        return None
    codes = layer_codes(term.layer.torch_module)
    if codes is None:
        raise CompressError(term.layer.name, "is not quantized; run joint_quantize first")
    finest = int(codes.log2_step.min())
    rows = codes.log2_step.astype(np.int64) - finest
    shifted = codes.codes.astype(np.int64) << rows.reshape((-1,) + (1,) * (codes.codes.ndim - 1) if rows.ndim else ())
    return TermCodes(shifted, -finest)


def total_bias(module: UnifiedModule) -> Array:
    """Sum of the biases of a module's layers, (channels,)."""
    total = np.zeros(1)
    for layer in module.weighted:
        bias = layer.torch_module.bias
        if bias is not None:
            total = total + bias.detach().double().numpy()  # type: ignore[operator]
    return total
