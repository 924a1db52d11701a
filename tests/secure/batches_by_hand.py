"""Small throughput plans written by hand, for tests of the parties that run them."""

from __future__ import annotations

from math import prod

import numpy as np

from secure.bundle.batch_specs import BatchBundle, BatchClientSpec, BatchServerSpec
from secure.coded.plan import BatchPlan, Quadratic, Select, Step
from secure.params import Params, make_params

#: One prime; one whose bits are not sent in full fits as well.
ONE_PRIME = make_params(2048, [41], None)
SEVERAL_PRIMES = make_params(4096, [40, 31, 33], None)
BUNDLE_ID = "5a" * 32


def same(features: int, scale: float) -> Select:
    """The step that gives back its input."""
    ones = np.ones(features)
    scales = np.full(features, scale)
    return Select(layer="same", sources=(0,), scales=scales, indices=np.arange(features), factors=ones)


def squares(features: int, scale: float, count: int) -> tuple[Step, ...]:
    """Squares, one after the other."""
    zeros, ones = np.zeros(features), np.ones(features)
    return tuple(
        Quadratic(
            layer=f"square {number}", sources=(number,), scales=np.full(features, scale ** 2 ** (number + 1)),
            square=ones, linear=zeros, constant=zeros,
        )
        for number in range(count)
    )  # fmt: skip


def bundle_of(
    steps: tuple[Step, ...], shape: tuple[int, ...], scale: float, *, params: Params = ONE_PRIME, dropped: int = 0,
    high: float = 1.0,
) -> BatchBundle:  # fmt: skip
    """The bundle of these steps, for inputs of a shape between -high and high."""
    plan = BatchPlan(params=params, inputs=prod(shape), input_scale=scale, steps=steps, upload_bits_dropped=dropped)
    client = BatchClientSpec(
        bundle_id=BUNDLE_ID, params=params, input_shape=shape, input_scale=scale, input_low=-high, input_high=high,
        output_shape=(plan.outputs,), output_scales=plan.output_scales, reply_parts=plan.parts[-1],
        predicted_logit_error=1.0, upload_bits_dropped=dropped,
    )  # fmt: skip
    return BatchBundle(client=client, server=BatchServerSpec(bundle_id=BUNDLE_ID, plan=plan))
