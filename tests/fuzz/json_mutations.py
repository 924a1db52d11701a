"""JSON values changed by structure: one place in a document, replaced by what its reader may not expect."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any


@dataclass(frozen=True)
class Raw:
    """Text that stands in the JSON as it is."""

    text: str


@dataclass(frozen=True)
class Twice:
    """Two values under one name of an object."""

    first: Any
    second: Any


#: What stands in for a value: every type, and the values where types, sizes and texts end.
STRANGERS: tuple[Any, ...] = (
    None, True, False, "", "text", 0, 1, -1, 2, 3, 255, 2**15, 2**31 - 1, 2**31, 2**32 + 1, 2**53 + 1, 2**62, -(2**62),
    2**63 - 1, -(2**63), 0.5, -0.0, 1.0, 1e-320, 1e-300, 1e300, -1e300, [], {}, [[]], [0], [1, 1], [-1], ["a"], [None],
    {"a": 1}, [{}], [2**31, 2**31, 2**31], [2**62] * 3, [1] * 70, [0.5], "NaN", "1", "../../x", "/dev/zero", "a" * 5000,
    "x.py:f", "float64", "int7", "complex128", "object", "__class__", "ab" * 32, "=" * 8, "%s{}\\n[red]",
    Raw("NaN"), Raw("-Infinity"), Raw("1e400"), Raw("9" * 30), Raw("9" * 5000), Raw("[" * 20 + "]" * 20),
    Raw("[" * 3000 + "]" * 3000), Raw('{"a":' * 500 + "1" + "}" * 500), Raw('"\\ud800"'), Raw('"\\u0000"'),
    Raw('"\\u001b[2J"'), Raw("tru"), Raw("01"), Raw("'a'"),
)  # fmt: skip


def mutated(document: Any, random: Random) -> tuple[str, str]:
    """(JSON text, what was changed) of a document with one to three changes."""
    value, notes = copy.deepcopy(document), []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        holder, key = random.choice(_places(value))
        note = random.choice(CHANGES)(holder, key, random)
        notes.append(f"{key}: {note}")
    text = dumped(value)
    if random.random() < 0.02:
        cut = random.randrange(len(text))
        return text[:cut], "; ".join([*notes, f"cut at {cut}"])
    return text, "; ".join(notes)


def dumped(value: Any) -> str:
    """JSON with Raw and Twice in it."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        pairs = []
        for name, part in value.items():
            parts = (part.first, part.second) if isinstance(part, Twice) else (part,)
            pairs += [f"{json.dumps(name)}: {dumped(one)}" for one in parts]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(dumped(part) for part in value) + "]"
    if isinstance(value, Twice):
        return dumped(value.first)
    return json.dumps(value)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """(holder, key) of everything inside; a long list counts by its first, last and some middle entries."""
    found, todo = [], [value]
    while todo:
        holder = todo.pop()
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if isinstance(holder, list) and len(keys) > 8:
            keys = [*keys[:3], keys[len(keys) // 2], *keys[-3:]]
        found += [(holder, key) for key in keys]
        todo += [holder[key] for key in keys if isinstance(holder[key], dict | list)]
    return found or [({"": 0}, "")]


def _replace(holder: Any, key: Any, random: Random) -> str:
    holder[key] = copy.deepcopy(random.choice(STRANGERS))
    return f"is {str(holder[key])[:60]!r}"


def _drop(holder: Any, key: Any, random: Random) -> str:
    del holder[key]
    return "dropped"


def _double(holder: Any, key: Any, random: Random) -> str:
    if isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    else:
        holder[key] = Twice(holder[key], random.choice((holder[key], 0, None)))
    return "twice"


def _rename(holder: Any, key: Any, random: Random) -> str:
    if isinstance(holder, list):
        return _replace(holder, key, random)
    name = random.choice(("", "x", str(key).upper(), f"{key}2", "é" * 3, "a" * 3000, "__init__"))
    holder[name] = holder.pop(key)
    return f"renamed {name[:20]!r}"


def _shift(holder: Any, key: Any, random: Random) -> str:
    value = holder[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _replace(holder, key, random)
    changes: tuple[Callable[[Any], Any], ...] = (
        lambda x: x + 1, lambda x: x - 1, lambda x: -x, lambda x: 2 * x, lambda x: x // 2, lambda x: float(x),
        lambda x: str(x), lambda x: [x], lambda x: x * 1000, lambda x: int(x) ^ 1, lambda x: x + 0.5,
    )  # fmt: skip
    holder[key] = random.choice(changes)(value)
    return f"from {value!r} to {str(holder[key])[:40]}"


def _lengthen(holder: Any, key: Any, random: Random) -> str:
    value = holder[key]
    times = random.choice((2, 3, 1000))
    if isinstance(value, list) and len(value) * times <= 10_000:
        holder[key] = value * times
    elif isinstance(value, str) and len(value) * times <= 100_000:
        holder[key] = value * times
    else:
        return _replace(holder, key, random)
    return f"{times} times as long"


def _shorten(holder: Any, key: Any, random: Random) -> str:
    value = holder[key]
    if not isinstance(value, list | str) or not value:
        return _replace(holder, key, random)
    holder[key] = value[: random.randrange(len(value))]
    return f"cut to {len(holder[key])}"


def _exchange(holder: Any, key: Any, random: Random) -> str:
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    other = random.choice(keys)
    holder[key], holder[other] = holder[other], holder[key]
    return f"exchanged with {str(other)[:40]}"


CHANGES = (_replace, _replace, _replace, _drop, _double, _rename, _shift, _shift, _lengthen, _shorten, _exchange)
