"""Every kind of operation once under one key: the errors that SEAL or the engine makes, and what `secure.noise`
predicts.

noise.py uses this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import tenseal.sealapi as sealapi
from numpy.typing import NDArray

from secure import noise
from secure.params import Params
from secure.parties.backends import BackendName, make_backend
from secure.plan import Constant, Kind, Op, Plan
from secure.seal.context import Ring, load_ciphertext, make_ring
from secure.seal.evaluator import DEFAULT_CACHE_BYTES, EvaluationKeys, encode

Slots = NDArray[Any]

#: Scales of inputs and of weights, as plans have them.
SCALE, WEIGHT_SCALE = 2.0**22, 2.0**12
STEPS = 3
#: Rotations of one value that are added. Their variances add; the engine divides their sum once.
ROTATIONS = 4


@dataclass(frozen=True)
class Error:
    """One operation's error under one key, shape (slots,), and its predicted variance, for all slots or by slot.

    Errors are times the scale, variances times its square.
    """

    operation: str
    error: Slots
    variance: Slots


@dataclass
class _Writer:
    """Appends operations on inputs at the top level. The caller gives the scales, which no evaluator checks."""

    params: Params
    ops: list[Op] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)

    def add(
        self, kind: Kind, *args: int, level: int | None = None, parts: int = 2, steps: int = 0, constant: int = -1
    ) -> int:
        level = self.params.levels if level is None else level
        self.ops.append(
            Op(
                kind=kind,
                args=args,
                layer="noise",
                level=level,
                scale=SCALE,
                parts=parts,
                steps=steps,
                constant=constant,
            )
        )
        return 2 + len(self.ops) - 1

    def constant(self, slots: Slots, scale: float) -> int:
        self.constants.append(Constant(slots, self.params.levels, scale))
        return len(self.constants) - 1


def errors_of_one_key(params: Params, backend: BackendName, seed: int) -> Iterator[Error]:
    """Fresh keys, two fresh ciphertexts of random real slots, and the errors of every operation on them."""
    rng = np.random.default_rng(seed)
    x, y, real = rng.uniform(-1, 1, (3, params.slots))
    mixed = real + 1j * rng.uniform(-1, 1, params.slots)
    real, mixed = real.astype(np.float32), mixed.astype(np.complex64)
    plan, places = _plan(params, real, mixed)
    found = _decrypted(plan, backend, [x, y])
    value = dict(zip(places, found, strict=True))
    first = value["fresh"]
    degree, levels = params.poly_modulus_degree, params.levels
    fresh, rounding = noise.fresh_variance(degree), noise.encoding_variance(degree)
    product = np.asarray(rounding * np.mean(np.abs(first) ** 2))
    switch, low_switch = (_switch_variance(params, backend, level) for level in (levels, 1))
    rotated = sum(np.roll(first, -step) for step in range(1, ROTATIONS + 1))
    wanted: dict[str, tuple[Slots, Any]] = {
        "fresh": (x * SCALE, fresh),
        "encode real": (first + real * SCALE, rounding),
        "encode complex": (first + mixed * SCALE, rounding),
        "times real plaintext": (first * real * WEIGHT_SCALE, product),
        "times complex plaintext": (first * mixed * WEIGHT_SCALE, product),
        "add": ((x + y) * SCALE, 2 * fresh),
        "square": ((x * SCALE) ** 2, 4 * (x * SCALE) ** 2 * fresh + 2 * fresh**2),
        "product of two": (x * y * SCALE**2, (x**2 + y**2) * SCALE**2 * fresh + fresh**2),
        "relinearize": (value["square"], switch),
        "rotate": (np.roll(first, -STEPS), switch),
        "rotate at level 1": (np.roll(first, -STEPS), low_switch),
        "conjugate": (np.conj(first), switch),
        f"{ROTATIONS} rotations, added": (rotated, ROTATIONS * switch),
        "rescale": (first / params.data_primes[-1], noise.rescale_variance(degree)),
        "drop": (first, 0.0),
    }
    for name, (exact, variance) in wanted.items():
        yield Error(name, value[name] - exact, np.asarray(variance, dtype=np.float64))


def _plan(params: Params, real: Slots, mixed: Slots) -> tuple[Plan, tuple[str, ...]]:
    """Every kind of operation on input 0 (add: and 1), and the name of each output."""
    w, top = _Writer(params), params.levels
    square = w.add(Kind.SQUARE, 0, parts=3)
    low = 0
    for level in range(top - 1, 0, -1):
        low = w.add(Kind.DROP, low, level=level)
    total = w.add(Kind.ROTATE, 0, steps=1)
    for step in range(2, ROTATIONS + 1):
        total = w.add(Kind.ADD, total, w.add(Kind.ROTATE, 0, steps=step))
    outputs = {
        "fresh": 0,
        "encode real": w.add(Kind.ADD_PLAIN, 0, constant=w.constant(real, SCALE)),
        "encode complex": w.add(Kind.ADD_PLAIN, 0, constant=w.constant(mixed, SCALE)),
        "times real plaintext": w.add(Kind.MULTIPLY_PLAIN, 0, constant=w.constant(real, WEIGHT_SCALE)),
        "times complex plaintext": w.add(Kind.MULTIPLY_PLAIN, 0, constant=w.constant(mixed, WEIGHT_SCALE)),
        "add": w.add(Kind.ADD, 0, 1),
        "square": square,
        "product of two": w.add(Kind.MULTIPLY, 0, 1, parts=3),
        "relinearize": w.add(Kind.RELINEARIZE, square),
        "rotate": w.add(Kind.ROTATE, 0, steps=STEPS),
        "rotate at level 1": w.add(Kind.ROTATE, low, level=1, steps=STEPS),
        "conjugate": w.add(Kind.CONJUGATE, 0),
        f"{ROTATIONS} rotations, added": total,
        "rescale": w.add(Kind.RESCALE, 0, level=top - 1),
        "drop": w.add(Kind.DROP, 0, level=top - 1),
    }
    plan = Plan(
        params=params,
        inputs=2,
        input_level=top,
        input_scale=SCALE,
        ops=tuple(w.ops),
        constants=tuple(w.constants),
        outputs=tuple(outputs.values()),
    )
    return plan, tuple(outputs)


def _decrypted(plan: Plan, name: BackendName, inputs: list[Slots]) -> list[Slots]:
    """The complex slots of the outputs, times their scale, of one run under fresh keys."""
    ring = make_ring(plan.params)
    generator = sealapi.KeyGenerator(ring.context)
    secret = generator.secret_key()
    galois, relin = sealapi.GaloisKeys(), sealapi.RelinKeys()
    generator.create_galois_keys(list(plan.key_manifest.galois_elements), galois)
    generator.create_relin_keys(relin)
    encoder, encryptor = sealapi.CKKSEncoder(ring.context), sealapi.Encryptor(ring.context, secret)
    decryptor = sealapi.Decryptor(ring.context, secret)
    backend: Any = make_backend(name, ring, plan, DEFAULT_CACHE_BYTES)
    ciphertexts = []
    for slots in inputs:
        ciphertext = sealapi.Ciphertext()
        encryptor.encrypt_symmetric(encode(ring, encoder, slots, plan.input_level, SCALE), ciphertext)
        ciphertexts.append(backend.load(ciphertext))
    results = backend.run(backend.evaluator(EvaluationKeys(galois, relin)), ciphertexts)
    return [
        _slots(ring, encoder, decryptor, backend.save(result), plan.level_of(value), plan.parts_of(value))
        for result, value in zip(results, plan.outputs, strict=True)
    ]


def _slots(ring: Ring, encoder: Any, decryptor: Any, saved: bytes, level: int, parts: int) -> Slots:
    plain = sealapi.Plaintext()
    decryptor.decrypt(load_ciphertext(ring, saved, level, parts, "output"), plain)
    plain.scale = 1.0
    return np.array(encoder.decode_complex(plain))


@lru_cache(maxsize=16)
def _switch_variance(params: Params, backend: BackendName, level: int) -> Slots:
    """The variance of a key switch: by slot under SEAL, whose first slots are worse; one number under the engine."""
    if backend is BackendName.ENGINE:
        return np.asarray(noise.centred_key_switch_variance(params, level))
    return np.array([noise.key_switch_slot_variance(params, level, slot) for slot in range(params.slots)])
