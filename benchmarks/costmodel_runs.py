"""Validation rows of this project's own encrypted runs: plans at every ring, none used for calibration, on the machine
at hand.

    OMP_NUM_THREADS=1 python -m benchmarks.costmodel_runs [seal] [engine]

This prints the rows; `cipherpress bench costmodel` writes them to a file. Kernel times are fitted to single operations,
and for the engine also to plans of synthetic networks, which are not among the rows. Operations, synthetic plans and
the networks' plans on an encrypted image are measured in turn, each between two samples of one reference operation, so
that the machine's speed is the same for all. Times are process CPU time on one thread.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import log2
from types import ModuleType
from typing import Any

import numpy as np

import cipherpress as cp
from benchmarks.costmodel_row import HELD_OUT, Row
from cipherpress.timing import engine_operations, seal_operations
from cipherpress.timing.fitting import Counting, fit_kernel_times
from cipherpress.timing.measuring import Rings, measured_in_turn
from cipherpress.timing.whole_plans import whole_plans
from compress.conversion.calibrate import calibrated
from compress.conversion.options import Conversion
from compress.dataset import Dataset, Progress
from compress.network import Dense, Input, Network, Node, Polynomial, Reshape, Weights
from hwmodel.encrypted_counts import EncryptedWorkload, encrypted_workload
from secure.bundle.specs import Bundle
from secure.kernels.counts import KernelCounts, KernelTimes
from secure.kernels.engine import lone_operation_kernels
from secure.kernels.seal import seal_operation_kernels
from secure.params import GUIDELINE_2024_LOG2_QP, SEAL_SPECIAL_MARGIN_BITS, Params, make_params
from secure.parties.backends import BackendName
from secure.parties.client import Client
from secure.parties.server import Server

#: Enough samples for a stable median.
ROUNDS = 11


def _seal_work(workload: EncryptedWorkload) -> KernelCounts:
    return sum((row.seal_kernels for row in workload.rows), KernelCounts())


def _engine_work(workload: EncryptedWorkload) -> KernelCounts:
    return sum((row.engine_kernels for row in workload.rows), KernelCounts())


@dataclass(frozen=True)
class Runtime:
    """What runs plans, and how its single operations and whole plans are timed and counted.

    rings: the rings of the single operations.
    """

    family: str
    backend: BackendName
    timing: ModuleType
    counting: Counting
    work: Callable[[EncryptedWorkload], KernelCounts]
    rings: Rings


SEAL = Runtime(
    "own runs, SEAL on this CPU", BackendName.SEAL, seal_operations, seal_operation_kernels, _seal_work,
    (
        (4096, 3, (1, 2, 3), 26.0), (8192, 4, (1, 2, 3, 4), 40.0), (16384, 8, (4, 6, 8), 47.0),
        (32768, 10, (8, 10), 50.0),
    ),
)  # fmt: skip
ENGINE = Runtime(
    "own runs, engine on this CPU", BackendName.ENGINE, engine_operations, lone_operation_kernels, _engine_work,
    ((4096, 2, (1, 2), 30.0), (8192, 4, (1, 2, 3, 4), 40.0), (16384, 6, (2, 4, 6), 47.0)),
)  # fmt: skip
RUNTIMES = {"seal": SEAL, "engine": ENGINE}
FAMILIES = tuple(runtime.family for runtime in RUNTIMES.values())


@dataclass(frozen=True)
class Subject:
    """A network to run: its name, how to make it, and the largest error relative to its outputs' rms (or None)."""

    name: str
    network: Callable[[Any], Network]
    allowed_error: float | None = None


def chain(depth: int, width: int, data: Dataset) -> Network:
    """A dense network of `depth` activations x / 2 + x^2 / 4 with random 4-bit weights, for costs only."""
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
                    coefficients=np.array([[0.0], [0.5], [0.25]]),
                )
            )
    return calibrated(Network(nodes=tuple(nodes)), data.calibration(256))


def _zoo(name: str) -> Callable[[Any], Network]:
    """A zoo network with half of its weights pruned and polynomials that are fitted, not tuned.

    Its plan costs as much as that of a tuned network, if the allowed error is large enough for the engine's primes.
    """
    return lambda data: cp.convert(cp.opq(cp.load_model(name), sparsity=0.5, bits=5), data, Conversion(epochs=0))


SUBJECTS = (
    Subject("chain of 0", lambda data: chain(0, 64, data)),
    Subject("chain of 1", lambda data: chain(1, 64, data), 2.0),
    Subject("chain of 2", lambda data: chain(2, 64, data), 2.0),
    Subject("chain of 3", lambda data: chain(3, 64, data), 2.0),
    Subject("chain of 4", lambda data: chain(4, 64, data), 2.0),
    Subject("chain of 7", lambda data: chain(7, 32, data), 2.0),
    Subject("mlp", _zoo("mlp")),
    Subject("cnn", _zoo("cnn"), 2.0),
    Subject("lenet300", _zoo("lenet300"), 2.0),
)


