"""OPQ in several shots: prune a part, fine-tune, prune more; only the last shot uses the wanted bits.

The paper allocates once. At high rates fine-tuning does not recover the accuracy after one shot; with a rising share it
does (ours; the cubic rise is that of arXiv 1710.01878). Between shots the codebooks are removed and the masks stay, so
that pruned weights stay pruned.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from compress.checks import check_seed
from compress.dataset import Dataset, Progress, part_of
from compress.errors import ConfigError
from compress.model.compressed import CompressedModel, prunable_layers
from compress.model.masking import mask_layer_
from compress.model.quantizer import quantizer_of, write_out_
from compress.opq.curvature import weight_curvature
from compress.opq.opq import opq
from compress.opq.options import DEFAULT_CAP
from compress.training.finetune import finetune


@dataclass(frozen=True)
class Shot:
    """Sparsity and mean bits of one OPQ step, as `opq` takes them, and the epochs of fine-tuning after it."""

    sparsity: float
    bits: float
    epochs: int


def rising_shots(
    sparsity: float, bits: float, *, shots: int, epochs_between: int, epochs: int, bits_between: float = 8
) -> list[Shot]:
    """Shots with a sparsity that rises to `sparsity` by a cubic law; the last one has `bits` and `epochs`."""
    if shots < 1:
        raise ConfigError("shots", shots, "1 or more")
    shares = [sparsity * (1 - (1 - (turn + 1) / shots) ** 3) for turn in range(shots)]
    return [*(Shot(share, bits_between, epochs_between) for share in shares[:-1]), Shot(sparsity, bits, epochs)]


def opq_in_shots(
    model: nn.Module | CompressedModel,
    data: Dataset,
    shots: Sequence[Shot],
    *,
    cap: float = DEFAULT_CAP,
    learning_rate: float = 8e-3,
    shrinkage: float = 0.0,
    teacher: nn.Module | None = None,
    augment: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> CompressedModel:
    """OPQ weighted by curvature and fine-tuning, shot after shot; `model` is not changed.

    The curvature is measured anew before every shot, on training images. cap: see `opq`. For the others see `finetune`.
    Raises: what `opq`, `weight_curvature` and `finetune` raise; ConfigError without any shot.
    """
    check_seed(seed)
    if not shots:
        raise ConfigError("shots", 0, "1 or more")
    total, done = sum(shot.epochs for shot in shots) or 1, 0
    current: nn.Module | CompressedModel = model
    for turn, shot in enumerate(shots):
        if turn:
            assert isinstance(current, CompressedModel)
            current = masks_only(current)
        curvature = weight_curvature(current, data, seed=seed + turn)
        small = opq(
            current, sparsity=shot.sparsity, bits=shot.bits, weighting="curvature", curvature=curvature, cap=cap
        )
        current = finetune(
            small, data, epochs=shot.epochs, learning_rate=learning_rate, shrinkage=shrinkage, teacher=teacher,
            augment=augment, seed=seed + turn, progress=part_of(progress, done / total, shot.epochs / total),
        )  # fmt: skip
        done += shot.epochs
    assert isinstance(current, CompressedModel)
    return current


def masks_only(model: CompressedModel) -> CompressedModel:
    """The model without codebooks: its weights are the values that the codebooks gave, and its masks stay."""
    module = copy.deepcopy(model.module)
    for _, layer in prunable_layers(module):
        quantizer = quantizer_of(layer)
        if quantizer is not None:
            write_out_(layer)
            mask_layer_(layer, quantizer.mask.numpy())
    return model.after(module, method="masks-only")
