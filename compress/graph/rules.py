"""What each spelling turns into: one rule per meaning, which adds a node's layers to a Builder or refuses the node."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from compress.graph.building import Builder, argument, source_of
from compress.graph.spellings import ONE_DIMENSIONAL, TRANSPOSE
from compress.graph.tracing import EXAMPLE_BATCH


def linear(build: Builder, node: fx.Node) -> None:
    build.append(node, "linear", module=build.module_of(node))


def convolution(build: Builder, node: fx.Node) -> None:
    module: Any = build.module_of(node)
    if module.padding_mode != "zeros":
        raise build.unsupported(node, f"with padding_mode '{module.padding_mode}'", "use padding_mode='zeros'")
    padding = module.padding
    if padding == "valid":
        padding = (0,) * len(module.kernel_size)
    elif padding == "same":
        reach = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        if any(total % 2 for total in reach):
            raise build.unsupported(
                node, "with padding 'same' and an even kernel pads unevenly", "use an odd kernel size"
            )
        padding = tuple(total // 2 for total in reach)
    options = {"stride": module.stride, "padding": padding, "dilation": module.dilation, "groups": module.groups}
    build.append(node, "conv", module=module, **options)


def batch_norm(build: Builder, node: fx.Node) -> None:
    module: Any = build.module_of(node)
    if module.running_mean is None or module.running_var is None:
        raise build.unsupported(node, "without running statistics normalizes by the batch")
    build.append(node, "norm", module=module)


def channel_affine(build: Builder, node: fx.Node) -> None:
    build.append(node, "norm", module=build.module_of(node))


def polynomial(build: Builder, node: fx.Node) -> None:
    build.append(node, "polynomial", module=build.module_of(node))


def activation_module(build: Builder, node: fx.Node) -> None:
    module = build.module_of(node)
    build.append(node, "activation", module=module, function=module)


def activation_function(build: Builder, node: fx.Node) -> None:
    rest = node.args[1:]
    named = {key: value for key, value in node.kwargs.items() if key not in ("input", "inplace")}
    if any(isinstance(value, fx.Node) for value in (*rest, *named.values())):
        raise build.unsupported(node, "with a computed argument", "give constant arguments")
    target: Any = node.target

    def function(x: Tensor) -> Tensor:
        call = getattr(torch.Tensor, target) if node.op == "call_method" else target
        result: Tensor = call(x, *rest, **named)
        return result

    build.append(node, "activation", function=function)


def square(build: Builder, node: fx.Node) -> None:
    _power(build, node, 2)


def power(build: Builder, node: fx.Node) -> None:
    _power(build, node, node.args[1])


def _power(build: Builder, node: fx.Node, exponent: Any) -> None:
    if not isinstance(exponent, (int, float)) or exponent != int(exponent) or exponent < 1:
        raise build.unsupported(
            node, f"with exponent {exponent}", "use a whole exponent of at least 1, or an activation"
        )
    exponent = int(exponent)
    inputs = (build.value_of[source_of(node)],)
    if exponent == 1:
        build.alias(node)
    elif exponent in (2, 4):
        coefficients = torch.zeros(exponent + 1, 1, dtype=torch.float64)
        coefficients[-1] = 1.0
        build.append(node, "polynomial", inputs=inputs, coefficients=coefficients.numpy())
    else:
        build.append(node, "activation", inputs=inputs, function=lambda x: x**exponent)


def add(build: Builder, node: fx.Node) -> None:
    _sum(build, node, 1.0)


def subtract(build: Builder, node: fx.Node) -> None:
    _sum(build, node, -1.0)


def _sum(build: Builder, node: fx.Node, sign: float) -> None:
    if argument(node, 2, "alpha", 1) != 1:
        raise build.unsupported(node, "with alpha", "multiply by a constant first")
    left, right = _operands(node)
    if build.is_value(left) and build.is_value(right):
        if build.shape(left) != build.shape(right):
            shapes = f"of shapes {build.shape(left)} and {build.shape(right)}"
            raise build.unsupported(
                node, shapes, "add values of one shape; project the shortcut by a 1x1 Conv or a Linear"
            )
        build.append(node, "add", inputs=(build.value_of[left], build.value_of[right]), signs=(1.0, sign))
    elif build.is_value(left):
        _affine(build, node, left, torch.tensor(1.0), sign * build.constant(right))
    else:
        _affine(build, node, right, torch.tensor(sign), build.constant(left))


def multiply(build: Builder, node: fx.Node) -> None:
    left, right = _operands(node)
    if not (build.is_value(left) and build.is_value(right)):
        value, factor = (left, right) if build.is_value(left) else (right, left)
        _affine(build, node, value, build.constant(factor), torch.tensor(0.0))
    elif build.value_of[left] == build.value_of[right]:
        _power(build, node, 2)
    else:
        raise build.unsupported(node, "of two encrypted values")


def divide(build: Builder, node: fx.Node) -> None:
    left, right = _operands(node)
    if build.is_value(right):
        raise build.unsupported(node, "of two encrypted values" if build.is_value(left) else "by an encrypted value")
    _affine(build, node, left, 1.0 / build.constant(right), torch.tensor(0.0))


def negate(build: Builder, node: fx.Node) -> None:
    _affine(build, node, node.args[0], torch.tensor(-1.0), torch.tensor(0.0))


def _operands(node: fx.Node) -> tuple[Any, Any]:
    return node.args[0], argument(node, 1, "other", None)


def _affine(build: Builder, node: fx.Node, source: Any, scale: Tensor, shift: Tensor) -> None:
    shape = build.trace.values[node].shape
    if shape != build.trace.values[source].shape:
        raise build.unsupported(
            node, "with a constant larger than the value", "use a constant that broadcasts to the value"
        )
    parts: dict[str, Any] = {}
    for key, part in (("scale", scale), ("shift", shift)):
        part = part.detach().to(torch.float64)
        if part.ndim == len(shape):
            if part.shape[0] != 1:
                raise build.unsupported(
                    node, "with a constant that varies along the batch", "use a constant without a batch axis"
                )
            part = part[0]
        parts[key] = part.numpy()
    build.append(node, "affine", inputs=(build.value_of[source],), **parts)


def average_pool(build: Builder, node: fx.Node) -> None:
    _pool(build, node, "avgpool", ["ceil_mode", "count_include_pad", "divisor_override"])


def max_pool(build: Builder, node: fx.Node) -> None:
    _pool(build, node, "maxpool", ["dilation", "ceil_mode"])


def _pool(build: Builder, node: fx.Node, kind: str, last_arguments: list[str]) -> None:
    module, rank = build.module_of(node), _rank(build, node)
    if module is None:
        names = ["input", "kernel_size", "stride", "padding", *last_arguments]
        defaults = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False, "count_include_pad": True}
        given = defaults | dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    else:
        given = vars(module)
    kernel, padding = _tuple(given["kernel_size"], rank), _tuple(given["padding"], rank)
    stride = kernel if given["stride"] in (None, (), []) else _tuple(given["stride"], rank)
    if given["ceil_mode"]:
        raise build.unsupported(
            node, "with ceil_mode=True has windows of different sizes", "use ceil_mode=False, pad the input instead"
        )
    if kind == "avgpool" and not given.get("count_include_pad", True) and any(padding):
        raise build.unsupported(
            node, "with count_include_pad=False and padding", "use count_include_pad=True or padding=0"
        )
    if given.get("divisor_override") is not None:
        raise build.unsupported(node, "with divisor_override", "scale the next layer instead")
    if any(d != 1 for d in _tuple(given.get("dilation", 1), rank)):
        raise build.unsupported(node, "with dilation", "use dilation=1")
    build.append(node, kind, kernel=kernel, stride=stride, padding=padding)


def adaptive_average_pool(build: Builder, node: fx.Node) -> None:
    _adaptive(build, node, "avgpool")


def adaptive_max_pool(build: Builder, node: fx.Node) -> None:
    _adaptive(build, node, "maxpool")


def _adaptive(build: Builder, node: fx.Node, kind: str) -> None:
    module, rank = build.module_of(node), _rank(build, node)
    output_size: Any = argument(node, 1, "output_size", None) if module is None else module.output_size
    sizes = build.trace.values[source_of(node)].shape[-rank:]
    wanted = _tuple(output_size, rank)
    outputs = tuple(size if out is None else out for size, out in zip(sizes, wanted, strict=True))
    if any(size % out for size, out in zip(sizes, outputs, strict=True)):
        reason = f"from {tuple(sizes)} to {outputs} has windows of different sizes"
        raise build.unsupported(node, reason, "choose an output size that divides the input size")
    kernel = tuple(size // out for size, out in zip(sizes, outputs, strict=True))
    build.append(node, kind, kernel=kernel, stride=kernel, padding=(0,) * rank)


def mean(build: Builder, node: fx.Node) -> None:
    """The mean over all spatial axes is average pooling over the whole image; without keepdim a reshape follows."""
    source = build.trace.values[source_of(node)]
    rank = source.ndim
    given = argument(node, 1, "dim", None)
    axes = sorted(axis % rank for axis in ((given,) if isinstance(given, int) else given or range(rank)))
    spatial = rank - 2
    if spatial not in (1, 2) or axes != list(range(2, rank)):
        raise build.unsupported(
            node, f"over axes {axes} of {rank}", "take the mean over all spatial axes, or use AvgPool"
        )
    kernel = tuple(source.shape[2:])
    pooled = (source.shape[1],) + (1,) * spatial
    build.append(node, "avgpool", shape=pooled, kernel=kernel, stride=kernel, padding=(0,) * spatial)
    if build.shape(node) != pooled:
        build.append(node, "reshape", inputs=(build.value_of[node],))


def reshape(build: Builder, node: fx.Node) -> None:
    before, after = build.trace.values[source_of(node)].shape, build.trace.values[node].shape
    if len(after) < 2 or after[0] != EXAMPLE_BATCH:
        raise build.unsupported(
            node,
            f"changes the batch axis ({tuple(before)} to {tuple(after)})",
            "keep axis 0, for instance flatten(1)",
        )
    if tuple(before) == tuple(after):
        build.alias(node)
    else:
        build.append(node, "reshape")


def permute(build: Builder, node: fx.Node) -> None:
    rank = build.trace.values[source_of(node)].ndim
    if node.target in TRANSPOSE:
        first, second = (argument(node, 1, "dim0", 0) % rank, argument(node, 2, "dim1", 1) % rank)
        order = list(range(rank))
        order[first], order[second] = order[second], order[first]
    else:
        given: Any = node.args[1:] if len(node.args) > 2 else (argument(node, 1, "dims", ()),)
        order = [axis % rank for axis in (given[0] if isinstance(given[0], (tuple, list)) else given)]
    if order[0] != 0:
        raise build.unsupported(node, "moves the batch axis", "keep axis 0 first")
    build.append(node, "permute", axes=tuple(axis - 1 for axis in order[1:]))


def alias(build: Builder, node: fx.Node) -> None:
    build.alias(node)


def dropout_function(build: Builder, node: fx.Node) -> None:
    if argument(node, 2, "training", True):
        raise build.unsupported(node)
    build.alias(node)


def softmax(build: Builder, node: fx.Node) -> None:
    last = all(user.op == "output" for user in node.users)
    if not last or build.trace.values[node].ndim != 2:
        raise build.unsupported(node)
    where, what = build.trace.where(node), build.trace.operation(node)
    build.dropped.append(f"{where} ({what}) at the end: the classes keep their order")
    build.alias(node)
    node.replace_all_uses_with(source_of(node))
    build.trace.graph_module.graph.erase_node(node)
    build.trace.graph_module.recompile()


def _rank(build: Builder, node: fx.Node) -> int:
    """How many spatial axes a pooling has."""
    module = build.module_of(node)
    spellings: tuple[Any, ...] = (node.target,) if module is None else type(module).__mro__
    return 1 if any(one in ONE_DIMENSIONAL for one in spellings) else 2


def _tuple(value: Any, rank: int) -> tuple[Any, ...]:
    if isinstance(value, (tuple, list)):
        return tuple(value) if len(value) == rank else tuple(value) * rank
    return (value,) * rank
