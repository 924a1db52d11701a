"""Selections of boxes on a real detector: BlazeFace's 896 anchors on photographs of scikit-image.

    python -m benchmarks.faces

There are no true boxes, so kept boxes are held against those of GreedyNMS. Parameters are chosen by the harmonic mean
of recall and precision on the photographs without a person; rows are of the views of those that show one. It needs the
packages that `cipherpress/zoo/faces.py` names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cipherpress as cp
from benchmarks.detection import likeness
from benchmarks.machine import this_machine
from benchmarks.report import table_head, table_row, with_note, write_result
from cipherpress.detection.grid import Found
from cipherpress.zoo.faces import FACE_ANCHORS, PHOTOGRAPHS, faces_in, views

RESULT = Path(__file__).parent / "results" / "faces.json"
#: Candidates' least score; the overlap of BlazeFace's own selection; the first photographs, which show a person.
LEAST_SCORE, OVERLAP, PERSONS = 0.1, 0.3, 2
KERNELS, STRIDES = (0.3, 0.4, 0.5, 0.75, 1.0, 1.5), (2.0, 4.0)

Select = Callable[[Found], NDArray[Any]]


def _greedy(one: Found) -> Any:
    return cp.greedy_nms(one.boxes, one.scores, overlap=OVERLAP)


def _psrr(anchors: cp.Anchors) -> Select:
    return lambda one: cp.psrr_nms(one.boxes, one.scores, anchors=anchors)


def _maxpool(anchors: cp.Anchors) -> Select:
    return lambda one: cp.maxpool_nms(one.boxes, one.scores, anchors=anchors, sources=one.sources)


def run() -> dict[str, Any]:
    """The three selections on all views; writes faces.json and faces.md."""
    every = views()
    found = [faces_in(view.picture, LEAST_SCORE) for view in every]
    shown = [view.photograph in PHOTOGRAPHS[:PERSONS] for view in every]
    chosen_on, rows_of = (
        [one for one, person in zip(found, shown, strict=True) if person is wanted] for wanted in (False, True)
    )
    rows = [_row("GreedyNMS", {"overlap": OVERLAP}, _greedy, rows_of)]
    for name, method in (("MaxpoolNMS", _maxpool), ("PSRR-MaxpoolNMS", _psrr)):
        options = [{"kernel": kernel, "stride": stride} for kernel, stride in product(KERNELS, STRIDES)]
        selects = [method(replace(FACE_ANCHORS, **option)) for option in options]
        best = int(np.argmax([_likeness(select, chosen_on) for select in selects]))
        rows.append(_row(name, options[best], selects[best], rows_of))
    result = {
        "command": "python -m benchmarks.faces",
        "machine": this_machine().as_json(),
        "photographs": list(PHOTOGRAPHS),
        "photographs_of_rows": list(PHOTOGRAPHS[:PERSONS]),
        "views": len(rows_of),
        "candidates_per_view": float(np.mean([len(one.boxes) for one in rows_of])),
        "least_score": LEAST_SCORE,
        "rows": rows,
    }
    write_result(RESULT, result, faces_table(result))
    return result


def _likeness(select: Select, found: Sequence[Found]) -> float:
    alike = likeness([select(one) for one in found], [_greedy(one) for one in found])
    return 2 * alike["recall"] * alike["precision"] / (alike["recall"] + alike["precision"])


def _row(name: str, options: Mapping[str, Any], select: Select, found: Sequence[Found]) -> dict[str, Any]:
    kept, greedy = [select(one) for one in found], [_greedy(one) for one in found]
    first = np.mean([list(own[:1]) == list(other[:1]) for own, other in zip(kept, greedy, strict=True)])
    counts = {"kept_per_view": float(np.mean([len(own) for own in kept])), "same_best": float(first)}
    return {"method": name, **likeness(kept, greedy), **counts, "options": dict(options)}


def faces_table(result: Mapping[str, Any]) -> str:
    """The result as Markdown."""
    lines = table_head(("selection", "recall of Greedy's boxes", "precision", "boxes kept per view", "parameters"))
    for row in result["rows"]:
        options = ", ".join(f"{name} {value}" for name, value in row["options"].items())
        shares = (f"{row['recall']:.1%}", f"{row['precision']:.1%}", f"{row['kept_per_view']:.2f}")
        lines.append(table_row((row["method"], *shares, options)))
    machine, all_best = result["machine"], all(row["same_best"] == 1 for row in result["rows"])
    best = "All three keep the same best box in every view." if all_best else "The best boxes differ in some views."
    persons = result["photographs_of_rows"]
    others = len(result["photographs"]) - len(persons)
    note = (
        f"BlazeFace (short range, 896 anchors) on {result['views']} views cut out of {len(persons)} photographs that "
        f"show a person ({', '.join(persons)}), with {result['candidates_per_view']:.1f} boxes of a score of "
        f"{result['least_score']} or more per view. There are no true boxes: recall and precision are against "
        f"GreedyNMS. Parameters of the other two were chosen on views of {others} other photographs. {best} "
        f"{machine['cpu']}, {machine['date']}; `{result['command']}`."
    )
    return with_note(lines, note)


if __name__ == "__main__":
    print(faces_table(run()))
