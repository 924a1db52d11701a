"""Anchors of a detector: its scales and ratios, the cells of its image, and the pooling kernel of every channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, isfinite, sqrt

from compress.checks import is_number
from compress.errors import ConfigError

CHANNEL_RULES = ("log", "published")


def half_up(value: float) -> int:
    """Rounded to the nearest whole number, halves upwards (Python rounds them to even numbers)."""
    return floor(value + 0.5)


@dataclass(frozen=True)
class Anchors:
    """The anchors that boxes are related to. A channel is a scale with a ratio, numbered scale by scale.

    image: width and height in pixels. areas: of the scales, in square pixels, ascending. ratios: height per width,
    ascending. stride: pixels per cell (beta). kernel: the side of a pooling window per side of the anchor (alpha).
    channel_rule: how a box finds its channel. "log" compares sizes and ratios as logarithms; "published" takes the
    least (difference of areas)^2 + (difference of ratios)^2, in which areas decide almost alone.
    Raises: ConfigError naming the field.

    Source: MaxpoolNMS (CVPR 2019) and PSRR-MaxpoolNMS (CVPR 2021, arXiv 2105.12990); the rule "log" is derived.
    """

    image: tuple[float, float]
    areas: tuple[float, ...] = (64.0**2, 128.0**2, 256.0**2, 512.0**2)
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    stride: float = 16.0
    kernel: float = 0.75
    channel_rule: str = "log"

    def __post_init__(self) -> None:
        for field in ("image", "areas", "ratios"):
            object.__setattr__(self, field, _positive(field, getattr(self, field), ascending=field != "image"))
        if len(self.image) != 2:
            raise ConfigError("image", self.image, "width and height in pixels")
        for field in ("stride", "kernel"):
            _positive(field, (getattr(self, field),))
        if self.channel_rule not in CHANNEL_RULES:
            raise ConfigError("channel_rule", self.channel_rule, ", ".join(CHANNEL_RULES))

    @property
    def channels(self) -> int:
        """Scales times ratios."""
        return len(self.areas) * len(self.ratios)

    @property
    def cells(self) -> tuple[int, int]:
        """Columns and rows of the score map."""
        width, height = (half_up(side / self.stride) + 1 for side in self.image)
        return width, height

    def size(self, channel: int) -> tuple[float, float]:
        """Width and height of a channel's anchor, in pixels, rounded as the published kernels round them."""
        area, ratio = self.areas[channel // len(self.ratios)], self.ratios[channel % len(self.ratios)]
        width = sqrt(area / ratio)
        return half_up(width), half_up(width * ratio)

    def kernels(self) -> tuple[tuple[int, int], ...]:
        """Columns and rows of the pooling window of every channel."""
        sizes = (self.size(channel) for channel in range(self.channels))
        return tuple((self._cells_of(width), self._cells_of(height)) for width, height in sizes)

    def _cells_of(self, side: float) -> int:
        return max(1, half_up(self.kernel * side / self.stride))


def _positive(field: str, values: Sequence[float], *, ascending: bool = False) -> tuple[float, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise ConfigError(field, values, "a sequence of numbers above 0")
    if not all(is_number(value) and isfinite(value) and value > 0 for value in values):
        raise ConfigError(field, values, "finite numbers above 0")
    if ascending and list(values) != sorted(set(values)):
        raise ConfigError(field, values, "different numbers in ascending order")
    return tuple(float(value) for value in values)
