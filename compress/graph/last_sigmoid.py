"""A sigmoid at the end of a classifier, which names the same classes without it.

A sigmoid rises everywhere: scores keep their order, and a probability above 0.5 is a logit above 0. Leaving it out
saves a polynomial and its levels. Networks whose outputs are wanted as numbers keep it.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import fx, nn

from compress.graph.building import source_of
from compress.graph.spellings import ALIAS, RESHAPE, Spellings
from compress.graph.tracing import Trace

SIGMOID: Spellings = frozenset({nn.Sigmoid, F.sigmoid, torch.sigmoid, "sigmoid"})


def last_sigmoid(traced: Trace) -> fx.Node | None:
    """The sigmoid that makes the outputs, before nothing but reshapes; None where there is none."""
    node = next(node for node in traced.graph_module.graph.nodes if node.op == "output").args[0]
    while isinstance(node, fx.Node) and node in traced.encrypted and _readers(traced, node) == 1:
        if _is_one_of(SIGMOID, traced, node):
            return node
        if not _is_one_of(RESHAPE | ALIAS, traced, node):
            return None
        node = source_of(node)
    return None


def without_last_sigmoid(traced: Trace) -> tuple[Trace, tuple[str, ...]]:
    """The trace without its last sigmoid, and a line about it; the same trace and no line where there is none.

    The graph of the trace is changed.
    """
    node = last_sigmoid(traced)
    if node is None:
        return traced, ()
    where, what = traced.where(node), traced.operation(node)
    line = f"{where} ({what}) at the end: outputs are logits; above 0 is a probability above 0.5"
    node.replace_all_uses_with(source_of(node))
    traced.graph_module.graph.erase_node(node)
    traced.graph_module.recompile()
    return replace(traced, encrypted=traced.encrypted - {node}), (line,)


def _readers(traced: Trace, node: fx.Node) -> int:
    """How many operations read the value, and not its shape alone."""
    return sum(user.op == "output" or isinstance(traced.values[user], torch.Tensor) for user in node.users)


def _is_one_of(spellings: Spellings, traced: Trace, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(traced.graph_module.get_submodule(str(node.target)), _modules(spellings))
    return node.target in spellings


def _modules(spellings: Spellings) -> tuple[type, ...]:
    return tuple(one for one in spellings if isinstance(one, type))
