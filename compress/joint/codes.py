"""The integers of every unified module, from the torch layers and the grids that joint quantization recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from compress.errors import CompressError
from compress.graph.layers import Layer
from compress.joint.code_table import CodeTable, code_table
from compress.joint.fixed_point import Grid, Integers
from compress.joint.norm import NormCodes
from compress.joint.unified import Module, Normalization, Term, UnifiedModule
from compress.model.quantizer import layer_codes

Array = NDArray[np.float64]
Row = Mapping[str, Any]


@dataclass(frozen=True)
class TermCodes:
    """Integer weights of a weighted term, and the fraction bits that all of them have."""

    weights: Integers
    fraction_bits: int


@dataclass(frozen=True)
class ModuleCodes:
    """The integers of a module of sums.

    weights: by term, None for values and products. bias: (channels,), on its own grid. constant: on its own grid; it
    broadcasts against the value. table: of a module that ends in an element-wise function. output: the grid of the
    module's output; None for the last module, whose sums are the answer.
    """

    terms: tuple[TermCodes | None, ...]
    bias: Integers
    bias_fraction_bits: int
    output: Grid | None
    constant: Integers = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    constant_fraction_bits: int = 0
    table: CodeTable | None = None


Codes = ModuleCodes | NormCodes


def step_codes(step: Module, row: Row, grids: Mapping[str, Grid | None], bits: int) -> Codes:
    """The integers of a quantized module. row: its record in the history; grids: those of the values before it.

    Raises: CompressError naming a layer that is not quantized, or whose sums may leave their widths.
    """
    if isinstance(step, UnifiedModule):
        return module_codes(step, row, bits)
    fractions = int(row["gain_fraction_bits"]), int(row["shift_fraction_bits"])
    codes = norm_codes(step, grids, fractions, Grid(**row["output"]), bits)
    codes.check()
    return codes


def module_codes(module: UnifiedModule, row: Row, bits: int) -> ModuleCodes:
    """The integers of a module of sums."""
    output = None if row["output"] is None else Grid(**row["output"])
    table = None
    if module.table is not None and output is not None:
        table = code_table(module.table.evaluated, Grid(**row["table_index"]), output)
    bias_fraction, constant_fraction = int(row["bias_fraction_bits"]), int(row.get("constant_fraction_bits", 0))
    return ModuleCodes(
        tuple(term_codes(term) for term in module.terms),
        np.rint(np.ldexp(total_bias(module), bias_fraction)).astype(np.int64),
        bias_fraction,
        output,
        Grid(constant_fraction, bits, True).codes(total_constant(module)),
        constant_fraction,
        table,
    )


def norm_codes(
    module: Normalization, grids: Mapping[str, Grid | None], fractions: tuple[int, int], output: Grid, bits: int
) -> NormCodes:
    """The integers of a normalization; fractions: the fraction bits of its gains and of its shifts."""
    source = grids[module.source]
    assert source is not None  # only the last module has no output grid, and nothing reads it
    gain, shift = norm_parameters(module.layer)
    return NormCodes(
        module.name,
        len(gain),
        source,
        Grid(fractions[0], bits, True).codes(gain),
        fractions[0],
        Grid(fractions[1], bits, True).codes(shift),
        fractions[1],
        module.layer.options["epsilon"],
        output,
    )


def term_codes(term: Term) -> TermCodes | None:
    """The integers of a quantized layer on one grid; rows with coarser steps are shifted up to the finest."""
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


def total_constant(module: UnifiedModule) -> Array:
    """Sum of a module's constants, broadcasting against its value without the batch axis."""
    return sum((np.asarray(layer.options["shift"]) for layer in module.constants), np.zeros(1))


def norm_parameters(layer: Layer) -> tuple[Array, Array]:
    """(gains, shifts) of a layer normalization, (width,) each; ones and zeros where it has none."""
    module: Any = layer.torch_module
    width = module.normalized_shape[0]
    gain, shift = (None if part is None else part.detach().double().numpy() for part in (module.weight, module.bias))
    return np.ones(width) if gain is None else gain, np.zeros(width) if shift is None else shift


def constant_tensor(layer: Layer) -> tuple[str, Tensor] | None:
    """(path, tensor) of a constant that is a parameter or buffer; None for one that is computed or a literal."""
    for node in layer.fx_node.all_input_nodes:
        if node.op == "get_attr":
            path = str(node.target)
            tensor: Any = layer.fx_node.graph.owning_module
            for name in path.split("."):
                tensor = getattr(tensor, name)
            values = tensor.detach().double().numpy().reshape(layer.options["shift"].shape)
            if np.array_equal(values, layer.options["shift"]):
                return path, tensor
    return None
