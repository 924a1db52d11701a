"""What a server's process takes in memory, from the plan alone, and what is left of a limit for the constants. Pure.

Constants are what a server chooses about (`secure.engine.constants`): whole, packed, small, or encoded at every use.
Everything else it has to hold. The figures are for one client's keys and one request at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from compress.checks import is_number
from compress.errors import ConfigError
from secure.key_shape import KeyShape
from secure.parties.registrations import registration_bytes
from secure.plan import Plan
from secure.seal.context import RESIDUE_BYTES
from secure.seal.sizes import ciphertext_bytes

#: The interpreter with numpy, numba and SEAL, and compiled kernels (measured: 0.4 to 0.6 GB).
PROGRAM_BYTES = 650_000_000
#: Rows of roots of unity and of rotation orders per prime and per key, in numbers of eight bytes.
TABLE_ROWS, ORDER_ROWS = 8, 1
#: SEAL's context has tables of every prime at every level; bytes for each coefficient of such a table.
SEAL_TABLE_BYTES = 32
#: Copies of the largest key while keys are registered from a file: its packed bits, and its residues.
KEY_COPIES = 2
#: The share of the room for constants that they fill; the rest stays empty between them (measured: 1 to 2 %).
FILLED = 0.97


@dataclass(frozen=True)
class ServerMemory:
    """Bytes of a server's process, by what takes them.

    program: with the tables of the ring. plan: its constants as numbers. keys: one client's, ready for use. message:
    what it takes beside to register them from their file. workspace: of one request. whole, packed, small: all
    constants, stored in that way as far as they have it.
    """

    program: int
    plan: int
    keys: int
    message: int
    workspace: int
    whole: int
    packed: int
    small: int

    @property
    def fixed(self) -> int:
        """All but the constants, at the peak: while keys are registered, or while a request runs."""
        return self.program + self.plan + self.keys + max(self.message, self.workspace)

    def room(self, memory_bytes: float) -> int:
        """What is left of a limit for the constants.

        Raises: ConfigError when the limit is below what everything else takes.
        """
        if not is_number(memory_bytes) or not self.fixed <= memory_bytes < inf:
            raise ConfigError("memory_bytes", memory_bytes, f"at least {self.fixed:,}: {self.described()}")
        return int(FILLED * (memory_bytes - self.fixed))

    @property
    def least(self) -> int:
        """What a server needs so that it encodes no constant during a request."""
        return self.fixed + round(self.small / FILLED)

    def described(self) -> str:
        """One line that names every part."""
        parts = {
            "program": self.program,
            "plan": self.plan,
            "keys": self.keys,
            "registering them": self.message,
            "one request": self.workspace,
            "constants whole": self.whole,
            "packed": self.packed,
            "small": self.small,
        }
        return ", ".join(f"{name} {size / 1e9:.2f} GB" for name, size in parts.items())


def server_memory(plan: Plan, *, under_seal: bool = False) -> ServerMemory:
    """What a server of this plan takes. under_seal: where SEAL runs it, and constants are stored whole."""
    from secure.engine.placing import program_of
    from secure.engine.schedule import Form, schedule
    from secure.engine.storages import Storage, constant_primes, has_compact, storage_bytes

    params, degree = plan.params, plan.params.poly_modulus_degree
    steps = schedule(plan)
    whole = packed = small = 0
    for index, form in steps.constants:
        primes = constant_primes(params, plan.constants[index].level, form is Form.EXTENDED)
        size = storage_bytes(Storage.WHOLE, primes, degree)
        compact = has_compact(degree) and not under_seal and (index, form) in steps.factors
        compact = compact and plan.constants[index].slots.dtype.kind == "f"
        whole += size
        packed += storage_bytes(Storage.PACKED, primes, degree) if compact else size
        small += storage_bytes(Storage.SMALL, primes, degree) if compact else size
    tables = TABLE_ROWS * len(params.all_primes) + ORDER_ROWS * len(plan.key_manifest.galois_elements)
    of_seal = len(params.seal_primes) * (len(params.seal_primes) + 1) // 2
    largest = max((KeyShape(params, level).memory_bytes for level in plan.key_manifest.levels), default=0)
    return ServerMemory(
        program=PROGRAM_BYTES + (tables * RESIDUE_BYTES + of_seal * SEAL_TABLE_BYTES) * degree,
        plan=sum(constant.slots.nbytes for constant in plan.constants),
        keys=registration_bytes(plan, under_seal=under_seal),
        message=KEY_COPIES * largest,
        workspace=program_of(plan, steps, 1).workspace * RESIDUE_BYTES
        + round(ciphertext_bytes(params, plan.input_level, seeded=True)) * plan.inputs,
        whole=whole,
        packed=packed,
        small=small,
    )
