"""Further training of a frozen network of quadratics: plain squares, weights on a grid, noise as encryption adds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from compress.dataset import Progress
from compress.network import Affine, Conv, ConvTranspose, Dense, Network, Node
from compress.squares.module import NetworkModule
from compress.squares.rewriting import with_squares
from compress.squares.rounding import fraction_bits_of
from compress.training.device import placed
from compress.training.loop import Augment, Loss, fit_
from compress.training.schedule import Schedule

#: Standard deviation of the noise on the inputs of squares in training, which are about 1 in size.
NOISE = 2.0**-10

#: Weight of the largest value of a row in the range penalty: see `compress.conversion.stable`.
PEAK_WEIGHT = 0.01

#: Rows that the usual ranges of values are measured on.
WATCHED_ROWS = 256


def on_grid(
    network: Network,
    fraction_bits: int,
    examples: Callable[[torch.device], tuple[Tensor, Tensor]],
    schedule: Schedule,
    *,
    guide: nn.Module,
    loss: Callable[[nn.Module], Loss],
    seed: int,
    augment: Augment | None,
    progress: Progress,
) -> Network:
    """The network with plain squares and weights that are whole multiples of 2^-fraction_bits, trained further.

    examples: inputs and targets, on a device. guide: what the loss may ask for its answers; it is on the same device
    meanwhile. loss: makes the loss of the module, penalties of its activations included. Ranges are not measured.
    Raises: CalibrationError when training diverges.
    """
    squares = with_masks(with_squares(network))
    module = NetworkModule(squares, torch.float32, grids(squares, fraction_bits))
    with placed(module, guide) as device:
        inputs, targets = examples(device)
        module.eval().watch_(inputs[:: max(1, len(inputs) // WATCHED_ROWS)], PEAK_WEIGHT, NOISE)
        fit_(
            module,
            inputs,
            targets,
            schedule,
            loss=loss(module),
            seed=seed,
            augment=augment,
            progress=progress,
        )
    return module.frozen()


def with_masks(network: Network) -> Network:
    """The network whose float weights of exactly zero are pruned: they stay zero in training. Chance makes none."""
    nodes = [
        replace(node, weights=replace(node.weights, mask=node.weights.codes != 0))
        if isinstance(node, (Conv, ConvTranspose, Dense)) and node.weights.bits is None and not node.weights.codes.all()
        else node
        for node in network.nodes
    ]
    return replace(network, nodes=tuple(nodes))


def grids(network: Network, fraction_bits: int) -> Mapping[str, int]:
    """The bits behind the point of every linear map's weights and every factor, by name."""
    return {
        node.name: fraction_bits_of(values, fraction_bits)
        for node in network.nodes
        if (values := _multiplied(node)) is not None
    }


def _multiplied(node: Node) -> NDArray[np.float64] | None:
    if isinstance(node, (Conv, ConvTranspose, Dense)):
        return node.weights.values()
    return node.scale if isinstance(node, Affine) else None
