"""Inputs at the edge of the range that a client accepts. The modulus has to hold them too.

What is reserved for (derived), beside what is reserved beyond the calibration inputs themselves: every feature alone at
either end of its range, in the calibration input that comes nearest to it and in a few others; and whole inputs
stretched about the mean.
Images and series, whose features share a unit, are stretched until their channels fill their range, rows of features by
ROW_STRETCH. Inputs with many unrelated features at their ends at once are like no calibration input, and nothing is
reserved for them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secure.bounds.headroom import largest_images
from secure.bounds.slot_values import chosen_images
from secure.drafting.draft import Evidence
from secure.stages.stages import Stage, run_stages

Array = NDArray[np.float64]

#: The most edge inputs. Of more features, those that can move the first stage's values furthest are taken.
MOST_EDGES = 256
#: In how many calibration inputs a feature is brought to each of its ends.
INPUTS_PER_END = 4
#: How many edge inputs are whole rows of features or images, stretched, and by how much rows are.
STRETCHED_ROWS, ROW_STRETCH = 64, 1.25
#: For every stage, so many edge inputs are kept: those with the stage's largest values.
KEPT_PER_STAGE = 8
#: An edge input on which some stage's values are so many times larger than on any calibration input is left out: the
#: network explodes on it, and no modulus would hold its values. Answers to it mean nothing, encrypted or not. An input
#: that is itself larger than those of calibration, in a range that was asked for, may make values larger by its square.
EXPLODING = 64.0


def gather_edges(
    stages: tuple[Stage, ...],
    images: Array,
    low: Array,
    high: Array,
    evidence: Evidence | None = None,
) -> tuple[Evidence | None, int]:
    """(The values of all stages on the edge inputs of calibration images (images, *input_shape), how many edge inputs
    are left out since the network explodes on them). None where all of them are.

    low, high: the accepted range, (features,). evidence: the values on the calibration images, by which explosions are
    told; without it, no edge input is left out.
    """
    flat = images.reshape(len(images), -1)
    weight = np.zeros(flat.shape[1])
    for stage in stages:
        if 0 in stage.maps:
            weight += np.asarray(stage.maps[0].power(2).sum(axis=0)).ravel()
    edges = edge_inputs(flat, low, high, np.sqrt(weight), channels=images.shape[1] if images.ndim > 2 else 0)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is left out
        atoms, values = run_stages(stages, edges.reshape(len(edges), *images.shape[1:]))
    found = Evidence(tuple(atoms), tuple(values))
    steady = np.ones(len(edges), dtype=bool)
    if evidence is not None:
        further = np.maximum(np.abs(edges).max(axis=1) / max(float(np.abs(flat).max()), 1e-300), 1.0)
        for value, usual in zip(found.values, evidence.values, strict=True):
            # not so for what is not a number
            steady &= np.abs(value).max(axis=0) <= EXPLODING * further**2 * np.abs(usual).max()
        found = chosen_images(found, np.flatnonzero(steady).tolist())
    left_out = int(len(steady) - steady.sum())
    return (chosen_images(found, largest_images(found, KEPT_PER_STAGE)) if steady.any() else None), left_out


def edge_inputs(flat: Array, low: Array, high: Array, weight: Array, *, channels: int) -> Array:
    """At most MOST_EDGES inputs, (edges, features).

    flat: calibration inputs (images, features). weight: how much each feature moves the first stage, (features,).
    channels: of images and series; 0 for rows of features, which are moved one by one.
    """
    mean = flat.mean(axis=0)
    furthest = np.argsort((flat - mean) ** 2 @ weight**2)
    if channels:
        by_channel = flat.reshape(len(flat), channels, -1)
        width = np.maximum(by_channel.max(axis=(0, 2)) - by_channel.min(axis=(0, 2)), 1e-300)
        accepted = (high - low).reshape(channels, -1)[:, 0]
        stretch = np.repeat(np.maximum(accepted / width, 1.0), flat.shape[1] // channels)
        return np.clip(mean + stretch * (flat[furthest[-STRETCHED_ROWS:]] - mean), low, high)
    ends = np.stack([low, high])
    nearest = np.stack([flat.argmin(axis=0), flat.argmax(axis=0)])
    moved = np.abs(ends - flat[nearest, np.arange(flat.shape[1])]) * weight
    chosen = np.argsort(moved.ravel())[-((MOST_EDGES - STRETCHED_ROWS) // INPUTS_PER_END) :]
    side, feature = np.unravel_index(chosen, moved.shape)
    others = np.linspace(0, len(flat) - 1, INPUTS_PER_END - 1).astype(int)
    bases = np.concatenate([nearest[side, feature], np.repeat(others, len(chosen))])
    side, feature = np.tile(side, INPUTS_PER_END), np.tile(feature, INPUTS_PER_END)
    edges = flat[bases].copy()
    edges[np.arange(len(edges)), feature] = ends[side, feature]
    stretched = np.clip(mean + ROW_STRETCH * (flat[furthest[-STRETCHED_ROWS:]] - mean), low, high)
    return np.concatenate([edges, stretched])
