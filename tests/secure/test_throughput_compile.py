"""From a Network to a bundle for throughput: a plan that computes what the network does, and what it promises."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from compress.network import Dense, Input, Network, Node, Polynomial, Weights
from secure.bundle.batch_specs import BatchBundle
from secure.coded.clear import run_clear
from secure.coded.dry import dry_run
from secure.params import check_security
from secure.throughput.compile import compile_throughput

Array = NDArray[np.float64]


def coded_network(bits: int = 6, *, squares: int = 1, features: int = 12, seed: int = 0) -> Network:
    """Dense layers of integer codes with a square between two."""
    rng = np.random.default_rng(seed)
    nodes: list[Node] = [Input(name="input", inputs=(), shape=(features,))]
    widths = [features, *([8] * squares), 3]
    for number, (columns, rows) in enumerate(zip(widths, widths[1:], strict=False)):
        largest = 2 ** (bits - 1) - 1
        codes = rng.integers(-largest, largest + 1, size=(rows, columns)).astype(np.int8)
        step = np.asarray(2.0**-bits)
        weights = Weights(codes, step, bits)
        nodes.append(
            Dense(
                name=f"dense{number}",
                inputs=(nodes[-1].name,),
                shape=(rows,),
                weights=weights,
                bias=rng.normal(size=rows),
            )
        )
        if number < squares:
            coefficients = np.array([[0.3], [0.5], [0.25]])
            nodes.append(
                Polynomial(name=f"square{number}", inputs=(nodes[-1].name,), shape=(rows,), coefficients=coefficients)
            )
    return Network(nodes=tuple(nodes))


@pytest.fixture(scope="module")
def bundle() -> BatchBundle:
    rng = np.random.default_rng(5)
    return compile_throughput(coded_network(), rng.uniform(size=(300, 12)), held_out=rng.uniform(size=(400, 12)))


def test_the_clear_run_is_the_network(bundle: BatchBundle) -> None:
    rows = np.random.default_rng(6).uniform(size=(50, 12))
    wanted = coded_network().run(rows)
    found = run_clear(bundle.server.plan, rows)
    assert np.abs(found - wanted).max() < 1e-3 * np.abs(wanted).max()


def test_parameters_are_secure_and_need_no_key(bundle: BatchBundle) -> None:
    params = bundle.server.plan.params
    check_security(params)
    assert params.special_prime is None and bundle.report["evaluation_key_bytes"] == 0
    assert dry_run(bundle.server.plan).parts == (2, 2, 3, 3)
