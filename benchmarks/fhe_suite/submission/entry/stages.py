"""The stages of the benchmark by name. Each one is a process of its own and loads what it needs alone."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a pool of threads takes longer to start than the products

from entry.folders import BUNDLE, Folders, size_of

if TYPE_CHECKING:
    from secure.bundle.batch_specs import BatchClientSpec


def client_spec() -> BatchClientSpec:
    """The client's part of the bundle.

    Raises: FormatError; ConfigError for a bundle of the other mode, or whose client adds inputs or leaves some out.
    """
    from secure.bundle.batch_specs import BatchClientSpec
    from secure.bundle.client_file import load_client

    spec = load_client(BUNDLE)
    if not isinstance(spec, BatchClientSpec):
        from compress.errors import ConfigError

        raise ConfigError("bundle", "one for latency", "one compiled with --mode throughput")
    if spec.units or spec.read_inputs:
        from compress.errors import ConfigError

        raise ConfigError("bundle", "one with units or read_inputs", "one that encrypts all inputs in real slots")
    return spec


def client_key_generation(folders: Folders) -> None:
    """A secret key; the folder of public keys stays empty, since the server needs none."""
    from secure.parties.keys import generate_secret_key
    from secure.streams.keys import key_ring

    spec = client_spec()
    folders.public_keys.mkdir(parents=True, exist_ok=True)
    folders.secret_key.parent.mkdir(parents=True, exist_ok=True)
    key = generate_secret_key(spec, key_ring(spec.params)).to_bytes()
    with open(os.open(folders.secret_key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(key)


def server_preprocess_model(folders: Folders) -> None:
    """Check the plan, and leave the compiled Python files that later stages load."""
    from entry.server import Server
    from secure.bundle.batch_plan_file import load_batch_server

    Server(load_batch_server(BUNDLE))


def client_preprocess_input(folders: Folders) -> None:
    """Pixels to the features that are encrypted: the network's public front end."""
    from math import prod

    import numpy as np

    from entry.pixels import read_pixels

    spec = client_spec()
    shape = spec.interface.given_shape(spec.input_shape)
    images = read_pixels(folders.pixels, prod(shape)).reshape(-1, *shape)
    folders.features.parent.mkdir(parents=True, exist_ok=True)
    np.save(folders.features, spec.interface.features(images).reshape(len(images), -1))


def client_encode_encrypt_input(folders: Folders) -> None:
    """Features to a request."""
    import numpy as np

    from entry.client import Client
    from entry.secret import Secret

    spec = client_spec()
    client = Client(spec, Secret(folders.secret_key.read_bytes(), spec))
    folders.request.parent.mkdir(parents=True, exist_ok=True)
    with open(folders.request, "wb") as file:
        file.writelines(client.encrypt(np.load(folders.features)))


def server_encrypted_compute(folders: Folders) -> None:
    """A request to a reply. It reads the bundle and the request, and no key."""
    started = perf_counter()
    from entry.server import Server
    from secure.bundle.batch_plan_file import load_batch_server

    server = Server(load_batch_server(BUNDLE))
    ready = perf_counter()
    folders.reply.parent.mkdir(parents=True, exist_ok=True)
    with open(folders.request, "rb") as request, open(folders.reply, "wb") as reply:
        reply.writelines(server.run(server.read(request, "request"), "request"))
    done = perf_counter()
    steps = {"Start": ready - started, "Encrypted computation": done - ready}
    folders.steps.write_text(json.dumps({name: round(seconds, 4) for name, seconds in steps.items()}) + "\n")


def client_decrypt_decode(folders: Folders) -> None:
    """A reply to logits."""
    import numpy as np

    from entry.client import Client
    from entry.secret import Secret

    spec = client_spec()
    client = Client(spec, Secret(folders.secret_key.read_bytes(), spec))
    with open(folders.reply, "rb") as file:
        np.save(folders.logits, client.decrypt(client.read(file, "reply"), "reply"))


def client_postprocess(folders: Folders) -> None:
    """Logits to classes, one per line."""
    import numpy as np

    classes = np.load(folders.logits).argmax(axis=1)
    folders.predictions.write_text("".join(f"{number}\n" for number in classes))


#: In the order in which the benchmark runs them.
STAGES: dict[str, Callable[[Folders], None]] = {
    stage.__name__: stage
    for stage in (
        client_key_generation,
        server_preprocess_model,
        client_preprocess_input,
        client_encode_encrypt_input,
        server_encrypted_compute,
        client_decrypt_decode,
        client_postprocess,
    )
}


def main(name: str, arguments: Sequence[str]) -> int:
    """Run a stage; what goes wrong is said in one line."""
    from compress.errors import CipherpressError

    try:
        STAGES[name](Folders(size_of(arguments)))
    except (CipherpressError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    return 0
