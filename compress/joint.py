"""Joint power-of-two quantization: weight, bias and output grids of every unified module, chosen together.

Modules are taken in dataflow order. Each sees inputs that are quantized already and is compared with what the float network makes of
float inputs, so that later modules correct earlier errors. Idea: arXiv 1901.02064 (its abstract); the procedure's details are derived
(the page on joint quantization, 2.4).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from compress.codebook import LayerCodes, bits_levels, quantize
from compress.errors import CompressError, ConfigError
from compress.fixed_point import Grid, best_grid, fraction_window
from compress.folding import fold_batch_norm
from compress.joint_network import after, joint_network, module_sum, total_bias, view
from compress.masking import Mask, layer_mask
from compress.model import CompressedModel, source_record
from compress.quantizer import layer_codes, quantize_layer_, write_out_
from compress.training import accuracy
from compress.unified import Program, UnifiedModule, View, quantization_points, unify

Array = NDArray[np.float64]
Progress = Callable[[str, float], None]

LEAST_BITS, MOST_BITS = 2, 16
CALIBRATION_IMAGES = 256


@dataclass(frozen=True)
class Choice:
    """One module's grids: fraction bits by weighted layer and of the bias, the output's grid, and the squared error left."""

    weights: tuple[int, ...]
    bias: int
    output: Grid | None
    error: float


def joint_quantize(
    model: nn.Module | CompressedModel,
    data: Any,
    *,
    bits: int = 8,
    bias_bits: int | None = None,
    images: int = CALIBRATION_IMAGES,
    seed: int = 0,
    progress: Progress | None = None,
) -> CompressedModel:
    """Weights, biases and activations on power-of-two grids of `bits` bits; no training. `model` is not changed.

    bias_bits: bits of the biases where they are not `bits`.
    Layers that have a codebook keep it; masks stay. The activations' grids are kept in the history, `joint_network` runs them.
    Raises: ConfigError; UnsupportedLayerError for a layer without a form in integers; CompressError for a model that was jointly
    quantized before, or whose weights are not finite.
    """
    if not LEAST_BITS <= bits <= MOST_BITS:
        raise ConfigError("bits", bits, f"{LEAST_BITS} to {MOST_BITS}")
    width = bits if bias_bits is None else bias_bits
    if not LEAST_BITS <= width <= MOST_BITS:
        raise ConfigError("bias_bits", width, f"{LEAST_BITS} to {MOST_BITS}")
    if images < 1:
        raise ConfigError("images", images, "1 or more")
    start = model if isinstance(model, CompressedModel) else CompressedModel(module=model, source=source_record(model))
    if any(step["method"] == "joint" for step in start.history):
        raise CompressError(
            type(start.module).__name__, "is jointly quantized already; start from the model before that"
        )
    shape = tuple(data.x_train.shape[1:])
    module = fold_batch_norm(copy.deepcopy(start.module))
    program = unify(module, shape)
    _check_finite(program)
    calibration = np.asarray(data.calibration(images, seed), dtype=np.float64)
    wanted = float_values(program, calibration)
    input_grid = best_grid(calibration, bits, signed=bool(calibration.min() < 0))
    values: dict[str, Array] = {"input": input_grid.rounded(calibration)}
    grids: dict[str, Grid | None] = {"input": input_grid}
    rows = []
    for done, step in enumerate(program.steps):
        if isinstance(step, View):
            values[step.name], grids[step.name] = view(step.layer, values[step.source]), grids[step.source]
            continue
        last = step.name == program.output
        choice = search(step, values, grids, wanted[step.name], bits, requantize=not last, bias_bits=width)
        values[step.name], grids[step.name] = _apply_(step, choice, values, bits, width), choice.output
        rows.append(_row(step, choice))
        if progress is not None:
            progress("joint quantization", (done + 1) / len(program.steps))
    before, points = quantization_points(start.module, shape)
    result = start.after(
        module,
        input_shape=shape,
        method="joint",
        options={"bits": bits, "bias_bits": width, "images": images},
        original_parameters=sum(parameter.numel() for parameter in start.module.parameters()),
        input=asdict(input_grid),
        modules=rows,
        quantization_points_before=before,
        quantization_points_after=points,
        data=data.name,
        seed=seed,
    )
    return _measured(result, start, data)


def search(
    module: UnifiedModule,
    values: Mapping[str, Array],
    grids: Mapping[str, Grid | None],
    wanted: Array,
    bits: int,
    *,
    requantize: bool,
    bias_bits: int | None = None,
) -> Choice:
    """The grids of least squared error at the module's output; of equals the fewest fraction bits, weights first."""
    bias, bias_bits = total_bias(module), bits if bias_bits is None else bias_bits
    best: Choice | None = None
    for weights in product(*(_weight_window(layer.torch_module, bits) for layer in module.weighted)):
        dense = _dequantized(module, weights, bits)
        total = module_sum(module, dense, values, np.zeros(1))
        finest = max(_fractions(module, weights, grids))
        for bias_fraction in sorted({min(n, finest) for n in fraction_window(bias, bias_bits, True)}):
            rounded = Grid(bias_fraction, bias_bits, True).rounded(bias)
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


