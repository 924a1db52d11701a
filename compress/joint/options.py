"""The options of `joint_quantize` and their checks. Loads no torch; commands check before they load data."""

from __future__ import annotations

from compress.errors import ConfigError

LEAST_BITS, MOST_BITS = 2, 16
#: Training images that the grids are chosen on.
CALIBRATION_IMAGES = 256


def check_joint(*, bits: int, bias_bits: int | None = None, images: int = CALIBRATION_IMAGES) -> None:
    """Refuse options that `joint_quantize` cannot take, whatever the model is.

    Raises: ConfigError.
    """
    if not LEAST_BITS <= bits <= MOST_BITS:
        raise ConfigError("bits", bits, f"{LEAST_BITS} to {MOST_BITS}")
    if bias_bits is not None and not LEAST_BITS <= bias_bits <= MOST_BITS:
        raise ConfigError("bias_bits", bias_bits, f"{LEAST_BITS} to {MOST_BITS}")
    if images < 1:
        raise ConfigError("images", images, "1 or more")
