"""Random small affine and elastic distortions of images, as a writer's hand would make them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_ROTATION = math.radians(12)
MAX_SHEAR = 0.15
MAX_SCALE = 0.12
MAX_SHIFT = 0.12  # of half the image
ELASTIC_CELLS = 5
ELASTIC_SHIFT = 0.09
#: Share of a batch that stays as it is, so that the clean images keep their weight.
UNCHANGED = 0.3


def digit_augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Distorted copies, shape and range kept; images (batch, channels, height, width)."""
    count = len(images)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator) * 2 - 1

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
    field = F.affine_grid(affine, list(images.shape), align_corners=False)
    waves = uniform(count, 2, ELASTIC_CELLS, ELASTIC_CELLS) * ELASTIC_SHIFT
    field = field + F.interpolate(waves, images.shape[-2:], mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    distorted = F.grid_sample(images, field, align_corners=False)
    keep = torch.rand(count, generator=generator) < UNCHANGED
    return torch.where(keep[:, None, None, None], images, distorted)
