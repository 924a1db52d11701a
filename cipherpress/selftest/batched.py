"""One network of the selftest in throughput mode: all its test rows as one batch, against what was promised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import cipherpress as cp
from compress.dataset import Dataset
from compress.errors import CipherpressError
from compress.network import Network
from secure.streams.client import BatchClient
from secure.streams.server import BatchServer

Array = NDArray[np.float64]


@dataclass(frozen=True)
class BatchResult:
    """What happened to one network in throughput mode.

    outcome: "compiled", or "refused" by a typed error, since deep networks need a larger modulus than there is without
    rescales. reason: that error. inputs: test rows within the client's range, which were sent as one batch. outside:
    those with an error above the bound. largest_ratio: the largest error of an output over the bound. changed,
    promised: as of `cipherpress.selftest.case.CaseResult`. parts: polynomials of an answer.
    """

    outcome: str
    reason: str = ""
    inputs: int = 0
    outside: int = 0
    largest_ratio: float = 0.0
    changed: int | None = None
    promised: float | None = None
    poly_modulus_degree: int | None = None
    parts: int | None = None


def run_batched(network: Network, data: Dataset, clear: Array, seed: int) -> BatchResult:
    """Compile for throughput and send all test rows that the client takes. clear: the network's outputs on all test
    rows, (rows, outputs)."""
    try:
        bundle = cp.compile(network, data, mode="throughput", seed=seed)
    except CipherpressError as error:
        return BatchResult("refused", f"{type(error).__name__}: {error}")
    spec, report = bundle.client, bundle.report
    flat = data.x_test.reshape(len(data.x_test), -1)
    taken = np.flatnonzero(((flat >= spec.input_low) & (flat <= spec.input_high)).all(axis=1))
    client, server = BatchClient(spec), BatchServer(bundle.server)
    answers = client.decrypt_batch(server.run_batch(client.encrypt_batch(data.x_test[taken])))
    parts = answers if isinstance(answers, tuple) else (answers,)
    outputs = np.concatenate([part.reshape(len(taken), -1) for part in parts], axis=1)
    errors = np.abs(outputs - clear[taken]).max(axis=1)
    changed = promised = None
    if report["about"].get("task", "classes") == "classes" and clear.shape[1] > 1:
        changed = int(np.sum(outputs.argmax(axis=1) != clear[taken].argmax(axis=1)))
        promised = report["predicted_disagreement"]
    return BatchResult(
        "compiled",
        inputs=len(taken),
        outside=int(np.sum(errors > spec.predicted_logit_error)),
        largest_ratio=float(errors.max()) / spec.predicted_logit_error,
        changed=changed,
        promised=promised,
        poly_modulus_degree=report["poly_modulus_degree"],
        parts=spec.reply_parts,
    )
