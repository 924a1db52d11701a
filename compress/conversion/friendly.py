"""Rewriting a traced model into CKKS-friendly operations: activations to polynomials, max pooling to average pooling.

Layers are replaced in execution order, so that every polynomial is fitted on the inputs that it will have: outputs of
layers that have been replaced already.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from compress.conversion.calibrate import check_samples
from compress.conversion.exporting import norm_factors
from compress.conversion.norms import fitted_norm
from compress.conversion.scores import fitted_softmax
from compress.errors import ConfigError
from compress.graph.composite import ElementwiseActivation
from compress.graph.importing import import_model
from compress.graph.last_axis import LastAxis
from compress.graph.layers import Imported, Layer
from compress.graph.modules import ChannelAffine, NormalizedActivation, PolynomialActivation
from compress.graph.polynomial import DEGREES, fit_polynomial, guard_leading
from compress.graph.spellings import DROPOUT_MODULES

Array = NDArray[np.float64]
Activation = PolynomialActivation | NormalizedActivation

#: Makes the module in the place of an activation from samples of its input (count, channels, ...).
Fit = Callable[[Layer, Array], Activation]

#: Share of the weight of a fit that is spread evenly over the range, so that rare large inputs are fitted too.
SPREAD_SHARE = 0.1

#: A polynomial of smaller degree is taken if its root mean square error is at most so many times as large.
CLOSE_ENOUGH = 1.05

#: How far the range of a fit reaches beyond the extremes that calibration saw.
MARGIN = 1.1


def replace_operations(
    imported: Imported,
    images: Tensor,
    *,
    fit: Fit | None = None,
    straight: Collection[str] = (),
) -> tuple[fx.GraphModule, list[str]]:
    """The model with every activation, max pooling, normalization and dropout replaced by what CKKS can run.

    images: calibration images, (count, *input_shape), on the device of the model. fit: makes the module of an
    activation; by default `fitted_activation`. straight: names of activations that become straight lines, one line per
    channel. Returns the rewritten graph, which shares its modules with `imported.graph_module`, and one line of text
    per replacement. A normalization of the inputs themselves does not train: factors of 1e-3 for features of 1e3 would
    be lost in the first steps of the optimizer. The layer after it learns in its place.

    Raises: CalibrationError when the inputs of an activation are constant or not finite; ConfigError for a name that is
    no activation.
    """
    model, said = imported.graph_module, []
    names = activation_names(imported)
    for name in straight:
        if name not in names:
            raise ConfigError("straight", name, f"an activation of the network: {', '.join(names) or 'it has none'}")
    for layer in imported.layers:
        if layer.kind == "activation" and layer.name in straight:
            _swap(model, layer, fitted_lines(layer, node_inputs(model, layer.fx_node, images)), images.device)
            said.append(f"{layer.name}: {_spelling(layer)} -> one straight line per channel")
        elif layer.kind == "activation":
            samples, last = node_inputs(model, layer.fx_node, images), _features_last(layer, imported)
            polynomial = (fit or fitted_activation)(layer, np.swapaxes(samples, 1, -1) if last else samples)
            several = polynomial.coefficients.shape[1] > 1
            _swap(model, layer, LastAxis(polynomial) if last and several else polynomial, images.device)
            said.append(f"{layer.name}: {_spelling(layer)} -> polynomial of degree {polynomial.degree}")
        elif layer.kind == "maxpool":
            kernel, stride, padding = (layer.options[key] for key in ("kernel", "stride", "padding"))
            pool = nn.AvgPool1d if len(kernel) == 1 else nn.AvgPool2d
            _swap(model, layer, pool(kernel, stride, padding), images.device)
            said.append(f"{layer.name}: max pooling -> average pooling {'x'.join(map(str, kernel))}")
        elif layer.kind in ("samplenorm", "softmax"):
            values = (node_inputs(model, layer.fx_node, images), node_values(model, layer.fx_node, images))
            fitted = fitted_norm if layer.kind == "samplenorm" else fitted_softmax
            linear, share = fitted(layer, *values, next(model.parameters()).dtype)
            _swap(model, layer, linear, images.device)
            becomes = "trained factors and shifts" if layer.kind == "samplenorm" else "linear in its scores"
            said.append(f"{layer.name}: {_spelling(layer)} -> {becomes} (R2 {share:.2f} when fitted)")
        elif layer.kind == "unevenmaxpool":
            _swap(model, layer, layer.options["average"], images.device)
            said.append(f"{layer.name}: max pooling -> average pooling of windows of different sizes")
        elif layer.kind == "norm" and not isinstance(layer.module, ChannelAffine):
            dtype = next(model.parameters()).dtype
            scale, shift = norm_factors(layer.module)
            affine = ChannelAffine(scale.to(dtype), shift.to(dtype))
            _swap(
                model, layer, affine.requires_grad_(layer.fx_node.all_input_nodes[0].op != "placeholder"), images.device
            )
    _remove_dropout(model)
    model.graph.lint()
    model.recompile()
    return model, said


def node_inputs(model: fx.GraphModule, node: fx.Node, images: Tensor, batch: int = 512) -> Array:
    """Values of `node`'s input over the images, (count, *shape), float64."""
    return node_values(model, node.all_input_nodes[0], images, batch)


