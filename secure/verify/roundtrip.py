"""The whole round trip over test images in one process: what `cipherpress infer` reports."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.dataset import Progress
from compress.errors import InputRangeError, InputShapeError
from secure.bundle.batch_specs import BatchBundle
from secure.bundle.specs import Bundle
from secure.compiling.reporting import plan_summary
from secure.evaluators.clear import run_clear
from secure.layout.packing import folded, input_vectors
from secure.parties.backends import BackendName, backend_named
from secure.parties.client import Client
from secure.parties.ranges import checked_input, clipped_input
from secure.parties.server import Server
from secure.verify.batch_roundtrip import batch_round_trip
from secure.verify.memory import peak_rss_bytes
from secure.verify.scored import scored, scoring_with

Array = NDArray[np.float64]
Images = NDArray[np.floating[Any]]
#: Images that are run in clear at once.
BATCH = 32


def round_trip(
    bundle: Bundle | BatchBundle,
    images: Images,
    labels: NDArray[Any] | None = None,
    *,
    backend: str | None = None,
    threads: int = 1,
    clip: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Scores, agreement, errors, medians of times and sizes over images (count, *input_shape), by the interface's keys.

    labels: as the bundle's task has them: class numbers from 0 or names of classes, or wanted numbers. Without any, and
    for task none, there is no score. The score is the one that the report's `about` names; accuracies also stand under
    their own names. agreement: with the plan in
    clear, the share of equal classes, or R2.
    backend: "engine", "seal" or "clear"; None takes what `Server` takes. The result's `backend` says which one ran. In
    clear nothing is encrypted. A bundle for throughput runs one batch (`secure.verify.batch_roundtrip`).
    threads: of the server, for each request. `classes` holds the decrypted answer for each image, where answers are
    classes. `score_compressed` is that of the plan in clear on these images. clip: bring values outside the accepted
    range to its nearest end; `clipped_images` and `clipped_features` count them.
    Raises: ConfigError, InputShapeError, BackendError; DataError for labels that do not fit; InputRangeError naming the
    image, without `clip`.
    """
    if backend is not None:
        backend_named(backend)
    if isinstance(bundle, BatchBundle):
        return batch_round_trip(bundle, images, labels, backend=backend, threads=threads, clip=clip, progress=progress)
    given, images = images, bundle.client.interface.features(images)
    if images.shape[1:] != bundle.client.input_shape:
        raise InputShapeError(
            f"input: shape {given.shape[1:]}; the network takes "
            f"{bundle.client.interface.given_shape(bundle.client.input_shape)}; "
            "give the data it was made with"
        )
    images, clipped = _accepted(bundle, images, clip)
    scoring, labels = scoring_with(bundle.report.get("about", {}), labels, len(bundle.client.output_slots))
    clear = clear_outputs(bundle, images)
    result: dict[str, Any] = {
        "images": len(images),
        **scoring.as_json(),
        **scored(scoring, "compressed", clear, labels),
        **plan_summary(bundle.server.plan),
        "predicted_logit_error": bundle.client.predicted_logit_error,
        **clipped,
    }
    if backend == BackendName.CLEAR:
        return {**result, "backend": BackendName.CLEAR.value}
    sent = images if clip else given  # the client's time has the front end in it
    outputs, measured = encrypted_outputs(bundle, sent, progress or (lambda label, share: None), threads, backend)
    return {
        **result,
        **({"classes": scoring.classes(outputs).tolist()} if scoring.names_classes else {}),
        **scored(scoring, "encrypted", outputs, labels),
        "agreement": scoring.agreement(outputs, clear),
        "max_logit_error": float(np.abs(outputs - clear).max()),
        **measured,
        "threads": threads,
        "peak_rss_bytes": peak_rss_bytes(),
    }


def _accepted(bundle: Bundle, images: Images, clip: bool) -> tuple[Images, dict[str, int]]:
    """The images, clipped where that is asked for, and what was clipped.

    Raises: InputRangeError naming the image.
    """
    if clip:
        clipped = [clipped_input(bundle.client, image) for image in images]
        counts = {
            "clipped_images": sum(bool(one.features) for one in clipped),
            "clipped_features": sum(len(one.features) for one in clipped),
        }
        return np.stack([one.values for one in clipped]), counts
    for index, image in enumerate(images):
        try:
            checked_input(bundle.client, image)
        except InputRangeError as error:
            raise InputRangeError(
                f"image {index}: {error}", feature=error.feature, value=error.value, low=error.low, high=error.high
            ) from None
    return images, {}


def clear_outputs(bundle: Bundle, images: Images) -> Array:
    """The outputs of the plan in clear, (images, outputs)."""
    spec, plan = bundle.client, bundle.server.plan
    rows = []
    for start in range(0, len(images), BATCH):
        batch = np.asarray(images[start : start + BATCH], dtype=np.float64)
        slots = input_vectors(batch.reshape(len(batch), -1), spec.input_slots)  # (batch, ciphertexts, slots)
        outputs = np.stack(run_clear(plan, list(slots.transpose(1, 0, 2))))  # (ciphertexts, batch, slots)
        outputs = folded(outputs, spec.output_folds)
        rows.append(outputs[spec.output_slots[:, 0], :, spec.output_slots[:, 1]].T)
    return np.concatenate(rows)


def encrypted_outputs(
    bundle: Bundle, images: Images, progress: Progress, threads: int = 1, backend: str | None = None
) -> tuple[Array, dict[str, Any]]:
    """(images, outputs) under fresh keys; and the backend that ran, medians of times, and sizes, by the interface's
    keys.

    Raises: ConfigError, InputShapeError, BackendError.
    """
    progress("keys", 0.0)
    client, server = Client(bundle.client), Server(bundle.server, backend=backend, threads=threads)
    key = client.evaluation_key.to_bytes()
    server.register(key)
    outputs = []
    times: dict[str, list[float]] = {"client_encrypt_ms": [], "server_ms": [], "client_decrypt_ms": []}
    upload = download = 0
    for index, image in enumerate(images):
        start = perf_counter()
        request = client.encrypt(image)
        encrypted = perf_counter()
        key_id, ciphertexts = server.load_request(request)
        loaded = perf_counter()
        answer = server.run_ciphertexts(key_id, ciphertexts)
        ran = perf_counter()
        reply = server.pack_reply(key_id, answer)
        packed = perf_counter()
        outputs.append(client.outputs(reply).ravel())
        decrypted = perf_counter()
        times["client_encrypt_ms"].append((encrypted - start) * 1e3)
        times["server_ms"].append((ran - loaded) * 1e3)
        times["client_decrypt_ms"].append((decrypted - packed) * 1e3)
        upload, download = len(request), len(reply)
        progress("encrypted images", (index + 1) / len(images))
    measured = {
        "backend": server.backend.value,
        "upload_bytes": upload,
        "download_bytes": download,
        "evaluation_key_bytes": len(key),
    }
    return np.asarray(outputs), {**{name: median(values) for name, values in times.items()}, **measured}
