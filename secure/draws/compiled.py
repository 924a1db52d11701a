"""How the kernels of this room are compiled: as the engine's are, and anew when a file of kernels here changes too."""

from __future__ import annotations

from pathlib import Path

from secure.engine import compiled as engine

#: numba's cache folder: its name holds the sources of the engine and those of this room's kernels.
FOLDER = engine.folder_of(Path(__file__).parent, engine.FOLDER)
kernel = engine.kernels_in(FOLDER)
