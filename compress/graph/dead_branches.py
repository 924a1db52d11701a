"""Branches that are the same for every input, because the layer that ends them has no weights left: they go.

Pruning may take every weight of a layer. If that layer ends a branch of a sum, the branch is a constant, and its
products and activations would be trained and computed for nothing. Added to another value, a constant is a shift;
multiplied with one, a factor. An activation right after that sum then is a function of the activation before it, and
both become one (`compress.graph.elementwise`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from compress.graph import spellings
from compress.graph.building import argument, needed, spoils_a_reader
from compress.graph.modules import ChannelAffine
from compress.graph.tracing import Trace
from compress.model.quantizer import PRUNABLE

#: What a constant is taken into, and its form that changes nothing in place.
_TAKING: tuple[tuple[spellings.Spellings, Any], ...] = (
    (spellings.ADD, torch.add),
    (spellings.SUBTRACT, torch.sub),
    (spellings.MULTIPLY, torch.mul),
)


def without_constant_branches(traced: Trace) -> Trace:
    """The trace with constants in the place of branches that depend on no input, where a sum or a product reads them.

    The graph of the trace is changed. A network whose answer is a constant stays as it is.
    """
    graph = traced.graph_module.graph
    living = _living(traced)
    dead = [node for node in graph.nodes if node in traced.encrypted and node not in living]
    refused = any(spoils_a_reader(traced.graph_module, node) for node in traced.encrypted)
    if not dead or refused or dead[-1].op == "output":
        return traced
    values, constants, before = dict(traced.values), dict[fx.Node, fx.Node](), needed(graph)
    anew: dict[fx.Node, Any] = {}
    for node in dead:  # operations in place have changed the values of the trace
        anew[node] = traced.rerun(node, anew)
    for node in list(graph.nodes):
        if node not in living or (operation := _operation(traced, node, living)) is None:
            continue
        for branch in (source for source in node.all_input_nodes if source in dead):
            if branch not in constants:
                constants[branch] = _constant(traced, branch, anew[branch])
                values[constants[branch]] = getattr(traced.graph_module, str(constants[branch].target))
        node.op, node.target = "call_function", operation
        node.args = fx.map_arg((node.args[0], argument(node, 1, "other", None)), lambda one: constants.get(one, one))
        node.kwargs = {}
    for node in reversed(list(graph.nodes)):
        if node in before and not node.users and node.op not in ("placeholder", "output"):
            graph.erase_node(node)
    traced.graph_module.recompile()
    kept = frozenset(node for node in graph.nodes if node in traced.encrypted)
    return replace(traced, values=values, encrypted=kept)


def _living(traced: Trace) -> frozenset[fx.Node]:
    """The nodes whose value depends on the input."""
    living: set[fx.Node] = set()
    for node in traced.graph_module.graph.nodes:
        fed = node.op == "placeholder" or any(source in living for source in node.all_input_nodes)
        if node in traced.encrypted and fed and not _reads_nothing(traced, node):
            living.add(node)
    return frozenset(living)


def _reads_nothing(traced: Trace, node: fx.Node) -> bool:
    """Whether every weight or factor that a layer multiplies its input with is zero."""
    if node.op == "call_module":
        module = traced.graph_module.get_submodule(str(node.target))
        factors: Any = None
        if isinstance(module, (*PRUNABLE, nn.BatchNorm1d, nn.BatchNorm2d)):
            factors = module.weight
        elif isinstance(module, ChannelAffine):
            factors = module.scale
        return factors is not None and not factors.detach().any()
    if node.op == "call_function" and node.target in spellings.LINEAR | spellings.CONVOLUTION:
        weight = argument(node, 1, "weight", None)
        return weight not in traced.encrypted and not traced.values[weight].any()
    return False


def _operation(traced: Trace, node: fx.Node, living: frozenset[fx.Node]) -> Any:
    """The sum, difference or product of a living value and a constant branch that a node computes; None for others."""
    form = next((form for spelled, form in _TAKING if _spelled(node, spelled)), None)
    if form is None or set(node.kwargs) - {"other"} or spoils_a_reader(traced.graph_module, node):
        return None
    sources = [one for one in node.all_input_nodes if one in traced.encrypted]
    wide = len(sources) == 2 and all(_shaped_as(traced, node, one) for one in sources)
    return form if wide and len(living.intersection(sources)) == 1 else None


def _spelled(node: fx.Node, these: spellings.Spellings) -> bool:
    return node.op in ("call_function", "call_method") and node.target in these


def _shaped_as(traced: Trace, node: fx.Node, source: fx.Node) -> bool:
    return isinstance(traced.values[source], Tensor) and traced.values[source].shape == traced.values[node].shape


def _constant(traced: Trace, branch: fx.Node, value: Tensor) -> fx.Node:
    """A node with the branch's value for one input; one number per channel where it is the same at all places."""
    value = value.detach()[:1].clone()
    corner = value[(slice(None), slice(None), *(slice(1) for _ in value.shape[2:]))]
    name = _free_name(traced.graph_module, f"{branch.name}_constant")
    traced.graph_module.register_buffer(name, corner.clone() if bool((value == corner).all()) else value)
    graph = traced.graph_module.graph
    with graph.inserting_after(branch):
        return graph.get_attr(name)


def _free_name(model: nn.Module, name: str) -> str:
    """`name`, or the first of name_2, name_3, ... that the model does not use."""
    candidate, count = name, 1
    while hasattr(model, candidate):
        count += 1
        candidate = f"{name}_{count}"
    return candidate
