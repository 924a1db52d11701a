"""A network regrouped into unified modules: everything between two quantization points is one of them.

A module is a sum of terms (linear or convolutional layers, residual values, products of two values, constants),
followed by ReLU and pooling. It is quantized once, at its end, where usually every operation is quantized. A module may
end in a softmax, which then does the rounding, or in an element-wise function, which is a table after the rounding. A
layer normalization is a module of its own. The idea is the paper's (arXiv 1901.02064, abstract); what is fused is
derived, for transformers it is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp

from compress.graph.layers import Imported, Layer
from compress.joint.fixed_point import Grid


@dataclass(frozen=True)
class Term:
    """One summand of a module.

    It is a weighted layer applied to a quantized value, the matrix product of two values (source and factor), or the
    value itself.
    """

    source: str
    layer: Layer | None
    factor: str | None = None


@dataclass(frozen=True)
class UnifiedModule:
    """Terms and constants, then `after` (ReLU and pools in their order), then one quantization point.

    name: that of the last layer. scale: a positive factor on the sum; a power of two, except before a softmax. softmax:
    it rounds instead of a shift. table: an element-wise function of the quantized sum.
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
        """Whether output channels and bias run along the last axis, as in linear layers."""
        return all(layer.kind == "linear" for layer in self.weighted)

    @property
    def log2_scale(self) -> int:
        """The scale as a shift; only for modules without softmax."""
        return frexp(self.scale)[1] - 1


@dataclass(frozen=True)
class Normalization:
    """A layer normalization with its gains and shifts; its division rounds once."""

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
    """A value under another shape, or the mean over 2^k of its entries. Nothing is rounded.

    A mean is kept as a sum, with k more bits on a grid that has k more fraction bits.
    """

    name: str
    source: str
    layer: Layer

    def grid(self, source: Grid | None) -> Grid:
        """The grid of the value, from that of its source."""
        assert source is not None  # only the last module has no output grid, and nothing reads it
        if self.layer.kind != "mean":
            return source
        extra = self.layer.options["count"].bit_length() - 1
        return Grid(source.fraction_bits + extra, source.bits + extra, source.signed)


@dataclass(frozen=True)
class Program:
    """Modules and views in dataflow order. graph: the folded network; output: the name of the last value."""

    steps: tuple[Module | View, ...]
    graph: Imported
    output: str

    @property
    def modules(self) -> tuple[Module, ...]:
        return tuple(step for step in self.steps if not isinstance(step, View))
