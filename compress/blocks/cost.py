"""What a layer costs as a function of the blocks it keeps: the interface of a cost model, and three models.

plain-blocks     an accelerator that skips pruned blocks: time and energy grow linearly with the kept blocks (derived)
ckks-diagonals   slot packing: dense layers as the compiler lays them out (`dense_cost`); other layers by the number of
                 distinct diagonals (products) and of baby and giant steps (rotations) (derived)
block-count      every block costs one, so that the budget is a number of blocks
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from compress.blocks.dense_cost import DenseCost, dense_cost, input_share, next_power_of_two
from compress.blocks.patterns import Groups, Mask, coordinates
from compress.errors import ConfigError

Array = NDArray[np.float64]
Kept = NDArray[np.bool_]

#: Baby-step counts that are tried. The compiler tries all; bands and residue classes are made of powers of two.
BABY_STEPS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, kw_only=True)
class LayerPlace:
    """A layer and where the network runs it.

    shape: of the weight, (out, in, *kernel). positions: tokens or pixels per image that the layer is applied to.
    layers_left: linear layers from here to the output, this one included. reads_input: whether it reads the image
    itself. mask: the weights that are not pruned (all unless given).
    """

    name: str
    shape: tuple[int, ...]
    positions: int = 1
    layers_left: int = 1
    reads_input: bool = False
    conv_groups: int = 1
    mask: Mask | None = None

    @property
    def living(self) -> Mask:
        """The weights that are not pruned, bool of the weight's shape; all of them where every weight is pruned."""
        return self.mask if self.mask is not None and self.mask.any() else np.ones(self.shape, dtype=bool)

    @property
    def lines(self) -> tuple[int, int]:
        """How many outputs and inputs there are; of a dense layer only those that still have a weight."""
        if len(self.shape) != 2:
            return self.shape[0], self.shape[1] * self.conv_groups
        return int(self.living.any(axis=1).sum()), int(self.living.any(axis=0).sum())


class LayerCost(Protocol):
    """Cost of one layer by its kept blocks, bool (blocks,); it never grows when a block is removed."""

    def time(self, kept: Kept) -> float: ...

    def energy(self, kept: Kept) -> float: ...


class BlockCost(Protocol):
    """A cost model: it prepares a layer once, and then prices thousands of masks quickly."""

    @property
    def name(self) -> str: ...

    def of_layer(self, place: LayerPlace, groups: Groups) -> LayerCost: ...


@dataclass(frozen=True)
class AdditiveCost:
    """A fixed part, and one part per block."""

    block_time: Array
    block_energy: Array
    fixed_time: float = 0.0
    fixed_energy: float = 0.0

    def time(self, kept: Kept) -> float:
        return self.fixed_time + float(self.block_time[kept].sum())

    def energy(self, kept: Kept) -> float:
        return self.fixed_energy + float(self.block_energy[kept].sum())


@dataclass(frozen=True)
class BlockCount:
    """Every block costs one in time and energy."""

    name: str = "block-count"

    def of_layer(self, place: LayerPlace, groups: Groups) -> LayerCost:
        ones = np.ones(int(groups.max()) + 1)
        return AdditiveCost(ones, ones)


