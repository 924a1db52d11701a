"""The one reader of YAML from outside: plain mappings, lists, texts and numbers, bounded in size and nesting.

YAML can say more than an architecture needs. Aliases make a few lines stand for gigabytes, and tags and dates call
constructors that fail in their own ways. A file that uses any of this is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from compress.errors import CostModelError

#: Architecture files have fewer than 10,000 bytes and 4 levels.
MAX_YAML_BYTES, MAX_YAML_DEPTH = 64 * 2**10, 16
#: libyaml where it is there: it reads the same ten times as fast.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: What constructors raise for numbers and dates that only look like such.
_MALFORMED = (yaml.YAMLError, OSError, ValueError, LookupError, AttributeError, TypeError, ArithmeticError)


def read_yaml(path: Path) -> object:
    """The document in a file.

    Raises: CostModelError naming the file.
    """
    try:
        if not path.is_file() or path.stat().st_size > MAX_YAML_BYTES:
            raise CostModelError(f"{path}: such a file has at most {MAX_YAML_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
        _check(text, path)
        return yaml.load(text, _LOADER)  # SafeLoader: it builds plain values only
    except RecursionError:
        raise CostModelError(f"{path}: nested deeper than {MAX_YAML_DEPTH} levels") from None
    except _MALFORMED as error:
        raise CostModelError(f"{path}: not a readable YAML file: {' '.join(str(error).split())}") from error


def _check(text: str, path: Path) -> None:
    """Raises: CostModelError for what architecture files do not use."""
    depth = 0
    for event in yaml.parse(text, _LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_YAML_DEPTH:
            raise CostModelError(f"{path}: nested deeper than {MAX_YAML_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise CostModelError(f"{path}: anchors and aliases are not allowed; write values where they are used")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise CostModelError(f"{path}: tags such as {tag} are not allowed; write plain values")
