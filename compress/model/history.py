"""What a step in the history of a compressed model may say: the fields that code reads, by type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from compress.errors import shown

Check = Callable[[Any], bool]


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _counts_by_name(value: Any) -> bool:
    return isinstance(value, dict) and all(type(count) is int for count in value.values())


def _grid(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"fraction_bits", "bits", "signed"}
        and type(value["signed"]) is bool
        and all(type(value[name]) is int and -1024 <= value[name] <= 1024 for name in ("fraction_bits", "bits"))
    )


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


#: Fields of a row of block pruning, and of a row of a joint quantization.
_BLOCK_ROW: Mapping[str, Check] = {"layer": _text, "blocks": _count, "kept": _count}
_MODULE_ROW: Mapping[str, Check] = {"module": _text, "weight_fraction_bits": _counts_by_name}


def _rows(fields: Mapping[str, Check]) -> Check:
    def check(value: Any) -> bool:
        return isinstance(value, list) and all(
            isinstance(row, dict)
            and all(test(row.get(name)) for name, test in fields.items())
            and _texts(row.get("on_grids", []))
            for row in value
        )

    return check


def _options(value: Any) -> bool:
    return isinstance(value, dict) and all(
        type(value[name]) is int and 1 <= value[name] <= 64 for name in ("bias_bits",) if name in value
    )


def _joint_options(value: Any) -> bool:
    return _options(value) and type(value.get("bits")) is int and 1 <= value["bits"] <= 64


#: Fields that a step of any method may have, and those that a step of one method must have.
OPTIONAL: Mapping[str, Check] = {"original_parameters": _count, "options": _options}
NEEDED: Mapping[str, Mapping[str, Check]] = {
    "blocks": {"allocation": _rows(_BLOCK_ROW)},
    "joint": {
        "options": _joint_options,
        "modules": _rows(_MODULE_ROW),
        "input": _grid,
        "quantization_points_before": _count,
        "quantization_points_after": _count,
    },
}


def step_fault(step: Any) -> str | None:
    """What is wrong with one entry of a history that was read from a file; None when nothing is."""
    if not isinstance(step, dict) or not isinstance(step.get("method"), str):
        return "has no method"
    for name, check in NEEDED.get(step["method"], {}).items():
        if not check(step.get(name)):
            return f"has a malformed field '{name}': {shown(step.get(name))}"
    for name, check in OPTIONAL.items():
        if name in step and not check(step[name]):
            return f"has a malformed field '{name}': {shown(step[name])}"
    return None
