"""What a CKKS accelerator keeps on the chip, and what its memory bus has to move. Pure; decided by capacity alone.

keys        stay when all keys and plaintexts of the workload fit beside the largest operation's working set; else every
            distinct key is loaded once for each layer, kind and level, if one key fits beside the operation, and once a use if not
plaintexts  stay with the keys; else every one is streamed
ciphertexts stay when the operation's working set fits: operands, result, and the raised digits of a key switch; else operands,
            results and digits move, and so does every transform: out and back in each pass, and once for the base conversion
            that goes before or after it
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
    """What stays on the chip. All bytes but bytes_per_counted, the machine's for one of the workload, at 8 a residue.

    keys: True when all keys and plaintexts stay. limb_moves: times that a transformed limb crosses the bus when it does not stay.
    """

    bytes_per_counted: float
    capacity_bytes: float
    limb_bytes: int
    limb_moves: float
    key_share: float
    keys: bool

    def moved_bytes(self, row: OperationWork) -> float:
        """The machine's bytes over the memory bus for the operations of one row."""
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
        """The same when nothing stays: every key and plaintext at every use, every operand and result."""
        moved = row.kernels.key_bytes * self.key_share + row.plaintext_bytes + row.ciphertext_bytes
        return moved * self.bytes_per_counted


def words_per_residue(workload: EncryptedWorkload, machine: CkksAccelerator) -> int:
    """Machine words that carry one residue of the plan."""
    return ceil(workload.residue_bits / machine.word_bits.value)


def residency(workload: EncryptedWorkload, machine: CkksAccelerator) -> Residency:
    """What of a workload stays on a machine's chip."""
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
    """What one operation of a row holds: operands, result and raised digits."""
    return row.raised_bytes + row.ciphertext_bytes / row.count
