"""What compiling a network for throughput will take, before any of it is done. Pure arithmetic on shapes."""

from __future__ import annotations

from compress.errors import CompilationSizeError
from compress.network import Conv, ConvTranspose, Dense, Network, Node
from secure.compiling.estimate import row_entries
from secure.limits import Limits

#: Bytes of the program itself, and for every entry of all matrices: while a matrix is made it exists several times.
BASE_BYTES, ENTRY_BYTES = 3e8, 250.0
#: Seconds of the rest, and for every entry, on a busy core of 2026: rows run through the network, and back.
BASE_SECONDS, ENTRY_SECONDS = 3.0, 2e-5


def check_size(network: Network, limits: Limits) -> None:
    """Raises: CompilationSizeError when compiling is estimated to exceed a limit, naming the layer with the most
    entries in its matrix."""
    entries = {node.name: node.size * row_entries(node, network) for node in network.nodes[1:] if _has_matrix(node)}
    total = sum(entries.values())
    peak_bytes, seconds = BASE_BYTES + ENTRY_BYTES * total, BASE_SECONDS + ENTRY_SECONDS * total
    if peak_bytes <= limits.compile_bytes and seconds <= limits.compile_seconds:
        return
    layer = max(entries, key=lambda name: entries[name]) if entries else network.nodes[-1].name
    raise CompilationSizeError(
        layer,
        f"compiling the network would take about {peak_bytes / 1e9:.1f} GB and {seconds:,.0f} s where "
        f"{limits.compile_bytes / 1e9:.1f} GB and {limits.compile_seconds:,.0f} s are allowed; most of it is this "
        f"layer with {entries.get(layer, 0.0):,.0f} multiply-adds; use a smaller input, a stride or pooling before it, "
        "or fewer channels, or raise --compile-memory and --compile-seconds (Limits.compile_bytes, compile_seconds)",
        estimated_bytes=peak_bytes,
        estimated_seconds=seconds,
    )


def _has_matrix(node: Node) -> bool:
    return isinstance(node, Dense | Conv | ConvTranspose)
