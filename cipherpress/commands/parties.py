"""keygen, encrypt, run, decrypt: client and server, by files. Those of batches are in `batches`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import cipherpress as cp
from cipherpress.commands.artifacts import Destination
from cipherpress.commands.batches import decrypt_batch, encrypt_batch, keygen_batch, run_batch
from cipherpress.commands.command import command, request_threads
from cipherpress.commands.console import Output, table
from cipherpress.commands.options import (
    ByteCount,
    bundle_argument,
    clip_option,
    force_option,
    memory_option,
    output_options,
    path_option,
)
from compress.errors import printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from secure.bundle.interface import Interface
    from secure.bundle.specs import ClientSpec
    from secure.parties.client import Client

secret_key_option = path_option("--key", required=True, help="secret.key")


@command("keygen", "cipherpress keygen out/bundle -o out/keys")
@bundle_argument
@click.option(
    "--max-key-bytes",
    type=ByteCount(),
    help="Most memory that the keys may take while they are made, such as 4G.  [default: 2 GiB]",
)
@output_options
def keygen_command(out: Output, bundle: Path, max_key_bytes: float | None, output: Destination) -> None:
    """Make secret.key (keep it) and evaluation.key (for the server); of a bundle for throughput secret.key alone."""
    from secure.parties.client import DEFAULT_MAX_KEY_BYTES
    from secure.parties.keys import EVALUATION_FILE, SECRET_FILE, write_keys

    output.refuse_existing(SECRET_FILE, EVALUATION_FILE)
    spec = cp.load_client(bundle)
    if isinstance(spec, cp.BatchClientSpec):
        keygen_batch(out, spec, output)
        return
    client = cp.Client(spec, max_key_bytes=max_key_bytes or DEFAULT_MAX_KEY_BYTES)
    write_keys(output.path, client.secret_key, client.evaluation_key, force=output.force)
    secret, evaluation = output.path / SECRET_FILE, output.path / EVALUATION_FILE
    key_bytes = evaluation.stat().st_size
    out.result({"evaluation_key_bytes": key_bytes}, f"saved {secret} and {evaluation} ({key_bytes:,} bytes)")


@command("encrypt", "cipherpress encrypt out/bundle --key out/keys/secret.key --input x.npy -o x.ct")
@bundle_argument
@secret_key_option
@path_option(
    "--input",
    "source",
    required=True,
    help="An .npy array or an image file; an .npz with several inputs.",
)
@click.option("--row", type=int, help="Which input of an .npy batch, from 0.")
@clip_option
@output_options
def encrypt_command(
    out: Output, bundle: Path, key: Path, source: Path, row: int | None, clip: bool, output: Destination
) -> None:
    """Encrypt one input (.npy of the network's shape or one --row of a batch, or an image file).

    For a bundle for throughput, all inputs of a batch (.npy of shape (inputs, ...)), block after block.
    """
    from secure.parties.inputs import read_input

    output.refuse_existing()
    spec = cp.load_client(bundle)
    if isinstance(spec, cp.BatchClientSpec):
        encrypt_batch(out, spec, key, source, row, clip, output)
        return
    client = _client(spec, key)
    interface = client.spec.interface
    values = read_input(source, interface.given_shape(spec.input_shape), row, interface.input_parts)
    clipped = client.clip(values) if clip else None
    request = client.encrypt(values if clipped is None else clipped.values)
    output.write(request)
    if clipped is not None and clipped.said:
        out.note(clipped.said)
    counted = {} if clipped is None else {"clipped_features": len(clipped.features)}
    out.result({"upload_bytes": len(request), **counted}, f"saved {output.path} ({len(request):,} bytes)")


@command("run", "cipherpress run out/bundle --key out/keys/evaluation.key --input x.ct -o y.ct")
@bundle_argument
@path_option("--key", help="evaluation.key; a bundle for throughput has none")
@path_option("--input", "source", required=True, help="A .ct made by encrypt.")
@memory_option
@output_options
def run_command(
    out: Output, bundle: Path, key: Path | None, source: Path, memory_bytes: float | None, output: Destination
) -> None:
    """The server's work: the network on an encrypted input, or on a batch of them. Needs no torch and no secret key.

    The time is that of the plan alone: loading files and compiling the engine's kernels are not counted. A batch is
    timed from the bytes of each block to those of its answer.
    """
    from time import perf_counter

    from secure.engine.compiled import kernels_compiled

    output.refuse_existing()
    spec = cp.load_server(bundle)
    if isinstance(spec, cp.BatchServerSpec):
        run_batch(out, spec, key, source, output)
        return
    if key is None:
        raise click.UsageError("a bundle for latency needs the client's evaluation key: --key KEYS/evaluation.key")
    request = source.read_bytes()
    key.stat()  # a file that is not there is found before the constants are made
    if not kernels_compiled():
        out.note("compiling the engine's kernels: once per installation, half a minute or more")
    server = cp.Server(spec, threads=request_threads(), memory_bytes=memory_bytes)
    server.register(key, str(key))
    key_id, ciphertexts = server.load_request(request, str(source))
    start = perf_counter()
    outputs = server.run_ciphertexts(key_id, ciphertexts)
    server_ms = (perf_counter() - start) * 1e3
    reply = server.pack_reply(key_id, outputs)
    output.write(reply)
    result = {
        "server_ms": server_ms,
        "threads": server.threads,
        "backend": str(server.backend),
        "download_bytes": len(reply),
    }
    out.result(result, f"saved {output.path} ({len(reply):,} bytes) after {server_ms:.1f} ms by {server.backend}")


@command("decrypt", "cipherpress decrypt out/bundle --key out/keys/secret.key --input y.ct")
@bundle_argument
@secret_key_option
@path_option("--input", "source", required=True, help="A .ct made by run.")
@path_option("-o", "--output", "path", help="Also save the scores as .npy.")
@force_option
def decrypt_command(out: Output, bundle: Path, key: Path, source: Path, path: Path | None, force: bool) -> None:
    """Decrypt an answer; prints the classes with their scores, best first, or the outputs where they are numbers.

    Of the answers to a batch it prints the class of each image, or a summary of many; -o saves all scores.
    """
    from io import BytesIO

    import numpy as np

    output = None if path is None else Destination(path, force)
    if output is not None:
        output.refuse_existing()
    spec = cp.load_client(bundle)
    if isinstance(spec, cp.BatchClientSpec):
        decrypt_batch(out, spec, key, source, output)
        return
    client = _client(spec, key)
    scores = client.outputs(source.read_bytes(), str(source))
    if output is not None:
        buffer = BytesIO()
        np.save(buffer, scores)
        output.write(buffer.getvalue())
    show_answer(out, client.spec.interface, scores)


def show_answer(out: Output, interface: Interface, scores: NDArray[np.float64]) -> None:
    """The classes with their scores; of a single logit the class alone; of numbers the numbers."""
    flat = scores.ravel().tolist()
    if not interface.scoring.names_classes:
        names = [
            printable(part.name) if part.size == 1 else f"{printable(part.name)} {index}"
            for part in interface.output_parts
            for index in range(part.size)
        ]
        values = [{"output": name, "value": value} for name, value in zip(names or range(len(flat)), flat, strict=True)]
        out.result({"task": interface.task, "outputs": scores.tolist()}, table(values, ["output", "value"]))
        return
    number = int(interface.scoring.classes(scores.reshape(1, -1))[0])
    named = {"class": number, **({"class_name": interface.name_of(number)} if interface.class_names else {})}
    if interface.task == "binary":
        text = f"class {interface.name_of(number)}, score {flat[0]:.4g} (class {interface.name_of(1)} is above "
        out.result({**named, "scores": scores.tolist()}, f"{text}{interface.threshold:g})")
        return
    order = sorted(range(len(flat)), key=lambda index: flat[index], reverse=True)
    rows = [{"class": interface.name_of(index), "score": flat[index]} for index in order]
    out.result({**named, "scores": scores.tolist()}, table(rows, ["class", "score"]))


def _client(spec: ClientSpec, key: Path) -> Client:
    from secure.parties.backends import BackendName
    from secure.parties.keys import SecretKey

    # one request per process: SEAL has it encrypted before the engine's kernels are loaded
    secret_key = SecretKey.from_bytes(key.read_bytes(), str(key))
    return cp.Client(spec, secret_key, backend=BackendName.SEAL)
