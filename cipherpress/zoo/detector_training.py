"""How the digit detector was trained: which anchors answer for which digit, the loss, and the loop."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from cipherpress.detection.boxes import intersection_and_union
from cipherpress.detection.grid import PER_ANCHOR, moves_to
from cipherpress.zoo.detector import digit_detector
from cipherpress.zoo.detectors import GRID
from cipherpress.zoo.scenes import Scenes, joined_scenes, make_scenes
from compress.checks import check_seed
from compress.dataset import Progress
from compress.training.loop import one_cycle

#: Anchors that overlap a digit so much answer for it; those between both take no part; others answer "no object".
ANSWERS, TAKES_NO_PART = 0.45, 0.3
LEARNING_RATE, WEIGHT_DECAY, BATCH, LARGEST_GRADIENT = 4e-3, 1e-3, 64, 1.0
#: Scenes of the shipped detector, by seed and number, and passes over them.
SCENE_SEEDS, SCENES_EACH, EPOCHS = range(15), 2000, 30
#: Weights of the boxes and the classes in the loss, beside 1 for the objects.
BOX_WEIGHT, CLASS_WEIGHT = 1.5, 1.0


def training_scenes(seeds: Sequence[int] = SCENE_SEEDS, each: int = SCENES_EACH) -> Scenes:
    """The scenes that the shipped detector was trained on: `each` per seed, of MNIST's training images."""
    return joined_scenes([make_scenes(each, seed=seed) for seed in seeds])


def targets_of(scenes: Scenes) -> tuple[Tensor, Tensor, Tensor]:
    """What the network should answer, for every scene.

    Returns: objects (scenes, anchors, lines, columns), 1, 0, or -1 for no part; moves (scenes, anchors, 4, lines,
    columns); classes (scenes, lines, columns), -1 where no digit answers.
    """
    sources = GRID.sources.reshape(-1, 4)
    place = (GRID.anchors.channels, GRID.lines, GRID.columns)
    count = len(scenes.images)
    objects = np.zeros((count, *place), dtype=np.float32)
    moves = np.zeros((count, *place, 4), dtype=np.float32)
    classes = np.full((count, GRID.lines, GRID.columns), -1, dtype=np.int64)
    for number in range(count):
        own = scenes.scene == number
        if not own.any():
            continue
        shared, covered = intersection_and_union(sources[:, None], scenes.boxes[own][None])
        overlap = shared / covered
        overlap[overlap.argmax(axis=0), np.arange(overlap.shape[1])] += 1  # each digit has at least one anchor
        best, chosen = overlap.max(axis=1), overlap.argmax(axis=1)
        objects[number] = _objects(best).reshape(place)
        moves[number] = moves_to(sources, scenes.boxes[own][chosen]).reshape(*place, 4)
        strongest = best.reshape(place).argmax(axis=0)[None]
        nearest = np.take_along_axis(chosen.reshape(place), strongest, axis=0)[0]
        answers = np.take_along_axis(objects[number], strongest, axis=0)[0] == 1
        classes[number][answers] = scenes.classes[own][nearest][answers]
    return torch.from_numpy(objects), torch.from_numpy(moves).permute(0, 1, 4, 2, 3), torch.from_numpy(classes)


def _objects(overlap: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.where(overlap >= ANSWERS, 1, np.where(overlap >= TAKES_NO_PART, -1, 0)).astype(np.float32)


def detector_loss(outputs: Tensor, objects: Tensor, moves: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy of objects and classes, and smooth L1 of moves where an anchor answers for a digit."""
    count = GRID.anchors.channels
    answers = objects == 1
    many = answers.sum().clamp(min=1)
    counted = objects >= 0
    object_loss = (
        F.binary_cross_entropy_with_logits(outputs[:, :count][counted], objects[counted], reduction="sum") / many
    )
    given = outputs[:, count : PER_ANCHOR * count].unflatten(1, (count, 4))
    apart = F.smooth_l1_loss(given, moves, reduction="none", beta=0.1).sum(dim=2)
    class_loss = F.cross_entropy(outputs[:, PER_ANCHOR * count :], classes, ignore_index=-1, label_smoothing=0.02)
    return object_loss + BOX_WEIGHT * (apart * answers).sum() / many + CLASS_WEIGHT * class_loss


def train_detector(
    scenes: Scenes, *, epochs: int = EPOCHS, seed: int = 0, device: str = "cpu", progress: Progress | None = None
) -> nn.Module:
    """A detector trained on `scenes`, in evaluation mode on the processor.

    device: where torch trains, such as "cuda". The weights depend on it in their last digits.
    """
    check_seed(seed)
    torch.manual_seed(seed)
    network = digit_detector().to(device)
    images = torch.from_numpy(scenes.images).to(device)
    targets = tuple(part.to(device) for part in targets_of(scenes))
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    total = epochs * math.ceil(len(images) / BATCH)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: one_cycle(step / total))
    network.train()
    for epoch in range(epochs):
        for batch in torch.randperm(len(images), generator=generator).split(BATCH):
            rows = batch.to(device)
            value = detector_loss(network(images[rows]), *(part[rows] for part in targets))
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
            optimizer.step()
            rates.step()
        if progress is not None:
            progress(f"loss {value.item():.3f}", (epoch + 1) / epochs)
    return network.eval().cpu()
