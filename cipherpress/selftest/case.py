"""One network of the selftest, from training to encrypted answers, with everything that was promised and measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from time import process_time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

import cipherpress as cp
from cipherpress.selftest.batched import BatchResult, run_batched
from cipherpress.selftest.families import FAMILIES, Drawn
from compress.dataset import Dataset
from compress.errors import CipherpressError
from compress.graph.joined import joined
from compress.network import Network
from compress.press.pressing import pressed
from compress.training.loop import fit_, predict
from compress.training.schedule import Schedule
from secure.bundle.specs import Bundle
from secure.verify.memory import peak_rss_bytes
from secure.verify.roundtrip import clear_outputs, encrypted_outputs

Array = NDArray[np.float64]

#: How the plain network is trained before it is handed over.
TRAINING = Schedule(epochs=40, learning_rate=3e-3, batch_size=64, weight_decay=1e-3)
#: SEAL is slower than the engine, so it runs this share of the inputs, and at least one.
SEAL_SHARE = 0.1


@dataclass(frozen=True)
class CaseResult:
    """What happened to one network.

    outcome: "compiled", "refused" by a typed error, or "failed" by any other. reason: the error's text. inputs: rows
    run encrypted under the engine (or SEAL, where the engine cannot), all of them test rows. refused_inputs: rows that
    the client refused because they lie outside its range. outside: inputs with an error above the bound. largest_ratio:
    the largest error of an output over the bound. seal_plan: which plan SEAL ran on seal_inputs rows: the "same", a
    "second" one that is compiled for both backends because SEAL cannot run the first, or none, since the second was
    "refused"; seal_reason: the error's text then. seal_ratio: the largest error under SEAL over the bound of that plan.
    plan_error: the largest difference between the plan in clear and the network, over the outputs' rms. changed: inputs
    whose class encryption changed; promised: the share that the compiler promised at most; both None without classes.
    score_plain, score_converted: accuracy, or the share of the outputs' variance that is explained (R2). degree: the
    largest of the converted network's polynomials, where the conversion states it. batched: the same network in
    throughput mode. seconds: of processor time, which does not depend on what else the machine does.
    """

    family: str
    seed: int
    outcome: str
    reason: str = ""
    inputs: int = 0
    refused_inputs: int = 0
    outside: int = 0
    largest_ratio: float = 0.0
    seal_plan: str = ""
    seal_reason: str = ""
    seal_inputs: int = 0
    seal_ratio: float | None = None
    plan_error: float = 0.0
    changed: int | None = None
    promised: float | None = None
    score_plain: float | None = None
    score_converted: float | None = None
    poly_modulus_degree: int | None = None
    degree: int | None = None
    batched: BatchResult | None = None
    seconds: float = 0.0
    peak_rss_bytes: int = 0

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values by field name."""
        return asdict(self)


def run_case(family: str, seed: int, inputs: int) -> CaseResult:
    """Draw, train, convert, compile and run one network of a family on `inputs` test rows."""
    start = process_time()
    torch.manual_seed(seed)
    drawn = FAMILIES[family](np.random.default_rng([seed, *family.encode()]))
    try:
        train(joined(drawn.module, drawn.data)[0], drawn.data, seed)
        found = _measured(drawn, inputs, seed)
        outcome, reason = "compiled", ""
    except CipherpressError as error:
        outcome, reason, found = "refused", f"{type(error).__name__}: {error}", {}
    except Exception as error:  # whatever it is, it is what the selftest looks for
        outcome, reason, found = "failed", f"{type(error).__name__}: {error}", {}
    return CaseResult(
        family=family,
        seed=seed,
        outcome=outcome,
        reason=reason,
        seconds=process_time() - start,
        peak_rss_bytes=peak_rss_bytes(),
        **found,
    )


def train(module: nn.Module, data: Dataset, seed: int) -> None:
    """Train a network in place on the data's targets: classes, one logit for two classes, or numbers."""
    targets = torch.from_numpy(np.asarray(data.y_train))
    fit_(module, torch.from_numpy(data.x_train), targets, TRAINING, loss=_loss, seed=seed)


def _loss(outputs: Tensor, targets: Tensor, inputs: Tensor) -> Tensor:
    if targets.dtype.is_floating_point:
        return F.mse_loss(outputs, targets.reshape(outputs.shape))
    if outputs.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(outputs[:, 0], targets.to(outputs.dtype))
    return F.cross_entropy(outputs, targets)


