"""torch.fx: a module as a graph of operations, each with the value it makes on an example batch."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from compress.errors import InputShapeError, UnsupportedLayerError
from compress.graph.in_parts import IN_PARTS
from compress.graph.shaped import ShapedProxy, SizeProxy
from compress.graph.transformers import OPENED, in_parts
from compress.graph.unsupported import unsupported
from compress.network import Shape

#: An unusual batch size, so that a model with a fixed batch size in a reshape fails.
EXAMPLE_BATCH = 3


@dataclass(frozen=True)
class Trace:
    """A traced model: the graph, the value of every node on the example batch, and which nodes depend on the input."""

    graph_module: fx.GraphModule
    values: dict[fx.Node, Any]
    encrypted: frozenset[fx.Node]

    @property
    def placeholder(self) -> fx.Node:
        found: fx.Node = next(node for node in self.graph_module.graph.nodes if node.op == "placeholder")
        return found

    def rerun(self, node: fx.Node, instead: Mapping[fx.Node, Any]) -> Any:
        """The value of one operation with other values in place of some that it reads."""
        args, kwargs = (
            fx.map_arg(part, lambda source: instead.get(source, self.values[source]))
            for part in (node.args, node.kwargs)
        )
        with torch.no_grad():
            return run_operation(self.graph_module, node, args, kwargs)

    def operation(self, node: fx.Node) -> str:
        """A name for people: the module's class, or the function's or method's name."""
        if node.op == "call_module":
            return type(self.graph_module.get_submodule(str(node.target))).__name__.removeprefix("Parametrized")
        return node.target if isinstance(node.target, str) else str(getattr(node.target, "__name__", node.target))

    def where(self, node: fx.Node) -> str:
        """Where a node is: the path of a module; for a function its name after the path of the module that calls it."""
        return _where(node)

    def check_free_batch(self) -> None:
        """Run the graph on another batch size than the example's: no number in it may be the example's.

        Raises: InputShapeError.
        """
        output = next(node for node in self.graph_module.graph.nodes if node.op == "output")
        size, reason = EXAMPLE_BATCH - 1, ""
        try:
            with torch.no_grad():
                if len(self.graph_module(self.values[self.placeholder][:size])) == size:
                    return
        except Exception as error:  # the model's operations run here
            reason = f" ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        raise InputShapeError(
            f"layer '{_where(output.args[0])}': takes a batch of one size only{reason}; read the size from the input "
            "(x.shape[0] or x.size(0), not len(x)), or use flatten(1)"
        )


class _Fails(Exception):
    """An operation that fails on the example batch."""

    def __init__(self, node: fx.Node, reason: str) -> None:
        super().__init__(reason)
        self.node = node


