"""A Network as rows for people: what every node is, how many weights, at which bits, and the range calibration saw."""

from __future__ import annotations

from typing import Any

from compress.network import Conv, Dense, Network


def describe_network(network: Network) -> list[dict[str, Any]]:
    """One row a node, in execution order."""
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
