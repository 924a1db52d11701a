"""The pass that regroups a network into unified modules, and the count of quantization operations."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import frexp, prod

import numpy as np
from torch import nn

from compress.errors import UnsupportedLayerError
from compress.graph.importing import import_model
from compress.graph.layers import Imported, Layer
from compress.graph.unsupported import unsupported
from compress.joint.importing import INTEGER_RULES
from compress.joint.unified import Module, Normalization, Program, Term, UnifiedModule, View
from compress.model.folding import fold_batch_norm
from compress.network import Shape

VIEWS = ("reshape", "permute")


def quantization_points(module: nn.Module, input_shape: Shape) -> tuple[int, int]:
    """How many quantization operations there are: with one after every operation, and with one per unified module.

    The quantization of the input is not counted, nor are reshapes, permutations and factors, after which nobody rounds.
    Raises: UnsupportedLayerError.
    """
    layers = import_model(module, input_shape, INTEGER_RULES, compose=False).layers
    before = sum(layer.kind not in VIEWS and factor(layer) is None for layer in layers)
    return before, len(unify(fold_batch_norm(module), input_shape).modules)


def unify(module: nn.Module, input_shape: Shape) -> Program:
    """The program of an evaluation-mode module whose batch normalizations are folded; it uses the same torch layers.

    Raises: UnsupportedLayerError naming the layer that integers and shifts cannot do.
    """
    return _Unifier(import_model(module, input_shape, INTEGER_RULES, compose=False)).run()


@dataclass(frozen=True)
class _Open:
    """A module that may still grow, because nothing in it is quantized yet. Fields as in UnifiedModule."""

    terms: tuple[Term, ...]
    after: tuple[Layer, ...] = ()
    constants: tuple[Layer, ...] = ()
    scale: float = 1.0
    softmax: Layer | None = None
    table: Layer | None = None

    @property
    def is_sum(self) -> bool:
        """Whether more can be added to it."""
        return self.grows and not self.after

    @property
    def grows(self) -> bool:
        """Whether ReLU, pools and the like can follow."""
        return self.scale == 1 and self.softmax is None and self.table is None


class _Unifier:
    """One pass in execution order. A value is closed (quantized) when a layer that cannot be fused reads it."""

    def __init__(self, graph: Imported) -> None:
        self.graph = graph
        self.readers = Counter(source for layer in graph.layers for source in layer.inputs)
        self.open: dict[str, _Open] = {}
        self.steps: list[Module | View] = []

    def run(self) -> Program:
        for layer in self.graph.layers:
            self._layer(layer)
        last = self.graph.layers[-1].name
        self._closed(last)
        return Program(tuple(self.steps), self.graph, last)

    def _layer(self, layer: Layer) -> None:
        match layer.kind:
            case "linear" | "conv":
                self.open[layer.name] = _Open((Term(self._closed(layer.inputs[0]), layer),))
            case "matmul":
                left, right = (self._closed(source) for source in layer.inputs)
                self.open[layer.name] = _Open((Term(left, None, right),))
            case "add" if layer.options.get("signs", (1.0, 1.0)) == (1.0, 1.0):
                self._add(layer)
            case "affine" if constant(layer):
                begun = self._begun(layer, sums_only=True)
                self.open[layer.name] = replace(begun, constants=(*begun.constants, layer))
            case "affine" if (scale := factor(layer)) is not None:
                self.open[layer.name] = replace(self._begun(layer), scale=scale)
            case "activation" if is_relu(layer):
                self._after(layer)
            case "activation":
                self.open[layer.name] = replace(self._begun(layer), table=layer)
            case "softmax":
                self._softmax(layer)
            case "maxpool" | "avgpool" | "mean":
                self._pool(layer)
            case "layernorm":
                self.steps.append(Normalization(layer.name, self._closed(layer.inputs[0]), layer))
            case "reshape" | "permute":
                self.steps.append(View(layer.name, self._closed(layer.inputs[0]), layer))
            case _:
                raise _no_integers(layer)

    def _add(self, layer: Layer) -> None:
        """One sum of the terms of both inputs, if both are sums whose biases run along the same axis."""
        begun = [self._sum(source) for source in layer.inputs]
        kinds = [{term.layer.kind for term in part.terms if term.layer is not None} for part in begun]
        if len(kinds[0] | kinds[1]) > 1:
            self.steps.append(UnifiedModule(layer.inputs[1], begun[1].terms, (), begun[1].constants))
            begun[1] = _Open((Term(layer.inputs[1], None),))
        terms, constants = (*begun[0].terms, *begun[1].terms), (*begun[0].constants, *begun[1].constants)
        self.open[layer.name] = _Open(terms, constants=constants)

    def _pool(self, layer: Layer) -> None:
        window = layer.options["count"] if layer.kind == "mean" else prod(layer.options["kernel"])
        if layer.kind != "maxpool" and window & (window - 1):
            raise unsupported(
                layer.name, f"average over {window} values", "is no shift", "use a window of a power of two"
            )
        source = layer.inputs[0]
        if layer.kind == "mean" and not (self._fusible(source) and self.open[source].grows):
            self.steps.append(View(layer.name, self._closed(source), layer))
        else:
            self._after(layer)

    def _softmax(self, layer: Layer) -> None:
        """Softmax follows a product and its scale, or reads a quantized value."""
        source = layer.inputs[0]
        begun = self.open[source] if self._fusible(source) else None
        if begun is None or begun.softmax is not None or begun.table is not None:
            begun = _Open((Term(self._closed(source), None),))
        else:
            del self.open[source]
        self.open[layer.name] = replace(begun, softmax=layer)

    def _after(self, layer: Layer) -> None:
        """Append to the module that makes the input, or start one from the quantized input."""
        begun = self._begun(layer)
        self.open[layer.name] = replace(begun, after=(*begun.after, layer))

    def _begun(self, layer: Layer, *, sums_only: bool = False) -> _Open:
        """The open module that makes the input of a layer, or a new one that reads the quantized input."""
        source = layer.inputs[0]
        begun = self.open[source] if self._fusible(source) else None
        if begun is not None and (begun.is_sum if sums_only else begun.grows):
            return self.open.pop(source)
        return _Open((Term(self._closed(source), None),))

    def _sum(self, source: str) -> _Open:
        """An operand of a sum: an open module that is only a sum itself, or else a quantized value."""
        if self._fusible(source) and self.open[source].is_sum:
            return self.open.pop(source)
        return _Open((Term(self._closed(source), None),))

    def _fusible(self, source: str) -> bool:
        return source in self.open and self.readers[source] == 1

    def _closed(self, name: str) -> str:
        """The name of a value, whose module is closed and made a step if it was open."""
        begun = self.open.pop(name, None)
        if begun is not None:
            if begun.softmax is None and frexp(begun.scale)[0] != 0.5:
                raise unsupported(
                    name,
                    f"a factor of {begun.scale:g}",
                    "is no shift",
                    "use a power of two, or scale the weights before it",
                )
            module = UnifiedModule(
                name, begun.terms, begun.after, begun.constants, begun.scale, begun.softmax, begun.table
            )
            self.steps.append(module)
        return name


def is_relu(layer: Layer) -> bool:
    """Whether an activation is max(x, 0), the only one that commutes with shifts."""
    if layer.module is not None:
        return type(layer.module) is nn.ReLU
    return getattr(layer.fx_node.target, "__name__", str(layer.fx_node.target)) in ("relu", "relu_")


def constant(layer: Layer) -> bool:
    """Whether an affine layer only adds something."""
    return layer.kind == "affine" and bool(np.all(layer.options["scale"] == 1))


def factor(layer: Layer) -> float | None:
    """The positive number that an affine layer multiplies by; None if it does anything else."""
    if layer.kind != "affine" or constant(layer) or np.any(layer.options["shift"] != 0):
        return None
    scale = np.unique(layer.options["scale"])
    return float(scale[0]) if scale.size == 1 and 0 < scale[0] < np.inf else None


def _no_integers(layer: Layer) -> UnsupportedLayerError:
    return unsupported(
        layer.name,
        layer.kind,
        "has no form in integers and shifts",
        "joint quantization takes Linear, Conv, BatchNorm, LayerNorm, activations, pooling, sums and "
        "attention's products and softmax",
    )
