"""INTEGER_RULES: the table of `import_model` for integers, which can do more than a network under encryption.

Layer normalization, softmax inside the network, products of two values and means over any axes become new kinds.
"""

from __future__ import annotations

import operator
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from compress.graph import resampling, rules
from compress.graph.building import Builder, Rule, argument, source_of
from compress.graph.importing import RULES
from compress.graph.spellings import MEAN, SOFTMAX, Spellings

LAYER_NORM: Spellings = frozenset({nn.LayerNorm})
MATRIX_PRODUCT: Spellings = frozenset({operator.matmul, torch.matmul, torch.bmm, "matmul", "bmm"})
#: Softmax that has a form in integers; log-softmax has none.
INTEGER_SOFTMAX: Spellings = frozenset({nn.Softmax, F.softmax, torch.softmax, "softmax"})


def layer_norm(build: Builder, node: fx.Node) -> None:
    module: Any = build.module_of(node)
    if len(module.normalized_shape) != 1:
        raise build.unsupported(
            node, f"over {len(module.normalized_shape)} axes has no form in integers", "normalize the last axis"
        )
    build.append(node, "layernorm", module=module, epsilon=float(module.eps))


def matrix_product(build: Builder, node: fx.Node) -> None:
    left, right = node.args[0], node.args[1] if len(node.args) > 1 else next(iter(node.kwargs.values()), None)
    if not (build.is_value(left) and build.is_value(right)):
        raise build.unsupported(node)
    factors: list[Any] = [left, right]
    if any(build.trace.values[factor].ndim < 3 for factor in factors):
        raise build.unsupported(node, "along the batch axis mixes images", "multiply (batch, rows, columns) values")
    build.append(node, "matmul", inputs=tuple(build.value_of[factor] for factor in factors))


def softmax(build: Builder, node: fx.Node) -> None:
    """Softmax over the last axis inside the network; at the end it is left out, as under encryption."""
    rank = build.trace.values[node].ndim
    inside = any(user.op != "output" for user in node.users) or rank != 2
    module: Any = build.module_of(node)
    spelling = node.target if module is None else nn.Softmax if isinstance(module, nn.Softmax) else type(module)
    if not inside or spelling not in INTEGER_SOFTMAX:
        rules.softmax(build, node)
        return
    axis = argument(node, 1, "dim", None) if module is None else module.dim
    if not isinstance(axis, int) or axis % rank != rank - 1:
        raise build.unsupported(node, f"over axis {axis} has no form in integers", "take it over the last axis")
    build.append(node, "softmax", module=module)


def mean(build: Builder, node: fx.Node) -> None:
    """The mean over any axes but the batch; over all spatial axes it is average pooling, as under encryption."""
    source = build.trace.values[source_of(node)]
    given = argument(node, 1, "dim", None)
    axes = sorted(axis % source.ndim for axis in ((given,) if isinstance(given, int) else given or ()))
    if not axes or axes[0] == 0 or axes == list(range(2, source.ndim)):
        resampling.mean(build, node)
        return
    count = prod(source.shape[axis] for axis in axes)
    build.append(node, "mean", axes=tuple(axis - 1 for axis in axes), count=count)


#: The table of `import_model` for integers. More kinds: matmul, softmax, layernorm (option epsilon) and mean (options
#: axes, count).
INTEGER_RULES: tuple[Rule, ...] = (
    *RULES,
    Rule(LAYER_NORM, layer_norm),
    Rule(MATRIX_PRODUCT, matrix_product),
    Rule(SOFTMAX, softmax),
    Rule(MEAN, mean),
)
