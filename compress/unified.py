"""A network regrouped into unified modules: everything between two quantization points is one of them.

A module is a sum of terms (linear or convolutional layers, residual values) followed by ReLU and pooling, quantized once at its end,
where the usual way quantizes after every operation. The idea is the paper's (arXiv 1901.02064, abstract); the list of what is fused
is derived (the page, 2.3).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import prod

from torch import nn

from compress.errors import UnsupportedLayerError
from compress.folding import fold_batch_norm
from compress.importing import Imported, Layer, import_model
from compress.network import Shape
from compress.unsupported import unsupported

WEIGHTED = ("linear", "conv")
POOLS = ("avgpool", "maxpool")
VIEWS = ("reshape", "permute")


@dataclass(frozen=True)
class Term:
    """One summand: a weighted layer applied to a quantized value, or (layer None) the value itself."""

    source: str
    layer: Layer | None


@dataclass(frozen=True)
class UnifiedModule:
    """Terms, then `after` (ReLU and pools in their order), then one quantization point; `name` is the last layer's."""

    name: str
    terms: tuple[Term, ...]
    after: tuple[Layer, ...]

    @property
    def weighted(self) -> tuple[Layer, ...]:
        return tuple(term.layer for term in self.terms if term.layer is not None)

    @property
    def signed(self) -> bool:
        """Whether the output may be negative: not after a ReLU."""
        return not any(layer.kind == "activation" for layer in self.after)

    @property
    def fused(self) -> tuple[str, ...]:
        """Names of the layers inside, for reports."""
        return tuple(layer.name for layer in (*self.weighted, *self.after))


@dataclass(frozen=True)
class View:
    """A value under another shape: nothing is computed, the grid stays."""

    name: str
    source: str
    layer: Layer


@dataclass(frozen=True)
class Program:
    """Modules and views in dataflow order. graph: the folded network they were found in; output: the last value's name."""

    steps: tuple[UnifiedModule | View, ...]
    graph: Imported
    output: str

    @property
    def modules(self) -> tuple[UnifiedModule, ...]:
        return tuple(step for step in self.steps if isinstance(step, UnifiedModule))


def quantization_points(module: nn.Module, input_shape: Shape) -> tuple[int, int]:
    """(after every operation of the network as it stands, after every unified module); the input's is not counted.

    Raises: UnsupportedLayerError.
    """
    kinds = Counter(layer.kind for layer in import_model(module, input_shape).layers)
    before = sum(count for kind, count in kinds.items() if kind not in VIEWS)
    return before, len(unify(fold_batch_norm(module), input_shape).modules)


def unify(module: nn.Module, input_shape: Shape) -> Program:
    """The program of an evaluation-mode module whose batch normalizations are folded; its layers are the module's own.

    Raises: UnsupportedLayerError naming the layer that integers and shifts cannot do.
    """
    return _Unifier(import_model(module, input_shape)).run()


@dataclass(frozen=True)
class _Open:
    """A module that may still grow: nothing of it has been quantized."""

    terms: tuple[Term, ...]
    after: tuple[Layer, ...] = ()


class _Unifier:
    """One pass in execution order; a value is closed (quantized) when something reads it that cannot be fused."""

    def __init__(self, graph: Imported) -> None:
        self.graph = graph
        self.readers = Counter(source for layer in graph.layers for source in layer.inputs)
        self.open: dict[str, _Open] = {}
        self.steps: list[UnifiedModule | View] = []

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
            case "add" if layer.options.get("signs", (1.0, 1.0)) == (1.0, 1.0):
                terms = tuple(term for source in layer.inputs for term in self._terms(source))
                self.open[layer.name] = _Open(terms)
            case "activation" if is_relu(layer):
                self._after(layer)
            case "maxpool" | "avgpool":
                if layer.kind == "avgpool" and (window := prod(layer.options["kernel"])) & (window - 1):
                    raise unsupported(
                        layer.name, f"average over {window} values", "is no shift", "use a window of a power of two"
                    )
                self._after(layer)
            case "reshape" | "permute":
                self.steps.append(View(layer.name, self._closed(layer.inputs[0]), layer))
            case _:
                raise _no_integers(layer)

    def _after(self, layer: Layer) -> None:
        """Append to the module that makes the input, or start one from the quantized input."""
        source = layer.inputs[0]
        begun = self._taken(source) or _Open((Term(self._closed(source), None),))
        self.open[layer.name] = replace(begun, after=(*begun.after, layer))

    def _terms(self, source: str) -> tuple[Term, ...]:
        """What a sum takes over: an open module that is only a sum, else the quantized value."""
        begun = self.open.get(source)
        if begun is not None and not begun.after and self.readers[source] == 1:
            del self.open[source]
            return begun.terms
        return (Term(self._closed(source), None),)

    def _taken(self, source: str) -> _Open | None:
        return self.open.pop(source) if source in self.open and self.readers[source] == 1 else None

    def _closed(self, name: str) -> str:
        """The name, after its module (if it is still open) became a step."""
        begun = self.open.pop(name, None)
        if begun is not None:
            self.steps.append(UnifiedModule(name, begun.terms, begun.after))
        return name


def is_relu(layer: Layer) -> bool:
    """Whether an activation is max(x, 0): the only one that commutes with shifting."""
    if layer.module is not None:
        return type(layer.module) is nn.ReLU
    return getattr(layer.fx_node.target, "__name__", str(layer.fx_node.target)) in ("relu", "relu_")


def _no_integers(layer: Layer) -> UnsupportedLayerError:
    return unsupported(
        layer.name,
        layer.kind,
        "has no form in integers and shifts",
        "joint quantization takes Linear, Conv, BatchNorm, ReLU, pooling and sums; train the network with ReLU",
    )
