"""The parts of a throughput bundle: BatchClientSpec (no weights), BatchServerSpec (no secret), BatchBundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secure.bundle.interface import Interface
from secure.coded.plan import BatchPlan
from secure.frozen import frozen, read_only, thawed
from secure.params import Params

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class BatchClientSpec:
    """How a client encodes blocks of images and reads the answers. Its arrays are read-only.

    bundle_id: sha256 (hex) of the plan. It binds keys and blocks to this bundle.
    input_scale: what inputs are multiplied by before they are rounded. upload_bits_dropped: as of `BatchPlan`.
    input_low, input_high: (features,) float64, the inputs that are accepted, by flat feature; a number stands for all.
    reply_parts: polynomials of one output's ciphertext. output_scales: (outputs,) what the integers are divided by.
    units, read_inputs: as of `BatchPlan`; where there are units, the client turns every image by a random phase.
    predicted_logit_error: bound on |encrypted - plan in clear| at any output, in its units.
    interface: what the flat inputs and outputs mean.
    """

    bundle_id: str
    params: Params
    input_shape: Shape
    input_scale: float
    input_low: NDArray[np.float64]
    input_high: NDArray[np.float64]
    output_shape: Shape
    output_scales: NDArray[np.float64]
    reply_parts: int
    predicted_logit_error: float
    upload_bits_dropped: int = 0
    units: tuple[float, ...] = ()
    read_inputs: tuple[int, ...] = ()
    interface: Interface = Interface()

    def __post_init__(self) -> None:
        object.__setattr__(self, "output_scales", read_only(np.asarray(self.output_scales, dtype=np.float64)))
        for name in ("input_low", "input_high"):
            ends = np.asarray(getattr(self, name), dtype=np.float64)
            whole = np.full(prod(self.input_shape), ends) if ends.ndim == 0 else ends
            object.__setattr__(self, name, read_only(whole))

    @property
    def inputs(self) -> int:
        """Ciphertexts of a block: the features of an image that are read, and the units."""
        return (len(self.read_inputs) or prod(self.input_shape)) + len(self.units)

    @property
    def answer_degree(self) -> int:
        """The degree of an answer in the inputs: each product adds the parts of both sides, less one."""
        return self.reply_parts - 1

    @property
    def block_images(self) -> int:
        """The most images of one block: one per slot."""
        return self.params.slots


@dataclass(frozen=True, kw_only=True)
class BatchServerSpec:
    """What the server runs. client_digest, report_sha256: hashes of the bundle's other parts, where they are known."""

    bundle_id: str
    plan: BatchPlan
    client_digest: str | None = None
    report_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class BatchBundle:
    """A network compiled for throughput: the client's part, the server's part, and a report for people.

    report: JSON values, read-only at every depth. `report_json` gives dicts and lists.
    """

    client: BatchClientSpec
    server: BatchServerSpec
    report: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "report", frozen(self.report))

    def report_json(self) -> dict[str, Any]:
        """A copy of the report as dicts and lists, which `json.dumps` takes and the caller may change."""
        return dict(thawed(self.report))

    def explain(self) -> str:
        """The report as text: ring, work by layer, sizes, predicted error and time."""
        from secure.bundle.batch_explain import explain_batch_bundle  # the text layout is not needed by a server

        return explain_batch_bundle(self)
