"""Rules for linear layers and convolutions as modules and as functions, and for products with constant matrices.

Weights may be computed from parameters (`F.linear(x, self.weight * self.gate)`). Layers without a module of their own
carry their weights in the options 'weight' and 'bias', float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, fx

from compress.graph.building import Builder, argument
from compress.graph.moves import gathered
from compress.graph.resampling import as_tuple
from compress.network import Shape

Array = NDArray[np.float64]

#: The largest matrix, in entries, that a product without a form of its own is written out as.
LARGEST_MATRIX = 1 << 24


def linear(build: Builder, node: fx.Node) -> None:
    module = build.module_of(node)
    if module is not None:
        build.append(node, "linear", module=module)
        return
    weight, bias = _weights(build, node)
    build.append(node, "linear", inputs=(_value(build, node),), weight=weight, bias=_or_zeros(bias, len(weight)))


def convolution(build: Builder, node: fx.Node) -> None:
    module: Any = build.module_of(node)
    if module is not None:
        given = {key: getattr(module, key) for key in ("stride", "padding", "dilation", "groups", "padding_mode")}
        given["kernel"] = module.kernel_size
        options = {"module": module}
    else:
        given, options = _functional(build, node, ["stride", "padding", "dilation", "groups"])
        given["padding_mode"] = "zeros"
    source, rank = _value(build, node), len(given["kernel"])
    dilation, kernel = as_tuple(given["dilation"], rank), given["kernel"]
    both = _padding(given["padding"], kernel, dilation)
    if given["padding_mode"] != "zeros" or any(left != right for left, right in both):
        source, both = _padded(build, node, source, both, given["padding_mode"]), ((0, 0),) * rank
    build.append(
        node, "conv", inputs=(source,), stride=as_tuple(given["stride"], rank), dilation=dilation,
        padding=tuple(left for left, _ in both), groups=given["groups"], **options,
    )  # fmt: skip


def transposed_convolution(build: Builder, node: fx.Node) -> None:
    module: Any = build.module_of(node)
    if module is not None:
        given = {key: getattr(module, key) for key in ("stride", "padding", "dilation", "groups")}
        options: dict[str, Any] = {"weight": build.array(module.weight), "bias": module.bias}
        options["bias"] = _or_zeros(options["bias"], module.out_channels)
    else:
        given, options = _functional(build, node, ["stride", "padding", "output_padding", "groups", "dilation"])
    rank = options["weight"].ndim - 2
    build.append(
        node, "convtranspose", inputs=(_value(build, node),), groups=given["groups"],
        stride=as_tuple(given["stride"], rank), padding=as_tuple(given["padding"], rank),
        dilation=as_tuple(given["dilation"], rank), **options,
    )  # fmt: skip


def matrix_product(build: Builder, node: fx.Node) -> None:
    """x @ W and W @ x with a constant matrix; every other product with constants is written out."""
    left, right = argument(node, 0, "input", None), argument(node, 1, "mat2", node.kwargs.get("other"))
    if build.is_value(left) and build.is_value(right):
        raise build.unsupported(node, "of two encrypted values", "multiply a value by a matrix of weights")
    matrix = build.per_input(node, right if build.is_value(left) else left, keep=2)
    if matrix.ndim != 2:
        written_out(build, node)
    elif build.is_value(left):
        build.append(
            node, "linear", inputs=(build.value_of[left],), weight=matrix.T.copy(), bias=np.zeros(matrix.shape[1])
        )
    else:
        shape = build.shape(right)
        if len(shape) < 2:
            raise build.unsupported(node, "along the batch axis mixes inputs", "write x @ W instead of W @ x")
        build.append(node, "axismap", inputs=(build.value_of[right],), axis=len(shape) - 2, matrix=matrix)


def added_product(build: Builder, node: fx.Node) -> None:
    """torch.addmm(bias, x, W)."""
    bias, value, matrix = (argument(node, place, name, None) for place, name in enumerate(("input", "mat1", "mat2")))
    scaled = {name: argument(node, place, name, 1) for place, name in ((3, "beta"), (4, "alpha"))}
    if build.is_value(bias) or build.is_value(matrix) or any(value != 1 for value in scaled.values()):
        written_out(build, node)
        return
    weight = build.constant(matrix).numpy().T.copy()
    shift = np.broadcast_to(build.constant(bias).numpy(), (1, len(weight)))[0]
    build.append(node, "linear", inputs=(build.value_of[value],), weight=weight, bias=shift.copy())


def written_out(build: Builder, node: fx.Node) -> None:
    """Any operation that is linear in its one value, as the matrix of what it makes of unit vectors.

    Raises: UnsupportedLayerError for one that is not, and for a matrix of more than LARGEST_MATRIX entries.
    """
    sources = list(dict.fromkeys(source for source in node.all_input_nodes if build.is_value(source)))
    if len(sources) != 1:
        raise build.unsupported(node, "of two encrypted values", "multiply a value by weights")
    before, after = build.shape(sources[0]), build.shape(node)
    size, rows = int(np.prod(before)), int(np.prod(after))
    if size * rows > LARGEST_MATRIX:
        raise build.unsupported(node, f"from {size} to {rows} values is too large", "use nn.Linear or a Conv")
    batch = len(build.trace.values[sources[0]])
    values = torch.cat([torch.zeros(1, size), torch.eye(size), torch.ones(1, size)]).to(torch.float64)
    values = torch.cat([values, torch.zeros(-len(values) % batch, size, dtype=torch.float64)])
    dtype = build.trace.values[sources[0]].dtype
    outputs = []
    for part in values.to(dtype).split(batch):
        outputs.append(build.trace.rerun(node, {sources[0]: part.reshape(batch, *before)}))
    found = torch.cat(outputs).reshape(len(values), -1).to(torch.float64).numpy()
    bias, matrix = found[0], found[1 : size + 1] - found[0]
    if not np.allclose(matrix.sum(axis=0) + bias, found[size + 1], rtol=1e-3, atol=1e-4):
        raise build.unsupported(node, "is not linear in its value")
    name = build.append(node, "reshape", inputs=(build.value_of[sources[0]],), shape=(size,), suffix=".flat")
    name = build.append(
        node, "linear", inputs=(name,), shape=(rows,), suffix=".matrix", weight=matrix.T.copy(), bias=bias
    )
    build.append(node, "reshape", inputs=(name,))


def _weights(build: Builder, node: fx.Node) -> tuple[Array, Any]:
    """(weight, bias) of a functional layer. Raises: UnsupportedLayerError when they are encrypted."""
    weight, bias = argument(node, 1, "weight", None), argument(node, 2, "bias", None)
    if build.is_value(weight) or build.is_value(bias) or not build.is_value(argument(node, 0, "input", None)):
        raise build.unsupported(node, "with weights that depend on the input", "use weights that do not")
    return build.constant(weight).numpy(), None if bias is None else build.constant(bias)


def _functional(build: Builder, node: fx.Node, names: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(arguments by name, weight and bias as options) of a functional convolution."""
    weight, bias = _weights(build, node)
    defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "output_padding": 0}
    given: dict[str, Any] = defaults | dict(zip(names, node.args[3:], strict=False)) | dict(node.kwargs)
    outputs = weight.shape[1] * int(given["groups"]) if "output_padding" in names else len(weight)
    return given | {"kernel": weight.shape[2:]}, {"weight": weight, "bias": _or_zeros(bias, outputs)}


def _value(build: Builder, node: fx.Node) -> str:
    return build.value_of[argument(node, 0, "input", None)]


def _or_zeros(bias: Tensor | None, rows: int) -> Array:
    return np.zeros(rows) if bias is None else np.array(bias.detach().to(torch.float64).numpy())


def _padding(given: Any, kernel: Shape, dilation: Shape) -> tuple[tuple[int, int], ...]:
    """(before, after) along every axis; 'same' pads an even kernel by one more after than before, as torch does."""
    if given == "valid":
        return ((0, 0),) * len(kernel)
    if given == "same":
        reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return tuple((total // 2, total - total // 2) for total in reach)
    return tuple((pad, pad) for pad in as_tuple(given, len(kernel)))


def _padded(build: Builder, node: fx.Node, source: str, both: tuple[tuple[int, int], ...], mode: str) -> str:
    """The name of the convolution's input with its padding around it."""
    sides = [side for pair in reversed(both) for side in pair]
    how = "constant" if mode == "zeros" else mode
    shape = build.shape(argument(node, 0, "input", None))
    return gathered(build, node, source, shape, lambda x: F.pad(x, sides, mode=how), suffix=".pad")
