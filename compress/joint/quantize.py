"""Joint power-of-two quantization: weight, bias and output grids of every unified module, chosen together.

Modules are quantized in dataflow order. Each one reads inputs that are quantized already, and its outputs are compared
with those of the float network on float inputs, so that later modules correct earlier errors. The idea is that of arXiv
1901.02064 (its abstract); the details of the procedure are derived.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.checks import check_seed
from compress.dataset import Dataset, Progress
from compress.errors import CompressError
from compress.gathering import as_dataset
from compress.graph.joined import joined
from compress.joint.arithmetic import after, along_channels, module_sum, view
from compress.joint.codes import constant_tensor, norm_parameters, step_codes, total_bias, total_constant
from compress.joint.executable import joint_network, simulated
from compress.joint.fixed_point import Grid, best_grid
from compress.joint.norm import float_norm
from compress.joint.options import CALIBRATION_IMAGES, check_joint
from compress.joint.regroup import quantization_points, unify
from compress.joint.search import float_weight, search, search_norm
from compress.joint.softmax import float_softmax
from compress.joint.unified import Module, Normalization, Program, UnifiedModule, View
from compress.model.codebook import bits_levels
from compress.model.compressed import CompressedModel, source_record
from compress.model.folding import fold_batch_norm
from compress.model.masking import Mask, layer_mask
from compress.model.quantizer import layer_codes, quantize_layer_, write_out_
from compress.training.loop import predict
from compress.training.objective import ASKED_ROWS, settled

Array = NDArray[np.float64]


def joint_quantize(
    model: nn.Module | CompressedModel,
    data: object,
    *,
    bits: int = 8,
    bias_bits: int | None = None,
    images: int = CALIBRATION_IMAGES,
    seed: int = 0,
    progress: Progress | None = None,
) -> CompressedModel:
    """Weights, biases and activations on power-of-two grids of `bits` bits; no training. `model` is not changed.

    bias_bits: bits of the biases, if they differ from `bits`. images: training images that the grids are chosen on.
    Layers that have a codebook keep it, and masks stay. The history keeps the grids of the activations;
    `compress.joint.executable.joint_network` makes the executable network from them. data: what `as_dataset` takes;
    labels count only for the scores in the history.
    Raises: ConfigError; UnsupportedLayerError for a layer without a form in integers; CompressError for a model that
    was jointly quantized before, whose weights are not finite, or with a normalization whose sums may exceed 32 bits.
    """
    check_joint(bits=bits, bias_bits=bias_bits, images=images)
    check_seed(seed)
    model, data = joined(model, as_dataset(data))
    width = bits if bias_bits is None else bias_bits
    start = model if isinstance(model, CompressedModel) else CompressedModel(module=model, source=source_record(model))
    if any(step["method"] == "joint" for step in start.history):
        raise CompressError(
            None,
            f"model {type(start.module).__name__}: it is jointly quantized already; start from the model before that",
        )
    shape = tuple(data.x_train.shape[1:])
    module = fold_batch_norm(start.module)
    program = unify(module, shape)
    _check_finite(program)
    calibration = np.asarray(data.calibration(images, seed), dtype=np.float64)
    input_grid, rows = _quantize_modules_(program, calibration, bits, width, progress)
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


def _quantize_modules_(
    program: Program, calibration: Array, bits: int, bias_bits: int, progress: Progress | None
) -> tuple[Grid, list[dict[str, Any]]]:
    """Put all parameters on grids, in place; returns the grid of the input and one record per module."""
    wanted = float_values(program, calibration)
    input_grid = best_grid(calibration, bits, signed=bool(calibration.min() < 0))
    values: dict[str, Array] = {"input": input_grid.rounded(calibration)}
    grids: dict[str, Grid | None] = {"input": input_grid}
    rows = []
    for done, step in enumerate(program.steps):
        if isinstance(step, View):
            values[step.name], grids[step.name] = view(step.layer, values[step.source]), step.grid(grids[step.source])
            continue
        last = step.name == program.output
        row = _searched(step, values, grids, wanted[step.name], bits, requantize=not last, bias_bits=bias_bits)
        row |= {"on_grids": _write_(step, row, bits, bias_bits)}
        codes = step_codes(step, row, grids, bits)
        values[step.name], grids[step.name] = simulated(step, codes, values), codes.output
        rows.append(row)
        if progress is not None:
            progress("joint quantization", (done + 1) / len(program.steps))
    return input_grid, rows


def float_values(program: Program, images: Array) -> dict[str, Array]:
    """The value of every step in the float network, float64."""
    values: dict[str, Array] = {"input": images}
    for step in program.steps:
        if isinstance(step, View):
            values[step.name] = view(step.layer, values[step.source])
        elif isinstance(step, Normalization):
            parameters = norm_parameters(step.layer)
            values[step.name] = float_norm(values[step.source], *parameters, step.layer.options["epsilon"])
        else:
            values[step.name] = _float_module(step, values)
    return values


def _float_module(step: UnifiedModule, values: Mapping[str, Array]) -> Array:
    weights = [None if term.layer is None else float_weight(term.layer.torch_module) for term in step.terms]
    total = module_sum(step, weights, values)
    result = after(step.after, total + along_channels(step, total_bias(step), total.ndim) + total_constant(step))
    if step.softmax is not None:
        return float_softmax(result, step.scale)
    result = result * step.scale
    return result if step.table is None else step.table.evaluated(result)


def _searched(
    step: Module, values: Mapping[str, Array], grids: Mapping[str, Grid | None], wanted: Array, bits: int, *,
    requantize: bool, bias_bits: int,
) -> dict[str, Any]:  # fmt: skip
    """The record of a module: its grids, as the history keeps them."""
    row: dict[str, Any] = {"module": step.name, "fused": list(step.fused)}
    if isinstance(step, Normalization):
        norm = search_norm(step, values, grids, wanted, bits)
        return row | {
            "weight_fraction_bits": {},
            "gain_fraction_bits": norm.gain,
            "shift_fraction_bits": norm.shift,
            "output": asdict(norm.output),
            "squared_error": norm.error,
        }
    choice = search(step, values, grids, wanted, bits, requantize=requantize, bias_bits=bias_bits)
    names = [layer.name for layer in step.weighted]
    return row | {
        "weight_fraction_bits": dict(zip(names, choice.weights, strict=True)),
        "bias_fraction_bits": choice.bias,
        "constant_fraction_bits": choice.constant,
        "table_index": None if choice.table_index is None else asdict(choice.table_index),
        "output": None if choice.output is None else asdict(choice.output),
        "squared_error": choice.error,
    }


def _write_(step: Module, row: Mapping[str, Any], bits: int, bias_bits: int) -> list[str]:
    """Put the parameters of a module on their grids; returns the paths of those that are neither weights nor biases."""
    if isinstance(step, Normalization):
        return _write_norm_(step, row, bits)
    for layer, fraction in zip(step.weighted, row["weight_fraction_bits"].values(), strict=True):
        torch_layer = layer.torch_module
        if layer_codes(torch_layer) is None:
            mask = layer_mask(torch_layer)
            write_out_(torch_layer)
            kept: Mask = np.ones(tuple(float_weight(torch_layer).shape), dtype=np.bool_) if mask is None else mask
            quantize_layer_(torch_layer, kept, np.array(-fraction, dtype=np.int32), bits_levels(bits))
    _write_bias_(step, Grid(row["bias_fraction_bits"], bias_bits, True).rounded(total_bias(step)))
    found = constant_tensor(step.constants[0]) if len(step.constants) == 1 else None
    if found is None:
        return []
    path, tensor = found
    _put_(tensor, Grid(row["constant_fraction_bits"], bits, True).rounded(total_constant(step)))
    return [path]


def _write_norm_(step: Normalization, row: Mapping[str, Any], bits: int) -> list[str]:
    """Gains and shifts, where the normalization has any."""
    paths = []
    grids = Grid(row["gain_fraction_bits"], bits, True), Grid(row["shift_fraction_bits"], bits, True)
    module: Any = step.layer.torch_module
    for name, values, grid in zip(("weight", "bias"), norm_parameters(step.layer), grids, strict=True):
        if getattr(module, name) is not None:
            _put_(getattr(module, name), grid.rounded(values))
            paths.append(f"{step.layer.fx_node.target}.{name}")
    return paths


def _put_(tensor: Tensor, values: Array) -> None:
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(values.reshape(tuple(tensor.shape))))


def _write_bias_(module: UnifiedModule, bias: Array) -> None:
    """Put the bias of a module on the first of its layers that has one, and zeros on the others."""
    biased = [layer.torch_module for layer in module.weighted if layer.torch_module.bias is not None]
    for position, layer in enumerate(biased):
        _put_(layer.bias, bias if position == 0 else np.zeros_like(bias))  # type: ignore[arg-type]


def _check_finite(program: Program) -> None:
    for module in program.modules:
        parts = {layer.name: [float_weight(layer.torch_module)] for layer in module.weighted}
        if isinstance(module, Normalization):
            parts[module.layer.name] = list(norm_parameters(module.layer))
        else:
            parts |= {layer.name: [layer.options["shift"]] for layer in module.constants}
        for name, arrays in parts.items():
            if not all(np.isfinite(array).all() for array in arrays):
                raise CompressError(
                    name, "has weights that are not finite; train the model again or load other weights"
                )


def _measured(result: CompressedModel, start: CompressedModel, data: Dataset) -> CompressedModel:
    """The result with scores before and after, on all test rows, in its last history entry.

    Without labels the scores compare with what the model answered before.
    """
    weakened = bool(start.history)
    data, objective = settled(data, predict(start.module, data.x_train[:ASKED_ROWS]), trust_labels=weakened)
    before = predict(start.module, data.x_test)
    wanted = objective.scoring.wanted(before) if data.y_test is None else data.y_test
    network = joint_network(result)
    after = [network.run_fake(part) for part in np.array_split(data.x_test, max(1, len(data.x_test) // 500))]
    record = {
        **result.history[-1],
        "images": len(data.x_test),
        **objective.scores(objective.score(before, wanted), objective.score(np.concatenate(after), wanted)),
    }
    return CompressedModel(
        module=result.module,
        input_shape=result.input_shape,
        source=result.source,
        history=(*result.history[:-1], record),
    )
