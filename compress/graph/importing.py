"""A torch model as a list of layers: every operation of the traced graph, checked and brought to one of a few kinds.

Modules, functions and methods that mean the same become the same kind, so that everything after this file knows
twelve kinds of layer and no torch spelling. What has no kind is refused by name.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from compress.graph.modules import ChannelAffine, PolynomialActivation
from compress.graph.tracing import EXAMPLE_BATCH, Trace, trace
from compress.graph.unsupported import unsupported
from compress.network import Shape

#: Element-wise functions that conversion replaces by a fitted polynomial.
ACTIVATION_MODULES = (
    nn.ReLU, nn.LeakyReLU, nn.SiLU, nn.GELU, nn.Sigmoid, nn.Tanh, nn.ELU, nn.SELU, nn.CELU, nn.Softplus, nn.Hardtanh,
    nn.ReLU6, nn.Hardswish, nn.Hardsigmoid, nn.Mish, nn.Softsign, nn.LogSigmoid, nn.Tanhshrink,
)  # fmt: skip
ACTIVATION_FUNCTIONS = frozenset({
    torch.relu, torch.relu_, F.relu, F.relu_, torch.sigmoid, F.sigmoid, torch.tanh, F.tanh, F.leaky_relu, F.silu,
    F.gelu, F.elu, F.selu, torch.selu, F.celu, F.softplus, F.hardtanh, F.relu6, F.hardswish, F.hardsigmoid, F.mish, F.softsign,
    F.logsigmoid, torch.abs, torch.clamp, torch.sin, torch.cos, torch.erf,
})  # fmt: skip
ACTIVATION_METHODS = frozenset({"relu", "relu_", "sigmoid", "tanh", "abs", "clamp"})
IN_PLACE = frozenset({
    torch.relu_, F.relu_, operator.iadd, operator.isub, operator.imul, operator.itruediv,
    "relu_", "add_", "sub_", "mul_", "div_",
})  # fmt: skip

_ADD = frozenset({operator.add, operator.iadd, torch.add, "add", "add_"})
_SUB = frozenset({operator.sub, operator.isub, torch.sub, torch.subtract, "sub", "sub_"})
_MUL = frozenset({operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_"})
_DIV = frozenset({operator.truediv, operator.itruediv, torch.div, torch.true_divide, "div", "div_"})
_RESHAPE = frozenset({
    torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze,
    "flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten",
})  # fmt: skip
_PERMUTE = frozenset({torch.permute, torch.transpose, "permute", "transpose"})
_ALIAS = frozenset({"contiguous", "clone", "detach", torch.clone})
_SOFTMAX = frozenset({F.softmax, F.log_softmax, torch.softmax, torch.log_softmax, "softmax", "log_softmax"})
_POOLS: dict[Any, tuple[str, int]] = {
    F.avg_pool1d: ("avgpool", 1), torch.avg_pool1d: ("avgpool", 1), F.avg_pool2d: ("avgpool", 2),
    F.max_pool1d: ("maxpool", 1), torch.max_pool1d: ("maxpool", 1),
    F.max_pool2d: ("maxpool", 2), torch.max_pool2d: ("maxpool", 2),
}  # fmt: skip
_ADAPTIVE: dict[Any, tuple[str, int]] = {
    F.adaptive_avg_pool1d: ("avgpool", 1), torch.adaptive_avg_pool1d: ("avgpool", 1),
    F.adaptive_avg_pool2d: ("avgpool", 2), F.adaptive_max_pool1d: ("maxpool", 1), F.adaptive_max_pool2d: ("maxpool", 2),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One operation: linear, conv, norm, affine, avgpool, maxpool, activation, polynomial, add, reshape or permute.

    name: module path (with '#2', '#3' when a module is called again) or function name, unique. inputs: names of layers
    or 'input'. shape: of the value without the batch axis. module: the torch module, if it is one. options: the kind's
    numbers (stride, padding, dilation, groups, kernel, scale, shift, axes, coefficients, signs) or 'function', the
    evaluator of an activation.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: Shape
    fx_node: fx.Node
    module: nn.Module | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def torch_module(self) -> nn.Module:
        """The module of a kind that always is one (linear, conv)."""
        if self.module is None:
            raise TypeError(f"layer '{self.name}' of kind {self.kind} is a function")
        return self.module

    def evaluated(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """An activation's values at x, any shape, float64."""
        with torch.no_grad():
            return np.asarray(self.options["function"](torch.from_numpy(x.copy())).numpy())


