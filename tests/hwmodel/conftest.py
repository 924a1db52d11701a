"""Small networks and plans that are counted by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from compress.network import AvgPool, Conv, Dense, Input, Network, Polynomial, Reshape, Weights
from secure.params import make_params
from secure.plan import Constant, Kind, Op, Plan


@pytest.fixture(scope="session")
def tiny_network() -> Network:
    """1x6x6 -> conv 2 of 3x3 -> square -> pool 2x2 -> flatten -> dense 3, with some zero weights."""
    codes = np.ones((2, 1, 3, 3), dtype=np.int8)
    codes[1, 0, 0, :] = 0
    dense = np.ones((3, 8), dtype=np.int8)
    dense[0, :4] = 0
    step = np.array(0.5)
    return Network(
        nodes=(
            Input(name="x", inputs=(), shape=(1, 6, 6)),
            Conv(
                name="conv", inputs=("x",), shape=(2, 4, 4), weights=Weights(codes, step, 4), bias=np.zeros(2),
                stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1,
            ),
            Polynomial(name="act", inputs=("conv",), shape=(2, 4, 4), coefficients=np.ones((3, 1))),
            AvgPool(name="pool", inputs=("act",), shape=(2, 2, 2), kernel=(2, 2), stride=(2, 2), padding=(0, 0)),
            Reshape(name="flat", inputs=("pool",), shape=(8,)),
            Dense(name="fc", inputs=("flat",), shape=(3,), weights=Weights(dense, step, 3), bias=np.zeros(3)),
        )
    )  # fmt: skip


@pytest.fixture(scope="session")
def make_plan() -> Callable[..., Plan]:
    """A plan of the given (kind, layer) operations in a row, each reading the one before."""

    def make(
        steps: Sequence[tuple[Kind, str]], *, degree: int = 8192, levels: int = 3, start: int | None = None
    ) -> Plan:
        start = levels if start is None else start
        ops: list[Op] = []
        level, parts = start, 2
        for position, (kind, layer) in enumerate(steps):
            level -= kind in (Kind.RESCALE, Kind.DROP)
            parts = 3 if kind is Kind.SQUARE else 2 if kind is Kind.RELINEARIZE else parts
            args = (position, position) if kind is Kind.ADD else (position,)
            constant = 0 if kind in (Kind.MULTIPLY_PLAIN, Kind.ADD_PLAIN) else -1
            ops.append(
                Op(
                    kind=kind, args=args, layer=layer, level=level, scale=1.0, parts=parts,
                    steps=position + 1 if kind is Kind.ROTATE else 0, constant=constant,
                )
            )  # fmt: skip
        constant_slots = np.ones(degree // 2, dtype=np.float32)
        return Plan(
            params=make_params(degree, [26.0] * levels, 27.0),
            inputs=1,
            input_level=start,
            input_scale=1.0,
            ops=tuple(ops),
            constants=(Constant(constant_slots, levels, 1.0),),
            outputs=(len(ops),),
        )

    return make
