"""What SEAL really does: operations counted by the level of the ciphertext that each one works on."""

from __future__ import annotations

from collections import Counter
from typing import Any

from secure.evaluators.walk import walk
from secure.parties.container import ContainerKind, parse_for_server
from secure.parties.keys import EvaluationKey, load_evaluation_key
from secure.parties.native_form import native_ciphertext
from secure.plan import Kind
from secure.seal.context import make_ring
from secure.seal.evaluator import EncodedConstants, TensealEvaluator

CACHE_BYTES = 2**26


class CountingEvaluator:
    """Wraps a TensealEvaluator and counts by (kind, level read from the ciphertext that it worked on)."""

    def __init__(self, inner: TensealEvaluator) -> None:
        self.operations: Counter[tuple[Kind, int]] = Counter()
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def counted(value: Any, *rest: Any) -> Any:
            self.operations[Kind(name), value.coeff_modulus_size()] += 1
            return method(value, *rest)

        return counted


def counted_operations(spec: Any, key: EvaluationKey, request: bytes) -> dict[tuple[Kind, int], int]:
    """Run a request of a ServerSpec under SEAL; operations by (kind, level)."""
    plan, ring = spec.plan, make_ring(spec.plan.params)
    keys = load_evaluation_key(key, spec.bundle_id, plan.key_manifest, ring)
    items = parse_for_server(request, ContainerKind.REQUEST, "request").items
    inputs = [native_ciphertext(ring, item, plan.input_level, "request", seeded=True) for item in items]
    counting: Any = CountingEvaluator(TensealEvaluator(ring, EncodedConstants(ring, plan, CACHE_BYTES), keys))
    walk(plan, counting, inputs)
    return dict(counting.operations)
