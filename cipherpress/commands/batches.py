"""keygen, encrypt, run, decrypt of bundles for throughput: batches of images, frame after frame, by files.

A request or reply file is as long as its batch. One block of images is held in memory at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cipherpress as cp
from cipherpress.commands.artifacts import Destination
from cipherpress.commands.command import request_threads
from cipherpress.commands.console import Output, size, table
from compress.errors import KeyMismatchError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from compress.dataset import Progress
    from secure.bundle.batch_specs import BatchClientSpec, BatchServerSpec
    from secure.bundle.interface import Interface
    from secure.streams.client import BatchClient

#: So many answers are listed one by one; of more there is a summary.
MOST_LISTED = 20


def keygen_batch(out: Output, spec: BatchClientSpec, output: Destination) -> None:
    """Write secret.key, which is the only key."""
    from compress.artifact import PRIVATE_FILE_MODE, write_file
    from secure.parties.keys import SECRET_FILE

    secret = output.path / SECRET_FILE
    write_file(secret, cp.Client(spec).secret_key.to_bytes(), force=output.force, mode=PRIVATE_FILE_MODE)
    text = f"saved {secret}; a bundle for throughput has no evaluation key: its server needs none"
    out.result({"evaluation_key_bytes": 0}, text)


def encrypt_batch(
    out: Output, spec: BatchClientSpec, key: Path, source: Path, row: int | None, clip: bool, output: Destination
) -> None:
    """Encrypt the inputs of a file, or one --row of them."""
    from compress.artifact import write_stream
    from secure.parties.batch_inputs import BatchRows, read_batch
    from secure.parties.inputs import read_input

    front, given = spec.interface.front, spec.interface.given_shape(spec.input_shape)
    if row is None:
        rows = read_batch(source, given, spec.interface.input_parts)
    else:
        rows = BatchRows(read_input(source, given, row, spec.interface.input_parts)[None], given)
    rows = replace(rows, front=front)
    if clip:
        rows = replace(rows, low=spec.input_low, high=spec.input_high)
    from secure.streams.stopwatch import Stopwatch

    client, blocks = _client(spec, key), -(-len(rows) // spec.block_images)
    watch = Stopwatch()
    with out.progress("encrypt") as progress:
        frames = watch.timed(client.encrypt_frames(rows))
        size_bytes = write_stream(output.path, _shared(frames, blocks, progress), force=output.force)
    if rows.clipped_features:
        out.note(f"clipped {rows.clipped_features} features of {rows.clipped_inputs} inputs")
    result: dict[str, Any] = {
        "images": len(rows),
        "blocks": blocks,
        "upload_bytes": size_bytes,
        "upload_bytes_per_image": size_bytes / len(rows),
        "client_images_per_s": len(rows) / watch.seconds,
    }
    if clip:
        result |= {"clipped_images": rows.clipped_inputs, "clipped_features": rows.clipped_features}
    text = (
        f"saved {output.path}: {_counted(len(rows), 'image')} in {_counted(blocks, 'block')}, {size(size_bytes)}, "
        f"{result['client_images_per_s']:,.0f} images per second"
    )
    out.result(result, text)


def run_batch(out: Output, spec: BatchServerSpec, key: Path | None, source: Path, output: Destination) -> None:
    """The server's work on every block of a request.

    The time is from the bytes of a block to those of its answer. Loading the plan, compiling kernels, and reading and
    writing files are not counted.
    """
    if key is not None:
        raise KeyMismatchError(
            f"{key}: a bundle for throughput has no evaluation key, and its server needs no key; leave out --key"
        )
    from compress.artifact import write_stream
    from secure.streams.stopwatch import Stopwatch
    from secure.streams.warming import kernels_compiled, load_server_kernels

    if not kernels_compiled():
        out.note("compiling kernels: once per installation, a minute or two")
    load_server_kernels()
    server, watch = cp.Server(spec, threads=request_threads()), Stopwatch()
    with source.open("rb") as file, out.progress("run") as progress:
        frames = _reported(server.read(file, str(source)), source.stat().st_size, progress)
        answers = watch.timed(server.run_frames(watch.paused(frames), str(source)))
        size_bytes = write_stream(output.path, answers, force=output.force)
    server_ms, images = watch.seconds * 1e3, watch.images
    result = {
        "images": images,
        "blocks": watch.blocks,
        "server_ms": server_ms,
        "images_per_s": images / watch.seconds,
        "threads": server.threads,
        "backend": "engine",
        "download_bytes": size_bytes,
        "download_bytes_per_image": size_bytes / images,
    }
    text = (
        f"saved {output.path}: {_counted(images, 'image')} in {_counted(watch.blocks, 'block')}, {size(size_bytes)}, "
        f"after {server_ms:,.0f} ms, {result['images_per_s']:,.0f} images per second"
    )
    out.result(result, text)


def decrypt_batch(out: Output, spec: BatchClientSpec, key: Path, source: Path, output: Destination | None) -> None:
    """Decrypt the answers to a batch; a table of a few, a summary of many."""
    from io import BytesIO

    import numpy as np

    client = _client(spec, key)
    with source.open("rb") as file, out.progress("decrypt") as progress:
        frames = _reported(client.read(file, str(source)), source.stat().st_size, progress)
        scores = np.concatenate(list(client.decrypt_frames(frames, str(source))))
    if output is not None:
        buffer = BytesIO()
        np.save(buffer, scores)
        output.write(buffer.getvalue())
    show_answers(out, spec.interface, scores)


def show_answers(out: Output, interface: Interface, scores: NDArray[np.float64]) -> None:
    flat = scores.reshape(len(scores), -1)
    result: dict[str, Any] = {"images": len(scores)}
    if not interface.scoring.names_classes:
        columns = [f"output {index}" for index in range(flat.shape[1])]
        rows = [dict(zip(columns, row, strict=True)) for row in flat[:MOST_LISTED].tolist()]
        more = len(scores) - len(rows)
        text = table(rows, columns) + (f"\n{_counted(more, 'image')} more; -o saves all outputs" if more else "")
        out.result({**result, "task": interface.task, "outputs": scores.tolist()}, text)
        return
    classes = interface.scoring.classes(flat)
    result |= {"classes": classes.tolist()}
    if interface.class_names:
        result |= {"class_names": [interface.name_of(number) for number in classes.tolist()]}
    if len(scores) <= MOST_LISTED:
        best = flat.max(axis=1) if interface.task == "classes" else flat[:, 0]
        rows = [
            {"image": index, "class": interface.name_of(int(number)), "score": float(score)}
            for index, (number, score) in enumerate(zip(classes, best, strict=True))
        ]
        out.result({**result, "scores": scores.tolist()}, table(rows, ["image", "class", "score"]))
        return
    counts = Counter(classes.tolist())
    rows = [
        {"class": interface.name_of(number), "images": counts[number], "share": counts[number] / len(classes)}
        for number in sorted(counts)
    ]
    out.result(
        result, f"{table(rows, ['class', 'images', 'share'])}\n{_counted(len(scores), 'image')}; -o saves all scores"
    )


def _shared(frames: Iterable[bytes], blocks: int, progress: Progress) -> Iterator[bytes]:
    """The frames, with the share of them that is made as progress."""
    for number, frame in enumerate(frames, start=1):
        progress("blocks", number / blocks)
        yield frame


def _reported(frames: Iterable[bytes], whole_bytes: int, progress: Progress) -> Iterator[bytes]:
    """The frames of a file, with the share of its bytes that is read as progress."""
    read_bytes = 0
    for frame in frames:
        yield frame
        read_bytes += len(frame)
        progress("blocks", read_bytes / whole_bytes)


def _client(spec: BatchClientSpec, key: Path) -> BatchClient:
    from secure.parties.keys import SecretKey

    return cp.Client(spec, SecretKey.from_bytes(key.read_bytes(), str(key)), threads=request_threads())


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
