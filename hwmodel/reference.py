"""Bootstraps as encrypted workloads, and rows for networks, so that published times can be modelled.

A bootstrap has four steps: the modulus is raised; matrices take coefficients to slots; a sine is evaluated, for the
real and for the imaginary half (once for both when slots are sparse); matrices take slots to coefficients. schemes.py
says how each published system does this, and resnet.py has the network whose times are published. Bytes count 8 per
residue, as for plans; a machine scales them to its word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil

from hwmodel.encrypted_counts import EncryptedWorkload, OperationWork
from hwmodel.hybrid import (
    add,
    base_change,
    double_hoisted_matrix,
    hoisted_key_switches,
    key_switch,
    multiply,
    multiply_plain,
    rescale,
)
from hwmodel.schemes import Rotations, Scheme
from secure.kernels.counts import KernelCounts
from secure.kernels.seal import reduced_once
from secure.plan import Kind


def bootstrap(scheme: Scheme) -> EncryptedWorkload:
    """One bootstrap of a full ciphertext."""
    return workload(scheme, tuple(bootstrap_rows(scheme, scheme.full_log2_slots)))


def workload(scheme: Scheme, rows: tuple[OperationWork, ...]) -> EncryptedWorkload:
    """A workload of these rows, with the bytes of the keys and plaintexts that a machine stores for them."""
    keys = max(row.keys for row in rows) + 1
    return EncryptedWorkload(
        poly_modulus_degree=scheme.ring.degree,
        residue_bits=scheme.word_bits,
        rows=rows,
        key_bytes=keys * scheme.ring.stored_key_limbs() * scheme.ring.limb_bytes,
        constant_bytes=sum(row.plaintext_bytes for row in rows),
    )


def bootstrap_rows(scheme: Scheme, log2_slots: int) -> Iterator[OperationWork]:
    """Operations of one bootstrap of 2^log2_slots values."""
    level, sparse_bits = scheme.top, scheme.full_log2_slots - log2_slots
    primes = scheme.primes[level]
    yield row(scheme, "raise", Kind.RESCALE, primes, 1, base_change(scheme.ring, scheme.primes[0], primes))
    if sparse_bits:
        yield switches(scheme, "raise", primes, sparse_bits, keys=sparse_bits)
    for stage, bits in enumerate(stage_bits(log2_slots, scheme.to_slots), start=1):
        yield from _matrix(scheme, f"to slots {stage}", level, bits)
        level -= 1
    yield switches(scheme, "conjugate", scheme.primes[level], 1, keys=1)
    halves = 1 if sparse_bits else 2
    for products in scheme.sine:
        yield from ciphertext_products(scheme, "sine", level, halves * products)
        level -= 1
    for stage, bits in enumerate(stage_bits(log2_slots, scheme.to_coefficients), start=1):
        yield from _matrix(scheme, f"to coefficients {stage}", level, bits)
        level -= 1


def stage_bits(log2_slots: int, stages: int) -> Iterator[int]:
    """Butterfly stages per matrix of a transform, as even as possible, the larger numbers first."""
    for left in range(stages, 0, -1):
        bits = ceil(log2_slots / left)
        yield bits
        log2_slots -= bits


def ciphertext_products(scheme: Scheme, layer: str, level: int, count: int) -> Iterator[OperationWork]:
    """Products of two ciphertexts at a level, with relinearization and rescaling; no rows for zero products."""
    if count:
        primes = scheme.primes[level]
        dropped = primes - scheme.primes[level - 1]
        yield row(scheme, layer, Kind.SQUARE, primes, count, multiply(scheme.ring, primes))
        yield switches(scheme, layer, primes, count, keys=1, kind=Kind.RELINEARIZE)
        yield row(scheme, layer, Kind.RESCALE, primes, count, rescale(scheme.ring, primes, dropped))


def _matrix(scheme: Scheme, layer: str, level: int, bits: int) -> Iterator[OperationWork]:
    """A matrix of 2^(bits + 1) - 1 diagonals, with as many baby steps as giant steps, or twice as many."""
    diagonals = 2 ** (bits + 1) - 1
    babies = 2 ** ceil((bits + 1) / 2)
    giants = ceil(diagonals / babies)
    primes = scheme.primes[level]
    dropped = primes - scheme.primes[level - 1]
    match scheme.rotations:
        case Rotations.FEW_KEYS:
            yield switches(scheme, layer, primes, babies + giants - 2, keys=2)
            yield plain_products(scheme, layer, level, diagonals)
        case Rotations.HOISTED:
            yield hoisted(scheme, layer, primes, babies - 1)
            yield switches(scheme, layer, primes, giants - 1, keys=giants - 1)
            yield plain_products(scheme, layer, level, diagonals)
        case Rotations.DOUBLE_HOISTED:
            yield _double_hoisted(scheme, layer, primes, babies, giants, diagonals)
    yield row(scheme, layer, Kind.RESCALE, primes, 1, rescale(scheme.ring, primes, dropped))


def _double_hoisted(scheme: Scheme, layer: str, primes: int, babies: int, giants: int, diagonals: int) -> OperationWork:
    """The matrix as one row; raised digits are read once for all baby steps, baby steps once for all giant steps."""
    ring, rotations = scheme.ring, babies + giants - 2
    full = primes + ring.special_at(primes)
    result_limbs = 2 * full * 2 * (babies + giants)  # every baby and giant ciphertext is written and read, two parts
    work = row(scheme, layer, Kind.ROTATE, primes, rotations, KernelCounts())
    return replace(
        work,
        kernels=double_hoisted_matrix(ring, primes, babies, giants, diagonals),
        keys=rotations,
        plaintext_bytes=diagonals * full * ring.limb_bytes,
        ciphertext_bytes=(4 * primes + result_limbs) * ring.limb_bytes,
        raised_bytes=giants * ring.raised_limbs(primes) * ring.limb_bytes // rotations,
    )


def switches(
    scheme: Scheme, layer: str, primes: int, count: int, *, keys: int, kind: Kind = Kind.ROTATE
) -> OperationWork:
    """Rotations or relinearizations, one by one."""
    return replace(row(scheme, layer, kind, primes, count, key_switch(scheme.ring, primes)), keys=keys)


def hoisted(scheme: Scheme, layer: str, primes: int, count: int) -> OperationWork:
    """`count` rotations of one ciphertext with a key each, which share the raising of its digits."""
    work = row(scheme, layer, Kind.ROTATE, primes, count, KernelCounts())
    return replace(work, kernels=hoisted_key_switches(scheme.ring, primes, count), keys=count)


def plain_products(scheme: Scheme, layer: str, level: int, count: int) -> OperationWork:
    """Products with plaintexts that are streamed whole, or with the primes of one level and then extended."""
    ring, primes = scheme.ring, scheme.primes[level]
    each, stored = multiply_plain(ring, primes), primes
    if scheme.extends_plaintexts:
        stored = primes - scheme.primes[level - 1]
        each += base_change(ring, 0, primes, parts=1)
    work = row(scheme, layer, Kind.MULTIPLY_PLAIN, primes, count, each)
    return replace(work, plaintext_bytes=count * stored * ring.limb_bytes)


def additions(scheme: Scheme, layer: str, primes: int, count: int) -> OperationWork:
    """Sums of two ciphertexts."""
    return row(scheme, layer, Kind.ADD, primes, count, add(scheme.ring, primes))


def row(scheme: Scheme, layer: str, kind: Kind, primes: int, count: int, each: KernelCounts) -> OperationWork:
    """`count` operations of one kind at `primes` primes, one ciphertext read and one written by each."""
    is_switch = kind in (Kind.ROTATE, Kind.RELINEARIZE)
    return OperationWork(
        layer=layer,
        kind=kind,
        level=primes,
        count=count,
        kernels=each.times(count),
        seal_kernels=reduced_once(kind, primes, scheme.ring.degree, each).times(count),
        engine_kernels=each.times(count),  # the engine, which shares work, does not run published schemes
        ciphertext_bytes=count * 4 * primes * scheme.ring.limb_bytes,
        raised_bytes=scheme.ring.raised_limbs(primes) * scheme.ring.limb_bytes if is_switch else 0,
    )


def repeated(work: OperationWork, count: int) -> OperationWork:
    """A row repeated `count` times; nothing stays on the chip from one time to the next."""
    return replace(
        work,
        count=work.count * count,
        kernels=work.kernels.times(count),
        seal_kernels=work.seal_kernels.times(count),
        engine_kernels=work.engine_kernels.times(count),
        keys=work.keys * count,
        plaintext_bytes=work.plaintext_bytes * count,
        ciphertext_bytes=work.ciphertext_bytes * count,
    )