def node_values(model: fx.GraphModule, node: fx.Node, images: Tensor, batch: int = 512) -> Array:
    """Values of `node` over the images, (count, *shape), float64."""
    runner = fx.Interpreter(_up_to(model, node))
    with torch.no_grad():
        parts = [runner.run(images[start : start + batch]) for start in range(0, len(images), batch)]
    return np.asarray(torch.cat(parts).to(torch.float64).cpu().numpy())


def fitted_activation(
    layer: Layer, samples: Array, *, degree: int = 2, per_channel: bool = False
) -> PolynomialActivation:
    """The least-squares polynomial of an activation over its input samples (count, channels, ...).

    degree: the largest one. A smaller one is taken if its error is at most CLOSE_ENOUGH times that of the largest, for
    example degree 3 instead of 4 for an odd function.
    Raises: CalibrationError.
    """
    check_samples(layer.name, samples)
    centre = float(samples.max() + samples.min()) / 2.0
    width = MARGIN * float(samples.max() - samples.min()) / 2.0
    per_channel = per_channel or layer.varies
    groups = np.moveaxis(samples, 1, 0).reshape(samples.shape[1], -1) if per_channel else samples.reshape(1, -1)
    columns: dict[int, list[Array]] = {tried: [] for tried in DEGREES if tried <= degree}
    errors = dict.fromkeys(columns, 0.0)
    for channel, group in enumerate(groups):
        x = _thinned(group)
        grid = np.linspace(centre - width, centre + width, 201)
        points = np.concatenate([x, grid])
        weights = np.concatenate([np.full(x.shape, 1.0 / len(x)), np.full(grid.shape, SPREAD_SHARE / len(grid))])
        values = layer.evaluated(points, channel)
        check_samples(layer.name, values)
        z = (points - centre) / width
        for tried, found in columns.items():
            found.append(fit_polynomial(z, values, tried, weights))
            errors[tried] += float(weights @ (np.polynomial.polynomial.polyval(z, found[-1]) - values) ** 2)
    best = next(tried for tried, error in errors.items() if error <= CLOSE_ENOUGH**2 * errors[degree])
    coefficients = np.stack(columns[best], axis=1)
    return PolynomialActivation(guard_leading(coefficients) if best == 2 else coefficients, centre, width)


