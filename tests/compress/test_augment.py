"""Distortions keep an image's shape and range; rows of features are left alone."""

from typing import Any

import numpy as np
import torch
from torch import nn

from compress.conversion.convert import convert
from compress.conversion.options import Conversion
from compress.dataset import Dataset
from compress.opq.opq import opq
from compress.training.augment import DigitAugment, PictureAugment, augmentation, distortion_fields
from compress.training.finetune import finetune


def features(count: int = 64) -> Any:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    rows = (np.eye(3)[labels].repeat(4, axis=1) + 0.1 * rng.normal(size=(count, 12))).astype(np.float32)
    return Dataset(name="rows", x_train=rows, y_train=labels, x_test=rows, y_test=labels)


def test_distorted_images_keep_shape_and_range_and_some_stay_as_they_are() -> None:
    images = torch.rand(200, 1, 12, 10, generator=torch.Generator().manual_seed(0))
    distorted = DigitAugment()(images, torch.Generator().manual_seed(1))
    assert distorted.shape == images.shape
    assert 0 <= distorted.min() and distorted.max() <= 1 + 1e-6
    same = (distorted == images).flatten(1).all(dim=1).float().mean()
    assert 0.15 < same < 0.45  # 30 %, drawn 200 times: within five sigma


def test_strength_scales_every_distortion() -> None:
    whole, half, none = (
        distortion_fields(50, 12, 12, torch.Generator().manual_seed(0), strength) for strength in (1.0, 0.5, 0.0)
    )
    images = torch.rand(50, 1, 12, 12, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(torch.nn.functional.grid_sample(images, none, align_corners=False), images)
    far, near = ((field - none).flatten(1).norm(dim=1) for field in (whole, half))
    assert ((near > 0.4 * far) & (near < 0.6 * far)).all()  # a rotation is not linear in its angle
    assert DigitAugment(0.0)(images, torch.Generator().manual_seed(2)).allclose(images, atol=1e-5)


def test_rows_of_features_train_without_distortion_and_the_record_says_so() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
    small = finetune(opq(model, sparsity=0.5, bits=5), features(), epochs=1, augment=True)
    assert small.history[-1]["options"]["augment"] is False
    assert convert(small, features(), Conversion(epochs=1), augment=True).about["augment"] is False


def test_pictures_are_mirrored_and_moved_and_nothing_else() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(300, 3, 9, 7, generator=generator)
    changed = PictureAugment(shift=2)(images, torch.Generator().manual_seed(1))
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    found = set()
    for image, wanted in zip(padded, changed, strict=True):
        places = [
            (mirrored, row, column)
            for mirrored in (False, True)
            for row in range(5)
            for column in range(5)
            if torch.equal((_mirrored(image) if mirrored else image)[:, row : row + 9, column : column + 7], wanted)
        ]
        found.update(places)
        assert len(places) == 1
    assert len(found) > 40  # of 50 ways, 300 draws
    assert isinstance(augmentation("pictures"), PictureAugment) and isinstance(
        augmentation("handwriting"), DigitAugment
    )


def _mirrored(image: torch.Tensor) -> torch.Tensor:
    """The inner image mirrored, within the same padding."""
    return image.flip(-1)
