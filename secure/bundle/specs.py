"""What each party needs to know: ClientSpec (no weights) and ServerSpec (no secret), and the Bundle that holds both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secure.bundle.interface import Interface
from secure.frozen import frozen, read_only, thawed
from secure.growth import growth
from secure.params import Params
from secure.plan import KeyManifest, Plan

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ClientSpec:
    """How a client encodes an input and reads the answer. Its arrays are read-only.

    bundle_id: sha256 (hex) of the plan. It binds keys and ciphertexts to this bundle.
    input_slots: (ciphertexts, planes, slots) int32, the flat input feature each slot carries, -1 for a slot that stays
    zero; with two planes the second is the imaginary part.
    input_low, input_high: (features,) float64, the inputs that are accepted, by flat feature; a number stands for all.
    The modulus is chosen for them (`secure.bounds.edges`); inputs outside might overflow it silently.
    output_slots: (outputs, 2) int32, the ciphertext and slot where each flat output is read.
    output_folds: rotations that the client adds to the decrypted slots before it reads them, one after the other; none
    where the server adds everything up.
    predicted_logit_error: bound at six standard deviations on |encrypted - plan in clear| at any output, in its units,
    for answers whose largest output is at most error_grows_beyond. Of larger ones `error_bound` says the bound.
    interface: what the flat inputs and outputs mean.
    """

    bundle_id: str
    params: Params
    keys: KeyManifest
    input_shape: Shape
    input_slots: NDArray[np.int32]
    input_level: int
    input_scale: float
    input_low: NDArray[np.float64]
    input_high: NDArray[np.float64]
    output_shape: Shape
    output_slots: NDArray[np.int32]
    output_levels: tuple[int, ...]
    output_scales: tuple[float, ...]
    predicted_logit_error: float
    interface: Interface = Interface()
    output_folds: tuple[int, ...] = ()
    error_grows_beyond: float = inf

    def error_bound(self, answers: NDArray[np.float64]) -> NDArray[np.float64]:
        """The bound of the error of every answer, (answers,), in the outputs' units. answers: (answers, *output_shape),
        as decrypted."""
        sizes = np.abs(answers.reshape(len(answers), -1)).max(axis=1)
        return self.predicted_logit_error * growth(sizes, self.error_grows_beyond)

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_slots", read_only(self.input_slots))
        object.__setattr__(self, "output_slots", read_only(self.output_slots))
        for name in ("input_low", "input_high"):
            ends = np.asarray(getattr(self, name), dtype=np.float64)
            whole = np.full(prod(self.input_shape), ends) if ends.ndim == 0 else ends
            object.__setattr__(self, name, read_only(whole))


@dataclass(frozen=True, kw_only=True)
class ServerSpec:
    """What the server runs.

    client_digest, report_sha256: hashes of the client's part (`secure.bundle.client_file.client_digest`) and of
    report.json, where they are known. A server refuses keys that were made with another client's part.
    """

    bundle_id: str
    plan: Plan
    client_digest: str | None = None
    report_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A compiled network: the client's part, the server's part, and a report for people.

    report: JSON values, read-only at every depth: mappings and tuples where the JSON file has objects and arrays.
    `report_json` gives dicts and lists.
    """

    client: ClientSpec
    server: ServerSpec
    report: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "report", frozen(self.report))

    def report_json(self) -> dict[str, Any]:
        """A copy of the report as dicts and lists, which `json.dumps` takes and the caller may change."""
        return dict(thawed(self.report))

    def explain(self) -> str:
        """The report as text: passes, levels, rotations, keys, predicted error and latency."""
        from secure.bundle.explain import explain_bundle  # the text layout is not needed by a server

        return explain_bundle(self)
