"""The options of `joint_quantize` and their checks. Loads no torch; commands check before they load data."""

from __future__ import annotations

from compress.checks import is_whole
from compress.errors import ConfigError

LEAST_BITS, MOST_BITS = 2, 16
#: Training images that the grids are chosen on.
CALIBRATION_IMAGES = 256


def check_joint(*, bits: int, bias_bits: int | None = None, images: int = CALIBRATION_IMAGES) -> None:
    """Refuse options that `joint_quantize` cannot take, whatever the model is.

    Raises: ConfigError.
    """
    for field, value in (("bits", bits), ("bias_bits", bits if bias_bits is None else bias_bits)):
        if not (is_whole(value) and LEAST_BITS <= value <= MOST_BITS):
            raise ConfigError(field, value, f"a whole number from {LEAST_BITS} to {MOST_BITS}")
    if not (is_whole(images) and images >= 1):
        raise ConfigError("images", images, "a whole number, 1 or more")
