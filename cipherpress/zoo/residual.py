"""Residual networks for 32x32 images: ResNet-20 of the CIFAR kind, and one of seven activations.

Every activation comes after a normalized convolution, or after the sum of one with the block's input, so that each is
one squaring of an encrypted network. Blocks that change the resolution project their input by a 1x1 convolution.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

#: Channels of the three stages, at 32x32, 16x16 and 8x8.
WIDTHS = (16, 32, 64)
SIDE = 32


class Unit(nn.Module):
    """A convolution without bias, normalized; (batch, inputs, side, side) to (batch, outputs, side / stride, ...)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))  # type: ignore[no-any-return]


class Residual(nn.Module):
    """Two units, an activation between them and one after the sum with the input (He et al. 2016, arXiv 1512.03385)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first, self.second = Unit(inputs, outputs, stride), Unit(outputs, outputs)
        self.skip = nn.Identity() if inputs == outputs and stride == 1 else Unit(inputs, outputs, stride, kernel=1)
        self.middle, self.last = nn.ReLU(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.second(self.middle(self.first(x))) + self.skip(x))  # type: ignore[no-any-return]


def activated(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A unit with its activation."""
    return nn.Sequential(Unit(inputs, outputs, stride), nn.ReLU())


def classifier(parts: Sequence[nn.Module], classes: int) -> nn.Module:
    """The parts, the mean over all positions, and a dense layer."""
    return nn.Sequential(*parts, nn.AvgPool2d(SIDE // 4), nn.Flatten(), nn.Linear(WIDTHS[-1], classes))


def resnet20(channels: int = 1, classes: int = 10) -> nn.Module:
    """ResNet-20: 19 activations, 16-32-64 channels; images (channels, 32, 32)."""
    blocks: list[nn.Module] = []
    inputs = WIDTHS[0]
    for outputs in WIDTHS:
        for number in range(3):
            blocks.append(Residual(inputs, outputs, 2 if number == 0 and outputs != inputs else 1))
            inputs = outputs
    return classifier([activated(channels, WIDTHS[0]), *blocks], classes)


def staged(blocks: Sequence[int], channels: int = 1, classes: int = 10) -> nn.Module:
    """A stem and two convolutions with a stride of 2, each followed by so many residual blocks; images (channels, 32,
    32)."""
    parts: list[nn.Module] = []
    inputs = channels
    for stage, (outputs, count) in enumerate(zip(WIDTHS, blocks, strict=True)):
        parts.append(activated(inputs, outputs, 2 if stage else 1))
        parts += [Residual(outputs, outputs) for _ in range(count)]
        inputs = outputs
    return classifier(parts, classes)


def resnet9(channels: int = 1, classes: int = 10) -> nn.Module:
    """Seven activations, of the class of ResNet-9: stem, down, residual, down, residual; images (channels, 32, 32)."""
    return staged((0, 1, 1), channels, classes)
