"""Whole plans, ready to be timed.

The operations of a plan seldom find in a cache what they read, unlike a loop over one operation. The plans are of small
and large networks of random weights in three rings. Networks on which predictions are checked are not among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from cipherpress.timing.cache import default_times
from compress.network import Dense, Input, Network, Polynomial, Weights
from secure.compiling.compile import compile_network
from secure.kernels.counts import KernelCounts
from secure.kernels.engine import engine_kernels
from secure.limits import Limits
from secure.parties.client import Client
from secure.parties.server import Server

#: Widths of the layers of each network, for rings of 4096 and 8192, and for the last one of 16384.
WIDTHS = (
    (200, 16, 4),
    (600, 64, 8),
    (700, 200, 8),
    (400, 60, 30, 8),
    (500, 120, 60, 8),
    (784, 128, 64, 32, 8),
    (300, 100, 60, 40, 20, 8),
)
#: Largest acceptable error relative to the outputs' rms. Nobody reads these answers, so small rings are enough.
LOOSE = 2.0


@dataclass(frozen=True)
class WholePlan:
    """The widths of its network's layers, its kernels, and a function that runs it once."""

    widths: tuple[int, ...]
    kernels: KernelCounts
    run: Callable[[], object]


def whole_plans() -> Iterator[WholePlan]:
    """Plans compiled for the committed kernel times, with keys."""
    times = default_times().engine
    for widths in WIDTHS:
        network, images = _network(widths)
        scale = float(np.sqrt(np.mean(network.run(images) ** 2)))
        bundle = compile_network(network, images, times=times, limits=Limits(max_error=LOOSE * scale))
        client, server = Client(bundle.client), Server(bundle.server)
        server.register(client.evaluation_key)
        run = partial(server.run_ciphertexts, *server.load_request(client.encrypt(images[0])))
        yield WholePlan(widths, sum(engine_kernels(bundle.server.plan), KernelCounts()), run)


def _network(widths: Sequence[int]) -> tuple[Network, NDArray[np.float64]]:
    """A dense network of these widths with random weights and a square between layers, and images for it."""
    rng = np.random.default_rng(len(widths))
    nodes: list[Input | Dense | Polynomial] = [Input(name="x", inputs=(), shape=(widths[0],))]
    for index, (rows, columns) in enumerate(zip(widths[1:], widths[:-1], strict=True)):
        weights = Weights(rng.normal(size=(rows, columns)) / np.sqrt(columns), np.array(1.0))
        last = nodes[-1].name
        nodes.append(Dense(name=f"fc{index}", inputs=(last,), shape=(rows,), weights=weights, bias=np.zeros(rows)))
        if index < len(widths) - 2:
            curve = np.array([[0.1], [0.5], [0.25]])
            nodes.append(Polynomial(name=f"act{index}", inputs=(f"fc{index}",), shape=(rows,), coefficients=curve))
    return Network(nodes=tuple(nodes)), rng.random((32, widths[0]))
