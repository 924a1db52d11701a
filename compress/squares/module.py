"""A frozen network as a torch module, whose linear maps train on with rounded weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.graph.modules import (
    EPSILON,
    RANGE_SIGMAS,
    PolynomialActivation,
    evaluate_rows,
    on_channels,
)
from compress.network import (
    Add,
    Affine,
    AvgPool,
    AxisMap,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Gather,
    Multiply,
    Network,
    Node,
    Permute,
    Polynomial,
    Reshape,
    Weights,
)
from compress.squares.rounding import coded, rounded

Array = NDArray[np.float64]

NOTHING: Mapping[str, int] = MappingProxyType({})


class Step(nn.Module):
    """One node: what trains as parameters (weight and bias, or scale and shift), other numbers as buffers.

    fraction_bits: of the rounded weight or scale; None does not round. Pruned weights stay zero.
    """

    def __init__(self, node: Node, dtype: torch.dtype, fraction_bits: int | None) -> None:
        super().__init__()
        self.node, self.fraction_bits = node, fraction_bits
        for name, values in trained_numbers(node).items():
            self.register_parameter(name, nn.Parameter(torch.tensor(values, dtype=dtype)))
        for name, numbers in fixed_numbers(node).items():
            self.register_buffer(name, torch.tensor(numbers, dtype=dtype if numbers.dtype.kind == "f" else None))

    def kept(self) -> Tensor:
        """Weights or factors as they are computed with."""
        values: Tensor = self.scale if isinstance(self.node, Affine) else self.weight  # type: ignore[assignment]
        if "mask" in self._buffers:
            values = values * self.mask  # type: ignore[operator]
        return values if self.fraction_bits is None else rounded(values, self.fraction_bits)

    def frozen(self) -> Node:
        """The node with the numbers of now."""
        node = self.node
        if isinstance(node, Affine):
            shift = _array(self.shift) if "shift" in self._parameters else node.shift
            return replace(node, scale=_array(self.kept()), shift=shift)
        if not isinstance(node, (Conv, ConvTranspose, Dense)):
            return node
        values, mask = _array(self.kept()), node.weights.mask
        weights = Weights(codes=values, step=np.array(1.0), mask=mask)
        if self.fraction_bits is not None:
            weights = coded(values, self.fraction_bits, mask)
        return replace(node, weights=weights, bias=_array(self.bias))

    def forward(self, *inputs: Tensor) -> Tensor:
        node, x = self.node, inputs[0]
        own: Any = self
        match node:
            case Conv():
                kind: Any = F.conv1d if len(node.stride) == 1 else F.conv2d
                options: Any = (node.stride, node.padding, node.dilation, node.groups)
                convolved: Tensor = kind(x, self.kept(), own.bias, *options)
                return convolved
            case ConvTranspose():
                return self._transposed(node, x)
            case Dense():
                return F.linear(x, self.kept(), own.bias)
            case Affine():
                scaled: Tensor = x * self.kept()
                shifted: Tensor = scaled + own.shift if "shift" in self._parameters else scaled
                return shifted
            case AvgPool():
                pool: Any = F.avg_pool1d if len(node.kernel) == 1 else F.avg_pool2d
                result: Tensor = pool(x, node.kernel, node.stride, node.padding)
                return result
            case Add():
                return x + inputs[1]
            case Multiply():
                return x * inputs[1]
            case Concat():
                return torch.cat(inputs, dim=node.axis + 1)
            case Gather():
                flat = torch.cat([x.flatten(1), x.new_zeros(len(x), 1)], dim=1)
                gathered: Tensor = flat[:, own.indices].reshape(len(x), *node.shape)
                return gathered
            case Polynomial():
                return evaluate_rows(own.coefficients, x)
            case AxisMap():
                mapped = x.movedim(node.axis + 1, -1) @ own.matrix.T
                moved: Tensor = mapped.movedim(-1, node.axis + 1)
                return moved
            case Reshape():
                return x.reshape(len(x), *node.shape)
            case Permute():
                return x.permute(0, *(axis + 1 for axis in node.axes))
        raise TypeError(f"node '{node.name}' has no torch form: {type(node).__name__}")

    def _transposed(self, node: ConvTranspose, x: Tensor) -> Tensor:
        kind: Any = F.conv_transpose1d if len(node.stride) == 1 else F.conv_transpose2d
        kernel = node.weights.codes.shape[2:]
        sizes = zip(x.shape[2:], node.stride, node.padding, node.dilation, kernel, node.shape[1:], strict=True)
        more = [wanted - ((size - 1) * s - 2 * p + d * (k - 1) + 1) for size, s, p, d, k, wanted in sizes]
        options = (node.stride, node.padding, more, node.groups, node.dilation)
        made: Tensor = kind(x, self.kept(), self.bias, *options)
        return made


class Watched(PolynomialActivation):
    """A fixed polynomial of x itself, with the range penalty of its input while it trains.

    mean, deviation: by channel, of the input on calibration rows. noise: standard deviation of what is added to the
    input in training, as encryption adds it.
    """

    def __init__(self, node: Polynomial, mean: Array, deviation: Array, peak_weight: float, noise: float) -> None:
        super().__init__(node.coefficients, mean, RANGE_SIGMAS * np.maximum(deviation, EPSILON), peak_weight)
        self.coefficients.requires_grad_(False)
        self.node, self.noise = node, noise
        self.square = node.degree == 2 and not node.coefficients[:2].any() and bool((node.coefficients[2] == 1).all())

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            held = on_channels(self.centre, x) + on_channels(self.width, x) * self.normal(x)
            x = held + self.noise * torch.randn_like(x)
        return x.square() if self.square else evaluate_rows(self.coefficients, x)

    def frozen(self) -> Node:
        return self.node


class NetworkModule(nn.Module):
    """The same function as `Network.run`, (batch, *input_shape) to (batch, *output_shape), differentiable.

    fraction_bits: by name of the nodes whose weights or factors are rounded.
    """

    def __init__(self, network: Network, dtype: torch.dtype, fraction_bits: Mapping[str, int] = NOTHING) -> None:
        super().__init__()
        self.network = network
        self.steps = nn.ModuleList(Step(node, dtype, fraction_bits.get(node.name)) for node in network.nodes[1:])

    def values(self, rows: Tensor) -> dict[str, Tensor]:
        """Every node's value, by name."""
        found = {self.network.nodes[0].name: rows}
        for node, step in zip(self.network.nodes[1:], self.steps, strict=True):
            found[node.name] = step(*(found[name] for name in node.inputs))
        return found

    def forward(self, rows: Tensor) -> Tensor:
        return self.values(rows)[self.network.nodes[-1].name]

    def watch_(self, rows: Tensor, peak_weight: float, noise: float) -> None:
        """Watch the input of every polynomial from now on; its usual range is that on these rows."""
        with torch.no_grad():
            values = self.values(rows)
        for number, node in enumerate(self.network.nodes[1:]):
            if isinstance(node, Polynomial):
                x = values[node.inputs[0]].to(torch.float64).movedim(1, 0).flatten(1)
                mean, deviation = _array(x.mean(dim=1)), _array(x.std(dim=1))
                watched = Watched(node, mean, deviation, peak_weight, noise)
                self.steps[number] = watched.to(rows)

    def frozen(self) -> Network:
        """The network with the numbers of now, without ranges."""
        nodes = (step.frozen() for step in self.steps)  # type: ignore[operator]
        return replace(self.network, nodes=(self.network.nodes[0], *nodes), ranges={})


def trained_numbers(node: Node) -> dict[str, Array]:
    """What trains of a node."""
    if isinstance(node, (Conv, ConvTranspose, Dense)):
        return {"weight": node.weights.values(), "bias": node.bias}
    if not isinstance(node, Affine):
        return {}
    return {"scale": node.scale, "shift": node.shift} if node.shift.any() else {"scale": node.scale}


def fixed_numbers(node: Node) -> dict[str, NDArray[Any]]:
    """What a node computes with besides."""
    if isinstance(node, (Conv, ConvTranspose, Dense)) and node.weights.mask is not None:
        return {"mask": node.weights.mask}
    names = {Polynomial: "coefficients", Gather: "indices", AxisMap: "matrix"}
    name = names.get(type(node))
    return {} if name is None else {name: getattr(node, name)}


def _array(tensor: Any) -> Array:
    return np.array(tensor.detach().cpu().to(torch.float64).numpy())
