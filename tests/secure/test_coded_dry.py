"""The dry run refuses every inconsistent plan, naming the layer and the field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from compress.errors import PlanError
from secure.coded.dry import dry_run
from secure.coded.plan import BatchPlan, Linear, Product, Quadratic, Select, Step, Sum
from secure.params import make_params

ONES = np.ones(2)
LINEAR = Linear(
    layer="linear", sources=(0,), scales=8 * ONES, starts=np.array([0, 2, 3]), columns=np.array([0, 1, 1], np.int32),
    codes=np.array([3, -2, 1], np.int32), bias=np.array([1.0, 0.0]),
)  # fmt: skip
QUADRATIC = Quadratic(layer="quadratic", sources=(1,), scales=64 * ONES, square=ONES, linear=ONES, constant=ONES)
PRODUCT = Product(layer="product", sources=(2, 1), scales=512 * ONES)
SUM = Sum(layer="sum", sources=(2, 3), scales=512 * ONES, factors=np.array([[8.0, 8.0], [1.0, 1.0]]))
SELECT = Select(layer="select", sources=(4, 1), scales=512 * ONES, indices=np.array([3, -1]), factors=64 * ONES)
PLAN = BatchPlan(
    params=make_params(4096, [40, 40], None), inputs=2, input_scale=8.0,
    steps=(LINEAR, QUADRATIC, PRODUCT, SUM, SELECT),
)  # fmt: skip


def with_step(number: int, **changes: Any) -> BatchPlan:
    steps = list(PLAN.steps)
    steps[number] = replace(steps[number], **changes)
    return replace(PLAN, steps=tuple(steps))


def test_a_good_plan_says_what_it_does() -> None:
    found = dry_run(PLAN)
    assert found.parts == PLAN.parts == (2, 2, 3, 4, 4, 4)
    assert found.features == (2,) * 6 and found.nonzeros == 3 and found.depth == 2
    assert found.row_sums == {0: 5}


FAULTS: dict[str, tuple[Callable[[], BatchPlan], str]] = {
    "no steps": (lambda: replace(PLAN, steps=()), "field 'steps'"),
    "no inputs": (lambda: replace(PLAN, inputs=0), "field 'inputs'"),
    "scale": (lambda: replace(PLAN, input_scale=float("nan")), "field 'input_scale'"),
    "special prime": (lambda: replace(PLAN, params=make_params(4096, [40], 41)), "field 'params'"),
    "bits dropped": (lambda: replace(PLAN, upload_bits_dropped=2), "field 'upload_bits_dropped'"),
    "later value": (lambda: with_step(1, sources=(2,)), "layer 'quadratic': field 'sources' names a value"),
    "negative value": (lambda: with_step(1, sources=(-1,)), "layer 'quadratic': field 'sources' names a value"),
    "two sources": (lambda: with_step(0, sources=(0, 0)), "layer 'linear': field 'sources' has 2 values"),
    "no source": (lambda: with_step(3, sources=()), "layer 'sum': field 'sources' has 0 values"),
    "scale of 0": (lambda: with_step(0, scales=0 * ONES), "layer 'linear': field 'scales' must be above 0"),
    "infinite scale": (lambda: with_step(0, scales=np.inf * ONES), "layer 'linear': field 'scales' holds"),
    "starts": (lambda: with_step(0, starts=np.array([0, 3, 2])), "layer 'linear': field 'starts' are no rows"),
    "short starts": (lambda: with_step(0, starts=np.array([0, 3])), "layer 'linear': field 'starts' has shape"),
    "late starts": (lambda: with_step(0, starts=np.array([1, 2, 3])), "layer 'linear': field 'starts' are no rows"),
    "columns": (lambda: with_step(0, columns=np.array([0, 1, 2], np.int32)), "layer 'linear': field 'columns' leave"),
    "negative column": (
        lambda: with_step(0, columns=np.array([0, 1, -1], np.int32)), "layer 'linear': field 'columns' leave"
    ),
    "fewer columns": (
        lambda: with_step(0, columns=np.array([0, 1], np.int32)), "layer 'linear': field 'columns' has shape"
    ),
    "bias": (lambda: with_step(0, bias=np.array([0.5, 0.0])), "layer 'linear': field 'bias' holds a number that is"),
    "bias shape": (lambda: with_step(0, bias=np.ones(3)), "layer 'linear': field 'bias' has shape"),
    "square": (lambda: with_step(1, square=np.nan * ONES), "layer 'quadratic': field 'square' holds a number that is"),
    "constants": (lambda: with_step(1, constant=np.ones(3)), "layer 'quadratic': field 'constant' has shape"),
    "product scales": (lambda: with_step(2, scales=500 * ONES), "layer 'product': field 'scales' are not the products"),
    "product sizes": (lambda: with_step(2, scales=np.ones(3)), r"layer 'product': field 'sources' have \[2, 2\]"),
    "sum factors": (lambda: with_step(3, factors=np.ones((3, 2))), "layer 'sum': field 'factors' has shape"),
    "select": (lambda: with_step(4, indices=np.array([4, 0])), "layer 'select': field 'indices' leave the 4 features"),
    "select below": (lambda: with_step(4, indices=np.array([-2, 0])), "layer 'select': field 'indices' leave"),
    "select shape": (lambda: with_step(4, indices=np.array([0])), "layer 'select': field 'indices' has shape"),
    "select factors": (lambda: with_step(4, factors=ONES / 2), "layer 'select': field 'factors' holds"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_an_inconsistent_plan_is_refused(name: str) -> None:
    make, message = FAULTS[name]
    with pytest.raises(PlanError, match=message):
        dry_run(make())


def test_parts_that_double_without_end_are_refused() -> None:
    steps: list[Step] = [
        Quadratic(layer=f"q{number}", sources=(number,), scales=ONES, square=ONES, linear=ONES, constant=ONES)
        for number in range(9)
    ]
    with pytest.raises(PlanError, match="layer 'q7': field 'sources' make a value of 257 parts, beyond 129"):
        dry_run(replace(PLAN, steps=tuple(steps)))


def test_low_bits_may_stay_away_with_one_prime_only() -> None:
    one = replace(PLAN, params=make_params(4096, [40], None), upload_bits_dropped=3)
    assert dry_run(one).parts == PLAN.parts
    with pytest.raises(PlanError, match="field 'upload_bits_dropped': got 39"):
        dry_run(replace(one, upload_bits_dropped=39))
