"""What a CKKS accelerator keeps on the chip, and what its memory bus has to move. Pure; decided by capacity alone.

keys        stay when all keys and plaintexts of the workload fit beside one operation's working set; else every distinct
            key is loaded once for each layer, kind and level, if one key fits, and once a use if not
plaintexts  stay with the keys; else every one is streamed
ciphertexts stay when the largest operation's working set fits: operands, result, and the raised digits of a key switch;
            else operands and results move, and the raised digits go out and come back
A residue wider than the machine's word takes ceil(bits / word) words (derived).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from hwmodel.architecture import CkksAccelerator
from hwmodel.encrypted_counts import EncryptedWorkload, OperationWork
from secure.kernels import RESIDUE_BYTES


@dataclass(frozen=True, kw_only=True)
class Residency:
    """What stays on the chip. bytes_per_counted: bytes of the machine for one byte of the workload (8 a residue)."""

    bytes_per_counted: float
    key_share: float
    keys: bool
    one_key: bool
    ciphertexts: bool

    def moved_bytes(self, row: OperationWork) -> float:
        """Bytes over the memory bus for the operations of one row."""
        moved = 0.0
        if not self.keys:
            loads = row.keys if self.one_key else row.count
            moved += loads * row.one_key_bytes * self.key_share + row.plaintext_bytes
        if not self.ciphertexts:
            moved += row.ciphertext_bytes + 2 * row.raised_bytes * row.count
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
    working = max((row.raised_bytes + row.ciphertext_bytes / row.count for row in workload.rows), default=0.0)
    largest_key = max((row.one_key_bytes for row in workload.rows), default=0.0) * key_share
    stored = workload.key_bytes * key_share + workload.constant_bytes
    return Residency(
        bytes_per_counted=scale,
        key_share=key_share,
        keys=stored + working <= capacity,
        one_key=largest_key + working <= capacity,
        ciphertexts=working <= capacity,
    )
