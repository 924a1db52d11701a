"""What a request costs beside the plan: encryption, bytes on the link, loading, and the way back. Pure.

Every step handles whole ciphertexts, so its time is a sum of three parts: one per ciphertext, one per coefficient (the
encoder's transform, the coins of an error) and one per residue (transforms modulo every prime, the expansion of the
seed, compression).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from secure.limits import DEFAULT_LINK_MBIT_S
from secure.params import ENGINE_PRIME_BITS, GUIDELINE_2024_LOG2_QP, Params
from secure.plan import Plan
from secure.seal.sizes import ciphertext_bytes

#: The size of a prime, in bits, with which bytes are estimated before primes are chosen, where the ring has room.
TYPICAL_PRIME_BITS = 43


@dataclass(frozen=True, kw_only=True)
class StepTimes:
    """Times of one step: microseconds per ciphertext, nanoseconds per coefficient and per residue of one part."""

    ciphertext_us: float
    coefficient_ns: float
    residue_ns: float

    def milliseconds(self, ciphertexts: int, level: int, degree: int) -> float:
        """The time of this many ciphertexts at a level."""
        nanoseconds = degree * (self.coefficient_ns + level * self.residue_ns)
        return ciphertexts * (self.ciphertext_us * 1e-3 + nanoseconds * 1e-6)


@dataclass(frozen=True, kw_only=True)
class RequestTimes:
    """Times of every step of a request on one thread of one machine.

    encrypt, load, write: by the client's own encryptor, of a request into the engine's arrays, and of a reply out of
    them. seal_encrypt, seal_load, seal_write: the same by SEAL, where the primes are too large for the engine. decrypt:
    of a reply.
    """

    encrypt: StepTimes
    load: StepTimes
    write: StepTimes
    decrypt: StepTimes
    seal_encrypt: StepTimes
    seal_load: StepTimes
    seal_write: StepTimes


@dataclass(frozen=True, kw_only=True)
class RequestCost:
    """What one request costs beside the plan: milliseconds of every step, and bytes of both messages."""

    client_encrypt_ms: float
    upload_bytes: float
    upload_ms: float
    load_ms: float
    write_ms: float
    download_bytes: float
    download_ms: float
    client_decrypt_ms: float

    @property
    def milliseconds(self) -> float:
        """All steps one after the other."""
        return sum(getattr(self, item.name) for item in fields(self) if item.name.endswith("_ms"))


@dataclass(frozen=True, kw_only=True)
class RequestPrices:
    """What prices a request: the times of its steps, and the link between client and server in Mbit/s both ways."""

    times: RequestTimes
    link_mbit_s: float

    def input_milliseconds(self, ciphertexts: int, level: int, degree: int, prime_bits: int) -> float:
        """The way to the server, before primes are chosen. prime_bits: the largest size of a prime."""
        own = prime_bits <= ENGINE_PRIME_BITS
        encrypt, load = (
            (self.times.encrypt, self.times.load) if own else (self.times.seal_encrypt, self.times.seal_load)
        )
        sent = ciphertexts * _typical_bytes(level, degree, seeded=True)
        steps = encrypt.milliseconds(ciphertexts, level, degree) + load.milliseconds(ciphertexts, level, degree)
        return steps + self.link_milliseconds(sent)

    def output_milliseconds(self, ciphertexts: int, level: int, degree: int, prime_bits: int) -> float:
        """The way back, before primes are chosen."""
        write = self.times.write if prime_bits <= ENGINE_PRIME_BITS else self.times.seal_write
        sent = ciphertexts * _typical_bytes(level, degree, seeded=False)
        steps = write.milliseconds(ciphertexts, level, degree) + self.times.decrypt.milliseconds(
            ciphertexts, level, degree
        )
        return steps + self.link_milliseconds(sent)

    def plan_cost(self, plan: Plan) -> RequestCost:
        """What a request for a plan costs."""
        params, times = plan.params, self.times
        degree, own = params.poly_modulus_degree, params.fits_engine
        encrypt, load, write = (
            (times.encrypt, times.load, times.write) if own else (times.seal_encrypt, times.seal_load, times.seal_write)
        )
        levels = [plan.level_of(value) for value in plan.outputs]
        upload = plan.inputs * ciphertext_bytes(params, plan.input_level, seeded=True)
        download = sum(ciphertext_bytes(params, level, seeded=False) for level in levels)
        return RequestCost(
            client_encrypt_ms=encrypt.milliseconds(plan.inputs, plan.input_level, degree),
            upload_bytes=upload,
            upload_ms=self.link_milliseconds(upload),
            load_ms=load.milliseconds(plan.inputs, plan.input_level, degree),
            write_ms=sum(write.milliseconds(1, level, degree) for level in levels),
            download_bytes=download,
            download_ms=self.link_milliseconds(download),
            client_decrypt_ms=sum(times.decrypt.milliseconds(1, level, degree) for level in levels),
        )

    def link_milliseconds(self, size_bytes: float) -> float:
        """The time that bytes take on the link, without its delay."""
        return size_bytes * 8e-3 / self.link_mbit_s


def _step(ciphertext_us: float, coefficient_ns: float, residue_ns: float) -> StepTimes:
    return StepTimes(ciphertext_us=ciphertext_us, coefficient_ns=coefficient_ns, residue_ns=residue_ns)


#: Times of a core of 2026 (AMD EPYC, `cipherpress calibrate`), where none were measured.
TYPICAL_REQUEST_TIMES = RequestTimes(
    encrypt=_step(57, 42, 36),
    load=_step(67, 1.7, 30),
    write=_step(115, 0, 52),
    decrypt=_step(167, 9.8, 95),
    seal_encrypt=_step(495, 39, 110),
    seal_load=_step(163, 0, 47),
    seal_write=_step(272, 0, 50),
)
#: What requests are priced with unless times or a link are given.
TYPICAL_PRICES = RequestPrices(times=TYPICAL_REQUEST_TIMES, link_mbit_s=DEFAULT_LINK_MBIT_S)


def _typical_bytes(level: int, degree: int, *, seeded: bool) -> float:
    room = GUIDELINE_2024_LOG2_QP[degree] // (level + 1)  # where the modulus must hold many, each is smaller
    primes = (2 ** min(TYPICAL_PRIME_BITS, room) - 1,) * level  # of the right size; nothing else matters for a length
    params = Params(poly_modulus_degree=degree, data_primes=primes, special_prime=None)
    return ciphertext_bytes(params, level, seeded=seeded)
