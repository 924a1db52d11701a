"""Models and networks as rows for people: weights, bits, size, multiplications and calibrated ranges per layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from compress.account.accounting import account
from compress.blocks.places import layer_places
from compress.blocks.prune import block_table
from compress.model.compressed import CompressedModel
from compress.network import Conv, Dense, Network


def describe_network(network: Network) -> list[dict[str, Any]]:
    """One row per node, in execution order."""
    rows = []
    for node in network.nodes:
        row: dict[str, Any] = {"name": node.name, "type": type(node).__name__.lower(), "shape": list(node.shape)}
        if isinstance(node, (Dense, Conv)):
            weights = node.weights
            row |= {"parameters": weights.codes.size, "nonzeros": weights.nonzeros, "bits": weights.bits}
        edge = network.ranges.get(node.name)
        if edge is not None:
            row |= {"low": edge.low, "high": edge.high}
        rows.append(row)
    return rows


def describe_model(model: CompressedModel) -> dict[str, Any]:
    """What `account` counts, with the multiplications per input and the kept blocks of every layer.

    multiplications: by weights only, not products of activations as in attention; None when the input's shape is
    unknown. blocks, blocks_kept: None for a layer that block pruning did not see. joint: of a jointly quantized model
    the bits and the number of quantization operations before and after, else None.
    """
    counted = account(model)
    places = {}
    if model.input_shape is not None:
        example = np.zeros((1, *model.input_shape), dtype=np.float32)
        places = {place.name: place.positions for place in layer_places(model.module, example)}
    blocks = {row["layer"]: row for row in block_table(model)}
    rows = []
    for row in counted["layers"]:
        positions, block = places.get(row["layer"]), blocks.get(row["layer"], {})
        rows.append(
            row
            | {
                "multiplications_dense": None if positions is None else row["parameters"] * positions,
                "multiplications": None if positions is None else row["nonzeros"] * positions,
                "blocks": block.get("blocks"),
                "blocks_kept": block.get("kept"),
            }
        )
    return counted | {"layers": rows, "joint": _joint(model)}


def _joint(model: CompressedModel) -> dict[str, Any] | None:
    step = next((step for step in reversed(model.history) if step["method"] == "joint"), None)
    if step is None:
        return None
    points = {key: step[key] for key in ("quantization_points_before", "quantization_points_after")}
    return {"bits": step["options"]["bits"], **points}
