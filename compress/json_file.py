"""The one reader of JSON from outside: every artifact's JSON comes through `parse_object`.

What it returns is bounded in size, in nesting and in its numbers, so that code after it may recurse, convert and print.
"""

from __future__ import annotations

import json
import re
from math import isfinite
from pathlib import Path
from typing import Any

from compress.errors import FormatError

#: No artifact has a JSON file near this size: a larger file is damage or an attack.
MAX_JSON_BYTES = 64 * 2**20
#: Values in one file, counted by commas and opening brackets, and objects among them, counted by braces. A value takes
#: up to 100 bytes of memory and 1 us, an object 3 us. A plan has ten values for each operation, and few objects.
MAX_JSON_VALUES = 2**19
MAX_JSON_OBJECTS = 2**17
#: Levels of lists and objects. Artifacts have fewer than ten.
MAX_JSON_DEPTH = 32
#: Whole numbers are those of 64 bits with sign.
MAX_JSON_DIGITS = 20
LARGEST_INTEGER = 2**63 - 1

#: An escape of half a character, which no text encoding can write.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
#: Characters that command a terminal, as escapes and in UTF-8: backspace, form feed and carriage return too, which
#: overwrite what was printed. Line feeds and tabs have escapes of their own.
_CONTROL = re.compile(rb"\\u00([01][0-9a-fA-F]|7[fF]|[89][0-9a-fA-F])|\xc2[\x80-\x9f]|\x7f|(?<!\\)(?:\\\\)*\\[bfr]")


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises: FormatError naming the file.
    """
    try:
        if not path.is_file():  # a device or a pipe has no end
            raise FormatError(f"{path}: file not found; is this the right folder?")
        if path.stat().st_size > MAX_JSON_BYTES:
            raise FormatError(f"{path}: {path.stat().st_size} bytes; such a file has at most {MAX_JSON_BYTES}")
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        raise FormatError(f"{path}: cannot be read ({error})") from error
    return parse_object(content, str(path))


def parse_object(content: bytes, where: str) -> dict[str, Any]:
    """The object that these bytes are as JSON; `where` names the file in messages.

    Numbers are finite, whole numbers fit 64 bits, no object has a name twice, and nothing is nested deeper than
    MAX_JSON_DEPTH.
    Raises: FormatError.
    """
    if len(content) > MAX_JSON_BYTES:
        raise FormatError(f"{where}: {len(content)} bytes; such a file has at most {MAX_JSON_BYTES}")
    count = sum(content.count(mark) for mark in (b",", b"[", b"{"))
    if count > MAX_JSON_VALUES:
        raise FormatError(f"{where}: about {count} values; such a file has at most {MAX_JSON_VALUES}")
    objects = content.count(b"{")
    if objects > MAX_JSON_OBJECTS:
        raise FormatError(f"{where}: about {objects} objects; such a file has at most {MAX_JSON_OBJECTS}")
    if _CONTROL.search(content):
        raise FormatError(f"{where}: a text in it holds a control character; the file is altered")
    try:
        value = json.loads(
            content.decode("utf-8"),
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
        _check_depth(value)
        if _SURROGATE.search(content):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise FormatError(f"{where}: nested deeper than {MAX_JSON_DEPTH} levels; the file is altered") from None
    except ValueError as error:  # UnicodeError and JSONDecodeError are ValueErrors
        raise FormatError(f"{where}: not valid JSON ({error}); the file is truncated or altered") from error
    if not isinstance(value, dict):
        raise FormatError(f"{where}: holds {type(value).__name__} where an object is expected")
    return value


def _integer(text: str) -> int:
    if len(text) > MAX_JSON_DIGITS or abs(int(text)) > LARGEST_INTEGER:
        raise ValueError(f"the whole number {text[:MAX_JSON_DIGITS]}... is beyond 64 bits")
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"the number {text[:MAX_JSON_DIGITS]} is beyond what float64 holds")
    return number


def _constant(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the name {twice[:80]!r} twice")
    return found


def _check_depth(value: Any) -> None:
    """Raises: RecursionError beyond MAX_JSON_DEPTH."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_JSON_DEPTH + 1:
            raise RecursionError
        inner = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list)]
        level = [item for part in inner for item in part if isinstance(item, dict | list)]