def _measured(drawn: Drawn, inputs: int, seed: int) -> dict[str, Any]:
    """The fields of a CaseResult that a compiled network has."""
    data = drawn.data
    if drawn.setting is None:
        network = cp.convert(drawn.module, data, drawn.conversion, seed=seed)
    else:
        network = pressed(drawn.module, data, drawn.setting, augment=False, seed=seed)
    bundle, outputs = cp.compile(network, data, seed=seed), network.run(data.x_test)
    flat = outputs.reshape(len(outputs), -1)
    rms = float(np.sqrt(np.mean(flat**2)))
    return {
        **_encrypted(bundle, data.x_test, flat, inputs),
        **_under_seal(bundle, network, data, flat, round(SEAL_SHARE * inputs), seed),
        "plan_error": float(np.abs(clear_outputs(bundle, data.x_test) - flat).max()) / rms,
        "score_plain": score(predict(joined(drawn.module, data)[0], data.x_test), data),
        "score_converted": score(outputs, data),
        "poly_modulus_degree": bundle.client.params.poly_modulus_degree,
        "degree": network.about.get("degree"),
        "batched": run_batched(network, data, flat, seed),
    }


def _encrypted(bundle: Bundle, rows: NDArray[np.float32], clear: Array, inputs: int) -> dict[str, Any]:
    """Errors and classes of the encrypted answers against those of the network in clear, on the first `inputs` rows
    that the client takes."""
    taken = _accepted(bundle, rows)
    chosen = taken[:inputs]
    answers, _ = encrypted_outputs(bundle, rows[chosen], lambda label, share: None)
    ratios = np.abs(answers - clear[chosen]).max(axis=1) / bundle.client.error_bound(answers)
    found: dict[str, Any] = {
        "inputs": len(chosen),
        "refused_inputs": len(rows) - len(taken),
        "outside": int(np.sum(ratios > 1)),
        "largest_ratio": float(ratios.max()),
    }
    if bundle.report["about"].get("task", "classes") == "classes" and clear.shape[1] > 1:
        found["changed"] = int(np.sum(answers.argmax(axis=1) != clear[chosen].argmax(axis=1)))
        found["promised"] = bundle.report["predicted_disagreement"]
    return found


def _under_seal(
    bundle: Bundle, network: Network, data: Dataset, clear: Array, inputs: int, seed: int
) -> dict[str, Any]:
    """What SEAL makes of the first `inputs` rows, by the bundle's plan or by one that is compiled for both backends."""
    which = "same"
    if not bundle.client.params.fits_seal:
        which = "second"
        try:
            bundle = cp.compile(network, data, cp.Limits(backends="both"), seed=seed)
        except CipherpressError as error:
            return {"seal_plan": "refused", "seal_reason": f"{type(error).__name__}: {error}"}
    few = _accepted(bundle, data.x_test)[: max(1, inputs)]
    answers, _ = encrypted_outputs(bundle, data.x_test[few], lambda label, share: None, backend="seal")
    ratios = np.abs(answers - clear[few]).max(axis=1) / bundle.client.error_bound(answers)
    return {
        "seal_plan": which,
        "seal_inputs": len(few),
        "seal_ratio": float(ratios.max()),
    }


def _accepted(bundle: Bundle, rows: NDArray[np.float32]) -> NDArray[np.intp]:
    """The indices of the rows that the client takes."""
    flat = rows.reshape(len(rows), -1)
    return np.flatnonzero(((flat >= bundle.client.input_low) & (flat <= bundle.client.input_high)).all(axis=1))


def score(outputs: Array, data: Dataset) -> float:
    """Accuracy for classes, R2 over all outputs for numbers."""
    labels = np.asarray(data.y_test)
    if labels.dtype.kind != "f":
        flat = outputs.reshape(len(outputs), -1)
        named = flat.argmax(axis=1) if flat.shape[1] > 1 else (flat[:, 0] > 0).astype(np.int64)
        return float(np.mean(named == labels))
    wanted = np.asarray(labels, dtype=np.float64).reshape(len(labels), -1)
    left = np.sum((outputs.reshape(wanted.shape) - wanted) ** 2)
    return float(1 - left / np.sum((wanted - wanted.mean(axis=0)) ** 2))
