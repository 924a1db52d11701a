"""Features of training images and of distorted copies of them, made once, so that a step of training only picks rows.

Distorting an image takes a hundred times as long as training on its features, so every image gets a few distorted
copies, and every row of a step is the image or one of them.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from compress.dataset import Progress
from compress.front import Front
from compress.training.augment import DigitAugment

#: Images that are distorted and transformed at once.
CHUNK = 4096


def feature_bank(
    front: Front,
    images: NDArray[np.float32],
    *,
    copies: int,
    strength: float,
    seed: int,
    progress: Progress | None = None,
) -> Tensor:
    """Features of images (count, *front.shape) and of `copies` distorted ones each, (count, 1 + copies, features)."""
    bank = np.empty((len(images), 1 + copies, front.features), dtype=np.float32)
    generator = torch.Generator().manual_seed(seed)
    augment = DigitAugment(strength, unchanged=0.0)
    for start in range(0, len(images), CHUNK):
        part = slice(start, start + CHUNK)
        bank[part, 0] = front.apply(images[part].astype(np.float64))
        given = torch.from_numpy(np.ascontiguousarray(images[part]))
        for copy in range(1, 1 + copies):
            bank[part, copy] = front.apply(augment(given, generator).double().numpy())
        if progress is not None:
            progress("distort images", min(1.0, part.stop / len(images)))
    return torch.from_numpy(bank)


class PickCopy:
    """Of every row of a batch (batch, 1 + copies, features), the image itself with chance 1/2 or one of its copies;
    normal noise of standard deviation `noise` is added."""

    def __init__(self, noise: float) -> None:
        self._noise = noise

    def __call__(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        count, copies = len(rows), rows.shape[1] - 1
        chosen = torch.zeros(count, dtype=torch.long)
        if copies:
            distorted = torch.rand(count, generator=generator) < 0.5
            chosen = torch.where(distorted, torch.randint(1, 1 + copies, (count,), generator=generator), chosen)
        picked = rows[torch.arange(count), chosen]
        if not self._noise:
            return picked
        return picked + self._noise * torch.randn(picked.shape, generator=generator).to(picked.device)
