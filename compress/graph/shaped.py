"""Values during tracing: tensors that know their shapes, so that shapes are plain numbers in a model's own code.

torch.fx hands proxies to a model's forward. Its proxies know nothing, so `assert x.shape[1] == 3`, `if x.dim() == 4` or
`for part in x.split(4, 1)` fail. Here every node is run at once on an example, and what depends on the shape alone is
answered from the example: all sizes but that of the batch are plain numbers, and the batch size can be compared.
What depends on the values of the data still cannot be branched on.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, fx

#: Methods and attributes that read nothing but the shape and type of a value.
_PLAIN_ATTRIBUTES = frozenset({"ndim", "dtype", "device", "is_cuda", "requires_grad", "layout", "itemsize"})
_PLAIN_METHODS = frozenset({"dim", "ndimension", "is_floating_point", "is_complex", "is_contiguous", "element_size"})
#: Casts between floating types and moves between devices. Models run in one floating type here, so they change nothing.
_FLOAT_CASTS = frozenset({"float", "double", "half", "bfloat16", "to", "type", "type_as", "cpu", "cuda"})
_VIEW_ATTRIBUTES = frozenset({"T", "mT", "H", "mH", "data", "real"})


class Sizes(tuple[Any, ...]):
    """A shape whose batch size is a proxy."""

    __slots__ = ()

    def numel(self) -> Any:
        """The number of elements."""
        total: Any = 1
        for size in self:
            total = total * size
        return total


class ShapedProxy(fx.Proxy):
    """A value of the graph that answers for its shape from the example. tracer: has `values` and `batched` by node."""

    @property
    def example(self) -> Any:
        """The value on the example batch."""
        return self.tracer.values[self.node]  # type: ignore[attr-defined]

    @property
    def batched(self) -> bool:
        """Whether the value depends on the input or on its batch size."""
        return self.node in self.tracer.batched  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        example = self.example
        if isinstance(example, Tensor):
            if name == "shape":
                return self.size()
            if name in _PLAIN_ATTRIBUTES:
                return getattr(example, name)
            if name in _PLAIN_METHODS:
                return getattr(example, name)
            if name in _FLOAT_CASTS and example.is_floating_point():
                return self._cast(name)
            if name in _VIEW_ATTRIBUTES:
                return self.tracer.create_proxy("call_function", getattr, (self, name), {})
        return super().__getattr__(name)

    def _cast(self, name: str) -> Callable[..., Any]:
        """The method: the value itself, unless it is cast to whole numbers or truth values."""

        def method(*args: Any, **kwargs: Any) -> Any:
            kinds = [part for part in (*args, *kwargs.values()) if isinstance(part, torch.dtype)]
            if all(kind.is_floating_point for kind in kinds):
                return self
            return self.tracer.create_proxy("call_method", name, (self, *args), kwargs)

        return method

    def size(self, dim: int | None = None) -> Any:
        """As Tensor.size; the batch size is a proxy, all other sizes are whole numbers."""
        sizes = tuple(self.example.shape)
        if dim is not None:
            return self._batch_size() if self.batched and dim in (0, -len(sizes)) else sizes[dim]
        return Sizes((self._batch_size(), *sizes[1:])) if self.batched and sizes else torch.Size(sizes)

    def _batch_size(self) -> Any:
        return self.tracer.create_proxy("call_method", "size", (self, 0), {})

    def __len__(self) -> int:
        return len(self.example)

    def __iter__(self) -> Iterator[Any]:
        if isinstance(self.example, Tensor) and self.batched:
            return super().__iter__()  # over the batch: refused
        item: Any = operator.getitem  # makes a node
        return (item(self, index) for index in range(len(self.example)))

    def __bool__(self) -> bool:
        return super().__bool__() if self.batched else bool(self.example)


def _compared(compare: Callable[[Any, Any], Any]) -> Callable[[SizeProxy, Any], Any]:
    def method(self: SizeProxy, other: Any) -> Any:
        return compare(self.example, other.example if isinstance(other, ShapedProxy) else other)

    return method


class SizeProxy(ShapedProxy):
    """The batch size, or a number that was computed from it. Comparisons answer for a batch of several inputs."""

    __hash__ = object.__hash__
    __eq__ = _compared(operator.eq)  # type: ignore[assignment]
    __ne__ = _compared(operator.ne)  # type: ignore[assignment]
    __lt__ = _compared(operator.lt)
    __le__ = _compared(operator.le)
    __gt__ = _compared(operator.gt)
    __ge__ = _compared(operator.ge)

    def __bool__(self) -> bool:
        return bool(self.example)