@dataclass(frozen=True)
class Imported:
    """A model as layers in execution order. dropped: what was left out at the end (softmax), for the record."""

    graph_module: fx.GraphModule
    input_shape: Shape
    layers: tuple[Layer, ...]
    dropped: tuple[str, ...]


def import_model(module: nn.Module, input_shape: Shape) -> Imported:
    """The layers of an evaluation-mode module for inputs of `input_shape` (without the batch axis).

    Raises: UnsupportedLayerError, InputShapeError.
    """
    return Importer(trace(module, tuple(input_shape))).run(tuple(input_shape))


class Importer:
    """One pass over a trace; `value_of` maps graph nodes to layer names (aliases such as dropout included).

    Knows what has a form under encryption; another target's importer adds its kinds in `_node` and `_module`.
    """

    def __init__(self, traced: Trace) -> None:
        self.trace = traced
        self.value_of: dict[fx.Node, str] = {traced.placeholder: "input"}
        self.layers: list[Layer] = []
        self.names: set[str] = {"input"}
        self.dropped: list[str] = []

    def run(self, input_shape: Shape) -> Imported:
        for node in list(self.trace.graph_module.graph.nodes):
            if node.op in ("placeholder", "output") or node not in self.trace.encrypted:
                continue
            if not isinstance(self.trace.values[node], Tensor):
                if any(user in self.trace.encrypted and user.op != "output" for user in node.users) or node.users:
                    raise unsupported(self.trace.where(node), self.trace.operation(node), "makes several values")
                continue
            self._check_in_place(node)
            self._node(node)
        if not self.layers:
            raise unsupported(
                "output",
                "a network",
                "without any layer cannot be converted",
                "give a model with a Linear or Conv layer",
            )
        return Imported(self.trace.graph_module, input_shape, tuple(self.layers), tuple(self.dropped))

    # -- one rule per spelling -----------------------------------------------------------------------------------

    def _node(self, node: fx.Node) -> None:
        if node.op == "call_module":
            self._module(node, self.trace.graph_module.get_submodule(str(node.target)))
        elif node.target in ACTIVATION_FUNCTIONS or (node.op == "call_method" and node.target in ACTIVATION_METHODS):
            self._activation_function(node)
        elif node.target in _ALIAS or (
            node.target in (F.dropout, F.dropout2d) and not _argument(node, 2, "training", True)
        ):
            self._alias(node)
        elif node.target in _RESHAPE:
            self._reshape(node)
        elif node.target in _PERMUTE:
            self._permute(node)
        elif node.target in (_ADD | _SUB):
            self._sum(node, 1.0 if node.target in _ADD else -1.0)
        elif node.target in (_MUL | _DIV):
            self._product(node, divide=node.target in _DIV)
        elif node.target in (operator.neg, torch.neg, "neg"):
            self._affine(node, node.args[0], torch.tensor(-1.0), torch.tensor(0.0))
        elif node.target in (torch.square, "square"):
            self._power(node, 2)
        elif node.target in (operator.pow, torch.pow, "pow"):
            self._power(node, node.args[1])
        elif node.target in _POOLS:
            kind, rank = _POOLS[node.target]
            self._pool_function(node, kind, rank)
        elif node.target in _ADAPTIVE:
            kind, rank = _ADAPTIVE[node.target]
            self._adaptive(node, kind, rank, _argument(node, 1, "output_size", None))
        elif node.target in (torch.mean, "mean"):
            self._mean(node)
        elif node.target in _SOFTMAX:
            self._softmax(node)
        else:
            raise self._unsupported(node)

    def _module(self, node: fx.Node, module: nn.Module) -> None:
        match module:
            case nn.Linear():
                self._append(node, "linear", module=module)
            case nn.Conv1d() | nn.Conv2d():
                self._convolution(node, module)
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                if module.running_mean is None or module.running_var is None:
                    raise self._unsupported(node, "without running statistics normalizes by the batch")
                self._append(node, "norm", module=module)
            case ChannelAffine():
                self._append(node, "norm", module=module)
            case PolynomialActivation():
                self._append(node, "polynomial", module=module)
            case nn.AvgPool1d() | nn.AvgPool2d() | nn.MaxPool1d() | nn.MaxPool2d():
                rank = 1 if isinstance(module, (nn.AvgPool1d, nn.MaxPool1d)) else 2
                self._pool(
                    node,
                    "avgpool" if isinstance(module, (nn.AvgPool1d, nn.AvgPool2d)) else "maxpool",
                    rank,
                    vars(module),
                )
            case nn.AdaptiveAvgPool1d() | nn.AdaptiveMaxPool1d():
                self._adaptive(
                    node, "avgpool" if isinstance(module, nn.AdaptiveAvgPool1d) else "maxpool", 1, module.output_size
                )
            case nn.AdaptiveAvgPool2d() | nn.AdaptiveMaxPool2d():
                self._adaptive(
                    node, "avgpool" if isinstance(module, nn.AdaptiveAvgPool2d) else "maxpool", 2, module.output_size
                )
            case nn.Flatten() | nn.Unflatten():
                self._reshape(node)
            case nn.Identity() | nn.Dropout() | nn.Dropout1d() | nn.Dropout2d() | nn.AlphaDropout():
                self._alias(node)
            case nn.Softmax() | nn.LogSoftmax():
                self._softmax(node)
            case _ if isinstance(module, ACTIVATION_MODULES):
                self._append(node, "activation", module=module, function=module)
            case _:
                raise self._unsupported(node)

    def _convolution(self, node: fx.Node, module: nn.Conv1d | nn.Conv2d) -> None:
        if module.padding_mode != "zeros":
            raise self._unsupported(node, f"with padding_mode '{module.padding_mode}'", "use padding_mode='zeros'")
        padding = module.padding
        if padding == "valid":
            padding = (0,) * len(module.kernel_size)
        elif padding == "same":
            reach = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
            if any(total % 2 for total in reach):
                raise self._unsupported(
                    node, "with padding 'same' and an even kernel pads unevenly", "use an odd kernel size"
                )
            padding = tuple(total // 2 for total in reach)
        self._append(
            node,
            "conv",
            module=module,
            stride=module.stride,
            padding=padding,
            dilation=module.dilation,
            groups=module.groups,
        )

    def _pool_function(self, node: fx.Node, kind: str, rank: int) -> None:
        names = ["input", "kernel_size", "stride", "padding"]
        names += (
            ["ceil_mode", "count_include_pad", "divisor_override"] if kind == "avgpool" else ["dilation", "ceil_mode"]
        )
        given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
        defaults = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False, "count_include_pad": True}
        self._pool(node, kind, rank, defaults | given)

    def _pool(self, node: fx.Node, kind: str, rank: int, given: dict[str, Any]) -> None:
        kernel, padding = _tuple(given["kernel_size"], rank), _tuple(given["padding"], rank)
        stride = kernel if given["stride"] in (None, (), []) else _tuple(given["stride"], rank)
        if given["ceil_mode"]:
            raise self._unsupported(
                node, "with ceil_mode=True has windows of different sizes", "use ceil_mode=False, pad the input instead"
            )
        if kind == "avgpool" and not given.get("count_include_pad", True) and any(padding):
            raise self._unsupported(
                node, "with count_include_pad=False and padding", "use count_include_pad=True or padding=0"
            )
        if given.get("divisor_override") is not None:
            raise self._unsupported(node, "with divisor_override", "scale the next layer instead")
        if any(d != 1 for d in _tuple(given.get("dilation", 1), rank)):
            raise self._unsupported(node, "with dilation", "use dilation=1")
        self._append(node, kind, kernel=kernel, stride=stride, padding=padding)

    def _adaptive(self, node: fx.Node, kind: str, rank: int, output_size: Any) -> None:
        sizes = self.trace.values[_source(node)].shape[-rank:]
        wanted = _tuple(output_size, rank)
        outputs = tuple(size if out is None else out for size, out in zip(sizes, wanted, strict=True))
        if any(size % out for size, out in zip(sizes, outputs, strict=True)):
            reason = f"from {tuple(sizes)} to {outputs} has windows of different sizes"
            raise self._unsupported(node, reason, "choose an output size that divides the input size")
        kernel = tuple(size // out for size, out in zip(sizes, outputs, strict=True))
        self._append(node, kind, kernel=kernel, stride=kernel, padding=(0,) * rank)

    def _mean(self, node: fx.Node) -> None:
        """Mean over all spatial axes is average pooling over the whole of them, then (without keepdim) a reshape."""
        rank = self.trace.values[_source(node)].ndim
        axes = _argument(node, 1, "dim", None)
        axes = sorted(axis % rank for axis in ((axes,) if isinstance(axes, int) else axes or range(rank)))
        spatial = rank - 2
        if spatial not in (1, 2) or axes != list(range(2, rank)):
            raise self._unsupported(
                node, f"over axes {axes} of {rank}", "take the mean over all spatial axes, or use AvgPool"
            )
        source = self.trace.values[_source(node)]
        kernel = tuple(source.shape[2:])
        pooled = (source.shape[1],) + (1,) * spatial
        self._append(node, "avgpool", shape=pooled, kernel=kernel, stride=kernel, padding=(0,) * spatial)
        if tuple(self.trace.values[node].shape[1:]) != pooled:
            self._append(node, "reshape", inputs=(self.value_of[node],))

    def _reshape(self, node: fx.Node) -> None:
        before, after = self.trace.values[_source(node)].shape, self.trace.values[node].shape
        if len(after) < 2 or after[0] != EXAMPLE_BATCH:
            raise self._unsupported(
                node,
                f"changes the batch axis ({tuple(before)} to {tuple(after)})",
                "keep axis 0, for instance flatten(1)",
            )
        if tuple(before) == tuple(after):
            self._alias(node)
        else:
            self._append(node, "reshape")

    def _permute(self, node: fx.Node) -> None:
        rank = self.trace.values[_source(node)].ndim
        if node.target in (torch.transpose, "transpose"):
            first, second = (_argument(node, 1, "dim0", 0) % rank, _argument(node, 2, "dim1", 1) % rank)
            order = list(range(rank))
            order[first], order[second] = order[second], order[first]
        else:
            given = node.args[1:] if len(node.args) > 2 else (_argument(node, 1, "dims", ()),)
            order = [axis % rank for axis in (given[0] if isinstance(given[0], (tuple, list)) else given)]
        if order[0] != 0:
            raise self._unsupported(node, "moves the batch axis", "keep axis 0 first")
        self._append(node, "permute", axes=tuple(axis - 1 for axis in order[1:]))

    def _operands(self, node: fx.Node) -> tuple[Any, Any]:
        return node.args[0], _argument(node, 1, "other", None)

    def _sum(self, node: fx.Node, sign: float) -> None:
        if _argument(node, 2, "alpha", 1) != 1:
            raise self._unsupported(node, "with alpha", "multiply by a constant first")
        left, right = self._operands(node)
        if self._is_value(left) and self._is_value(right):
            if self.trace.values[left].shape != self.trace.values[right].shape:
                shapes = f"of shapes {self._shape(left)} and {self._shape(right)}"
                raise self._unsupported(
                    node, shapes, "add values of one shape; project the shortcut by a 1x1 Conv or a Linear"
                )
            self._append(node, "add", inputs=(self.value_of[left], self.value_of[right]), signs=(1.0, sign))
        elif self._is_value(left):
            self._affine(node, left, torch.tensor(1.0), sign * self._constant(right))
        else:
            self._affine(node, right, torch.tensor(sign), self._constant(left))

    def _product(self, node: fx.Node, *, divide: bool) -> None:
        left, right = self._operands(node)
        if self._is_value(left) and self._is_value(right):
            if divide or self.value_of[left] != self.value_of[right]:
                raise self._unsupported(node, "of two encrypted values")
            self._power(node, 2)
        elif self._is_value(left):
            constant = self._constant(right)
            self._affine(node, left, 1.0 / constant if divide else constant, torch.tensor(0.0))
        elif divide:
            raise self._unsupported(node, "by an encrypted value")
        else:
            self._affine(node, right, self._constant(left), torch.tensor(0.0))

    def _power(self, node: fx.Node, exponent: Any) -> None:
        if not isinstance(exponent, (int, float)) or exponent != int(exponent) or exponent < 1:
            raise self._unsupported(
                node, f"with exponent {exponent}", "use a whole exponent of at least 1, or an activation"
            )
        exponent = int(exponent)
        if exponent == 1:
            self._alias(node)
        elif exponent in (2, 4):
            coefficients = torch.zeros(exponent + 1, 1, dtype=torch.float64)
            coefficients[-1] = 1.0
            self._append(node, "polynomial", inputs=(self.value_of[_source(node)],), coefficients=coefficients.numpy())
        else:
            self._append(node, "activation", inputs=(self.value_of[_source(node)],), function=lambda x: x**exponent)

    def _activation_function(self, node: fx.Node) -> None:
        rest, named = (
            node.args[1:],
            {key: value for key, value in node.kwargs.items() if key not in ("input", "inplace")},
        )
        if any(isinstance(value, fx.Node) for value in (*rest, *named.values())):
            raise self._unsupported(node, "with a computed argument", "give constant arguments")
        target: Any = node.target

        def function(x: Tensor) -> Tensor:
            call = getattr(torch.Tensor, target) if node.op == "call_method" else target
            result: Tensor = call(x, *rest, **named)
            return result

        self._append(node, "activation", function=function)

    def _softmax(self, node: fx.Node) -> None:
        last = all(user.op == "output" for user in node.users)
        if not last or self.trace.values[node].ndim != 2:
            raise self._unsupported(node)
        self.dropped.append(
            f"{self.trace.where(node)} ({self.trace.operation(node)}) at the end: the classes keep their order"
        )
        self._alias(node)
        node.replace_all_uses_with(_source(node))
        self.trace.graph_module.graph.erase_node(node)
        self.trace.graph_module.recompile()

    # -- building ------------------------------------------------------------------------------------------------

    def _affine(self, node: fx.Node, source: Any, scale: Tensor, shift: Tensor) -> None:
        shape = self.trace.values[node].shape
        if shape != self.trace.values[source].shape:
            raise self._unsupported(
                node, "with a constant larger than the value", "use a constant that broadcasts to the value"
            )
        parts: dict[str, Any] = {}
        for key, part in (("scale", scale), ("shift", shift)):
            part = part.detach().to(torch.float64)
            if part.ndim == len(shape):
                if part.shape[0] != 1:
                    raise self._unsupported(
                        node, "with a constant that varies along the batch", "use a constant without a batch axis"
                    )
                part = part[0]
            parts[key] = part.numpy()
        self._append(node, "affine", inputs=(self.value_of[source],), **parts)

    def _append(
        self, node: fx.Node, kind: str, *, inputs: tuple[str, ...] | None = None, shape: Shape | None = None,
        module: nn.Module | None = None, **options: Any,
    ) -> None:  # fmt: skip
        if inputs is None:
            source = _source(node)
            if source not in self.value_of:
                raise self._unsupported(node, "of a constant")
            inputs = (self.value_of[source],)
        name = self._unique(str(node.target) if node.op == "call_module" else node.name)
        shape = tuple(self.trace.values[node].shape[1:]) if shape is None else shape
        self.layers.append(
            Layer(name=name, kind=kind, inputs=inputs, shape=shape, fx_node=node, module=module, options=options)
        )
        self.value_of[node] = name

    def _alias(self, node: fx.Node) -> None:
        self.value_of[node] = self.value_of[_source(node)]

    def _unique(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self.names:
            count += 1
            candidate = f"{name}#{count}"
        self.names.add(candidate)
        return candidate

    def _is_value(self, argument: Any) -> bool:
        return isinstance(argument, fx.Node) and argument in self.value_of

    def _shape(self, node: fx.Node) -> Shape:
        return tuple(self.trace.values[node].shape[1:])

    def _constant(self, argument: Any) -> Tensor:
        value = self.trace.values[argument] if isinstance(argument, fx.Node) else argument
        return torch.as_tensor(value, dtype=torch.float64)

    def _check_in_place(self, node: fx.Node) -> None:
        """An in-place operation also changes what later readers of its input see; the layers here do not."""
        module = self.trace.graph_module.get_submodule(str(node.target)) if node.op == "call_module" else None
        if not (node.target in IN_PLACE or node.kwargs.get("inplace") is True or getattr(module, "inplace", False)):
            return
        order = {other: position for position, other in enumerate(self.trace.graph_module.graph.nodes)}
        if any(order[user] > order[node] for user in _source(node).users):
            raise self._unsupported(
                node, "in place on a value that is read again later", "use the out-of-place form (inplace=False)"
            )

    def _unsupported(self, node: fx.Node, reason: str = "", advice: str = "") -> Exception:
        return unsupported(self.trace.where(node), self.trace.operation(node), reason, advice)


def _source(node: fx.Node) -> fx.Node:
    """The first graph input of a node: its tensor."""
    return node.all_input_nodes[0]


def _argument(node: fx.Node, position: int, name: str, default: Any) -> Any:
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)


def _tuple(value: Any, rank: int) -> tuple[Any, ...]:
    if isinstance(value, (tuple, list)):
        return tuple(value) if len(value) == rank else tuple(value) * rank
    return (value,) * rank