def fitted_lines(layer: Layer, samples: Array) -> ChannelAffine:
    """The least-squares line of an activation for every channel, over its input samples (count, channels, ...).

    Raises: CalibrationError.
    """
    check_samples(layer.name, samples)
    x = np.moveaxis(samples, 1, 0).reshape(samples.shape[1], -1)
    y = (
        np.stack([layer.evaluated(row, channel) for channel, row in enumerate(x)])
        if layer.varies
        else layer.evaluated(x)
    )
    check_samples(layer.name, y)
    centred = x - x.mean(axis=1, keepdims=True)
    spread = (centred**2).sum(axis=1)
    slope = np.divide((centred * y).sum(axis=1), spread, out=np.zeros(len(x)), where=spread > 0)
    shift = y.mean(axis=1) - slope * x.mean(axis=1)
    dtype = torch.get_default_dtype()
    return ChannelAffine(torch.as_tensor(slope, dtype=dtype), torch.as_tensor(shift, dtype=dtype))


def activation_names(imported: Imported) -> list[str]:
    """The activations of a network, in the order in which they run."""
    return [layer.name for layer in imported.layers if layer.kind == "activation"]


def reimported(model: fx.GraphModule, imported: Imported) -> Imported:
    """The layers of the rewritten graph, all of them exact operations, with what was dropped before."""
    again = import_model(model, imported.input_shape)
    return Imported(again.graph_module, again.input_shape, again.layers, imported.dropped)


def _features_last(layer: Layer, imported: Imported) -> bool:
    """Whether the channels of an activation are the last of several axes, as after a dense layer of every token."""
    source = next((other for other in imported.layers if other.name == layer.inputs[0]), None)
    return source is not None and source.kind == "linear" and len(layer.shape) > 1 and not layer.varies


def _thinned(values: Array, limit: int = 20_000) -> Array:
    return values if len(values) <= limit else values[:: len(values) // limit + 1]


def _spelling(layer: Layer) -> str:
    if isinstance(layer.module, ElementwiseActivation):
        return layer.module.words
    return type(layer.module).__name__ if layer.module is not None else str(layer.fx_node.name).rstrip("_0123456789")


def _swap(model: fx.GraphModule, layer: Layer, module: nn.Module, device: torch.device) -> None:
    """Put `module` in the place of one operation, on a device.

    Each call of a shared module gets a module of its own.
    """
    node = layer.fx_node
    path = str(node.target) if node.op == "call_module" else node.name
    calls = sum(1 for other in model.graph.nodes if other.op == "call_module" and other.target == path)
    if node.op != "call_module" or calls > 1:
        path = _free_path(model, path)
    model.add_submodule(path, module.eval().to(device))  # what follows is fitted on its outputs
    with model.graph.inserting_after(node):
        new = model.graph.call_module(path, (node.all_input_nodes[0],))
    node.replace_all_uses_with(new)
    model.graph.erase_node(node)


def _free_path(model: fx.GraphModule, path: str) -> str:
    """`path`, or the first of path_2, path_3, ... that the model does not use."""
    taken = {name for name, _ in model.named_modules()} | {
        str(node.target) for node in model.graph.nodes if node.op == "get_attr"
    }
    candidate, count = path, 1
    while candidate in taken or hasattr(model, candidate):
        count += 1
        candidate = f"{path}_{count}"
    return candidate


def _remove_dropout(model: fx.GraphModule) -> None:
    """Replace dropout by the identity, because distillation trains the whole network."""
    for node in list(model.graph.nodes):
        if node.op == "call_module" and isinstance(model.get_submodule(str(node.target)), DROPOUT_MODULES):
            node.replace_all_uses_with(node.all_input_nodes[0])
            model.graph.erase_node(node)


def _up_to(model: fx.GraphModule, node: fx.Node) -> fx.GraphModule:
    """The part of the graph that makes `node`'s value."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for other in model.graph.nodes:
        if other.op == "output":
            break
        copies[other] = graph.node_copy(other, lambda source: copies[source])
        if other is node:
            break
    graph.output(copies[node])
    return fx.GraphModule(model, graph)
