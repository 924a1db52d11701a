"""The work of a plan by layer, operation and level, counted from the operations that the evaluators execute.

secure.kernels.counts counts each operation; this file only sums the counts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from secure.kernels.counts import RESIDUE_BYTES, KernelCounts, plan_operation_kernels
from secure.kernels.engine import engine_kernels
from secure.kernels.seal import plan_seal_kernels
from secure.key_shape import KeyShape
from secure.plan import Kind, Op, Plan

KEY_SWITCHES = (Kind.ROTATE, Kind.CONJUGATE, Kind.RELINEARIZE)
#: Ciphertexts of two parts that an operation reads, where it is not one.
READS = {Kind.ADD: 2, Kind.MULTIPLY: 2}


@dataclass(frozen=True, kw_only=True)
class OperationWork:
    """All operations of one layer, kind and working level.

    kernels: their kernels when each operation runs by itself, as on an accelerator. seal_kernels: as one core runs them
    under SEAL. engine_kernels: as one core runs them under the engine, which shares work between operations.
    keys: number of distinct keys that they use. plaintext_bytes: read by all of them.
    ciphertext_bytes: read and written by all of them.
    raised_bytes: what one key switch holds between its steps, that is the digits raised to the full modulus.
    """

    layer: str
    kind: Kind
    level: int
    count: int
    kernels: KernelCounts
    seal_kernels: KernelCounts
    engine_kernels: KernelCounts
    keys: int = 0
    plaintext_bytes: int = 0
    ciphertext_bytes: int = 0
    raised_bytes: int = 0

    @property
    def one_key_bytes(self) -> float:
        """Bytes that one of these operations reads of a key; 0 without a key."""
        return self.kernels.key_bytes / self.count


@dataclass(frozen=True, kw_only=True)
class EncryptedWorkload:
    """A plan's work: rows in order of first appearance, and what a machine must know of its parameters.

    residue_bits: bits of the largest prime. key_bytes, constant_bytes: bytes stored for the whole plan.
    """

    poly_modulus_degree: int
    residue_bits: int
    rows: tuple[OperationWork, ...]
    key_bytes: int
    constant_bytes: int

    @property
    def operations(self) -> Counter[tuple[Kind, int]]:
        """(kind, level) -> number of operations."""
        counts: Counter[tuple[Kind, int]] = Counter()
        for row in self.rows:
            counts[row.kind, row.level] += row.count
        return counts

    @property
    def kernels(self) -> KernelCounts:
        """Kernels of the whole plan: the sum of its rows."""
        return sum((row.kernels for row in self.rows), KernelCounts())

    def layers(self) -> dict[str, list[OperationWork]]:
        """Rows by layer, in order of first appearance."""
        layers: dict[str, list[OperationWork]] = {}
        for row in self.rows:
            layers.setdefault(row.layer, []).append(row)
        return layers


def encrypted_workload(plan: Plan) -> EncryptedWorkload:
    """The work of one run of a plan."""
    degree = plan.params.poly_modulus_degree
    grouped: dict[tuple[str, Kind, int], list[tuple[Op, KernelCounts, KernelCounts]]] = {}
    for op, lone, shared in zip(plan.ops, plan_seal_kernels(plan), engine_kernels(plan), strict=True):
        grouped.setdefault((op.layer, op.kind, plan.working_level(op)), []).append((op, lone, shared))
    return EncryptedWorkload(
        poly_modulus_degree=degree,
        residue_bits=max(plan.params.coeff_modulus_bits),
        rows=tuple(_row(plan, *key, counted) for key, counted in grouped.items()),
        key_bytes=sum(KeyShape(plan.params, level).memory_bytes for level in plan.key_manifest.levels),
        constant_bytes=sum(constant.level * degree * RESIDUE_BYTES for constant in plan.constants),
    )


def _row(
    plan: Plan, layer: str, kind: Kind, level: int, counted: list[tuple[Op, KernelCounts, KernelCounts]]
) -> OperationWork:
    ops = [op for op, _, _ in counted]
    limb_bytes = plan.params.poly_modulus_degree * RESIDUE_BYTES
    takes_plaintext = kind in (Kind.MULTIPLY_PLAIN, Kind.ADD_PLAIN)
    written = sum(op.parts * op.level for op in ops)
    return OperationWork(
        layer=layer,
        kind=kind,
        level=level,
        count=len(ops),
        kernels=sum((plan_operation_kernels(plan, op) for op in ops), KernelCounts()),
        seal_kernels=sum((lone for _, lone, _ in counted), KernelCounts()),
        engine_kernels=sum((shared for _, _, shared in counted), KernelCounts()),
        keys=len({op.steps for op in ops}) if kind in KEY_SWITCHES else 0,
        plaintext_bytes=len(ops) * level * limb_bytes if takes_plaintext else 0,
        ciphertext_bytes=(2 * level * READS.get(kind, 1) * len(ops) + written) * limb_bytes,
        raised_bytes=_raised_rows(plan, level) * limb_bytes if kind in KEY_SWITCHES else 0,
    )


def _raised_rows(plan: Plan, level: int) -> int:
    """Rows of all digits of a part at this level."""
    return len(plan.params.digits_at(level)) * (level + len(plan.params.special_primes))
