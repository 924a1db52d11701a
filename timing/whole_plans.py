"""From single operations to whole plans: a plan's operations share caches and go through the interpreter one by one.

Kernel times fitted to operations alone predict plans a fifth too low. So three plans of networks that nobody uses, one a ring, are
compiled and run, and the fit is corrected by a common factor on all kernels and by the cost of a call (derived; least squares on the
relative error). Networks that predictions are checked on are not among them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from compress.network import Dense, Input, Network, Polynomial, Weights
from hwmodel.fitting import nonnegative_least_squares
from secure.client import Client
from secure.compiling import compile_network
from secure.engine_kernels import engine_kernels
from secure.kernels import KernelCounts, KernelTimes
from secure.server import Server
from timing.sampling import cpu_sample_us

#: Widths of the networks' layers: one square each but the last width; rings of 4096, 8192 and 16384 carry them.
WIDTHS = ((300, 40, 8), (500, 120, 60, 8), (300, 100, 60, 40, 20, 8))
#: Largest acceptable error, in parts of the outputs' rms: nobody reads these answers, and so the small rings serve.
LOOSE = 2.0
RUNS = 9
#: A factor on kernels beyond this says that the machine was disturbed, not how it works.
MOST_FACTOR = 3.0


@dataclass(frozen=True)
class PlanSample:
    """A plan's kernels by the fitted times, its operations, and what a run of it took (all on one thread)."""

    kernels_ms: float
    operations: int
    measured_ms: float


def corrected(times: KernelTimes, samples: Sequence[PlanSample]) -> KernelTimes:
    """Kernel times whose predictions of these plans are best: measured = factor * kernels + call * operations."""
    rows = np.array([[one.kernels_ms / one.measured_ms, one.operations / one.measured_ms] for one in samples])
    factor, call_ms = nonnegative_least_squares(rows, np.ones(len(samples)))
    factor = float(np.clip(factor, 1 / MOST_FACTOR, MOST_FACTOR))
    return replace(
        times,
        butterfly_ns=factor * times.butterfly_ns,
        product_ns=factor * times.product_ns,
        addition_ns=factor * times.addition_ns,
        call_us=1e3 * float(call_ms),
    )


def plan_samples(times: KernelTimes, progress: Callable[[str, float], None] | None = None) -> list[PlanSample]:
    """Compile and run the synthetic plans under the engine."""
    samples = []
    for position, widths in enumerate(WIDTHS):
        if progress is not None:
            progress("whole plans", position / len(WIDTHS))
        samples.append(_sample(widths, times))
    return samples


def _sample(widths: Sequence[int], times: KernelTimes) -> PlanSample:
    network, images = _network(widths)
    scale = float(np.sqrt(np.mean(network.run(images) ** 2)))
    bundle = compile_network(network, images, times=times, max_error=LOOSE * scale)
    client, server, plan = Client(bundle.client), Server(bundle.server), bundle.server.plan
    server.register(client.evaluation_key)
    key_id, ciphertexts = server.load_request(client.encrypt(images[0]))
    server.run_ciphertexts(key_id, ciphertexts)
    runs = sorted(cpu_sample_us(lambda: server.run_ciphertexts(key_id, ciphertexts), 1) for _ in range(RUNS))
    kernels_ms = times.milliseconds(sum(engine_kernels(plan), KernelCounts()), calls=0)
    return PlanSample(kernels_ms, len(plan.ops), runs[len(runs) // 2] * 1e-3)


def _network(widths: Sequence[int]) -> tuple[Network, NDArray[np.float64]]:
    """A dense network of these widths with random weights and squares between, and images for it."""
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
