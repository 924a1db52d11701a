"""Decrypted answers made safe to show to others: scores with noise, or the class alone.

Answers that stay with the key holder need none of this. An answer that anybody else sees, the server included, does:
an observer who knows the exact input learns the encryption's noise from it, and from many answers the key.
`secure.parties.flooding` has the maths and the papers. The user has to count how many answers of one key are shown:
whoever shows more than `answers` makes new keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, frexp, inf, isfinite, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from compress.checks import is_number
from compress.errors import ConfigError
from secure.parties.discrete_gaussian import discrete_gaussian
from secure.parties.flooding import changed_classes, noise_ratio, recovery_bits, statistical_distance

#: How many answers of one key are shown, unless the caller says otherwise: a few.
DEFAULT_ANSWERS = 10
MOST_ANSWERS = 2**40
#: How many of the key's 128 bits of security all answers together may cost.
LOST_BITS = 10.0
#: More distance bits than this leave nothing of any answer.
MOST_DISTANCE_BITS = 64
#: Values are rounded to this share of the noise's standard deviation: more digits would be noise.
STEP_SHARE = 0.125
#: Noise is added to whole multiples of the predicted error times 2^-20 or somewhat less.
UNIT_BITS = 20


@dataclass(frozen=True)
class ReleaseCost:
    """What `release` does to answers, and what it protects.

    noise_std: standard deviation of the noise, in the outputs' units. step: released values are multiples of it.
    recovery_bits: of security that are left against finding the key after all answers. distance: the largest advantage
    of any test that tells the answers from answers without the encryption's noise. changed_classes: the expected share
    of rows whose class changes; None where no scores were given.
    """

    noise_std: float
    step: float
    recovery_bits: float
    distance: float
    changed_classes: float | None


def release(
    values: ArrayLike,
    predicted_error: float,
    *,
    answers: int = DEFAULT_ANSWERS,
    distance_bits: float | None = None,
    grows_beyond: float = inf,
) -> NDArray[np.float64]:
    """One answer plus Gaussian noise, rounded: what may be shown of it.

    predicted_error: ClientSpec.predicted_logit_error. answers: how many answers of this key are shown in all, this one
    included. Finding the key from all of them stays 118 bits hard (LOST_BITS of 128). distance_bits: the noise also
    keeps the statistical distance of all answers, from answers without the encryption's noise, below 2^-distance_bits;
    without it only the key is protected. `release_cost` says what that costs. grows_beyond:
    ClientSpec.error_grows_beyond; a larger answer is refused, since its error may exceed the predicted one.
    The noise is a discrete Gaussian on a fine grid (`secure.parties.discrete_gaussian`), in whole numbers throughout.
    Raises: ConfigError.
    """
    exact = _numbers(values)
    cost = release_cost(predicted_error, max(exact.size, 1), answers=answers, distance_bits=distance_bits)
    if not np.isfinite(exact).all():
        raise ConfigError("values", f"an array of shape {exact.shape}", "finite numbers")
    if exact.size and (largest := float(np.abs(exact).max())) > grows_beyond:
        raise ConfigError(
            "values", f"{largest:g}", f"at most {grows_beyond:g}: errors of larger answers may exceed the predicted "
            "error, which the noise is made for; show the class alone, or no answer to this input"
        )  # fmt: skip
    error = Fraction(float(predicted_error))
    unit = Fraction(2) ** (frexp(float(predicted_error))[1] - 1 - UNIT_BITS)
    # two answers that differ by the error differ by one unit more after rounding to units
    deviation = ceil(Fraction(cost.noise_std) / error * (error / unit + 1))
    step = Fraction(cost.step)
    noisy = [(round(Fraction(value) / unit) + discrete_gaussian(deviation)) * unit for value in exact.ravel().tolist()]
    return np.array([float(round(value / step) * step) for value in noisy]).reshape(exact.shape)


def release_cost(
    predicted_error: float,
    outputs: int,
    *,
    answers: int = DEFAULT_ANSWERS,
    distance_bits: float | None = None,
    scores: ArrayLike | None = None,
) -> ReleaseCost:
    """What `release` adds to answers of so many outputs, before any answer is released.

    scores: (rows, outputs), answers to inputs like those that will be sent, to count the classes that change.
    Raises: ConfigError.
    """
    if not is_number(predicted_error) or not 0 < predicted_error < inf:
        raise ConfigError("predicted_error", predicted_error, "a positive number (ClientSpec.predicted_logit_error)")
    _check_count("outputs", outputs, inf)
    _check_count("answers", answers, MOST_ANSWERS)
    if distance_bits is not None and (not is_number(distance_bits) or not 0 <= distance_bits <= MOST_DISTANCE_BITS):
        raise ConfigError("distance_bits", distance_bits, f"None, or 0 to {MOST_DISTANCE_BITS}")
    ratio = noise_ratio(outputs, answers, lost_bits=LOST_BITS, distance_bits=distance_bits)
    noise_std = ratio * float(predicted_error)
    changed = None
    if scores is not None:
        known = _numbers(scores)
        if known.size == 0 or known.size % outputs or not np.isfinite(known).all():
            raise ConfigError("scores", f"an array of shape {known.shape}", f"finite numbers (rows, {outputs})")
        changed = changed_classes(known.reshape(-1, outputs), noise_std * sqrt(1 + STEP_SHARE**2 / 12))
    return ReleaseCost(
        noise_std=noise_std,
        step=STEP_SHARE * noise_std,
        recovery_bits=recovery_bits(ratio, outputs, answers),
        distance=statistical_distance(ratio, outputs, answers),
        changed_classes=changed,
    )


def release_class(values: ArrayLike, *, threshold: float = 0.0) -> int:
    """The class of one answer: the index of its largest score; with one output 1 if it is above the threshold, else 0.

    What it protects: q classes out of d cost at most q log2(d) of the key's 128 bits of security, whatever the inputs
    (`secure.parties.flooding.class_recovery_bits`): three classes out of ten cost 10 bits, as much as `release` allows.
    For inputs like the data, a class tells nothing of the encryption unless encryption changed it, which happens to the
    predicted share of classes only.
    What it does not protect: an observer who chooses inputs on the border between two classes sees the sign of the
    encryption's noise. Many such answers narrow the key down, and no noise is added here against that. Nor is the input
    or the network protected from whoever sees classes.
    Raises: ConfigError.
    """
    scores = _numbers(values).ravel()
    if not scores.size or not np.isfinite(scores).all():
        raise ConfigError("values", f"{scores.size} numbers", "the scores of one answer, finite")
    return int(scores.argmax()) if scores.size > 1 else int(scores[0] > threshold)


def _check_count(field: str, value: Any, most: float) -> None:
    if not is_number(value) or not isfinite(value) or int(value) != value or not 1 <= value <= most:
        raise ConfigError(field, value, "a whole number, 1 or more" + (f", at most {most}" if most < inf else ""))


def _numbers(values: ArrayLike) -> NDArray[np.float64]:
    """Raises: ConfigError for what is no array of real numbers."""
    try:
        array = np.asarray(values)
    except ValueError:  # rows of different lengths
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise ConfigError("values", type(values).__name__, "an array of numbers")
    return array.astype(np.float64)
