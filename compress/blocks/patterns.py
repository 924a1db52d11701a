"""Families of weight blocks as block numbers: which weights of a layer are pruned together. Pure.

A family gives every weight of a layer a block number, an array of the weight's shape holding 0 .. blocks - 1. Slot
packing profits from sets of wrapped diagonals (col - row) mod M: a diagonal without weights needs no product, and a
whole band or residue class without weights needs no rotation either (derived).

residue:m   classes (col - row) mod m: single diagonals for m = M, else all diagonals that share a baby step
band:k      k neighbouring diagonals: every diagonal that shares a giant step
tile:axb    a outputs by b inputs, the tile of LPViT; of a convolution as a matrix (out, in * kh * kw)
packed:b    tiles of b by b, the blocks of a token-packed layout with b features per ciphertext
inputs:k    k neighbouring inputs (input channels) of all outputs
outputs:k   k neighbouring outputs (filters) of all inputs
taps        one position of a convolution's kernel, for all channels
whole       the layer as one block, which is never pruned
branch      the layer as one block, which may go, and a whole branch with it: the last layer before the sum with a skip
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from compress.errors import ConfigError

Groups = NDArray[np.int32]
Mask = NDArray[np.bool_]

#: The family whose layers may lose every weight.
BRANCH = "branch"
FORMS = "residue:128, band:16, tile:8x8, packed:32, inputs:4, outputs:4, taps, branch or whole"


@dataclass(frozen=True)
class BlockPattern:
    """A family: its kind and its sizes (two for tiles, none for taps, branches and whole layers)."""

    kind: str
    sizes: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}:{'x'.join(map(str, self.sizes))}" if self.sizes else self.kind


@dataclass(frozen=True)
class Coordinates:
    """Output, input channel and kernel position of every weight of a layer, each an array of the weight's shape."""

    output: NDArray[np.int64]
    input: NDArray[np.int64]
    tap: NDArray[np.int64]
    taps: int


def parse_pattern(text: str) -> BlockPattern:
    """The family that a text such as "residue:128" or "tile:8x8" names.

    Raises: ConfigError.
    """
    match = re.fullmatch(r"([a-z]+)(?::(\d+(?:x\d+)*))?", text) if isinstance(text, str) else None
    sizes = tuple(int(size) for size in match[2].split("x")) if match and match[2] else ()
    if match is None or match[1] not in _KINDS or len(sizes) != _KINDS[match[1]][0] or min(sizes, default=1) < 1:
        raise ConfigError("block", text, f"{FORMS}, sizes at least 1")
    return BlockPattern(match[1], sizes)


def parse_patterns(text: str) -> tuple[BlockPattern, ...]:
    """The families of a text such as "inputs:1+whole+residue:64", one per layer; the last serves all further layers.

    Raises: ConfigError.
    """
    return tuple(parse_pattern(part) for part in (text.split("+") if isinstance(text, str) else [text]))


def coordinates(shape: tuple[int, ...], groups: int = 1, mask: Mask | None = None) -> Coordinates:
    """Coordinates of the weights of a layer, shape (out, in / groups, *kernel); `groups` are those of a convolution.

    mask: the weights that are left of a dense layer. The compiler leaves out inputs and outputs without any weight, so
    the others are counted without them. Those left out get the place of the next one that has weights, or of the last.
    """
    outputs, inputs = shape[0], shape[1]
    taps = int(np.prod(shape[2:], dtype=np.int64))
    output, channel, tap = np.indices((outputs, inputs, taps))
    channel = channel + output // max(1, outputs // groups) * inputs
    if mask is not None and len(shape) == 2:
        output = _place_among(np.any(mask, axis=1))[output]
        channel = _place_among(np.any(mask, axis=0))[channel]
    return Coordinates(output.reshape(shape), channel.reshape(shape), tap.reshape(shape), taps)


def _place_among(living: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each, how many that live come before it; at most the place of the last one that lives."""
    return np.minimum(np.cumsum(living) - living, living.sum() - 1)


def block_groups(
    pattern: BlockPattern, shape: tuple[int, ...], *, modulus: int, conv_groups: int = 1, mask: Mask | None = None
) -> Groups:
    """Block numbers of a layer's weights, int32 of its shape, in the order of the family.

    modulus: M, how many wrapped diagonals the layer has in its packing (see `compress.blocks.cost.Layout`). mask: see
    `coordinates`.
    """
    numbers = _KINDS[pattern.kind][1](pattern.sizes, coordinates(shape, conv_groups, mask), modulus)
    _, compact = np.unique(numbers, return_inverse=True)  # a number that no weight has leaves a gap
    return compact.reshape(shape).astype(np.int32)


def _residues(sizes: tuple[int, ...], at: Coordinates, modulus: int) -> NDArray[np.int64]:
    return (at.input - at.output) % min(sizes[0], modulus) * at.taps + at.tap


def _bands(sizes: tuple[int, ...], at: Coordinates, modulus: int) -> NDArray[np.int64]:
    return (at.input - at.output) % modulus // sizes[0] * at.taps + at.tap


def _tiles(sizes: tuple[int, ...], at: Coordinates, modulus: int) -> NDArray[np.int64]:
    column = np.indices(at.output.reshape(len(at.output), -1).shape)[1].reshape(at.output.shape)
    return at.output // sizes[0] * (int(column.max()) + 1) + column // sizes[1]


def _packed(sizes: tuple[int, ...], at: Coordinates, modulus: int) -> NDArray[np.int64]:
    return _tiles((sizes[0], sizes[0]), at, modulus)


def _inputs(sizes: tuple[int, ...], at: Coordinates, modulus: int) -> NDArray[np.int64]:
    return at.input // sizes[0]


def _outputs(sizes: tuple[int, ...], at: Coordinates, modulus: int) -> NDArray[np.int64]:
    return at.output // sizes[0]


def _whole(sizes: tuple[int, ...], at: Coordinates, modulus: int) -> NDArray[np.int64]:
    return np.zeros_like(at.output)


def _taps(sizes: tuple[int, ...], at: Coordinates, modulus: int) -> NDArray[np.int64]:
    return at.tap


#: Kind -> how many sizes it takes, and the function that numbers the weights.
_KINDS: Mapping[str, tuple[int, Callable[[tuple[int, ...], Coordinates, int], NDArray[np.int64]]]] = MappingProxyType(
    {
        "residue": (1, _residues),
        "band": (1, _bands),
        "tile": (2, _tiles),
        "packed": (1, _packed),
        "inputs": (1, _inputs),
        "outputs": (1, _outputs),
        "taps": (0, _taps),
        "whole": (0, _whole),
        BRANCH: (0, _whole),
    }
)
