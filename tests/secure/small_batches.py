"""A small bundle for throughput written by hand, with every kind of step, for tests of what stores and runs it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from secure.bundle.batch_specs import BatchBundle, BatchClientSpec, BatchServerSpec
from secure.bundle.client_file import client_digest
from secure.bundle.files import plan_digest
from secure.bundle.interface import Interface
from secure.coded.plan import BatchPlan, Linear, Product, Quadratic, Select, Step, Sum
from secure.params import make_params

#: Two primes, with room for two values multiplied at the scale of the inputs.
PARAMS = make_params(4096, [30, 30], None)
INPUT_SCALE = 2.0**16
FIRST = np.arange(24).reshape(4, 6) % 7 - 3
LAST = np.arange(12).reshape(3, 4) % 5 - 2
ORDER = np.array([3, 2, -1, 0])
#: Of a plan with units: what stands after the features that it reads.
UNITS, READ = (2.0, 0.5), (0, 1, 3, 5)


def _linear(layer: str, source: int, codes: NDArray[np.int64], bias: NDArray[np.float64], scale: float) -> Linear:
    rows = [np.flatnonzero(row) for row in codes]
    return Linear(
        layer=layer,
        sources=(source,),
        scales=np.full(len(codes), scale),
        starts=np.cumsum([0, *map(len, rows)]),
        columns=np.concatenate(rows).astype(np.int32),
        codes=codes[codes != 0].astype(np.int32),
        bias=bias,
    )


def every_step_plan() -> BatchPlan:
    """Every kind of step: a linear layer in quarters, an activation beside a product, their sum, reordered, and a last
    linear layer in halves."""
    hidden, square = 4 * INPUT_SCALE, 64 * INPUT_SCALE**2
    steps = (
        _linear("fc1", 0, FIRST, np.full(4, hidden / 2), hidden),
        Quadratic(
            layer="act",
            sources=(1,),
            scales=np.full(4, square),
            square=np.ones(4),
            linear=np.full(4, square / hidden / 2),
            constant=np.full(4, square / 8),
        ),
        Product(layer="gate", sources=(1, 1), scales=np.full(4, hidden**2)),
        Sum(layer="add", sources=(2, 3), scales=np.full(4, square), factors=np.array([[1.0] * 4, [4.0] * 4])),
        Select(layer="turn", sources=(4,), scales=np.full(4, square), indices=ORDER, factors=np.ones(4)),
        _linear("fc2", 5, LAST, np.zeros(3), 2 * square),
    )
    return BatchPlan(params=PARAMS, inputs=6, input_scale=INPUT_SCALE, steps=steps)


def every_step_by_hand(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """What `every_step_plan` computes for images (images, 2, 3), in numpy: (images, 3)."""
    hidden = images.reshape(-1, 6) @ (FIRST.T / 4) + 0.5
    total = 0.25 * hidden**2 + 0.5 * hidden + 0.125 + hidden**2
    turned = np.where(ORDER >= 0, total[:, ORDER], 0.0)
    return np.asarray(turned @ (LAST.T / 2))


def homogeneous_plan() -> BatchPlan:
    """The same steps without constants, on four of six features and two units."""
    plan = every_step_plan()
    steps: list[Step] = []
    for step in plan.steps:
        if isinstance(step, Linear):
            step = replace(step, bias=np.zeros_like(step.bias))
        elif isinstance(step, Quadratic):
            step = replace(step, linear=np.zeros_like(step.linear), constant=np.zeros_like(step.constant))
        steps.append(step)
    return replace(plan, steps=tuple(steps), units=UNITS, read_inputs=READ)


def homogeneous_by_hand(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """What `homogeneous_plan` computes for images (images, 2, 3), in numpy: (images, 3)."""
    read = images.reshape(-1, 6)[:, list(READ)]
    hidden = np.concatenate([read, np.tile(UNITS, (len(read), 1))], axis=1) @ (FIRST.T / 4)
    total = 1.25 * hidden**2
    turned = np.where(ORDER >= 0, total[:, ORDER], 0.0)
    return np.asarray(turned @ (LAST.T / 2))


def small_batch_bundle() -> BatchBundle:
    """`every_step_plan` with inputs of shape (2, 3) and three named classes."""
    return _bundle(every_step_plan())


def small_batch_bundle_with_units() -> BatchBundle:
    """The same for `homogeneous_plan`."""
    return _bundle(homogeneous_plan())


def _bundle(plan: BatchPlan) -> BatchBundle:
    client = BatchClientSpec(
        bundle_id=plan_digest(plan),
        params=plan.params,
        input_shape=(2, 3),
        input_scale=plan.input_scale,
        input_low=-1.0,
        input_high=1.0,
        output_shape=(3,),
        output_scales=plan.output_scales,
        reply_parts=plan.parts[-1],
        predicted_logit_error=0.15,
        units=plan.units,
        read_inputs=plan.read_inputs,
        interface=Interface(class_names=("a", "b", "c")),
    )
    server = BatchServerSpec(bundle_id=client.bundle_id, plan=plan, client_digest=client_digest(client))
    return BatchBundle(client=client, server=server, report={"mode": "throughput"})
