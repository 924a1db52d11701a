"""What a key or ciphertext file says about itself. Its native content is not loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compress.errors import FormatError
from secure.parties.container import kind_of, parse


def describe_file(path: Path) -> dict[str, Any]:
    """Kind, bundle, key and sizes of a container file, verified by its hash.

    Raises: FormatError.
    """
    content = path.read_bytes()
    kind = kind_of(content)
    if kind is None:
        raise FormatError(f"{path}: neither a cipherpress key nor a ciphertext file")
    container = parse(content, kind, str(path))
    return {
        "kind": kind.name.lower(),
        "bundle_id": container.bundle_id,
        "key_id": container.key_id.hex(),
        "items": len(container.items),
        "bytes": len(content),
    }
