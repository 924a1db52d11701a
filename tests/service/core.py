"""The browser's arithmetic (core.wasm) with numpy arrays, for tests."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import wasmtime
from numpy.typing import NDArray

import cipherpress

WASM = Path(cipherpress.__file__).parent / "service" / "page" / "core" / "core.wasm"


class Core:
    """One instance of the module. Arrays are copied in and out."""

    def __init__(self) -> None:
        store = wasmtime.Store()
        instance = wasmtime.Instance(store, wasmtime.Module.from_file(store.engine, str(WASM)), [])
        self._store: Any = store
        self._exports: Any = instance.exports(store)

    def call(self, name: str, *arguments: Any) -> Any:
        """The result of an exported function; arguments that are addresses come from `put` and `room`."""
        return self._exports[name](self._store, *arguments)

    def room(self, size_bytes: int) -> int:
        """The address of a fresh block."""
        return int(self.call("take", size_bytes))

    def put(self, array: NDArray[Any]) -> int:
        """The address of a copy of an array."""
        content = np.ascontiguousarray(array).tobytes()
        address = self.room(len(content))
        ctypes.memmove(self._base() + address, content, len(content))
        return address

    def get(self, address: int, dtype: str, *shape: int) -> NDArray[Any]:
        """A copy of an array that lies there."""
        size_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        content = ctypes.string_at(self._base() + address, size_bytes)
        return np.frombuffer(content, dtype=dtype).reshape(shape).copy()

    def _base(self) -> int:
        pointer = self._exports["memory"].data_ptr(self._store)
        return ctypes.addressof(pointer.contents)
