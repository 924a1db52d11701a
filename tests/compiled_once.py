"""Kernels are compiled once in a run of several workers, by a process of its own, while the workers begin with tests
that need none.

In a fresh clone compiling takes a minute of processor time. Every worker would do it at the same time, since numba
looks into its cache on disk only before it begins.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
#: Rooms of tests that need no kernel of the engine, or hardly any.
WITHOUT_KERNELS = ("arch", "compress", "hwmodel")
#: How the names of modules with kernels begin.
OWN = ("secure.", "cipherpress.")
#: Locks that a process holds, by name; it may come to a kernel again while it compiles one that calls it.
_held: set[str] = set()
_turn = threading.RLock()


def compile_in_turn(folder: Path) -> None:
    """From now on this process compiles a kernel only while no other one with the same folder does.

    The next one finds it in the cache. Locks are by kernel of this project, and no two of them call each other, so
    nobody waits for ever. folder: of the lock files.
    """
    from numba.core.dispatcher import Dispatcher

    folder.mkdir(parents=True, exist_ok=True)
    compile_now: Callable[..., Any] = Dispatcher.compile

    @wraps(compile_now)
    def locked(kernel: Any, signature: Any) -> Any:
        function = kernel.py_func
        if not function.__module__.startswith(OWN):
            return compile_now(kernel, signature)
        with _turn, _alone(folder, f"{function.__module__}.{function.__qualname__}"):
            return compile_now(kernel, signature)

    Dispatcher.compile = locked


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    if name in _held:
        yield
        return
    with (folder / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _held.add(name)
        try:
            yield
        finally:
            _held.remove(name)


def begin(folder: Path) -> subprocess.Popen[bytes]:
    """A process that compiles the kernels of both modes, unless that was done before."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.compiled_once", str(folder)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdin=quiet, stdout=quiet, stderr=quiet)


def _compile_all() -> None:
    """One request, and one batch, from keys to the answer."""
    from secure.engine.compiled import kernels_compiled
    from secure.parties.client import Client
    from secure.parties.server import Server
    from secure.streams import warming
    from tests.secure.plans import small_bundle

    if not kernels_compiled():
        for own_keys in (False, True):
            bundle = small_bundle(own_keys=own_keys)
            client, server = Client(bundle.client), Server(bundle.server)
            server.register(client.evaluation_key.to_bytes())
            client.decrypt(server.run(client.encrypt(np.zeros(bundle.client.input_shape))))
    if not warming.kernels_compiled():
        warming.load_kernels()


if __name__ == "__main__":
    compile_in_turn(Path(sys.argv[1]))
    _compile_all()
