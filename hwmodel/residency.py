"""What a CKKS accelerator keeps on the chip, and what its memory bus moves. Capacity alone decides. Pure.

keys        Keys stay when all keys and plaintexts of the workload fit beside the working set of the largest operation.
            Otherwise every distinct key is loaded once per layer, kind and level if one key fits beside the operation,
            and once per use if it does not.
plaintexts  Plaintexts stay when the keys do. Otherwise each one is streamed.
ciphertexts Ciphertexts stay when the working set of the operation fits: operands, result, and the raised digits of a
            key switch. Otherwise operands, results and digits move. Every transform then also moves: out and back in
            each pass, and once for the base conversion before or after it.
A residue wider than the machine's word takes ceil(bits / word) words (derived).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from hwmodel.architecture import CkksAccelerator
from hwmodel.encrypted_counts import EncryptedWorkload, OperationWork
from secure.kernels.counts import RESIDUE_BYTES


@dataclass(frozen=True, kw_only=True)
class Residency:
    """What stays on the chip. Bytes count 8 per residue, as in the workload.

    bytes_per_counted: bytes of the machine per byte of the workload. keys: True when all keys and plaintexts stay.
    limb_moves: how often a transformed limb crosses the bus when it does not stay.
    """

    bytes_per_counted: float
    capacity_bytes: float
    limb_bytes: int
    limb_moves: float
    key_share: float
    keys: bool

    def moved_bytes(self, row: OperationWork) -> float:
        """Bytes, as the machine stores them, that cross the memory bus for the operations of one row."""
        moved, working = 0.0, _working_bytes(row)
        if not self.keys:
            key_bytes = row.one_key_bytes * self.key_share
            loads = row.keys if key_bytes + working <= self.capacity_bytes else row.count
            moved += loads * key_bytes + row.plaintext_bytes
        if working > self.capacity_bytes:
            moved += row.ciphertext_bytes + row.raised_bytes * row.count
            moved += row.kernels.transforms * self.limb_bytes * self.limb_moves
        return moved * self.bytes_per_counted

    def all_streamed_bytes(self, row: OperationWork) -> float:
        """The same when nothing stays: keys and plaintexts move at every use, and so do operands and results."""
        moved = row.kernels.key_bytes * self.key_share + row.plaintext_bytes + row.ciphertext_bytes
        return moved * self.bytes_per_counted


def words_per_residue(workload: EncryptedWorkload, machine: CkksAccelerator) -> int:
    """Machine words that carry one residue of the plan."""
    return ceil(workload.residue_bits / machine.word_bits.value)


def residency(workload: EncryptedWorkload, machine: CkksAccelerator) -> Residency:
    """What a machine keeps on the chip of this workload."""
    scale = words_per_residue(workload, machine) * machine.word_bits.value / 8 / RESIDUE_BYTES
    key_share = 0.5 if machine.halves_keys.value else 1.0
    capacity = machine.on_chip_bytes.value / scale
    largest = max((_working_bytes(row) for row in workload.rows), default=0.0)
    stored = workload.key_bytes * key_share + workload.constant_bytes
    return Residency(
        bytes_per_counted=scale,
        capacity_bytes=capacity,
        limb_bytes=workload.poly_modulus_degree * RESIDUE_BYTES,
        limb_moves=2 * machine.transform_passes.value + 1,
        key_share=key_share,
        keys=stored + largest <= capacity,
    )


def _working_bytes(row: OperationWork) -> float:
    """Bytes that one operation of a row holds: operands, result and raised digits."""
    return row.raised_bytes + row.ciphertext_bytes / row.count
