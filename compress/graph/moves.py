"""Rules for operations that only move, repeat or leave out elements: slices, padding, concatenation and others.

What such an operation does is not derived from its arguments. It is run on the numbers of the elements instead, and the
result says which element each one is. So every spelling that torch accepts, with any arguments, is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from compress.graph.building import Builder, argument
from compress.network import Shape

Indices = NDArray[np.int64]


def move(build: Builder, node: fx.Node) -> None:
    """An operation, of one value or several, whose result consists of their elements and of constants."""
    sources = _values(build, node)
    marked = _numbered(build, sources)
    nothing = {source: torch.zeros_like(value) for source, value in marked.items()}
    found, constant = _rerun(build, node, marked), _rerun(build, node, nothing)
    several = isinstance(found, (tuple, list))
    names = []
    for part, shift in zip(found if several else [found], constant if several else [constant], strict=True):
        names.append(_moved(build, node, sources, part - shift, shift))
    if several:
        build.parts_of[node] = tuple(names)
        build.value_of.pop(node, None)


def concatenate(build: Builder, node: fx.Node) -> None:
    """Values one after the other along an axis; one layer where all of them are encrypted."""
    parts: Any = argument(node, 0, "tensors", ())
    rank = build.trace.values[node].ndim
    axis = int(argument(node, 1, "dim", node.kwargs.get("axis", 0))) % rank
    if axis and isinstance(parts, (tuple, list)) and len(parts) > 1 and all(build.is_value(part) for part in parts):
        build.append(node, "concat", inputs=tuple(build.value_of[part] for part in parts), axis=axis - 1)
    else:
        move(build, node)


def item(build: Builder, node: fx.Node) -> None:
    """One of several values, or an index into one value."""
    source: Any = node.args[0]
    if source in build.parts_of:
        chosen: Any = build.parts_of[source][node.args[1]]  # type: ignore[index]
        (build.value_of if isinstance(chosen, str) else build.parts_of)[node] = chosen
    else:
        move(build, node)


def gathered(
    build: Builder, node: fx.Node, source: str, shape: Shape, how: Callable[[Tensor], Tensor], *, suffix: str
) -> str:
    """A layer that moves the elements of a layer's value by a function of torch: (1, *shape) -> (1, *result)."""
    numbers = torch.arange(1, prod(shape) + 1, dtype=torch.float64).reshape(1, *shape)
    result = how(numbers)[0]
    indices = result.reshape(-1).numpy().astype(np.int64) - 1
    return build.append(node, "gather", inputs=(source,), shape=tuple(result.shape), suffix=suffix, indices=indices)


def broadcast(build: Builder, node: fx.Node, source: fx.Node, shape: Shape, *, suffix: str) -> str:
    """The name of a value repeated along axes of length 1 until it has the shape, as torch broadcasts it."""
    name, before = build.value_of[source], build.shape(source)
    if build.trace.values[source].ndim != build.trace.values[node].ndim:
        reason = f"of shapes {before} and {shape} mixes the inputs of a batch"
        raise build.unsupported(node, reason, "give both values the same number of axes, for instance by unsqueeze")
    if before == shape:
        return name
    return gathered(build, node, name, before, lambda x: x.expand(1, *shape).contiguous(), suffix=suffix)


def _values(build: Builder, node: fx.Node) -> list[fx.Node]:
    """The values that an operation reads; of one whose batch axis is elsewhere those that it was made of."""
    found: dict[fx.Node, None] = {}
    for source in node.all_input_nodes:
        if source in build.elsewhere:
            found |= dict.fromkeys(_values(build, source))
        elif build.is_value(source):
            found[source] = None
    return list(found)


def _rerun(build: Builder, node: fx.Node, instead: Mapping[fx.Node, Any]) -> Any:
    """The value of an operation, and of those before it whose batch axis is elsewhere, with others in place of some."""
    before = {s: _rerun(build, s, instead) for s in node.all_input_nodes if s in build.elsewhere}
    return build.trace.rerun(node, {**instead, **before})


def _numbered(build: Builder, sources: list[fx.Node]) -> Mapping[fx.Node, Tensor]:
    """Every element of the sources with a number of its own, from 1 on, counted on from source to source in each input.

    Number = (place in the batch) * (numbers per input) + (place among the elements of that input).
    """
    shapes = [build.trace.values[source].shape for source in sources]
    total = sum(prod(shape[1:]) for shape in shapes) + 1
    result, start = {}, 1
    for source, shape in zip(sources, shapes, strict=True):
        own = torch.arange(start, start + prod(shape[1:]), dtype=torch.float64)
        batch = torch.arange(shape[0], dtype=torch.float64)[:, None] * total
        result[source] = (batch + own).reshape(shape)
        start += prod(shape[1:])
    return result


def _moved(build: Builder, node: fx.Node, sources: list[fx.Node], numbers: Tensor, shift: Tensor) -> str:
    """The layers of one result: a gather from the sources side by side, and the constants where there are any."""
    indices = _indices(build, node, sources, numbers)
    shape = tuple(numbers.shape[1:]) or (1,)
    names = [build.value_of[source] for source in sources]
    if len(names) > 1:
        sizes = [(prod(build.shape(source)),) for source in sources]
        flat = [
            build.append(node, "reshape", inputs=(name,), shape=size, suffix=f".{index}")
            for index, (name, size) in enumerate(zip(names, sizes, strict=True))
        ]
        together = (sum(size for (size,) in sizes),)
        names = [build.append(node, "concat", inputs=tuple(flat), shape=together, suffix=".all", axis=0)]
    last = _gather(build, node, names[0], shape, indices)
    if shift.any():
        constant = shift[0].to(torch.float64).numpy()
        last = build.append(
            node, "affine", inputs=(last,), shape=shape, suffix=".fill", scale=np.array(1.0), shift=constant
        )
    return last


def _gather(build: Builder, node: fx.Node, source: str, shape: Shape, indices: Indices) -> str:
    """The layer that picks elements by index; a reshape or nothing at all where every element stays in its place."""
    before = next((layer.shape for layer in build.layers if layer.name == source), None) or build.input_shape
    if not np.array_equal(indices, np.arange(prod(before))):
        return build.append(node, "gather", inputs=(source,), shape=shape, indices=indices)
    if shape != before:
        return build.append(node, "reshape", inputs=(source,), shape=shape)
    build.value_of[node] = source
    return source


def _indices(build: Builder, node: fx.Node, sources: list[fx.Node], numbers: Tensor) -> Indices:
    """For every element of one input's result the element that it is, -1 for a constant.

    Raises: UnsupportedLayerError when an input's result holds elements of another input of the batch.
    """
    batch = build.trace.values[build.trace.placeholder].shape[0]
    total = sum(prod(build.shape(source)) for source in sources) + 1
    if numbers.ndim < 1 or numbers.shape[0] != batch:
        raise build.unsupported(node, "changes the batch axis", "keep axis 0: index the other axes, as in x[:, 0]")
    if not torch.isfinite(numbers).all():
        raise build.unsupported(node, "fills in values that are not finite", "fill in finite numbers")
    rows = np.rint(numbers.reshape(batch, -1).numpy()).astype(np.int64)
    places = np.where(rows == 0, 0, rows - np.arange(batch)[:, None] * total)
    if (places != places[:1]).any() or places.min(initial=0) < 0 or places.max(initial=0) >= total:
        raise build.unsupported(node, "mixes the inputs of a batch", "keep axis 0: index the other axes, as in x[:, 0]")
    return np.asarray(places[0] - 1)
