"""The fields of report.json that code reads, by type. The rest of a report is for people, and may hold anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from compress.errors import shown

Check = Callable[[Any], bool]


def _number(value: Any) -> bool:
    return type(value) in (int, float)


def _optional_number(value: Any) -> bool:
    return value is None or _number(value)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _objects(value: Any) -> bool:
    return isinstance(value, list) and all(map(_object, value))


_REPORT: Mapping[str, Check] = {
    "about": _object,
    "layers": _objects,
    "layouts": _objects,
    "weighed": _objects,
    "plain_workload": _objects,
    "predicted_disagreement": _number,
    "predicted_logit_error": _number,
    "error_grows_beyond": _number,
    "predicted_server_ms": _number,
    "predicted_images_per_s": _number,
    "upload_bytes": _number,
    "download_bytes": _number,
    "times": _text,
}
_ABOUT: Mapping[str, Check] = {
    "source": _object,
    "history": _objects,
    "task": _text,
    "score": _text,
    "accuracy_before": _optional_number,
    "accuracy_after": _optional_number,
    "accuracy_plain": _optional_number,
    "score_before": _optional_number,
    "score_after": _optional_number,
}


def report_fault(report: Mapping[str, Any]) -> str | None:
    """The first field of a report from a file that has another type than code expects; None when there is none."""
    for fields, where, values in ((_REPORT, "", report), (_ABOUT, "about.", report.get("about", {}))):
        for name, check in fields.items():
            if name in values and not check(values[name]):
                return f"field '{where}{name}' is {shown(values[name])}, which is of the wrong type"
    return None
