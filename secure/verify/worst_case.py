"""The search for the worst inputs of a plan: gradient ascent on the plan in clear, from data, within the calibrated
range.

Two quantities are maximized, for each image by itself:

    fullness   the largest coefficient times its scale over half of the modulus, where it is rescaled or decrypted;
               above 1 it wraps around
    error      the largest error of an output under one draw of the noise; rounding is exact, the rest Gaussian

Each step follows the sign of the gradient, and steps shrink (projected gradient ascent under a bound per pixel; Madry
et al. 2018). It ends in a local maximum, so worse inputs than those found may exist.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from secure.bounds.headroom import wrap_sites
from secure.bundle.specs import Bundle, ClientSpec
from secure.encoding import coefficients, slot_derivatives
from secure.evaluators.adjoint import pull_back, record
from secure.evaluators.clear import ClearEvaluator, NoisyClearEvaluator
from secure.layout.packing import folded, input_gradient, input_vectors, unfolded

Array = NDArray[np.float64]
#: Called with the share of the steps done, from 0 to 1.
StepDone = Callable[[float], None]

#: The first step as a share of the allowed range of a pixel. Later steps shrink to nothing.
FIRST_STEP = 0.5


class Objective(Protocol):
    """A quantity that is computed for every image, with or without its derivatives by pixels."""

    def values(self, images: Array) -> Array:
        """(images,)"""

    def gradients(self, images: Array) -> tuple[Array, Array]:
        """(images,), and the derivative or a positive multiple of it, of the images' shape."""


@dataclass(frozen=True)
class Reached:
    """The worst inputs found from some images, (images, *input_shape), and the quantity there, (images,)."""

    images: Array
    values: Array


def ascend(objective: Objective, start: Array, low: Array, high: Array, steps: int, step_done: StepDone) -> Reached:
    """Gradient ascent from each image within `low` and `high` (of the images' shape); the best point of every path.

    step_done: called after every step.
    """
    images, best, best_values = start, start, np.full(len(start), -np.inf)
    for step in range(steps + 1):
        values, gradient = objective.gradients(images)
        better = values > best_values
        best_values = np.where(better, values, best_values)
        best = np.where(better.reshape(-1, *[1] * (start.ndim - 1)), images, best)
        move = FIRST_STEP * (1 - step / (steps + 1)) * (high - low) * np.sign(gradient)
        images = np.clip(images + move, low, high)
        step_done((step + 1) / (steps + 1))
    return Reached(best, best_values)


class Fullness:
    """log2 of the largest coefficient over half of its modulus. That is the negative headroom in bits."""

    def __init__(self, bundle: Bundle) -> None:
        self._spec, self._plan = bundle.client, bundle.server.plan
        self._sites = wrap_sites(self._plan)
        self._evaluator = ClearEvaluator(self._plan)

    def by_site(self, images: Array) -> dict[str, Array]:
        """(images,) for every layer with a watched value: the largest fullness of the layer."""
        result: dict[str, Array] = {}
        for site, logs in zip(self._sites, self._logs(images)[1], strict=True):
            fullest = logs.max(axis=-1)
            result[site.layer] = np.maximum(result[site.layer], fullest) if site.layer in result else fullest
        return result

    def values(self, images: Array) -> Array:
        return np.asarray(np.max([logs.max(axis=-1) for logs in self._logs(images)[1]], axis=0))

    def gradients(self, images: Array) -> tuple[Array, Array]:
        tape, logs, signs = self._logs(images)
        fullest = np.array([site.max(axis=-1) for site in logs])  # (sites, images)
        worst = fullest.argmax(axis=0)
        derivatives = {}
        for index, site in enumerate(self._sites):
            largest = logs[index] == logs[index].max(axis=-1, keepdims=True)
            chosen = largest & (worst == index)[:, None]
            derivatives[site.value] = slot_derivatives(np.where(chosen, signs[index], 0.0))
        return fullest.max(axis=0), _by_pixels(self._spec, pull_back(tape, derivatives))

    def _logs(self, images: Array) -> tuple[Any, list[Array], list[Array]]:
        """The tape, and by site log2 of |coefficient| over half the modulus and the coefficient's sign, (images, N)."""
        inputs = _inputs(self._spec, images)
        tape = record(self._plan, self._evaluator, inputs, {site.value for site in self._sites})
        logs, signs = [], []
        for site in self._sites:
            found = coefficients(tape.values[site.value])
            logs.append(np.log2(np.maximum(np.abs(found), 1e-300)) - site.room_bits)
            signs.append(np.sign(found))
        return tape, logs, signs


class SimulatedError:
    """The largest |noisy - exact| over the outputs. Each image has its own draw of the noise, the same in every
    step."""

    def __init__(self, bundle: Bundle, seed: int) -> None:
        self._spec, self._plan = bundle.client, bundle.server.plan
        self._exact = ClearEvaluator(self._plan)
        self._noisy = NoisyClearEvaluator(self._plan, seed)

    def values(self, images: Array) -> Array:
        return np.asarray(np.abs(self._errors(images)[2]).max(axis=1))

    def gradients(self, images: Array) -> tuple[Array, Array]:
        exact, noisy, errors = self._errors(images)
        chosen = np.abs(errors).argmax(axis=1)
        places, rows = self._spec.output_slots[chosen], np.arange(len(images))
        signs = np.sign(errors[rows, chosen])
        derivatives = {value: np.zeros((len(images), self._plan.params.slots)) for value in self._plan.outputs}
        for row, (ciphertext, slot) in enumerate(places):
            derivatives[self._plan.outputs[ciphertext]][row, slot] = signs[row]
        derivatives = {value: unfolded(own, self._spec.output_folds) for value, own in derivatives.items()}
        gradient = _by_pixels(self._spec, pull_back(noisy, derivatives))
        return np.abs(errors[rows, chosen]), gradient - _by_pixels(self._spec, pull_back(exact, derivatives))

    def _errors(self, images: Array) -> tuple[Any, Any, Array]:
        """Both tapes and the errors (images, outputs)."""
        inputs = _inputs(self._spec, images)
        wanted = set(self._plan.outputs)
        exact = record(self._plan, self._exact, inputs, wanted)
        self._noisy.restart()
        noisy = record(self._plan, self._noisy, [self._noisy.fresh(slots) for slots in inputs], wanted)
        found = np.stack([(noisy.values[value] - exact.values[value]).real for value in self._plan.outputs])
        found = folded(found, self._spec.output_folds)
        places = self._spec.output_slots
        return exact, noisy, found[places[:, 0], :, places[:, 1]].T


def _inputs(spec: ClientSpec, images: Array) -> list[NDArray[Any]]:
    """The input slots of every ciphertext, (images, slots)."""
    return list(input_vectors(images.reshape(len(images), -1), spec.input_slots).swapaxes(0, 1))


def _by_pixels(spec: ClientSpec, by_ciphertext: list[NDArray[Any]]) -> Array:
    size = int(np.prod(spec.input_shape))
    gradient = input_gradient(np.stack(by_ciphertext, axis=1), spec.input_slots, size)
    return gradient.reshape(len(gradient), *spec.input_shape)