@dataclass(frozen=True)
class PlainBlocks:
    """Block-sparse matrix product, `token_tile` positions at a time (derived).

    time: multiply-accumulates of the kept blocks over whole tiles of positions. energy: the multiply-accumulates, the
    weights of each kept block once from off-chip memory, its inputs and partial sums once per position from the buffer,
    and the outputs once. Energies are relative to one multiply-accumulate, by the usual ratios of memory levels
    (register 1, buffer 6, off-chip 200; known from Eyeriss's analysis).
    """

    token_tile: int = 1
    mac_energy: float = 1.0
    buffer_energy: float = 6.0
    off_chip_energy: float = 200.0
    name: str = "plain-blocks"

    def of_layer(self, place: LayerPlace, groups: Groups) -> LayerCost:
        tokens = place.positions
        padded = -(-tokens // self.token_tile) * self.token_tile
        matrix = groups.reshape(len(groups), -1)
        blocks = int(groups.max()) + 1
        row, column = np.nonzero(place.living.reshape(matrix.shape))
        of_weight = matrix[row, column]
        weights = np.bincount(of_weight, minlength=blocks).astype(np.float64)
        inputs = _distinct(of_weight, column, blocks)
        outputs = _distinct(of_weight, row, blocks)
        energy = weights * (padded * self.mac_energy + self.off_chip_energy) + tokens * self.buffer_energy * (
            inputs + 2 * outputs
        )
        return AdditiveCost(weights * padded, energy, 0.0, tokens * len(matrix) * self.buffer_energy)


@dataclass(frozen=True)
class Layout:
    """How a layer's matrix lies in slots: `width` features per ciphertext, `modulus` wrapped diagonals per block.

    A matrix no wider than a ciphertext is one block, with diagonals (col - row) mod modulus. A larger one is cut into
    blocks of width by width features (the token-packed layout).
    """

    width: int
    modulus: int
    blocks: bool

    @staticmethod
    def of(place: LayerPlace, slots: int) -> Layout:
        """The layout of a layer: positions, padded to a power of two, are adjacent slots; features follow each other.

        The client lays an input vector out for the layer that reads it, which leaves fewer diagonals (`input_share`).
        """
        width = max(1, slots // next_power_of_two(place.positions))
        outputs, inputs = place.lines
        if max(outputs, inputs) > width:
            return Layout(width, width, True)
        modulus = min(next_power_of_two(outputs), next_power_of_two(inputs))
        if place.reads_input and place.positions == 1:
            modulus = min(modulus, input_share(outputs, inputs, slots) or modulus)
        return Layout(width, modulus, False)


@dataclass(frozen=True)
class CkksDiagonals:
    """Milliseconds on ciphertexts: rotations and products of the diagonals that are left, at the layer's level.

    Dense layers with one position are priced by `dense_cost`, without the part of their time that pruning cannot
    change. For other layers the times are SEAL's at N = 8192, measured by this project's calibration at levels 2 to 5:
    a rotation 2.10, 3.52, 5.04 and 7.00 ms, a product 0.168, 0.257, 0.351 and 0.437 ms. The model is rotation_ms *
    (level / 2)^1.314 and product_ms * level / 2, with level = layers_left + 1. energy: bytes that rotations (keys) and
    products (plaintexts) read, at 8 bytes per coefficient.
    """

    slots: int = 4096
    rotation_ms: float = 2.10
    rotation_exponent: float = 1.314
    product_ms: float = 0.168
    name: str = "ckks-diagonals"

    def of_layer(self, place: LayerPlace, groups: Groups) -> DiagonalCost | DenseCost:
        if place.positions == 1 and len(place.shape) == 2:
            return dense_cost(place.shape, place.layers_left, place.reads_input, groups, self.slots, place.mask)
        layout = Layout.of(place, self.slots)
        at = coordinates(place.shape, place.conv_groups, place.mask)
        size = layout.width if layout.blocks else max(int(at.output.max()), int(at.input.max())) + 1
        diagonal = (at.input - at.output) % layout.modulus
        fields = np.stack([a[place.living] for a in (at.output // size, at.input // size, at.tap, diagonal)])
        names, index = np.unique(fields, axis=1, return_inverse=True)
        touched = np.unique(np.stack([groups[place.living].astype(np.int64), index.ravel()]), axis=1)
        incidence = sparse.csr_matrix(
            (np.ones(touched.shape[1], dtype=np.int32), (touched[0], touched[1])),
            shape=(int(groups.max()) + 1, names.shape[1]),
        )
        level = place.layers_left + 1
        return DiagonalCost(
            incidence=incidence,
            incidence_by_diagonal=incidence.T.tocsr(),
            diagonals=names,
            steps=tuple(step for step in BABY_STEPS if step <= layout.modulus),
            rotation_ms=self.rotation_ms * (level / 2) ** self.rotation_exponent,
            product_ms=self.product_ms * level / 2,
            rotation_bytes=16.0 * self.slots * 2 * level * (level + 1),
            product_bytes=16.0 * self.slots * level,
        )


@dataclass(frozen=True, kw_only=True)
class DiagonalCost:
    """A prepared layer: diagonals (4, D) are (block row, block column, tap, diagonal); incidence (blocks, D)."""

    incidence: sparse.csr_matrix
    incidence_by_diagonal: sparse.csr_matrix
    diagonals: NDArray[np.int64]
    steps: tuple[int, ...]
    rotation_ms: float
    product_ms: float
    rotation_bytes: float
    product_bytes: float

    def time(self, kept: Kept) -> float:
        rotations, products = self.operations(kept)
        return rotations * self.rotation_ms + products * self.product_ms

    def energy(self, kept: Kept) -> float:
        rotations, products = self.operations(kept)
        return rotations * self.rotation_bytes + products * self.product_bytes

    def operations(self, kept: Kept) -> tuple[int, int]:
        """(rotations, products) with the cheapest number of baby steps."""
        alive = self.diagonals[:, self.incidence_by_diagonal @ kept.astype(np.int32) > 0]
        if not alive.shape[1]:
            return 0, 0
        return min(rotation_count(alive, step) for step in self.steps), alive.shape[1]


def rotation_count(diagonals: NDArray[np.int64], step: int) -> int:
    """Rotations of baby-step/giant-step: diagonal = giant * step + baby; diagonals (4, D) as in `DiagonalCost`.

    A baby step rotates an input ciphertext, and every output shares it; a giant step rotates a sum. The taps of a
    convolution are offsets of the input, so they count as baby steps too. Tap 0 of diagonal 0 rotates nothing.
    """
    row, column, tap, diagonal = diagonals
    giant, baby = np.divmod(diagonal, step)
    turned = (baby > 0) | (tap > 0)
    taps = int(tap.max()) + 1
    babies = len(np.unique((column[turned] * taps + tap[turned]) * step + baby[turned]))
    giants = len(np.unique(row[giant > 0] * (int(giant.max()) + 1) + giant[giant > 0]))
    return babies + giants


def _distinct(block: NDArray[np.int32], values: NDArray[np.int64], blocks: int) -> Array:
    """How many different values each block has; block and values have one entry per weight."""
    pairs = np.unique(block.astype(np.int64) * (int(values.max()) + 1) + values)
    return np.bincount(pairs // (int(values.max()) + 1), minlength=blocks).astype(np.float64)


COSTS: Mapping[str, Callable[[], BlockCost]] = MappingProxyType(
    {"ckks-diagonals": CkksDiagonals, "plain-blocks": PlainBlocks, "block-count": BlockCount}
)


def cost_model(cost: str | BlockCost) -> BlockCost:
    """The model of a name, or the model itself.

    Raises: ConfigError.
    """
    if not isinstance(cost, str):
        return cost
    if cost not in COSTS:
        raise ConfigError("cost", cost, f"one of {', '.join(COSTS)}, or an object with of_layer")
    return COSTS[cost]()
