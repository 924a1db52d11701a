"""The round trip of a bundle for throughput in one process: all images as one batch, block after block."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.dataset import Progress
from compress.errors import BackendError
from secure.bundle.batch_specs import BatchBundle
from secure.coded.clear import run_clear
from secure.parties.backends import BackendName
from secure.parties.batch_inputs import BatchRows
from secure.streams.client import BatchClient
from secure.streams.images import block_count
from secure.streams.server import BatchServer
from secure.streams.stopwatch import Stopwatch
from secure.streams.warming import load_kernels
from secure.throughput.reporting import plan_summary
from secure.verify.memory import peak_rss_bytes
from secure.verify.scored import scored, scoring_with

Array = NDArray[np.float64]
Images = NDArray[np.floating[Any]]
#: Images that are run in clear at once.
BATCH = 1024


def batch_round_trip(
    bundle: BatchBundle,
    images: Images,
    labels: NDArray[Any] | None = None,
    *,
    backend: str | None = None,
    threads: int = 1,
    clip: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Scores, agreement, errors, rates and sizes over images (count, *input_shape), by the interface's keys.

    labels, clip, and the scores of the result: as for `secure.verify.roundtrip.round_trip`. backend: "engine", which
    None means, or "clear".
    images_per_s: of the server, from the bytes of a request to those of its reply. client_images_per_s: of encryption.
    client_encrypt_ms, server_ms, client_decrypt_ms: means per image. upload_bytes, download_bytes: per image of this
    batch, whose last block may be partly empty.
    Raises: InputShapeError, BackendError; DataError for labels that do not fit; InputRangeError naming the image,
    without `clip`.
    """
    if backend == BackendName.SEAL:
        raise BackendError("backend: 'seal' cannot run a bundle for throughput; use 'engine' or 'clear'")
    spec, plan = bundle.client, bundle.server.plan
    blocks = block_count(spec, images)
    front, given = spec.interface.front, spec.interface.given_shape(spec.input_shape)
    if images.shape[1:] != given:
        front, given = None, spec.input_shape
    low, high = (spec.input_low, spec.input_high) if clip else (None, None)
    rows = BatchRows(images, given, low, high, front=front)
    scoring, labels = scoring_with(bundle.report.get("about", {}), labels, prod(spec.output_shape))
    clear = clear_batch_outputs(bundle, rows)
    result: dict[str, Any] = {
        "images": len(rows),
        **scoring.as_json(),
        **scored(scoring, "compressed", clear, labels),
        **plan_summary(plan),
        "predicted_logit_error": spec.predicted_logit_error,
    }
    if clip:
        result |= {"clipped_images": rows.clipped_inputs, "clipped_features": rows.clipped_features}
    if backend == BackendName.CLEAR:
        return {**result, "backend": BackendName.CLEAR.value}
    outputs, measured = encrypted_batch_outputs(bundle, rows, blocks, progress or (lambda label, share: None), threads)
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


def clear_batch_outputs(bundle: BatchBundle, rows: BatchRows | Images) -> Array:
    """The outputs of the plan in clear, (images, outputs)."""
    plan, found = bundle.server.plan, []
    for start in range(0, len(rows), BATCH):
        part = bundle.client.interface.features(rows[start : start + BATCH])
        flat = np.asarray(part, dtype=np.float64).reshape(len(part), -1)
        found.append(run_clear(plan, flat))
    return np.concatenate(found)


def encrypted_batch_outputs(
    bundle: BatchBundle, rows: BatchRows | Images, blocks: int, progress: Progress, threads: int = 1
) -> tuple[Array, dict[str, Any]]:
    """(images, outputs) under a fresh key, and rates and sizes by the interface's keys.

    blocks: how many the batch has. Raises: InputShapeError, InputRangeError, BackendError.
    """
    progress("kernels and key", 0.0)
    load_kernels()
    client, server = BatchClient(bundle.client), BatchServer(bundle.server, threads=threads)
    encryption, work, decryption = Stopwatch(), Stopwatch(), Stopwatch()
    outputs = []
    answers = timed_answers(client, server, rows, encryption, work, decryption)
    for number, block in enumerate(answers, start=1):
        outputs.append(block)
        progress("blocks", number / blocks)
    images = len(rows)
    return np.concatenate(outputs), {
        "backend": BackendName.ENGINE.value,
        "blocks": blocks,
        "images_per_s": images / work.seconds,
        "client_images_per_s": images / encryption.seconds,
        "client_encrypt_ms": encryption.seconds * 1e3 / images,
        "server_ms": work.seconds * 1e3 / images,
        "client_decrypt_ms": decryption.seconds * 1e3 / images,
        "upload_bytes": encryption.frame_bytes / images,
        "download_bytes": work.frame_bytes / images,
        "evaluation_key_bytes": 0,
    }


def timed_answers(
    client: BatchClient,
    server: BatchServer,
    rows: BatchRows | Images,
    encryption: Stopwatch,
    work: Stopwatch,
    decryption: Stopwatch,
) -> Iterator[Array]:
    """The decrypted outputs of a batch, block after block (images, outputs), with each party on a watch of its own."""
    requests = encryption.timed(client.encrypt_frames(rows))
    replies = work.timed(server.run_frames(work.paused(requests)))
    for block in decryption.clocked(client.decrypt_frames(decryption.paused(replies))):
        yield block.reshape(len(block), -1)
