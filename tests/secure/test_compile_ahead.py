"""A server is ready when it has a key: the first request compiles nothing."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = """
import numpy as np
from secure.engine.execute import execute
from secure.parties.client import Client
from secure.parties.server import Server
from tests.secure.plans import small_bundle

bundle = small_bundle()
client = Client(bundle.client)
assert not execute.signatures
server = Server(bundle.server, backend="engine")
server.register(client.evaluation_key)
(compiled,) = execute.signatures
server.run(client.encrypt(np.zeros(bundle.client.input_shape)))
assert execute.signatures == [compiled], execute.signatures
"""


def test_the_first_request_compiles_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
