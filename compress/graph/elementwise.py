"""Element-wise functions of one value that are written in several operations become one activation.

`x * torch.sigmoid(x)`, `0.5 * x * (1 + torch.erf(x / 1.41421))` and `torch.where(x > 0, x, 0.1 * x)` are functions of
one number like any activation. As one activation they cost one polynomial; operation by operation every part would get
a polynomial of its own, and every product one more level. Sums, products and whole powers alone stay as they are: they
are polynomials already (`compress.conversion.combining`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from compress.graph import spellings
from compress.graph.building import source_of, spoils_a_reader
from compress.graph.composite import ElementwiseActivation
from compress.graph.tracing import Trace
from compress.network import Shape

#: Operations of polynomials, and those that change nothing about a function being one.
_UNCHANGED = spellings.ALIAS - frozenset(spellings.DROPOUT_MODULES) | {"float", "to", "type_as"}
_LINEAR = spellings.ADD | spellings.SUBTRACT | spellings.NEGATE | _UNCHANGED
_ARITHMETIC = _LINEAR | spellings.MULTIPLY | spellings.SQUARE | spellings.POWER | spellings.DIVIDE
#: What is bent by itself, even alone: a choice or a division has no rule of its own.
_BENT = spellings.PARTS | spellings.DIVIDE | {torch.where}
_ELEMENTWISE = _ARITHMETIC | _BENT | spellings.ACTIVATION_MODULES | spellings.ACTIVATION_FUNCTIONS


def fuse_elementwise(traced: Trace) -> Trace:
    """The trace with every element-wise function of one value that takes several operations as one module.

    The graph of the trace is changed. A function that torch has under one name is left as it is.
    """
    roots = _roots(traced)
    graph = traced.graph_module.graph
    values, encrypted = dict(traced.values), set(traced.encrypted)
    for node in list(graph.nodes):
        if roots.get(node, node) is node or all(roots.get(user) is roots[node] for user in node.users):
            continue
        region = _region(node, roots)
        if not _worth_it(traced, region) or any(spoils_a_reader(traced.graph_module, step) for step in region):
            continue
        module = _activation(traced, node, roots[node], region)
        if module is None:
            continue
        path = _free_path(traced.graph_module, traced.where(node), region)
        traced.graph_module.add_submodule(path, module)
        with graph.inserting_after(node):
            new = graph.call_module(path, (roots[node],))
        new.meta = dict(node.meta)
        node.replace_all_uses_with(new)
        values[new] = traced.values[node]
        encrypted.add(new)
        roots[new] = new
    for node in reversed(list(graph.nodes)):
        if node in roots and roots[node] is not node and not node.users:
            graph.erase_node(node)
    traced.graph_module.recompile()
    return replace(traced, values=values, encrypted=frozenset(encrypted))


def _roots(traced: Trace) -> dict[fx.Node, fx.Node]:
    """For every encrypted node the earliest value that it is an element-wise function of; itself if there is none."""
    roots: dict[fx.Node, fx.Node] = {}
    for node in traced.graph_module.graph.nodes:
        if node not in traced.encrypted or node.op == "output":
            continue
        sources = [source for source in node.all_input_nodes if source in roots]
        found = {roots[source] for source in sources}
        value = traced.values[node]
        shapes = {traced.values[source].shape for source in sources if isinstance(traced.values[source], Tensor)}
        same = isinstance(value, Tensor) and shapes == {value.shape}
        roots[node] = found.pop() if len(found) == 1 and same and _is_elementwise(traced, node) else node
    return roots


def _is_elementwise(traced: Trace, node: fx.Node) -> bool:
    if node.target is torch.where and node.args[0] not in traced.encrypted:
        return False  # a choice by a constant mask moves elements
    return _one_of(traced, node, _ELEMENTWISE) and "alpha" not in node.kwargs


def _one_of(traced: Trace, node: fx.Node, these: spellings.Spellings) -> bool:
    """Whether an operation is spelled in one of these ways; a module counts by its own class."""
    if node.op == "call_module":
        return type(traced.graph_module.get_submodule(str(node.target))) in these
    return node.op in ("call_function", "call_method") and node.target in these


def _region(node: fx.Node, roots: dict[fx.Node, fx.Node]) -> list[fx.Node]:
    """The operations between a node's root and the node, in execution order, the node included."""
    found, wanted = {node}, [node]
    while wanted:
        for source in wanted.pop().all_input_nodes:
            if source not in found and roots.get(source) is roots[node] and source is not roots[node]:
                found.add(source)
                wanted.append(source)
    return [other for other in node.graph.nodes if other in found]


