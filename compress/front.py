"""A public front end: a fixed transform that the client applies to its input before it encrypts.

A network whose first nodes are such a transform needs fewer, better inputs: the low discrete cosine coefficients of an
image carry most of it. The transform holds no trained weights, so the client may know it. In the Network it is a prefix
of linear nodes, so that `Network.run` takes images; `behind_front` cuts it off for the compiler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import InputShapeError, ModelError

if TYPE_CHECKING:
    from compress.network import Network, Node

Array = NDArray[np.float64]
Shape = tuple[int, ...]

#: The one kind of front end that there is.
DCT = "dct"


@dataclass(frozen=True)
class Front:
    """Chosen coefficients of the two-dimensional cosine transform of every channel, each times a gain.

    shape: (channels, rows, columns) of an image. indices: flat indices of the coefficients that are kept, in the order
    of the features. gains: one number per feature.
    """

    shape: Shape
    indices: tuple[int, ...]
    gains: tuple[float, ...]

    @property
    def features(self) -> int:
        return len(self.indices)

    def apply(self, images: NDArray[Any]) -> Array:
        """(images, features) float64 of images (images, *shape).

        Images of float32 are transformed in float32, which is several times as fast; features are then off by about
        1e-7 of the largest one, far less than what encryption adds.
        Raises: InputShapeError.
        """
        values = np.asarray(images)
        if values.dtype != np.float32:
            values = values.astype(np.float64)
        if values.shape[1:] != self.shape:
            raise InputShapeError(
                f"input: shape {values.shape[1:]} per image; the front end takes {self.shape}; reshape the input"
            )
        channel, row, column = np.unravel_index(self.indices, self.shape)
        rows, columns = (
            cosine_matrix(size)[: int(own.max(initial=0)) + 1].astype(values.dtype)
            for size, own in zip(self.shape[1:], (row, column), strict=True)
        )
        # the columns by one product of a large matrix: many small ones would take several times as long
        along = (values.reshape(-1, self.shape[2]) @ columns.T).reshape(*values.shape[:3], len(columns))
        both = np.matmul(rows, along).reshape(len(values), -1)
        places = np.ravel_multi_index((channel, row, column), (self.shape[0], len(rows), len(columns)))
        return np.asarray(np.take(both, places, axis=1) * np.array(self.gains))

    def as_json(self) -> dict[str, Any]:
        """What `front_from_json` reads."""
        return {
            "kind": DCT,
            "shape": list(self.shape),
            "indices": list(self.indices),
            "gains": list(self.gains),
        }


def front_from_json(found: Mapping[str, Any]) -> Front:
    """The inverse of `Front.as_json`. Raises: KeyError, TypeError, ValueError for anything else."""
    front = Front(
        shape=tuple(map(int, found["shape"])),
        indices=tuple(map(int, found["indices"])),
        gains=tuple(map(float, found["gains"])),
    )
    if found["kind"] != DCT or len(front.shape) != 3 or len(front.gains) != front.features:
        raise ValueError(f"kind {found['kind']!r}, shape {front.shape}, {len(front.gains)} gains")
    if not all(0 <= index < prod(front.shape) for index in front.indices):
        raise ValueError("an index without a coefficient")
    return front


def cosine_matrix(size: int) -> Array:
    """(size, size): the orthonormal discrete cosine transform, type II; row k is frequency k."""
    places = np.arange(size)
    rows = np.cos(np.pi * np.outer(places, 2 * places + 1) / (2 * size)) * np.sqrt(2 / size)
    rows[0] /= np.sqrt(2)
    return np.asarray(rows)


def lowest_frequencies(shape: Shape, count: int) -> tuple[int, ...]:
    """Flat indices of the lowest coefficients of (channels, rows, columns), by the sum of both squared frequencies.

    Frequencies count in units of their axis, so that a long axis gives more of them. Channels alternate.
    """
    channels, rows, columns = np.indices(shape)
    radius = (rows / shape[1]) ** 2 + (columns / shape[2]) ** 2
    order = np.lexsort((columns.ravel(), rows.ravel(), channels.ravel(), radius.ravel().round(12)))
    return tuple(int(index) for index in order[:count])


def front_of(network: Network) -> Front | None:
    """The front end that a network was made with; None for most networks.

    Raises: ModelError for a record that does not fit the network.
    """
    record = network.about.get("front")
    if record is None:
        return None
    try:
        front = front_from_json(record)
        node = network.node(record["node"])
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        raise ModelError(f"front end: the network's record of it is malformed ({error}); convert again") from error
    if node.size != front.features or network.input_shape != front.shape:
        raise ModelError(
            f"front end: it makes {front.features} features of {front.shape}, node '{node.name}' holds {node.size} of "
            f"{network.input_shape}; convert again"
        )
    return front


def behind_front(network: Network) -> Network:
    """The network that starts at the front end's features: what a server computes. Without a front end, itself.

    Raises: ModelError where a later node reads what lies before the features.
    """
    from compress.network import Input  # here, since parties know front ends and start without networks' classes

    front = front_of(network)
    if front is None:
        return network
    name = network.about["front"]["node"]
    cut = [node.name for node in network.nodes].index(name)
    start: Node = Input(name=name, inputs=(), shape=(front.features,))
    rest = network.nodes[cut + 1 :]
    known = {name, *(node.name for node in rest)}
    for node in rest:
        if not set(node.inputs) <= known:
            raise ModelError(f"{node.name}: it reads what lies before the front end's features; convert again")
    ranges = {key: value for key, value in network.ranges.items() if key in known}
    return replace(network, nodes=(start, *rest), ranges=ranges)
