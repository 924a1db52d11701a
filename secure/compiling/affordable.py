"""Bytes of a draft: how many it has, and whether it can keep to limits in bytes before its primes are known.

Choosing primes takes seconds, counting keys and ciphertexts does not. So drafts that cannot keep to a limit are left
out before primes are chosen for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from compress.errors import CompileError
from secure.compiling.switching import least_key_bytes
from secure.drafting.draft import Draft
from secure.drafting.work import draft_keys
from secure.limits import Limits
from secure.params import MIN_PRIME_BITS, Params
from secure.seal.sizes import ciphertext_bytes

#: Drafts of one ring with equally many levels get primes of much the same size, if they are precise enough. A draft is
#: left out if, with the primes of a precise one, it exceeds a limit by more than this factor.
CLEARLY_TOO_LARGE = 1.25
#: What several special primes may leave of the keys' bytes: a third, where a digit of three primes takes the place of
#: three digits.
LEAST_KEY_SHARE = 1 / 3


def predicted_bytes(draft: Draft, params: Params | None = None) -> tuple[float, float]:
    """(bytes of all evaluation keys, bytes of one request) of a draft, as its clients write them.

    The keys are those of the key switches that make them smallest (`secure.compiling.switching`).
    params: by default those of the draft.
    Raises: CompileError for a draft without parameters, unless they are given.
    """
    known = params or draft.params
    if known is None:
        raise CompileError(draft.stages[-1].layer, "asked for its bytes before its parameters were chosen")
    made = draft_keys(draft)
    keys = least_key_bytes(known, made, both_backends=draft.both_backends)
    ciphertexts = draft.atom_maps[0].shape[0] // draft.choice.planes
    return keys, ciphertexts * ciphertext_bytes(known, draft.levels, seeded=True)


def exceeded_bytes(limits: Limits, draft: Draft) -> str | None:
    """In words, the limit in bytes that a draft with parameters exceeds; None when it keeps to both."""
    return _exceeded(limits, predicted_bytes(draft), "of")


@dataclass
class ByteBounds:
    """What is known about the bytes of drafts without parameters.

    precise: by (ring degree, levels, largest size of a prime), the parameters of a draft that is precise enough.
    """

    limits: Limits
    precise: dict[tuple[int, int, int], Params] = field(default_factory=dict)

    def learn(self, draft: Draft) -> None:
        """Remember the parameters of a draft that is precise enough."""
        if draft.params is not None:
            self.precise.setdefault(_place(draft), draft.params)

    def exceeded(self, draft: Draft) -> str | None:
        """In words, the limit that a draft without parameters will exceed; None if it may keep to both."""
        keys, upload = predicted_bytes(draft, _smallest(draft))
        least = _exceeded(self.limits, (LEAST_KEY_SHARE * keys, upload), "of at least")
        known = self.precise.get(_place(draft))
        if least or known is None:
            return least
        keys, upload = predicted_bytes(draft, known)
        if _exceeded(self.limits, (keys / CLEARLY_TOO_LARGE, upload / CLEARLY_TOO_LARGE), "of") is None:
            return None
        return _exceeded(self.limits, (keys, upload), "of about")


def _place(draft: Draft) -> tuple[int, int, int]:
    return draft.choice.degree, draft.levels, draft.choice.prime_bits


def _smallest(draft: Draft) -> Params:
    """Stand-ins for the smallest primes that a draft may get. Only their size matters for a number of bytes."""
    prime = 2**MIN_PRIME_BITS - 1
    return Params(poly_modulus_degree=draft.choice.degree, data_primes=(prime,) * draft.levels, special_prime=prime)


def _exceeded(limits: Limits, found: tuple[float, float], words: str) -> str | None:
    keys, upload = found
    if keys > limits.keys_bytes:
        return f"keys {words} {keys / 1e6:.2f} MB where {limits.keys_bytes / 1e6:.2f} MB are allowed"
    if upload > limits.upload_bytes:
        return f"upload {words} {upload / 1e3:.0f} kB where {limits.upload_bytes / 1e3:.0f} kB are allowed"
    return None
