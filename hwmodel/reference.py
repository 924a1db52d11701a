"""Encrypted workloads of published results, so that published times can be modelled: a bootstrap and a ResNet-20.

The papers' schedules are not public; these are this project's own (derived, with the parameters the papers state):
    bootstrap  3 matrices coefficients-to-slots, a sine of degree 31 with 3 doublings for the real and the imaginary
               half, 3 matrices slots-to-coefficients; 63 diagonals a matrix (2^15 slots, radix 2^5) in 8 x 8 steps
    ResNet-20  21 bootstraps, 1,218 rotations, 19 groups of 8 hoisted ones, 6,475 plain products and 12 activations
               (CryptOracle's counts of the low-memory variant, perf-model/workload-configs; the degree of an activation
               is not in them: 13 products are assumed, as for one half of the sine)
Bytes are counted at 8 a residue, as plans are; a machine scales them to its word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hwmodel.encrypted_counts import EncryptedWorkload, OperationWork
from hwmodel.hybrid import HybridRing, hoisted_key_switches, key_switch, multiply, multiply_plain, rescale
from secure.kernels import KernelCounts
from secure.plan import Kind

STAGES = 3
DIAGONALS = 63
BABY_ROTATIONS = GIANT_ROTATIONS = 7
SINE_PRODUCTS, SINE_LEVELS = 26, 9
RESNET_BOOTSTRAPS, RESNET_ROTATIONS, RESNET_PLAIN_PRODUCTS = 21, 1218, 6475
RESNET_HOISTS, RESNET_HOISTED, RESNET_ACTIVATIONS = 19, 8, 12


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """How a published system runs CKKS. primes_per_level: one, or two short ones for a level of the bootstrap.

    few_keys: a matrix needs two keys (its steps are repeated), where hoisted baby steps need one key a step.
    extends_plaintexts: a diagonal is stored as one limb and extended on the chip.
    """

    ring: HybridRing
    word_bits: int
    primes_per_level: int
    few_keys: bool
    extends_plaintexts: bool


#: Rings as the papers and the cost-model notes 2.3 give them; how keys and diagonals are kept is recalled.
SCHEMES = {
    "craterlake": Scheme(
        ring=HybridRing(degree=65536, levels=57, special=19, digit=19),
        word_bits=28, primes_per_level=2, few_keys=False, extends_plaintexts=False,
    ),
    "ark": Scheme(
        ring=HybridRing(degree=65536, levels=24, special=6, digit=6),
        word_bits=64, primes_per_level=1, few_keys=True, extends_plaintexts=True,
    ),
    "sharp": Scheme(
        ring=HybridRing(degree=65536, levels=36, special=12, digit=12),
        word_bits=36, primes_per_level=2, few_keys=True, extends_plaintexts=True,
    ),
    "cheddar": Scheme(
        ring=HybridRing(degree=65536, levels=47, special=12, digit=12),
        word_bits=32, primes_per_level=2, few_keys=False, extends_plaintexts=False,
    ),
}  # fmt: skip


def bootstrap(scheme: Scheme) -> EncryptedWorkload:
    """One bootstrap of a full ciphertext."""
    rows = tuple(_bootstrap_rows(scheme))
    return _workload(scheme, rows)


def resnet20(scheme: Scheme) -> EncryptedWorkload:
    """One encrypted ResNet-20 inference: its bootstraps, and its convolutions at the middle of the levels they leave."""
    rows = [_repeated(row, RESNET_BOOTSTRAPS) for row in _bootstrap_rows(scheme)]
    level = max(1, _levels_left(scheme) // 2)
    rows.append(_switches(scheme, "convolutions", level, RESNET_ROTATIONS, keys=RESNET_ROTATIONS))
    rows.append(_hoisted(scheme, "convolutions", level, RESNET_HOISTED, times=RESNET_HOISTS))
    rows.append(_products(scheme, "convolutions", level, RESNET_PLAIN_PRODUCTS))
    products = RESNET_ACTIVATIONS * SINE_PRODUCTS // 2
    rows.append(_row(scheme, "activations", Kind.SQUARE, level, products, multiply(scheme.ring, level)))
    rows.append(_switches(scheme, "activations", level, products, keys=1, kind=Kind.RELINEARIZE))
    return _workload(scheme, tuple(rows))


def _levels_left(scheme: Scheme) -> int:
    return scheme.ring.levels - (2 * STAGES + SINE_LEVELS) * scheme.primes_per_level


def _workload(scheme: Scheme, rows: tuple[OperationWork, ...]) -> EncryptedWorkload:
    keys = max(row.keys for row in rows) + 1
    return EncryptedWorkload(
        poly_modulus_degree=scheme.ring.degree,
        residue_bits=scheme.word_bits,
        rows=rows,
        key_bytes=keys * scheme.ring.stored_key_limbs() * scheme.ring.limb_bytes,
        constant_bytes=sum(row.plaintext_bytes for row in rows),
    )


def _bootstrap_rows(scheme: Scheme) -> Iterator[OperationWork]:
    level, step = scheme.ring.levels, scheme.primes_per_level
    for stage in range(STAGES):
        yield from _matrix(scheme, f"to slots {stage + 1}", level)
        level -= step
    yield _switches(scheme, "conjugate", level, 1, keys=1)
    for depth in range(SINE_LEVELS):
        products = SINE_PRODUCTS * (depth + 1) // SINE_LEVELS - SINE_PRODUCTS * depth // SINE_LEVELS
        yield _row(scheme, "sine", Kind.SQUARE, level, products, multiply(scheme.ring, level))
        yield _switches(scheme, "sine", level, products, keys=1, kind=Kind.RELINEARIZE)
        yield _row(scheme, "sine", Kind.RESCALE, level, products * step, rescale(scheme.ring, level))
        level -= step
    for stage in range(STAGES):
        yield from _matrix(scheme, f"to coefficients {stage + 1}", level)
        level -= step


def _matrix(scheme: Scheme, layer: str, level: int) -> Iterator[OperationWork]:
    if scheme.few_keys:
        yield _switches(scheme, layer, level, BABY_ROTATIONS + GIANT_ROTATIONS, keys=2)
    else:
        yield _hoisted(scheme, layer, level, BABY_ROTATIONS)
        yield _switches(scheme, layer, level, GIANT_ROTATIONS, keys=GIANT_ROTATIONS)
    yield _products(scheme, layer, level, DIAGONALS)
    yield _row(scheme, layer, Kind.RESCALE, level, scheme.primes_per_level, rescale(scheme.ring, level))


def _switches(
    scheme: Scheme, layer: str, level: int, count: int, *, keys: int, kind: Kind = Kind.ROTATE
) -> OperationWork:
    return replace(_row(scheme, layer, kind, level, count, key_switch(scheme.ring, level)), keys=keys)


def _hoisted(scheme: Scheme, layer: str, level: int, count: int, *, times: int = 1) -> OperationWork:
    """Rotations that share the raising of their digits, `count` at a time."""
    row = _row(scheme, layer, Kind.ROTATE, level, count * times, KernelCounts())
    return replace(row, kernels=_times(hoisted_key_switches(scheme.ring, level, count), times), keys=count)


def _products(scheme: Scheme, layer: str, level: int, count: int) -> OperationWork:
    row = _row(scheme, layer, Kind.MULTIPLY_PLAIN, level, count, multiply_plain(scheme.ring, level))
    limbs = 1 if scheme.extends_plaintexts else level
    return replace(row, plaintext_bytes=count * limbs * scheme.ring.limb_bytes)


def _row(scheme: Scheme, layer: str, kind: Kind, level: int, count: int, each: KernelCounts) -> OperationWork:
    switches = kind in (Kind.ROTATE, Kind.RELINEARIZE)
    return OperationWork(
        layer=layer,
        kind=kind,
        level=level,
        count=count,
        kernels=_times(each, count),
        engine_kernels=_times(each, count),  # published schemes are no plans of ours: nothing is shared
        ciphertext_bytes=count * 4 * level * scheme.ring.limb_bytes,
        raised_bytes=scheme.ring.raised_limbs(level) * scheme.ring.limb_bytes if switches else 0,
    )


def _times(kernels: KernelCounts, count: int) -> KernelCounts:
    return KernelCounts(
        kernels.transforms * count,
        kernels.butterflies * count,
        kernels.products * count,
        kernels.additions * count,
        kernels.key_bytes * count,
    )


def _repeated(row: OperationWork, count: int) -> OperationWork:
    return replace(
        row,
        count=row.count * count,
        kernels=_times(row.kernels, count),
        keys=row.keys * count,
        plaintext_bytes=row.plaintext_bytes * count,
        ciphertext_bytes=row.ciphertext_bytes * count,
    )
