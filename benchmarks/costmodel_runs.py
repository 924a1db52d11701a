"""Validation rows of this project's own encrypted runs: plans at every ring, none used for calibration, on the machine at hand.

Kernel times are fitted to single operations measured in the same run; then every network's plan runs on encrypted
images, each run between two samples of one reference operation, so that both sides speak of the same machine speed. Process
CPU time, one thread.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import cipherpress as cp
from benchmarks.costmodel_row import HELD_OUT, Row
from compress.calibrate import calibrated
from compress.network import Dense, Input, Network, Node, Polynomial, Reshape, Weights
from hwmodel.encrypted_counts import encrypted_workload
from hwmodel.fitting import Measured, fit_kernel_times
from secure.backends import BackendName
from secure.client import Client
from secure.kernels import KernelTimes
from secure.plan import Kind
from secure.server import Server
from secure.specs import Bundle
from timing.sampling import cpu_sample_us, time_operations
from timing.seal_operations import make_ring, operations

FAMILY = "own runs, SEAL on this CPU"
REFERENCE = (Kind.ROTATE, 4096, 2)
#: Rings of the single operations: degree, measured levels, data primes, bits of a prime.
RINGS = (
    (4096, (1, 2, 3), 3, 26.0),
    (8192, (1, 2, 3, 4), 4, 40.0),
    (16384, (4, 6, 8), 8, 47.0),
    (32768, (8, 10), 10, 50.0),
)
ROUNDS = 9
#: Runs of one network: a median of so many settles.
MOST_IMAGES = 11
REFERENCE_REPEATS = 4


@dataclass(frozen=True)
class Subject:
    """A network to run: its name, how to make it, the largest error as a multiple of its outputs' rms (None: default), and
    how often it runs at most (deep ones take seconds)."""

    name: str
    network: Callable[[Any], Network]
    allowed_error: float | None = None
    runs: int = MOST_IMAGES


def chain(depth: int, width: int, data: Any, curvature: float = 0.25) -> Network:
    """A dense network of `depth` activations (1 - 2 c) x + c x^2 with random 4-bit weights: for cost only."""
    random = np.random.default_rng(depth)
    nodes: list[Node] = [
        Input(name="input", inputs=(), shape=(1, 28, 28)),
        Reshape(name="flat", inputs=("input",), shape=(784,)),
    ]
    for number in range(depth + 1):
        last, size = nodes[-1].name, nodes[-1].size
        outputs = 10 if number == depth else width
        codes = random.integers(-7, 8, (outputs, size)).astype(np.int8)
        spread = 4.3 * size**0.5 * (0.35 if number == 0 else 1.0)  # keeps values near 1 through the depth
        step = np.array(2.0 ** -round(np.log2(spread)))
        nodes.append(
            Dense(
                name=f"fc{number}", inputs=(last,), shape=(outputs,), weights=Weights(codes, step, 4),
                bias=np.zeros(outputs),
            )
        )  # fmt: skip
        if number < depth:
            nodes.append(
                Polynomial(
                    name=f"act{number}",
                    inputs=(f"fc{number}",),
                    shape=(outputs,),
                    coefficients=np.array([[0.0], [1 - 2 * curvature], [curvature]]),
                )
            )
    return calibrated(Network(nodes=tuple(nodes)), data.calibration(256))


def _zoo(name: str) -> Callable[[Any], Network]:
    """A zoo network, half its weights pruned, polynomials fitted but not tuned: the plan costs what a tuned one does."""
    return lambda data: cp.convert(cp.opq(cp.load_model(name), sparsity=0.5, bits=5), data, epochs=0)


SUBJECTS = (
    Subject("chain of 0", lambda data: chain(0, 64, data)),
    Subject("chain of 1", lambda data: chain(1, 64, data), 2.0),
    Subject("chain of 2", lambda data: chain(2, 64, data), 2.0),
    Subject("chain of 3", lambda data: chain(3, 64, data), 2.0),
    Subject("chain of 9", lambda data: chain(9, 32, data, curvature=0.05), 25.0, runs=5),
    Subject("mlp", _zoo("mlp")),
    Subject("cnn", _zoo("cnn")),
    Subject("lenet300", _zoo("lenet300")),
)


def run_rows(images: int, say: Callable[[str, float], None], subjects: tuple[Subject, ...] = SUBJECTS) -> Iterator[Row]:
    """One row a network: CPU milliseconds of its server, measured and modelled, both at the reference's median speed."""
    data = cp.load_data("mnist")
    times, reference, reference_us = _times_now(say)
    for position, subject in enumerate(subjects):
        say(f"run {subject.name}", 0.2 + 0.8 * position / len(subjects))
        bundle = _compiled(subject, data)
        plan = bundle.server.plan
        workload = encrypted_workload(plan)
        modelled_ms = times.milliseconds(workload.kernels, calls=len(plan.ops))
        runs = min(images, subject.runs)
        measured_ms = _measured_ms(bundle, data.x_test[:runs], reference, reference_us)
        yield Row(
            family=FAMILY,
            row=subject.name,
            quantity=f"server, N={plan.params.poly_modulus_degree}, {plan.params.levels} primes",
            unit="ms",
            published=measured_ms,
            modelled=modelled_ms,
            use=HELD_OUT,
            kind="measured",
            mark="CPU time",
            source="this machine, one thread, kernel times from single operations of the same run",
            note=f"{len(plan.ops)} operations, median of {runs} images",
        )


def _times_now(say: Callable[[str, float], None]) -> tuple[KernelTimes, Callable[[], object], float]:
    """Kernel times of this run, the reference operation, and its median time in CPU microseconds."""
    say("measure operations", 0.0)
    rings = [(make_ring(degree, levels, bits), measured) for degree, measured, levels, bits in RINGS]
    calls = {
        (kind, ring.params.poly_modulus_degree, level): call
        for ring, levels in rings
        for level in levels
        for kind, call in operations(ring, level)
    }
    timings, anchors = time_operations(calls, calls[REFERENCE], ROUNDS)
    anchor_us = statistics.median(anchors)
    measured = [Measured(*timing.key, timing.ratio * anchor_us) for timing in timings]
    return fit_kernel_times(measured), calls[REFERENCE], anchor_us


def _compiled(subject: Subject, data: Any) -> Bundle:
    network = subject.network(data)
    if subject.allowed_error is None:
        return cp.compile(network, data)
    outputs = network.run(data.calibration(64))
    return cp.compile(network, data, max_error=subject.allowed_error * float(np.sqrt((outputs**2).mean())))


def _measured_ms(bundle: Bundle, images: Any, reference: Callable[[], object], reference_us: float) -> float:
    """Median CPU milliseconds of the server on one image, at the speed at which the reference takes reference_us."""
    client, server = Client(bundle.client), Server(bundle.server, backend=BackendName.SEAL)
    server.register(client.evaluation_key)
    ratios = []
    for image in images:
        key_id, ciphertexts = server.load_request(client.encrypt(image))
        before = cpu_sample_us(reference, REFERENCE_REPEATS)
        took_us = cpu_sample_us(lambda: server.run_ciphertexts(key_id, ciphertexts), 1)  # noqa: B023 - called at once
        after = cpu_sample_us(reference, REFERENCE_REPEATS)
        ratios.append(2 * took_us / (before + after))
    return statistics.median(ratios) * reference_us * 1e-3
