"""Whether a bundle keeps its error bound and its modulus on the worst inputs that a search finds, run encrypted.

Inputs are searched for in three places: the images as they are (radius 0), within a radius of an image, and anywhere
in the accepted range (radius 1). Bound and headroom come from calibration images, so they hold for inputs like
these. Other inputs in the range may exceed both; the last row shows by how much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.dataset import Progress
from compress.errors import InputShapeError
from compress.scores import Scoring, scoring_of
from secure.bundle.specs import Bundle, ClientSpec
from secure.verify.roundtrip import BATCH, clear_outputs, encrypted_outputs
from secure.verify.worst_case import Fullness, Objective, SimulatedError, ascend

Array = NDArray[np.float64]

#: Images that the search starts from for each quantity: those on which it is largest.
STARTS = 8
ANYWHERE = 1.0


@dataclass(frozen=True)
class _Finds:
    """The worst inputs of one radius: half by fullness, half by error, each from the worst on; and the measures
    found."""

    radius: float
    images: Array
    least_headroom_bits: float
    layer: str
    simulated_error: float


def verify_bundle(
    bundle: Bundle,
    images: NDArray[np.floating[Any]],
    *,
    encrypted: int = 8,
    steps: int = 20,
    radius: float = 0.1,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """One row for each of the radii 0, `radius` and 1 (shares of the accepted range), and whether all up to `radius`
    hold.

    images: (images, *input_shape) to start from. Images outside the accepted range are left out.
    encrypted: inputs per row that are run encrypted. The result's `backend` says what ran them.
    The headroom is the number of bits between the largest coefficient and half of the modulus, over all values that are
    rescaled or decrypted. Errors are those of outputs, in their units; they must not exceed `bound`,
    or for large answers what it grows to (`ClientSpec.error_bound`).
    Raises: InputShapeError, BackendError.
    """
    report = progress or (lambda label, share: None)
    spec = bundle.client
    started = _inside(bundle, images)
    fullness, error = Fullness(bundle), SimulatedError(bundle, seed)
    radii = sorted({0.0, radius, ANYWHERE})
    found = []
    for position, reach in enumerate(radii):

        def step(label: str, share: float, position: int = position) -> None:
            report(label, 0.9 * (position + share) / len(radii))

        found.append(_search(bundle, (fullness, error), started, reach, steps if reach else 0, encrypted, step))
    chosen = np.concatenate([finds.images for finds in found])
    outputs, measured = encrypted_outputs(bundle, chosen, lambda label, share: report(label, 0.9 + 0.1 * share))
    scoring = scoring_of(bundle.report.get("about", {}))
    rows = _rows(spec, found, clear_outputs(bundle, chosen), outputs, scoring)
    required = [row for row in rows if row["radius"] <= radius]
    result = {
        "images": len(started),
        "steps": steps,
        "radius": radius,
        "seed": seed,
        "backend": measured["backend"],
        "bound": spec.predicted_logit_error,
        "largest_error": max(row["largest_error"] for row in required),
        "largest_error_over_bound": max(row["largest_error_over_bound"] for row in required),
        "least_headroom_bits": min(row["least_headroom_bits"] for row in required),
        "rows": rows,
    }
    return {**result, "holds": not failures(result)}


def failures(result: Mapping[str, Any]) -> list[str]:
    """What does not hold within the radius, one line each; empty if everything holds."""
    lines = []
    if result["least_headroom_bits"] <= 0:
        lines.append(
            f"headroom is exhausted: an input within radius {result['radius']:g} exceeds the modulus by "
            f"{-result['least_headroom_bits']:.2f} bits and wraps around; compile with calibration data like it"
        )
    if result["largest_error_over_bound"] > 1:
        lines.append(
            f"the bound is broken: an encrypted input within radius {result['radius']:g} is off by "
            f"{result['largest_error_over_bound']:.4g} times the bound of its answer, which is {result['bound']:.4g} "
            "or more"
        )
    return lines


def _rows(
    spec: ClientSpec, found: Sequence[_Finds], clear: Array, outputs: Array, scoring: Scoring
) -> list[dict[str, Any]]:
    """One row per radius; clear and outputs hold the answers to all found inputs, radius by radius.

    `classes_changed` is None where answers are no classes.
    """
    rows: list[dict[str, Any]] = []
    start = 0
    for finds in found:
        own = slice(start, start + len(finds.images))
        start = own.stop
        off = np.abs(outputs[own] - clear[own]).max(axis=1)
        rows.append(
            {
                "radius": finds.radius,
                "least_headroom_bits": finds.least_headroom_bits,
                "layer": finds.layer,
                "simulated_error": finds.simulated_error,
                "largest_error": float(off.max()),
                "largest_error_over_bound": float((off / spec.error_bound(outputs[own])).max()),
                "encrypted": len(finds.images),
                "classes_changed": int(np.sum(scoring.classes(outputs[own]) != scoring.classes(clear[own])))
                if scoring.names_classes
                else None,
            }
        )
    return rows


def _inside(bundle: Bundle, images: NDArray[np.floating[Any]]) -> Array:
    spec = bundle.client
    images = spec.interface.features(images)
    if images.shape[1:] != spec.input_shape:
        raise InputShapeError(
            f"input: shape {images.shape[1:]}; the network takes {spec.input_shape}; give the data it was made with"
        )
    values = np.asarray(images, dtype=np.float64)
    flat = values.reshape(len(values), -1)
    inside = values[((flat >= spec.input_low) & (flat <= spec.input_high)).all(axis=1)]
    if not len(inside):
        raise InputShapeError(
            f"input: none of {len(values)} images lies in the accepted range; give the data the bundle was made with"
        )
    return inside


def _search(
    bundle: Bundle,
    objectives: tuple[Fullness, SimulatedError],
    images: Array,
    radius: float,
    steps: int,
    wanted: int,
    progress: Progress,
) -> _Finds:
    """The worst inputs within `radius` of the images; without steps, the worst images."""
    spec = bundle.client
    fullness, error = objectives
    lowest, highest = (ends.reshape(spec.input_shape) for ends in (spec.input_low, spec.input_high))
    reach = radius * (highest - lowest)
    targets: tuple[tuple[str, Objective], ...] = (("headroom", fullness), ("error", error))
    reached = []
    for place, (label, objective) in enumerate(targets):
        start = images[np.argsort(_batched(objective, images))[-STARTS:]]
        low, high = np.maximum(start - reach, lowest), np.minimum(start + reach, highest)

        def step(share: float, place: int = place, label: str = label) -> None:
            progress(label, (place + share) / len(targets))

        reached.append(ascend(objective, start, low, high, steps, step))
    everything = np.concatenate([one.images for one in reached])
    by_layer = fullness.by_site(everything)
    layer = max(by_layer, key=lambda name: by_layer[name].max())
    worst = [one.images[np.argsort(one.values)[::-1]][: wanted // 2] for one in reached]
    return _Finds(
        radius=radius,
        images=np.concatenate(worst),
        least_headroom_bits=-float(by_layer[layer].max()),
        layer=layer,
        simulated_error=max(float(reached[1].values.max()), float(error.values(reached[0].images).max())),
    )


def _batched(objective: Objective, images: Array) -> Array:
    return np.concatenate([objective.values(images[start : start + BATCH]) for start in range(0, len(images), BATCH)])