class _Tracer(fx.Tracer):
    """Runs every node on the example batch as soon as it is traced.

    One operation is every torch.nn module with its own forward, parametrized or not, and our own modules.
    values: by node. batched: the nodes that depend on the input or on the size of its batch.
    """

    def __init__(self, example: Tensor) -> None:
        super().__init__()
        self.current = ""
        self.example = example
        self.values: dict[fx.Node, Any] = {}
        self.batched: set[fx.Node] = set()
        self._running = False

    def is_leaf_module(self, module: nn.Module, module_qualified_name: str) -> bool:
        self.current = module_qualified_name
        if type(module).__module__ in ("compress.graph.modules", "compress.graph.composite"):
            return True
        base: Any = next(kind for kind in type(module).__mro__ if kind.__module__.startswith("torch.nn."))
        opened = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.GLU, nn.Bilinear, *OPENED)
        return base is not nn.Module and not isinstance(module, opened) and type(module).forward is base.forward

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **named: Any) -> Any:
        if kind == "placeholder" and args and self.values:
            return args[0]  # an argument of forward after the input has its default
        if target in ("squeeze", torch.squeeze) and len(args) == 1 and not kwargs and args[0].batched:
            # without an axis the batch would go too where it has one input
            kept = (size for size in args[0].example.shape[1:] if size != 1)
            kind, target, args = "call_method", "reshape", (args[0], args[0].size(0), *kept)
        if kind == "call_function" and target in IN_PARTS:
            return IN_PARTS[target](*args, **kwargs)
        if kind == "call_function" and target is not operator.getitem:
            args = tuple(_spread(part) for part in args)
            kwargs = {name: _spread(part) for name, part in kwargs.items()}
        return super().create_proxy(kind, target, args, kwargs, *rest, **named)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        value = self._value(node)
        self.values[node] = value
        if node.op == "placeholder" or any(source in self.batched for source in node.all_input_nodes):
            self.batched.add(node)
        return (SizeProxy if isinstance(value, int) and node in self.batched else ShapedProxy)(node, self)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if self._running:
            return forward(*args, **kwargs)
        return super().call_module(m, in_parts(m) or forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        return attr_val if self._running else super().getattr(attr, attr_val, parameter_proxy_cache)

    def _value(self, node: fx.Node) -> Any:
        """The node's value on the example; its inputs' values are there already."""
        if node.op == "placeholder":
            return self.example
        for source in node.all_input_nodes:  # torch.fx makes nodes for constant tensors by itself
            if source not in self.values:
                self.values[source] = self._value(source)
        args, kwargs = (fx.map_arg(part, lambda source: self.values[source]) for part in (node.args, node.kwargs))
        self._running = True
        try:
            with torch.no_grad():
                return run_operation(self.root, node, args, kwargs)
        except Exception as error:  # code of torch or of a module runs here
            raise _Fails(node, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
        finally:
            self._running = False


def _spread(argument: Any) -> Any:
    """A value that is a tuple of tensors, such as that of chunk, as its parts."""
    several = isinstance(argument, ShapedProxy) and isinstance(argument.example, (tuple, list))
    return tuple(argument) if several else argument


def run_operation(root: nn.Module, node: fx.Node, args: Any, kwargs: Any) -> Any:
    """The value of one node of a graph over `root`."""
    match node.op:
        case "call_function":
            return cast(Any, node.target)(*args, **kwargs)
        case "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        case "call_module":
            return root.get_submodule(str(node.target))(*args, **kwargs)
        case "get_attr":
            path, _, name = str(node.target).rpartition(".")
            value = getattr(root.get_submodule(path), name)
            return value.detach().clone() if isinstance(value, Tensor) else value
    return None  # the output


def trace(module: nn.Module, input_shape: Shape) -> Trace:
    """Trace an evaluation-mode module and run it on a batch of zeros of `input_shape` (without the batch axis).

    Shapes are known while the model's own code runs, so that it may test them (`compress.graph.shaped`).
    Raises: UnsupportedLayerError (control flow, several inputs or outputs), InputShapeError.
    """
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.get_default_dtype())
    tracer = _Tracer(torch.zeros((EXAMPLE_BATCH, *input_shape), dtype=dtype))
    if tracer.is_leaf_module(module, "") or in_parts(module) is not None:
        module = nn.Sequential(module)  # a bare layer has no graph of its own
    graph = _traced(tracer, module, input_shape)
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        names = ", ".join(node.name for node in inputs)
        advice = "write a module whose forward takes one tensor"
        raise unsupported(
            inputs[1].name if inputs else "forward", "forward", f"takes {len(inputs)} inputs ({names})", advice
        )
    output = next(node for node in graph.nodes if node.op == "output")
    if not isinstance(output.args[0], fx.Node):
        raise unsupported("output", "forward", "returns several values", "return one tensor")
    found = Trace(fx.GraphModule(tracer.root, graph), tracer.values, _reached(graph))
    if output.args[0] not in found.encrypted:
        raise UnsupportedLayerError("output", "the output does not depend on the input; return what the layers make")
    return found


def _traced(tracer: _Tracer, module: nn.Module, input_shape: Shape) -> fx.Graph:
    """The graph of a module. Raises: as `trace`."""
    try:
        return tracer.trace(module)
    except _Fails as error:
        layer = _where(error.node)
        raise InputShapeError(
            f"layer '{layer}': fails on a batch of {EXAMPLE_BATCH} inputs of shape {input_shape} ({error}); "
            "give data of the shape the model takes, with a free batch axis"
        ) from error
    except UnsupportedLayerError:
        raise
    except Exception as error:  # user code runs here: any of its exceptions means that it cannot be traced
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise unsupported(
            tracer.current or type(module).__name__,
            "control flow",
            f"that depends on the data cannot be traced ({reason})",
            "compute on the whole tensor: no if, loop or item() on values of the data; tests of its shape are fine",
        ) from error


def _where(node: fx.Node) -> str:
    """Where a node is: the path of a module; for a function its name after the path of the module that calls it."""
    if node.op == "call_module":
        return str(node.target)
    stack = node.meta.get("nn_module_stack") or {}
    owner = next((str(path) for path in reversed(list(stack)) if str(path)), "")
    return f"{owner}.{node.name}" if owner else node.name


def _reached(graph: fx.Graph) -> frozenset[fx.Node]:
    """The nodes that depend on the values of the input; a node that only reads its shape is not encrypted."""
    reached: set[fx.Node] = set()
    for node in graph.nodes:
        fed = node.op == "placeholder" or any(source in reached for source in node.all_input_nodes)
        if fed and not _reads_shape(node):
            reached.add(node)
    return frozenset(reached)


def _reads_shape(node: fx.Node) -> bool:
    if node.op == "call_method":
        return node.target in ("size", "dim", "numel", "ndimension", "new_zeros", "new_ones", "new_full", "new_tensor")
    if node.target is getattr:
        return node.args[1] in ("shape", "ndim", "dtype", "device")
    return node.target in (torch.zeros_like, torch.ones_like, torch.full_like, torch.numel)
