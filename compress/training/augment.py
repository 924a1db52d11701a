"""Random small changes of training images: of handwriting as a writer's hand would make them, of pictures by moving and
mirroring them.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

MAX_ROTATION = math.radians(12)
MAX_SHEAR = 0.15
MAX_SCALE = 0.12
MAX_SHIFT = 0.12  # of half the image
ELASTIC_CELLS = 5
ELASTIC_SHIFT = 0.09
#: Share of a batch that is not distorted, so that clean images keep their weight.
UNCHANGED = 0.3
#: Making a distortion field costs far more than applying it, so this many are made and reused.
FIELDS = 4096


def distortable(inputs: NDArray[np.float32]) -> bool:
    """Whether inputs are images, (count, channels, height, width)."""
    return inputs.ndim == 4


class DigitAugment:
    """Distorts images (batch, channels, height, width); shape and range of values are kept.

    The first call draws the distortion fields from its generator, later calls only choose among them. strength: a
    factor on every distortion. unchanged: the share of images that stay as they are.
    """

    def __init__(self, strength: float = 1.0, *, unchanged: float = UNCHANGED) -> None:
        self._strength, self._unchanged = strength, unchanged
        self._fields: Tensor | None = None

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        height, width = images.shape[-2:]
        if self._fields is None or self._fields.shape[1:3] != (height, width):
            self._fields = distortion_fields(FIELDS, height, width, generator, self._strength)
        chosen = torch.randint(len(self._fields), (len(images),), generator=generator)
        distorted = F.grid_sample(images, self._fields[chosen].to(images), align_corners=False)
        keep = (torch.rand(len(images), generator=generator) < self._unchanged).to(images.device)
        return torch.where(keep[:, None, None, None], images, distorted)


class PictureAugment:
    """Mirrors every second image (batch, channels, height, width) and moves all by up to `shift` pixels each way.

    What moves in from outside is zero.
    """

    def __init__(self, shift: int = 2) -> None:
        self._shift = shift

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        height, width = images.shape[-2:]
        moves = torch.randint(2 * self._shift + 1, (2, len(images), 1), generator=generator)
        mirrored = torch.rand(len(images), 1, generator=generator) < 0.5
        rows, columns = torch.arange(height) + moves[0], torch.arange(width)
        columns = torch.where(mirrored, width - 1 - columns, columns) + moves[1]
        padded = F.pad(images, (self._shift,) * 4)
        count = torch.arange(len(images))[:, None, None]
        chosen = (part.to(images.device) for part in (count, rows[:, :, None], columns[:, None, :]))
        batch, row, column = chosen
        return padded.movedim(1, -1)[batch, row, column].movedim(-1, 1).contiguous()


def augmentation(images: str, strength: float = 1.0) -> DigitAugment | PictureAugment:
    """What changes training images of "pictures" or "handwriting"; strength: of the distortions of the latter."""
    return PictureAugment() if images == "pictures" else DigitAugment(strength)


def distortion_fields(count: int, height: int, width: int, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Sampling grids (count, height, width, 2) in [-1, 1]: rotation, shear, scale, shift and a smooth random wave."""

    def uniform(*shape: int) -> Tensor:
        return (torch.rand(*shape, generator=generator) * 2 - 1) * strength

    angle, shear, zoom = uniform(count) * MAX_ROTATION, uniform(count) * MAX_SHEAR, 1 + uniform(count, 2) * MAX_SCALE
    cos, sin = torch.cos(angle), torch.sin(angle)
    matrix = torch.stack(
        [
            torch.stack([cos * zoom[:, 0], (shear * cos - sin) * zoom[:, 1]], dim=1),
            torch.stack([sin * zoom[:, 0], (shear * sin + cos) * zoom[:, 1]], dim=1),
        ],
        dim=1,
    )
    affine = torch.cat([matrix, (uniform(count, 2) * MAX_SHIFT)[:, :, None]], dim=2)
    field = F.affine_grid(affine, [count, 1, height, width], align_corners=False)
    waves = uniform(count, 2, ELASTIC_CELLS, ELASTIC_CELLS) * ELASTIC_SHIFT
    return field + F.interpolate(waves, (height, width), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
