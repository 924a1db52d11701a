"""torch.fx: a module as a graph of operations, each with the value it makes on an example batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from compress.errors import InputShapeError, UnsupportedLayerError
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

    def operation(self, node: fx.Node) -> str:
        """A name for people: the module's class, or the function's or method's name."""
        if node.op == "call_module":
            return type(self.graph_module.get_submodule(str(node.target))).__name__.removeprefix("Parametrized")
        return node.target if isinstance(node.target, str) else str(getattr(node.target, "__name__", node.target))

    def where(self, node: fx.Node) -> str:
        """Where a node is: the path of a module; for a function its name after the path of the module that calls it."""
        if node.op == "call_module":
            return str(node.target)
        stack = node.meta.get("nn_module_stack") or {}
        owner = next((str(path) for path in reversed(list(stack)) if str(path)), "")
        return f"{owner}.{node.name}" if owner else node.name


class _Tracer(fx.Tracer):
    """Treats as one operation every torch.nn module with its own forward, parametrized or not, and our own modules."""

    def __init__(self) -> None:
        super().__init__()
        self.current = ""

    def is_leaf_module(self, module: nn.Module, module_qualified_name: str) -> bool:
        self.current = module_qualified_name
        if type(module).__module__ == "compress.graph.modules":
            return True
        base: Any = next(kind for kind in type(module).__mro__ if kind.__module__.startswith("torch.nn."))
        containers = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
        return base is not nn.Module and not isinstance(module, containers) and type(module).forward is base.forward


def trace(module: nn.Module, input_shape: Shape) -> Trace:
    """Trace an evaluation-mode module and run it on a batch of zeros of `input_shape` (without the batch axis).

    Raises: UnsupportedLayerError (control flow, several inputs or outputs), InputShapeError.
    """
    tracer = _Tracer()
    if tracer.is_leaf_module(module, ""):
        module = nn.Sequential(module)  # a bare layer has no graph of its own
    try:
        graph = tracer.trace(module)
    except Exception as error:  # user code runs here: any of its exceptions means that it cannot be traced
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise unsupported(
            tracer.current or type(module).__name__,
            "control flow",
            f"that depends on the data cannot be traced ({reason})",
            "compute on the whole tensor with fixed shapes: no if, loop, len() or item() on tensors",
        ) from error
    graph_module = fx.GraphModule(tracer.root, graph)
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
    runner = _Runner(graph_module)
    found = Trace(graph_module, runner.seen, _reached(graph))
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.get_default_dtype())
    try:
        with torch.no_grad():
            runner.run(torch.zeros((EXAMPLE_BATCH, *input_shape), dtype=dtype))
    except Exception as error:
        layer = found.where(runner.current) if runner.current is not None else "input"
        reason = str(error).splitlines()[0]
        raise InputShapeError(
            f"layer '{layer}': fails on a batch of {EXAMPLE_BATCH} inputs of shape {input_shape} ({reason}); "
            "give data of the shape the model takes, with a free batch axis"
        ) from error
    if output.args[0] not in found.encrypted:
        raise UnsupportedLayerError("output", "the output does not depend on the input; return what the layers make")
    return found


class _Runner(fx.Interpreter):
    """Keeps the value of every node, and the node that is running."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        super().__init__(graph_module, garbage_collect_values=False)
        self.seen: dict[fx.Node, Any] = {}
        self.current: fx.Node | None = None
        self.extra_traceback = False

    def run_node(self, n: fx.Node) -> Any:
        self.current = n
        value = super().run_node(n)
        self.seen[n] = value.clone() if isinstance(value, Tensor) else value
        return value


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
        return node.target in ("size", "dim", "numel", "ndimension")
    return node.target is getattr and node.args[1] in ("shape", "ndim", "dtype", "device")