def _worth_it(traced: Trace, region: list[fx.Node]) -> bool:
    """Whether a region is no polynomial, and more than one activation with a line before or after it."""
    bent = [node for node in region if not _one_of(traced, node, _LINEAR) and not _is_line(traced, node)]
    named = [node for node in bent if not _is_power(traced, node)]
    alone = len(bent) == 1 and not _one_of(traced, bent[0], _BENT)
    return bool(named) and not alone


def _is_line(traced: Trace, node: fx.Node) -> bool:
    """A product with a constant, or a division by one."""
    values = [part for part in (*node.args, *node.kwargs.values()) if part in traced.encrypted]
    if _one_of(traced, node, spellings.MULTIPLY):
        return len(values) == 1
    return len(values) == 1 and node.args[0] is values[0] and _one_of(traced, node, spellings.DIVIDE)


def _is_power(traced: Trace, node: fx.Node) -> bool:
    """A product of values or a whole power: an operation of polynomials."""
    if _one_of(traced, node, spellings.MULTIPLY | spellings.SQUARE):
        return True
    exponent = node.args[1] if len(node.args) > 1 else node.kwargs.get("exponent")
    whole = isinstance(exponent, (int, float)) and exponent == int(exponent) and exponent >= 1
    return _one_of(traced, node, spellings.POWER) and whole


def _activation(traced: Trace, node: fx.Node, root: fx.Node, region: list[fx.Node]) -> ElementwiseActivation | None:
    """The region as a module; None where one of its constants varies along other axes than the channels."""
    copied = _Copy(traced, root)
    for step in region:
        copied.add(step)
    if any(part is None for part in copied.parts.values()):
        return None
    copied.graph.output(copied.nodes[node])
    names = list(dict.fromkeys(traced.operation(step).removeprefix("_") for step in region))
    words = names[0] if len(names) == 1 else f"function of one value ({', '.join(names)})"
    return ElementwiseActivation(copied.graph, copied.parts, words)


class _Copy:
    """A region as a graph of its own, with the constants and modules that it reads."""

    def __init__(self, traced: Trace, root: fx.Node) -> None:
        self.traced = traced
        self.shape: Shape = tuple(traced.values[root].shape[1:])
        self.graph = fx.Graph()
        self.nodes = {root: self.graph.placeholder("x")}
        self.parts: dict[str, Any] = {}

    def add(self, step: fx.Node) -> None:
        """Copy one operation; what it reads is copied already, or constant."""
        module = self.traced.graph_module.get_submodule(str(step.target)) if step.op == "call_module" else None
        if module is None and step.target not in spellings.PRELU:
            self.nodes[step] = self.graph.node_copy(step, self._source)
        elif isinstance(module, nn.PReLU) or module is None:
            slope = step.args[1] if module is None else module.weight
            self._add_prelu(step, self.traced.values[slope] if isinstance(slope, fx.Node) else slope)
        else:
            self.nodes[step] = self.graph.call_module(self._part("module", module), (self._source(source_of(step)),))

    def _add_prelu(self, step: fx.Node, slope: Any) -> None:
        """where(x > 0, x, slope x), with a slope for each channel."""
        column = slope.detach().reshape((-1,) + (1,) * (len(self.shape) - 1))
        own = self.graph.get_attr(self._part("slope", _by_channel(column, self.shape)))
        value = self._source(source_of(step))
        above = self.graph.call_function(torch.gt, (value, 0))
        self.nodes[step] = self.graph.call_function(
            torch.where, (above, value, self.graph.call_function(torch.mul, (value, own)))
        )

    def _source(self, node: fx.Node) -> fx.Node:
        if node not in self.nodes:
            constant = _by_channel(torch.as_tensor(self.traced.values[node]), self.shape)
            self.nodes[node] = self.graph.get_attr(self._part("constant", constant))
        return self.nodes[node]

    def _part(self, kind: str, part: Any) -> str:
        name = f"{kind}{len(self.parts)}"
        self.parts[name] = part
        return name


def _by_channel(constant: Tensor, shape: Shape) -> Tensor | None:
    """A constant beside a value of `shape`, as () or (channels, 1, ...); None if it varies along other axes."""
    if constant.numel() == 1:
        return constant.detach().reshape(())
    own = constant.detach()
    if own.ndim == len(shape) + 1:
        if (own != own[:1]).any():
            return None
        own = own[0]
    if own.ndim != len(shape) or any(size != 1 for size in own.shape[1:]):
        return None
    return own


def _free_path(model: fx.GraphModule, name: str, region: list[fx.Node]) -> str:
    """A path for a new module: that of a module that it replaces, else the name, with a number if it is taken."""
    calls = [node for node in model.graph.nodes if node.op == "call_module" and node.target == name]
    if calls == region:
        return name
    taken = {path for path, _ in model.named_modules()}
    candidate, count = name, 1
    while candidate in taken or hasattr(model, candidate):
        count += 1
        candidate = f"{name}_{count}"
    return candidate
