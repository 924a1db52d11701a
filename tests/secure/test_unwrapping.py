"""Coefficients of answers that left the modulus: put right where few did, and refused where too many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from secure.encoding import coefficients
from secure.streams.unwrapping import unwrapped
from secure.throughput.magnitudes import MODULUS_SIGMAS

Array = NDArray[np.float64]


def block(degree: int, kind: str, noise: float, sigmas: float, seed: int) -> tuple[Array, Array, Any, float]:
    """(answers with their noise (3, N / 2), coefficients modulo q, phases, q). noise: relative to the answers. sigmas:
    in how many standard deviations of the coefficients the modulus ends."""
    rng = np.random.default_rng(seed)
    turns = np.exp(2j * np.pi * rng.random(degree // 2))
    sizes = {
        "alike": np.ones((3, degree // 2)),
        "normal": rng.normal(size=(3, degree // 2)),
        "heavy": np.exp(rng.normal(size=(3, degree // 2))) * rng.choice([-1, 1], (3, degree // 2)),
        "half empty": np.append(rng.normal(size=(3, degree // 4)), np.zeros((3, degree // 4)), axis=1),
    }[kind]
    answers = sizes / np.sqrt(np.mean(sizes**2, axis=1, keepdims=True))
    disturbed = answers + noise * (rng.normal(size=answers.shape) + 1j * rng.normal(size=answers.shape))
    found = coefficients(disturbed * turns)
    modulus = 2 * sigmas * np.sqrt((1 + 2 * noise**2) / degree)
    return disturbed.real, found - modulus * np.rint(found / modulus), turns, modulus


@pytest.mark.parametrize("degree", [2048, 8192])
@pytest.mark.parametrize("kind", ["alike", "normal", "heavy", "half empty"])
def test_answers_at_the_reserved_size_are_put_right(degree: int, kind: str) -> None:
    for seed in range(8):
        answers, held, turns, modulus = block(degree, kind, 0.1, MODULUS_SIGMAS, seed)
        whole = coefficients(answers * turns)
        assert (np.abs(whole) > modulus / 2).sum() > 30  # many coefficients do not fit
        found = unwrapped(held, turns, modulus)
        assert found is not None
        np.testing.assert_allclose(found, answers, atol=1e-9)


def test_blocks_that_are_larger_still_are_put_right_too() -> None:
    for seed in range(8):
        answers, held, turns, modulus = block(2048, "normal", 0.05, 0.9 * MODULUS_SIGMAS, seed)
        found = unwrapped(held, turns, modulus)
        assert found is not None
        np.testing.assert_allclose(found, answers, atol=1e-9)


@pytest.mark.parametrize("sigmas", [0.02, 0.5, 1.0, 1.4, 1.55, 1.65])
def test_answers_are_right_or_refused(sigmas: float) -> None:
    """Between what is always put right and what never is, nothing wrong comes back."""
    for seed in range(12):
        answers, held, turns, modulus = block(2048, "alike", 0.1, sigmas, seed)
        found = unwrapped(held, turns, modulus)
        assert found is None or np.abs(found - answers).max() < 1e-9
        assert found is None or sigmas > 1.2


def test_answers_that_fit_are_those_of_the_slots() -> None:
    answers, held, turns, modulus = block(2048, "normal", 0.05, 8.0, 0)
    found = unwrapped(held, turns, modulus)
    assert found is not None
    np.testing.assert_allclose(found, answers, atol=1e-9)


def test_a_coefficient_that_wrapped_around_twice() -> None:
    answers, held, turns, modulus = block(2048, "normal", 0.05, 6.0, 0)
    held[1, 77] += 2 * modulus
    found = unwrapped(held, turns, modulus)
    assert found is not None
    np.testing.assert_allclose(found, answers, atol=1e-9)


def test_noise_that_looks_like_wraps_is_refused() -> None:
    for seed in range(4):
        _, held, turns, modulus = block(2048, "normal", 1.0, 3.0, seed)
        assert unwrapped(held, turns, modulus) is None
