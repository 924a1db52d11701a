"""Builder: one pass over a traced graph that lists its layers, by a table from spelling to rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from compress.graph.layers import Imported, Layer
from compress.graph.spellings import IN_PLACE, Spelling, Spellings
from compress.graph.tracing import Trace
from compress.graph.unsupported import unsupported
from compress.network import Shape


@dataclass(frozen=True)
class Rule:
    """What a set of spellings turns into. apply: adds the layers of a node to a builder. becomes: the same in words.

    A rule with an empty `becomes` is not in the list of supported layers. moves: whether it only moves elements, so
    that it may read a value whose batch axis is not the first.
    """

    spellings: Spellings
    apply: Callable[[Builder, fx.Node], None]
    becomes: str = ""
    moves: bool = False


def by_spelling(rules: Sequence[Rule]) -> Mapping[Spelling, Rule]:
    """The rules by spelling; of two rules for one spelling the later one."""
    return {spelling: rule for rule in rules for spelling in rule.spellings}


class Builder:
    """The layers found so far.

    value_of: graph node -> name of the layer that makes its value. A node that changes nothing, such as dropout, has
    the name of its input. parts_of: the same for a node that makes several values, such as chunk. elsewhere: the nodes
    whose batch axis is not the first, as in `qkv.permute(2, 0, 3, 1, 4)`; what reads them must move it back.
    """

    def __init__(self, traced: Trace, rules: Mapping[Spelling, Rule]) -> None:
        self.trace = traced
        self.rules = rules
        self.input_shape: Shape = tuple(traced.values[traced.placeholder].shape[1:])
        self.value_of: dict[fx.Node, str] = {traced.placeholder: "input"}
        self.parts_of: dict[fx.Node, tuple[str, ...]] = {}
        self.elsewhere: set[fx.Node] = set()
        self.layers: list[Layer] = []
        self.names: set[str] = {"input"}
        self.dropped: list[str] = []

    def run(self, input_shape: Shape) -> Imported:
        """Apply the rule of every node that depends on the input.

        Raises: UnsupportedLayerError, InputShapeError.
        """
        made_of = needed(self.trace.graph_module.graph)
        for node in list(self.trace.graph_module.graph.nodes):
            if node.op in ("placeholder", "output") or node not in self.trace.encrypted:
                continue
            if node not in made_of and not changes_in_place(self.trace.graph_module, node):
                continue
            if spoils_a_reader(self.trace.graph_module, node):
                raise self.unsupported(
                    node, "in place on a value that is read again later", "use the out-of-place form (inplace=False)"
                )
            rule = self._rule(node)
            if rule is None:
                raise self.unsupported(node)
            if not rule.moves:
                self.check_batch_first(node)
            rule.apply(self, node)
            if node not in self.value_of and node not in self.parts_of and node not in self.elsewhere:
                raise self.unsupported(node, "makes several values or a number")
        if not self.layers:
            advice = "give a model with a Linear or Conv layer"
            raise unsupported("output", "a network", "without any layer cannot be converted", advice)
        self.check_batch_first(next(node for node in self.trace.graph_module.graph.nodes if node.op == "output"))
        self.trace.check_free_batch()
        return Imported(self.trace.graph_module, input_shape, tuple(self.layers), tuple(self.dropped))

    def _rule(self, node: fx.Node) -> Rule | None:
        """The rule of a node; of a module that of its class or of the nearest base class that has one."""
        module = self.module_of(node)
        spellings: tuple[Any, ...] = (node.target,) if module is None else type(module).__mro__
        return next((self.rules[one] for one in spellings if one in self.rules), None)

    def module_of(self, node: fx.Node) -> nn.Module | None:
        """The module that a node calls; None for a function or method."""
        return self.trace.graph_module.get_submodule(str(node.target)) if node.op == "call_module" else None

    def append(
        self, node: fx.Node, kind: str, *, inputs: tuple[str, ...] | None = None, shape: Shape | None = None,
        module: nn.Module | None = None, suffix: str = "", **options: Any,
    ) -> str:  # fmt: skip
        """Add a layer for a node and return its name. inputs, shape: where they are not those of the node.

        suffix: what the layer's name has after the node's, for a node of several layers.
        """
        if inputs is None:
            source = source_of(node)
            if source not in self.value_of:
                raise self.unsupported(node, "of a constant")
            inputs = (self.value_of[source],)
        name = self._unique((str(node.target) if node.op == "call_module" else node.name) + suffix)
        self.layers.append(
            Layer(
                name=name,
                kind=kind,
                inputs=inputs,
                shape=self.shape(node) if shape is None else shape,
                fx_node=node,
                module=module,
                options=options,
            )
        )
        self.value_of[node] = name
        return name

    def alias(self, node: fx.Node) -> None:
        """The node changes nothing: its value is that of its input."""
        self.value_of[node] = self.value_of[source_of(node)]

    def check_batch_first(self, node: fx.Node) -> None:
        """Raises: UnsupportedLayerError for a node that reads a value whose batch axis is not the first."""
        for source in node.all_input_nodes:
            if source in self.elsewhere:
                raise self.unsupported(source, "moves the batch axis", "keep axis 0 first (batch_first=True)")

    def is_value(self, argument: Any) -> bool:
        """Whether an argument is an encrypted value, and not a constant."""
        return isinstance(argument, fx.Node) and argument in self.value_of

    def shape(self, node: fx.Node) -> Shape:
        """The shape of a node's value without the batch axis; (1,) for one number per input."""
        return tuple(self.trace.values[node].shape[1:]) or (1,)

    def constant(self, argument: Any) -> Tensor:
        """An argument that is not encrypted, as a float64 tensor."""
        value = self.trace.values[argument] if isinstance(argument, fx.Node) else argument
        return torch.as_tensor(value.detach() if isinstance(value, Tensor) else value, dtype=torch.float64)

    def array(self, tensor: Tensor) -> NDArray[np.float64]:
        """A parameter as a numpy array of its own."""
        return np.array(tensor.detach().to(torch.float64).numpy())

    def per_input(self, node: fx.Node, argument: Any, *, keep: int = 0) -> NDArray[np.float64]:
        """A constant without its batch axis, if it has one: if it has as many axes as the node's value, and more than
        `keep`.

        Raises: UnsupportedLayerError for a constant that varies along the batch.
        """
        part, rank = self.constant(argument), self.trace.values[node].ndim
        if part.ndim < rank or part.ndim <= keep:
            return part.numpy()
        if (part != part[:1]).any():
            raise self.unsupported(
                node, "with a constant that varies along the batch", "use a constant without a batch axis"
            )
        return part[0].numpy()

    def unsupported(self, node: fx.Node, reason: str = "", advice: str = "") -> Exception:
        """The error for a node that no rule takes, or that a rule cannot take."""
        return unsupported(self.trace.where(node), self.trace.operation(node), reason, advice)

    def _unique(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self.names:
            count += 1
            candidate = f"{name}#{count}"
        self.names.add(candidate)
        return candidate


def spoils_a_reader(model: fx.GraphModule, node: fx.Node) -> bool:
    """Whether an operation changes its input in place, and another one reads that input later.

    The layers here do not change what they read, so the later reader would get another value than in torch.
    """
    if not changes_in_place(model, node):
        return False
    order = {other: position for position, other in enumerate(model.graph.nodes)}
    return any(order[user] > order[node] for user in source_of(node).users)


def changes_in_place(model: fx.GraphModule, node: fx.Node) -> bool:
    """Whether an operation writes its result over its input."""
    module = model.get_submodule(str(node.target)) if node.op == "call_module" else None
    return node.target in IN_PLACE or node.kwargs.get("inplace") is True or bool(getattr(module, "inplace", False))


def needed(graph: fx.Graph) -> set[fx.Node]:
    """The nodes that the output is made of. A model may compute more, such as a head that it does not return."""
    found: set[fx.Node] = set()
    for node in reversed(list(graph.nodes)):
        if node.op == "output" or node in found:
            found.update(node.all_input_nodes)
    return found


def source_of(node: fx.Node) -> fx.Node:
    """The first graph input of a node: its tensor."""
    return node.all_input_nodes[0]


def argument(node: fx.Node, position: int, name: str, default: Any) -> Any:
    """A node's argument by position or by name."""
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)
