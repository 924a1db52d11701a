"""A network regrouped into unified modules: everything between two quantization points is one of them.

A module is a sum of terms (linear or convolutional layers, residual values, products of two values, constants) followed by ReLU and
pooling, quantized once at its end, where the usual way quantizes after every operation. A softmax takes the place of that rounding, an
element-wise function follows it as a table, a layer normalization is a module of its own. The idea is the paper's (arXiv 1901.02064,
abstract); the list of what is fused is derived (the page, 2.3), its part on transformers is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp

from compress.graph.layers import Imported, Layer
from compress.joint.fixed_point import Grid


@dataclass(frozen=True)
class Term:
    """One summand: a weighted layer applied to a quantized value, its matrix product with a second one (factor), or the value itself."""

    source: str
    layer: Layer | None
    factor: str | None = None


@dataclass(frozen=True)
class UnifiedModule:
    """Terms and constants, then `after` (ReLU and pools in their order), then one quantization point; `name` is the last layer's.

    scale: a positive factor on the sum; a power of two unless softmax takes it. softmax: rounds in place of a shift.
    table: an element-wise function of the quantized sum.
    """

    name: str
    terms: tuple[Term, ...]
    after: tuple[Layer, ...]
    constants: tuple[Layer, ...] = ()
    scale: float = 1.0
    softmax: Layer | None = None
    table: Layer | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the values it reads."""
        return tuple(name for term in self.terms for name in (term.source, term.factor) if name is not None)

    @property
    def weighted(self) -> tuple[Layer, ...]:
        return tuple(term.layer for term in self.terms if term.layer is not None)

    @property
    def signed(self) -> bool:
        """Whether the quantized sum may be negative: not after a ReLU or a softmax."""
        return self.softmax is None and not any(layer.kind == "activation" for layer in self.after)

    @property
    def fused(self) -> tuple[str, ...]:
        """Names of the layers inside, for reports."""
        ending = tuple(layer for layer in (self.softmax, self.table) if layer is not None)
        return tuple(layer.name for layer in (*self.weighted, *self.constants, *self.after, *ending))

    @property
    def channels_last(self) -> bool:
        """Whether output channels, and with them the bias, run along the last axis: of linear layers."""
        return all(layer.kind == "linear" for layer in self.weighted)

    @property
    def log2_scale(self) -> int:
        """The scale as a shift; only where no softmax takes it."""
        return frexp(self.scale)[1] - 1


@dataclass(frozen=True)
class Normalization:
    """A layer normalization with its gains and shifts, quantized once: at the end of its division."""

    name: str
    source: str
    layer: Layer

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def weighted(self) -> tuple[Layer, ...]:
        return ()

    @property
    def fused(self) -> tuple[str, ...]:
        return (self.layer.name,)


Module = UnifiedModule | Normalization


@dataclass(frozen=True)
class View:
    """A value under another shape, or the mean over 2^k of its entries: nothing is rounded.

    A mean is kept as a sum: k bits more on a grid of k more fraction bits.
    """

    name: str
    source: str
    layer: Layer

    def grid(self, source: Grid | None) -> Grid:
        """The value's grid from its source's."""
        assert source is not None  # only the last module has no output grid, and nothing reads it
        if self.layer.kind != "mean":
            return source
        extra = self.layer.options["count"].bit_length() - 1
        return Grid(source.fraction_bits + extra, source.bits + extra, source.signed)


@dataclass(frozen=True)
class Program:
    """Modules and views in dataflow order. graph: the folded network they were found in; output: the last value's name."""

    steps: tuple[Module | View, ...]
    graph: Imported
    output: str

    @property
    def modules(self) -> tuple[Module, ...]:
        return tuple(step for step in self.steps if not isinstance(step, View))
