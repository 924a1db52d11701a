"""Outputs in units of their spread while a network is trained.

An optimizer that moves every parameter by about the learning rate cannot train an output of 1e-3 beside one of 1e3:
the weights of the first jump about, those of the second hardly move. While training lasts, the rows of the last layer
are therefore divided by their outputs' spread, and the objective multiplies what they give. The factors are powers of
two, so that a layer that does not train comes back bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from compress.training.objective import Objective


@contextmanager
def outputs_in_units(student: nn.Module, objective: Objective) -> Iterator[Objective]:
    """The objective for a student whose outputs are divided by their spread for as long as this lasts.

    Nothing changes for class scores, nor where the last operation is no linear layer with weights of its own, as after
    quantization.
    """
    layer = _last_layer(student)
    units = 2.0 ** np.rint(np.log2(objective.spread))
    if layer is None or objective.learns_probabilities or bool((units == 1).all()):
        yield objective
        return
    factors = torch.as_tensor(units, dtype=layer.weight.dtype)
    _scale_(layer, 1 / factors)
    try:
        yield replace(objective, units=units)
    finally:
        _scale_(layer, factors)


def _scale_(layer: nn.Linear, factors: Tensor) -> None:
    with torch.no_grad():
        layer.weight.mul_(factors[:, None])
        if layer.bias is not None:
            layer.bias.mul_(factors)


def _last_layer(student: nn.Module) -> nn.Linear | None:
    """The linear layer that gives the outputs, where it runs once and its weight is its own."""
    if not isinstance(student, fx.GraphModule):
        return None
    nodes = list(student.graph.nodes)
    last = nodes[-1].args[0]
    if not isinstance(last, fx.Node) or last.op != "call_module":
        return None
    layer = student.get_submodule(str(last.target))
    calls = sum(1 for node in nodes if node.op == "call_module" and student.get_submodule(str(node.target)) is layer)
    own = isinstance(layer, nn.Linear) and not parametrize.is_parametrized(layer) and calls == 1
    shared = own and any(
        other is not layer and any(parameter is layer.weight for parameter in other.parameters(recurse=False))
        for other in student.modules()
    )
    return layer if isinstance(layer, nn.Linear) and own and not shared else None