def run_rows(
    rounds: int,
    say: Progress,
    subjects: Sequence[Subject] = SUBJECTS,
    runtimes: Sequence[Runtime] = (SEAL, ENGINE),
) -> Iterator[Row]:
    """One row per runtime and network: CPU milliseconds of its server on one image, measured and modelled.

    Both are for the speed at which the reference takes its lower quartile. A plan whose primes are too large for the
    engine has no row for the engine.
    """
    data = cp.load_data("mnist")
    bundles = []
    for subject in subjects:
        say(f"compile {subject.name}", 0.0)
        bundles.append((subject, _compiled(subject, data)))
    for number, runtime in enumerate(runtimes):
        say(f"measure, {runtime.backend.value}", (number + 0.1) / len(runtimes))
        yield from _runtime_rows(runtime, bundles, data.x_test[0], rounds)


def _runtime_rows(
    runtime: Runtime, bundles: Sequence[tuple[Subject, Bundle]], image: Any, rounds: int
) -> Iterator[Row]:
    """Operations, synthetic plans (for the engine) and subjects, measured in turn at the same speeds of the machine."""
    own = {
        subject.name: _for_seal(bundle) if runtime is SEAL else bundle
        for subject, bundle in bundles
        if runtime is SEAL or bundle.server.plan.params.fits_engine
    }
    requests = {name: _request(bundle, runtime, image) for name, bundle in own.items()}
    synthetic = tuple(whole_plans()) if runtime is ENGINE else ()
    found = measured_in_turn(runtime.timing, runtime.rings, rounds, synthetic, requests)
    times = fit_kernel_times(found.cells, runtime.counting, found.plans)
    for name, bundle in own.items():
        yield _run_row(name, bundle, runtime, times, found.others[name] * 1e-3, rounds)


def _request(bundle: Bundle, runtime: Runtime, image: Any) -> Callable[[], object]:
    """One encrypted image through a server."""
    client, server = Client(bundle.client), Server(bundle.server, backend=runtime.backend)
    server.register(client.evaluation_key)
    return partial(server.run_ciphertexts, *server.load_request(client.encrypt(image)))


def _run_row(name: str, bundle: Bundle, runtime: Runtime, times: KernelTimes, measured_ms: float, rounds: int) -> Row:
    plan = bundle.server.plan
    return Row(
        family=runtime.family,
        row=name,
        quantity=f"server, N={plan.params.poly_modulus_degree}, {plan.params.levels} primes",
        unit="ms",
        published=measured_ms,
        modelled=times.milliseconds(runtime.work(encrypted_workload(plan))),
        use=HELD_OUT,
        kind="measured",
        mark="CPU time",
        source="this machine, one thread, kernel times from operations (under the engine, synthetic plans too) in turn "
        "with it",
        note=f"{len(plan.ops)} operations, median of {rounds} runs",
    )


def _compiled(subject: Subject, data: Dataset) -> Bundle:
    network = subject.network(data)
    if subject.allowed_error is None:
        return cp.compile(network, data)
    outputs = network.run(data.calibration(64))
    return cp.compile(network, data, cp.Limits(max_error=subject.allowed_error * float(np.sqrt((outputs**2).mean()))))


def seal_params(params: Params) -> Params:
    """The same ring with a special prime that is far enough above the data primes for SEAL.

    The largest data primes become smaller where the ring has no room. Costs do not depend on the sizes of primes, and
    the answers are not used here.
    """
    if params.fits_seal:
        return params
    bits, margin = [log2(prime) for prime in params.data_primes], SEAL_SPECIAL_MARGIN_BITS + 0.1
    cap = max(bits)
    while sum(min(size, cap) for size in bits) + cap + margin > GUIDELINE_2024_LOG2_QP[params.poly_modulus_degree]:
        cap -= 0.1
    rounding = 1e-9  # a prime that stays as it is
    return make_params(params.poly_modulus_degree, [min(size, cap) + rounding for size in bits], cap + margin)


def _for_seal(bundle: Bundle) -> Bundle:
    params = seal_params(bundle.server.plan.params)
    return replace(
        bundle,
        client=replace(bundle.client, params=params),
        server=replace(bundle.server, plan=replace(bundle.server.plan, params=params)),
    )


def main(names: Sequence[str]) -> None:
    runtimes = [RUNTIMES[name] for name in names or RUNTIMES]
    for row in run_rows(ROUNDS, lambda label, share: None, runtimes=runtimes):
        print(
            f"{row.family}: {row.row}, {row.quantity}: {row.published:.4g} ms, "
            f"modelled {row.modelled:.4g}, {row.ratio:.2f}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
