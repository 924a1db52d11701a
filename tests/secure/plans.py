"""Small plans written by hand, for tests of the code that runs them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from secure.bundle.files import plan_digest
from secure.bundle.specs import Bundle, ClientSpec, ServerSpec
from secure.params import Params, make_params
from secure.plan import Constant, Kind, Op, Plan

#: Two levels, with room for one rescale; the special prime is 4 bits larger, so that key-switching noise stays small.
SMALL = make_params(4096, [36, 29], 40)
#: One level and no key switch.
FLAT = make_params(4096, [50], None)


@dataclass
class Builder:
    """Appends operations, deriving level, scale and parts of each result."""

    params: Params = SMALL
    inputs: int = 1
    input_scale: float = 2.0**20
    ops: list[Op] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    layer: str = "fc"

    def rotate(self, value: int, steps: int) -> int:
        return self._append(Kind.ROTATE, value, steps=steps)

    def conjugate(self, value: int, steps: int = 0) -> int:
        return self._append(Kind.CONJUGATE, value, steps=steps)

    def multiply_plain(self, value: int, slots: ArrayLike, scale: float) -> int:
        constant = self._constant(value, slots, scale)
        return self._append(Kind.MULTIPLY_PLAIN, value, scale=self._scale(value) * scale, constant=constant)

    def add(self, left: int, right: int) -> int:
        return self._append(Kind.ADD, left, right)

    def add_plain(self, value: int, slots: ArrayLike) -> int:
        return self._append(Kind.ADD_PLAIN, value, constant=self._constant(value, slots, self._scale(value)))

    def square(self, value: int) -> int:
        return self._append(Kind.SQUARE, value, scale=self._scale(value) ** 2, parts=3)

    def multiply(self, left: int, right: int) -> int:
        return self._append(Kind.MULTIPLY, left, right, scale=self._scale(left) * self._scale(right), parts=3)

    def relinearize(self, value: int) -> int:
        return self._append(Kind.RELINEARIZE, value, parts=2)

    def rescale(self, value: int) -> int:
        level = self._level(value) - 1
        return self._append(Kind.RESCALE, value, level=level, scale=self._scale(value) / self.params.data_primes[level])

    def drop(self, value: int) -> int:
        return self._append(Kind.DROP, value, level=self._level(value) - 1)

    def build(self, *outputs: int) -> Plan:
        return Plan(
            params=self.params,
            inputs=self.inputs,
            input_level=self.params.levels,
            input_scale=self.input_scale,
            ops=tuple(self.ops),
            constants=tuple(self.constants),
            outputs=outputs or (self.inputs + len(self.ops) - 1,),
        )

    def _level(self, value: int) -> int:
        return self.params.levels if value < self.inputs else self.ops[value - self.inputs].level

    def _scale(self, value: int) -> float:
        return self.input_scale if value < self.inputs else self.ops[value - self.inputs].scale

    def _parts(self, value: int) -> int:
        return 2 if value < self.inputs else self.ops[value - self.inputs].parts

    def _constant(self, value: int, slots: ArrayLike, scale: float) -> int:
        kind = np.complex64 if np.iscomplexobj(slots) else np.float32
        filled = np.broadcast_to(np.asarray(slots, dtype=kind), (self.params.slots,))
        self.constants.append(Constant(np.ascontiguousarray(filled), self._level(value), scale))
        return len(self.constants) - 1

    def _append(self, kind: Kind, *args: int, **known: float) -> int:
        first = args[0]
        fields = {"level": self._level(first), "scale": self._scale(first), "parts": self._parts(first), **known}
        self.ops.append(Op(kind=kind, args=args, layer=self.layer, **fields))
        return self.inputs + len(self.ops) - 1


def every_kind_plan(seed: int = 0, params: Params = SMALL) -> Plan:
    """Every kind of operation once or twice.

    y = rescale((w x + rot(x, 3) + b)^2), and x rotated by two slots at the lower level.
    """
    rng = np.random.default_rng(seed)
    builder = Builder(params)
    ones = builder.multiply_plain(builder.rotate(0, 3), 1.0, 2.0**12)
    product = builder.multiply_plain(0, rng.uniform(-1, 1, params.slots), 2.0**12)
    builder.layer = "act"
    total = builder.add_plain(builder.add(product, ones), rng.uniform(-1, 1, params.slots))
    squared = builder.rescale(builder.relinearize(builder.square(total)))
    builder.layer = "skip"
    moved = builder.rotate(builder.drop(0), 2)
    return builder.build(squared, moved)


def every_kind_by_hand(plan: Plan, x: np.ndarray) -> list[np.ndarray]:
    """What `every_kind_plan` computes, in numpy."""
    slots = [constant.slots.astype(np.float64) for constant in plan.constants]
    linear = slots[1] * x + slots[0] * np.roll(x, -3) + slots[2]
    return [linear**2, np.roll(x, -2)]


def product_plan(seed: int = 0, params: Params = SMALL) -> Plan:
    """Products of inputs x and w: x w + (b rot(x, 3)) x, relinearized once and rescaled, and w times itself."""
    rng = np.random.default_rng(seed)
    builder = Builder(params, inputs=2)
    turned = builder.multiply_plain(builder.rotate(0, 3), rng.uniform(-1, 1, params.slots), 2.0**14)
    scaled = builder.multiply_plain(1, 1.0, 2.0**14)
    total = builder.add(builder.multiply(0, scaled), builder.multiply(turned, 0))
    own = builder.multiply(1, 1)
    return builder.build(builder.rescale(builder.relinearize(total)), builder.relinearize(own))


def product_by_hand(plan: Plan, x: np.ndarray, w: np.ndarray) -> list[np.ndarray]:
    """What `product_plan` computes, in numpy."""
    return [x * w + np.roll(x, -3) * plan.constants[0].slots * x, w * w]


def baby_giant_plan(seed: int = 0, babies: int = 4, giants: int = 3) -> Plan:
    """A linear map by baby and giant steps, folded once, with an offset.

    The engine keeps its products and sums undivided and divides them once.
    """
    rng = np.random.default_rng(seed)
    builder = Builder()
    turned = [0, *(builder.rotate(0, baby) for baby in range(1, babies))]
    sums = []
    for _ in range(giants):
        products = [builder.multiply_plain(value, rng.uniform(-0.2, 0.2, SMALL.slots), 2.0**12) for value in turned]
        total = products[0]
        for product in products[1:]:
            total = builder.add(total, product)
        sums.append(total)
    total = sums[-1]
    for part in sums[-2::-1]:
        total = builder.add(builder.rotate(total, babies), part)
    folded = builder.add(total, builder.rotate(total, 64))
    squared = builder.square(builder.add_plain(folded, rng.uniform(-1, 1, SMALL.slots)))
    return builder.build(builder.rescale(builder.relinearize(squared)))


def complex_plan(seed: int = 0) -> Plan:
    """y = 2 Re(c x) at the lower level, and x conjugated and rotated by five slots."""
    rng = np.random.default_rng(seed)
    builder = Builder()
    low = builder.drop(0)
    product = builder.multiply_plain(
        low, rng.uniform(-1, 1, SMALL.slots) + 1j * rng.uniform(-1, 1, SMALL.slots), 2.0**8
    )
    doubled = builder.add(product, builder.conjugate(product))
    return builder.build(doubled, builder.conjugate(0, 5))


def complex_by_hand(plan: Plan, x: np.ndarray) -> list[np.ndarray]:
    """The real parts of what `complex_plan` computes from complex slots, in numpy."""
    return [2 * (plan.constants[0].slots * x).real, np.roll(x, -5, axis=-1).real]


def small_bundle(seed: int = 0, *, own_keys: bool = False, params: Params = SMALL) -> Bundle:
    """`every_kind_plan` with an input of shape (4, 8), repeated through the slots.

    The output is ten values of the plan's first output. own_keys: whether clients make keys of their own, cut to the
    levels of their use, and not SEAL's whole keys.
    """
    plan = every_kind_plan(seed, params)
    features = np.tile(np.arange(32, dtype=np.int32), params.slots // 32)[None, None, :]
    places = np.stack([np.zeros(10, np.int32), np.arange(1000, 1010, dtype=np.int32)], axis=1)
    client = ClientSpec(
        bundle_id=plan_digest(plan),
        params=plan.params,
        keys=plan.key_manifest if own_keys else plan.key_manifest.whole,
        input_shape=(4, 8),
        input_slots=features,
        input_level=plan.input_level,
        input_scale=plan.input_scale,
        input_low=-1.0,
        input_high=1.0,
        output_shape=(2, 5),
        output_slots=places,
        output_levels=tuple(plan.level_of(value) for value in plan.outputs),
        output_scales=tuple(plan.scale_of(value) for value in plan.outputs),
        predicted_logit_error=0.05,
    )
    return Bundle(client=client, server=ServerSpec(bundle_id=client.bundle_id, plan=plan), report={"mode": "latency"})


def small_bundle_by_hand(bundle: Bundle, image: np.ndarray) -> np.ndarray:
    """The output of `small_bundle` for one image, in numpy."""
    slots = np.tile(image.ravel(), bundle.client.params.slots // 32)
    return every_kind_by_hand(bundle.server.plan, slots)[0][1000:1010].reshape(2, 5)
