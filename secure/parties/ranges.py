"""An input against what the bundle accepts: its shape, finite values, and the range of every feature."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import InputRangeError, InputShapeError
from secure.bundle.batch_specs import BatchClientSpec
from secure.bundle.specs import ClientSpec

#: The most clipped features that a message names.
MOST_NAMED = 3


@dataclass(frozen=True)
class Clipped:
    """An input within the accepted range.

    values: of the network's input shape. features: flat indices of the features that were outside, in ascending order.
    said: what was clipped, in one line; empty if nothing was.
    """

    values: NDArray[np.float64]
    features: tuple[int, ...]
    said: str


def checked_input(spec: ClientSpec | BatchClientSpec, image: NDArray[Any], name: str = "input") -> NDArray[np.float64]:
    """The input as float64, of the network's input shape. name: of the input, for messages.

    Raises: InputShapeError for another shape and for values that are not finite; InputRangeError, an InputShapeError,
    for values outside the accepted range.
    """
    values = _of_shape(spec, image, name)
    flat = values.ravel()
    outside = np.flatnonzero((flat < spec.input_low) | (flat > spec.input_high))
    if len(outside):
        width = np.maximum(spec.input_high - spec.input_low, 1e-300)[outside]
        beyond = np.maximum(spec.input_low[outside] - flat[outside], flat[outside] - spec.input_high[outside])
        worst = int(outside[int((beyond / width).argmax())])
        low, high = float(spec.input_low[worst]), float(spec.input_high[worst])
        raise InputRangeError(
            f"{name}: {_place(worst, spec.input_shape)} is {flat[worst]:g}, accepted are {low:g} to {high:g}"
            f"{_others(len(outside))}; {_advice(spec, flat, len(outside))}",
            feature=worst, value=float(flat[worst]), low=low, high=high,
        )  # fmt: skip
    return values


def clipped_input(spec: ClientSpec, image: NDArray[Any]) -> Clipped:
    """The input with every value outside the accepted range replaced by the end that is nearest.

    Raises: InputShapeError for another shape and for values that are not finite.
    """
    values = _of_shape(spec, image, "input")
    flat = values.ravel()
    kept = np.clip(flat, spec.input_low, spec.input_high)
    features = tuple(int(feature) for feature in np.flatnonzero(kept != flat))
    named = ", ".join(
        f"{_place(feature, spec.input_shape)} from {flat[feature]:g} to {kept[feature]:g}"
        for feature in features[:MOST_NAMED]
    )
    more = f" and {len(features) - MOST_NAMED} more" if len(features) > MOST_NAMED else ""
    said = f"clipped {len(features)} of {len(flat)} features: {named}{more}" if features else ""
    return Clipped(kept.reshape(values.shape), features, said)


def _of_shape(spec: ClientSpec | BatchClientSpec, image: NDArray[Any], name: str) -> NDArray[np.float64]:
    try:
        values = np.asarray(image, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputShapeError(f"{name}: not an array of numbers ({error})") from error
    if values.shape != spec.input_shape:
        parts = ", ".join(map(str, spec.interface.input_parts))
        advice = (
            f"give its parts {parts} as a tuple, by name, or in one .npz file" if parts else "reshape or crop the input"
        )
        raise InputShapeError(f"{name}: shape {values.shape}; the network takes {spec.input_shape}; {advice}")
    if not np.isfinite(values).all():
        raise InputShapeError(f"{name}: it holds values that are not finite; clean it first")
    return values


def _place(feature: int, shape: tuple[int, ...]) -> str:
    """A feature by its index, of an image by its position in the shape."""
    if len(shape) == 1:
        return f"feature {feature}"
    return f"feature {feature} at {tuple(int(index) for index in np.unravel_index(feature, shape))}"


def _others(outside: int) -> str:
    return "" if outside == 1 else f" ({outside - 1} more {'features lie' if outside > 2 else 'feature lies'} outside)"


def _advice(spec: ClientSpec | BatchClientSpec, flat: NDArray[np.float64], outside: int) -> str:
    """What to do. Scaling is advised only where it may be what is missing: where most of the input lies outside."""
    if 2 * outside >= prod(spec.input_shape) or (flat.min() >= 0 and flat.max() == 255):
        return "scale the input as the training data was (uint8 images are divided by 255)"
    return "clip it (clip=True, or --clip), check its unit, or compile again with data that covers such values"