def float_values(program: Program, images: Array) -> dict[str, Array]:
    """Every step's value in the network as it is, float64."""
    values: dict[str, Array] = {"input": images}
    for step in program.steps:
        if isinstance(step, View):
            values[step.name] = view(step.layer, values[step.source])
            continue
        weights = [None if term.layer is None else _float_weight(term.layer.torch_module) for term in step.terms]
        values[step.name] = after(step.after, module_sum(step, weights, values, total_bias(step)))
    return values


def _float_weight(layer: nn.Module) -> Array:
    return np.asarray(layer.weight.detach().double().numpy())  # type: ignore[operator, union-attr]


def _weight_window(layer: nn.Module, bits: int) -> tuple[int, ...]:
    """Fraction bits to try; only its own for a layer that has a codebook."""
    codes = layer_codes(layer)
    if codes is not None:
        return (-int(codes.log2_step.min()),)
    weight = _float_weight(layer)
    return fraction_window(weight, bits, True)


def _dequantized(module: UnifiedModule, fractions: tuple[int, ...], bits: int) -> list[Array | None]:
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
            weight = _float_weight(term.layer.torch_module)
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


def _apply_(module: UnifiedModule, choice: Choice, values: Mapping[str, Array], bits: int, bias_bits: int) -> Array:
    """Write the grids into the torch layers; the module's quantized value on the calibration images."""
    dense = _dequantized(module, choice.weights, bits)
    bias = Grid(choice.bias, bias_bits, True).rounded(total_bias(module))
    total = module_sum(module, dense, values, bias)
    result = after(module.after, total)
    for layer, fraction in zip(module.weighted, choice.weights, strict=True):
        torch_layer = layer.torch_module
        if layer_codes(torch_layer) is None:
            mask = layer_mask(torch_layer)
            write_out_(torch_layer)
            kept: Mask = np.ones(tuple(_float_weight(torch_layer).shape), dtype=np.bool_) if mask is None else mask
            quantize_layer_(torch_layer, kept, np.array(-fraction, dtype=np.int32), bits_levels(bits))
    _write_bias_(module, bias)
    return result if choice.output is None else choice.output.rounded(result)


def _write_bias_(module: UnifiedModule, bias: Array) -> None:
    """The module's one bias, on the first of its layers that has any; zero on the others."""
    biased = [layer.torch_module for layer in module.weighted if layer.torch_module.bias is not None]
    for position, layer in enumerate(biased):
        parameter: Any = layer.bias
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(bias if position == 0 else np.zeros_like(bias)))


def _check_finite(program: Program) -> None:
    for module in program.modules:
        for layer in module.weighted:
            if not np.isfinite(_float_weight(layer.torch_module)).all():
                raise CompressError(
                    layer.name, "has weights that are not finite; train the model again or load other weights"
                )


def _row(module: UnifiedModule, choice: Choice) -> dict[str, Any]:
    names = [layer.name for layer in module.weighted]
    return {
        "module": module.name,
        "fused": list(module.fused),
        "weight_fraction_bits": dict(zip(names, choice.weights, strict=True)),
        "bias_fraction_bits": choice.bias,
        "output": None if choice.output is None else asdict(choice.output),
        "squared_error": choice.error,
    }


def _measured(result: CompressedModel, start: CompressedModel, data: Any) -> CompressedModel:
    """The same with accuracies before and after, on all test images, in its last history entry."""
    network = joint_network(result)
    named = [
        network.run_fake(part).argmax(axis=1) for part in np.array_split(data.x_test, max(1, len(data.x_test) // 500))
    ]
    record = {
        **result.history[-1],
        "images": len(data.x_test),
        "accuracy_before": accuracy(start.module, data.x_test, data.y_test),
        "accuracy_after": float(np.mean(np.concatenate(named) == data.y_test)),
    }
    return CompressedModel(
        module=result.module,
        input_shape=result.input_shape,
        source=result.source,
        history=(*result.history[:-1], record),
    )
