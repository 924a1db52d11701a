"""Compiles the kernels that bundles need, once per installation, so that no client waits for it.

    python -m cipherpress.service.warming BUNDLE ...

It takes each bundle once from keys to an answer, in a process of its own that ends with its keys: the server's own
processes never have a secret key. A bundle that cannot be computed is found here, too.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numba
import numpy as np

from compress.artifact import write_file
from compress.errors import CipherpressError, ServiceError
from secure.bundle.batch_specs import BatchBundle
from secure.bundle.files import load_bundle, load_client
from secure.engine.compiled import FOLDER


def not_warmed(folders: Iterable[Path]) -> list[Path]:
    """The bundles that were never served by this installation.

    Raises: FormatError, InsecureParametersError; OSError.
    """
    return [folder for folder in folders if not _mark(load_client(folder).bundle_id).exists()]


def warm(folders: Iterable[Path]) -> None:
    """Have their kernels compiled by another process.

    Raises: ServiceError for bundles that cannot be computed.
    """
    command = [sys.executable, "-m", "cipherpress.service.warming", *map(str, folders)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
        raise ServiceError(f"bundles: a first run of them failed: {last}")


def _mark(bundle_id: str) -> Path:
    """The file that says that a bundle's kernels are compiled. It lies beside the kernels, and goes when they do."""
    return FOLDER / f"served-{bundle_id[:32]}-{numba.__version__}"


def _run_once(folder: Path) -> None:
    """One request, from keys to the answer, as far as it takes."""
    bundle = load_bundle(folder)
    middle = ((bundle.client.input_low + bundle.client.input_high) / 2).reshape(bundle.client.input_shape)
    if isinstance(bundle, BatchBundle):
        from secure.streams.client import BatchClient
        from secure.streams.server import BatchServer

        batch = BatchClient(bundle.client)
        batch.decrypt_batch(BatchServer(bundle.server).run_batch(batch.encrypt_batch(middle[None])))
    else:
        from secure.parties.client import Client
        from secure.parties.server import Server

        client, server = Client(bundle.client, max_key_bytes=float("inf")), Server(bundle.server)
        server.register(client.evaluation_key.to_bytes())
        client.decrypt(server.run(client.encrypt(np.asarray(middle))))
    with suppress(OSError):  # where the folder cannot be written, it is done again next time
        write_file(_mark(bundle.client.bundle_id), b"", force=True)


if __name__ == "__main__":
    try:
        for path in sys.argv[1:]:
            _run_once(Path(path))
    except CipherpressError as error:
        sys.exit(str(error))
