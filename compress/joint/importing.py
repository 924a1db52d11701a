"""Import for integer execution: what a network under encryption may not have, and integers can do.

Layer normalization, softmax inside the network, products of two values and means over any axes get kinds of their own. What neither
has stays refused by name.
"""

from __future__ import annotations

import operator
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from compress.graph.importing import Imported, Importer
from compress.graph.tracing import trace
from compress.network import Shape

_PRODUCTS = frozenset({operator.matmul, torch.matmul, torch.bmm, "matmul", "bmm"})
_SOFTMAX = frozenset({F.softmax, torch.softmax, "softmax"})


def import_for_integers(module: nn.Module, input_shape: Shape) -> Imported:
    """As `import_model`, with the further kinds matmul, softmax, layernorm (options epsilon) and mean (options axes, count).

    Raises: UnsupportedLayerError, InputShapeError.
    """
    return _IntegerImporter(trace(module, tuple(input_shape))).run(tuple(input_shape))


class _IntegerImporter(Importer):
    def _node(self, node: fx.Node) -> None:
        if node.op != "call_module" and node.target in _PRODUCTS:
            self._matrix_product(node)
        else:
            super()._node(node)

    def _module(self, node: fx.Node, module: nn.Module) -> None:
        if isinstance(module, nn.LayerNorm):
            if len(module.normalized_shape) != 1:
                raise self._unsupported(
                    node, f"over {len(module.normalized_shape)} axes has no form in integers", "normalize the last axis"
                )
            self._append(node, "layernorm", module=module, epsilon=float(module.eps))
        else:
            super()._module(node, module)

    def _matrix_product(self, node: fx.Node) -> None:
        left, right = node.args[0], node.args[1] if len(node.args) > 1 else next(iter(node.kwargs.values()), None)
        if not (self._is_value(left) and self._is_value(right)):
            raise self._unsupported(node)
        factors: list[Any] = [left, right]
        if any(self.trace.values[factor].ndim < 3 for factor in factors):
            raise self._unsupported(node, "along the batch axis mixes images", "multiply (batch, rows, columns) values")
        self._append(node, "matmul", inputs=tuple(self.value_of[factor] for factor in factors))

    def _softmax(self, node: fx.Node) -> None:
        inside = any(user.op != "output" for user in node.users) or self.trace.values[node].ndim != 2
        module = self.trace.graph_module.get_submodule(str(node.target)) if node.op == "call_module" else None
        if not inside or not (isinstance(module, nn.Softmax) or (module is None and node.target in _SOFTMAX)):
            super()._softmax(node)
            return
        given = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        axis = given if module is None else module.dim
        rank = self.trace.values[node].ndim
        if not isinstance(axis, int) or axis % rank != rank - 1:
            raise self._unsupported(node, f"over axis {axis} has no form in integers", "take it over the last axis")
        self._append(node, "softmax", module=module)

    def _mean(self, node: fx.Node) -> None:
        source = self.trace.values[node.all_input_nodes[0]]
        given: Any = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
        axes = sorted(axis % source.ndim for axis in ((given,) if isinstance(given, int) else given or ()))
        if not axes or axes[0] == 0 or axes == list(range(2, source.ndim)) or not isinstance(source, Tensor):
            super()._mean(node)
            return
        count = prod(source.shape[axis] for axis in axes)
        self._append(node, "mean", axes=tuple(axis - 1 for axis in axes), count=count)
