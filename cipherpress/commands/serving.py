"""serve and predict: encrypted inference over HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import cipherpress as cp
from cipherpress.commands.artifacts import Destination
from cipherpress.commands.batches import show_answers
from cipherpress.commands.command import command, request_threads
from cipherpress.commands.console import Output, size
from cipherpress.commands.options import ByteCount, clip_option, force_option, path_option
from cipherpress.commands.parties import show_answer
from cipherpress.commands.shipped import shipped_bundle, shipped_image
from compress.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cipherpress.service.cluster import Cluster
    from cipherpress.service.settings import ServiceSettings
    from secure.bundle.batch_specs import BatchClientSpec
    from secure.bundle.specs import ClientSpec


@command("serve", "cipherpress serve out/bundle --port 8000 --data-dir out/service")
@click.argument("bundles", metavar="BUNDLE...", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes that compute.")
@path_option("--data-dir", help="Where evaluation keys are kept. Without it they are forgotten when the server stops.")
@path_option("--token-file", help="Lines NAME TOKEN; without it everybody may use the server.")
@path_option("--tls-cert", help="Certificate (PEM), for https.")
@path_option("--tls-key", help="Its private key (PEM).")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Processes of this machine, or replicas on a Ray cluster (extra `ray`).",
)
@click.option("--address", help="Head of the Ray cluster, HOST:PORT or `auto`; without it one of this machine.")
@click.option("--most-workers", type=click.IntRange(1, 256), help="Replicas of a bundle under load, with --engine ray.")
@click.option("--queue", type=click.IntRange(1), default=64, show_default=True, help="Most requests that wait.")
@click.option("--tenant-queue", type=click.IntRange(1), help="Most of one tenant.  [default: as --queue]")
@click.option("--request-seconds", type=float, default=60.0, show_default=True, help="Most time for one request.")
@click.option("--idle-seconds", type=float, default=15.0, show_default=True, help="Most time without a byte.")
@click.option("--batch-blocks", type=click.IntRange(1), default=4, show_default=True, help="Most blocks of a batch.")
@click.option("--key-cache", type=ByteCount(), default=2**30, help="Keys in memory, per worker.  [default: 1 GiB]")
@click.option("--tenant-keys", type=click.IntRange(1), default=64, show_default=True, help="Most keys of a tenant.")
@click.option("--tenant-bytes", type=ByteCount(), default=2**33, help="Most bytes of its keys.  [default: 8 GiB]")
@click.option("--key-days", type=float, default=30.0, show_default=True, help="Unused for so long, a key is deleted.")
def serve_command(  # every option of the command is a parameter
    out: Output,
    bundles: tuple[str, ...],
    host: str,
    port: int,
    workers: int,
    data_dir: Path | None,
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    engine: str,
    address: str | None,
    most_workers: int | None,
    queue: int,
    tenant_queue: int | None,
    request_seconds: float,
    idle_seconds: float,
    batch_blocks: int,
    key_cache: float,
    tenant_keys: int,
    tenant_bytes: float,
    key_days: float,
) -> None:
    """Serve bundles over HTTP, until it is told to stop (SIGTERM, Ctrl-C). Needs the extra `service`.

    A model is named after its bundle's folder; NAME=BUNDLE gives it another name. `native-fast` and `native-99`, which
    ship with the package, are compiled first. With --json one object on stdout says
    when the server is ready, and at which URL.
    """
    with _extra():
        from cipherpress.service.logs import log_to_stderr
        from cipherpress.service.serving import serve
        from cipherpress.service.settings import ServiceLimits, ServiceSettings

    settings = ServiceSettings(
        bundles=_named(out, bundles, data_dir),
        host=host,
        port=port,
        workers=workers,
        threads=request_threads(),
        data_dir=data_dir,
        token_file=token_file,
        tls_cert=tls_cert,
        tls_key=tls_key,
        limits=ServiceLimits(
            queue=queue,
            tenant_queue=tenant_queue or queue,
            request_s=request_seconds,
            idle_s=idle_seconds,
            batch_blocks=batch_blocks,
            key_cache_bytes=int(key_cache),
            tenant_keys=tenant_keys,
            tenant_key_bytes=int(tenant_bytes),
            key_unused_s=86400 * key_days,
        ),
    )
    if engine == "local" and (address or most_workers):
        raise ConfigError("engine", engine, "ray, where --address or --most-workers is given")
    log_to_stderr(out.quiet or out.as_json)
    if token_file is None:
        out.note("no --token-file: whoever reaches this address may use the server, as one tenant")
    serve(
        settings,
        lambda url: out.result({"url": url, "models": list(settings.bundles)}, f"serving at {url}"),
        _cluster(settings, address, most_workers or workers) if engine == "ray" else None,
    )


def _cluster(settings: ServiceSettings, address: str | None, most_workers: int) -> Cluster:
    """Raises: ConfigError without the extra `ray`."""
    try:
        from cipherpress.service.cluster import Cluster
    except ModuleNotFoundError as error:
        allowed = "local, or ray once it is installed: pip install 'cipherpress[ray]'"
        raise ConfigError("engine", "ray", allowed) from error
    return Cluster(settings, address, most_workers)


@command("predict", "cipherpress predict http://127.0.0.1:8000 --input x.npy --key out/keys")
@click.argument("url")
@path_option("--input", "source", required=True, help="An .npy or .npz file, an image, or mnist:0.")
@path_option("--key", "folder", required=True, help="Folder of keys, which are made there at first use.")
@click.option("--model", help="Name of the model, where the server has several.")
@click.option("--row", type=int, help="Which input of an .npy batch, from 0.")
@click.option("--client-digest", help="Digest of the client.json that you trust; without it the first one is pinned.")
@path_option("--token-file", help="A file with the token.  [default: $CIPHERPRESS_TOKEN]")
@path_option("--ca-file", help="Certificates (PEM) to trust, for https.")
@click.option("--max-key-bytes", type=ByteCount(), help="Most memory that new keys may take.  [default: 2 GiB]")
@clip_option
@path_option("-o", "--output", "path", help="Also save the scores as .npy.")
@force_option
def predict_command(  # every option of the command is a parameter
    out: Output,
    url: str,
    source: Path,
    folder: Path,
    model: str | None,
    row: int | None,
    client_digest: str | None,
    token_file: Path | None,
    ca_file: Path | None,
    max_key_bytes: float | None,
    clip: bool,
    path: Path | None,
    force: bool,
) -> None:
    """Encrypt an input, have a server classify it, decrypt the answer. Needs the extra `service`.

    The keys are made in the folder --key at first use. The server never gets secret.key.
    """
    from io import BytesIO

    import numpy as np

    from secure.parties.client import DEFAULT_MAX_KEY_BYTES

    output = None if path is None else Destination(path, force)
    if output is not None:
        output.refuse_existing()
    with out.progress("upload of the evaluation key") as progress, _extra():
        remote = cp.RemoteClient(
            url,
            model,
            keys=folder,
            client_digest=client_digest,
            token=_token(token_file),
            ca_file=ca_file,
            max_key_bytes=max_key_bytes or DEFAULT_MAX_KEY_BYTES,
            progress=lambda held, whole: progress(f"{size(held)} of {size(whole)}", held / whole),
        )
        with remote:
            spec = remote.connect().spec
            values = _values(spec, source, row)
            scores = remote.outputs(values, clip=clip)
    if output is not None:
        buffer = BytesIO()
        np.save(buffer, scores)
        output.write(buffer.getvalue())
    if isinstance(spec, cp.BatchClientSpec):
        show_answers(out, spec.interface, scores)
    else:
        show_answer(out, spec.interface, scores)


def _values(spec: ClientSpec | BatchClientSpec, source: Path, row: int | None) -> NDArray[Any]:
    """One input of a file; all of them for a bundle for throughput, unless one row is asked for.

    Raises: InputShapeError.
    """
    from secure.parties.batch_inputs import read_batch
    from secure.parties.inputs import read_input

    image = shipped_image(source)
    if image is not None:
        return image[None] if isinstance(spec, cp.BatchClientSpec) else image
    shape, parts = spec.interface.given_shape(spec.input_shape), spec.interface.input_parts
    if isinstance(spec, cp.BatchClientSpec) and row is None:
        batch = read_batch(source, shape, parts)
        return batch[: len(batch)]
    one = read_input(source, shape, row, parts)
    return one[None] if isinstance(spec, cp.BatchClientSpec) else one


def _token(file: Path | None) -> str | None:
    """The token of a file, or of the environment. It is no option, since other users see options."""
    return os.environ.get("CIPHERPRESS_TOKEN") if file is None else file.read_text().strip()


@contextmanager
def _extra() -> Iterator[None]:
    """Raises: ConfigError where the packages of the extra are missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn", "httpx", "prometheus_client"):
            raise
        allowed = "the packages of the extra: pip install 'cipherpress[service]'"
        raise ConfigError("service", f"no package {error.name}", allowed) from error


def _named(out: Output, bundles: tuple[str, ...], data_dir: Path | None) -> dict[str, Path]:
    """Folders by the names of their models.

    Raises: ConfigError for a name that occurs twice, or that no path can hold.
    """
    named: dict[str, Path] = {}
    for stated in bundles:
        name, equals, folder = stated.partition("=")
        path = Path(folder if equals else stated)
        name = name if equals else path.resolve().name
        if not name or not all(letter.isalnum() or letter in "-_." for letter in name):
            raise ConfigError("bundle", stated, "names of letters, digits, '-', '_' and '.'; give NAME=BUNDLE")
        if name in named:
            raise ConfigError("bundle", stated, f"every name once, and '{name}' is taken; give NAME=BUNDLE")
        found = None if path.exists() else shipped_bundle(out, str(path), data_dir)
        named[name] = found or path
    return named
