"""How the kernels of this room are compiled: anew when a file of kernels here, or below in `secure.draws`, changes."""

from __future__ import annotations

from pathlib import Path

from secure.draws import compiled as draws
from secure.engine.compiled import folder_of, kernels_in

#: numba's cache folder: its name holds the sources of all kernels that these kernels call.
FOLDER = folder_of(Path(__file__).parent, draws.FOLDER)
kernel = kernels_in(FOLDER)
