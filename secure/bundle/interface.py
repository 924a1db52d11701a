"""Interface: what the flat inputs and outputs of a network mean to the people who use it. A client.json may hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from compress.errors import printable
from compress.front import Front, front_from_json
from compress.parts import Part
from compress.scores import Scoring
from compress.tasks import TASKS, Task
from secure.bundle.fields import Fields

Shape = tuple[int, ...]

#: The most parts of an input or output, dimensions and size of one, and characters of a name.
MOST_PARTS, MOST_DIMENSIONS, MOST_SIZE, MOST_CHARACTERS = 256, 8, 2**24, 200
#: The most classes that have names.
MOST_NAMES = 2**16
#: The least and the largest gain of a front end: beyond them, features would vanish or leave every range.
LEAST_GAIN, MOST_GAIN = 1e-6, 1e6


@dataclass(frozen=True, kw_only=True)
class Interface:
    """Parts of inputs and outputs, and how an answer is read.

    input_parts, output_parts: of a network with several inputs or outputs, in the order of their flat values; empty for
    one. task, threshold: as `compress.scores.Scoring` has them. class_names: in the order of the class numbers; empty
    where the numbers are the names. front: the transform that the client applies to an image before it encrypts; the
    inputs are its features then.
    """

    input_parts: tuple[Part, ...] = ()
    output_parts: tuple[Part, ...] = ()
    task: Task = "classes"
    threshold: float = 0.0
    class_names: tuple[str, ...] = ()
    front: Front | None = None

    @property
    def scoring(self) -> Scoring:
        """How an answer is read: as a class or as numbers."""
        return Scoring(self.task, threshold=self.threshold)

    def given_shape(self, input_shape: Shape) -> Shape:
        """The shape of an input as people give it: of an image where there is a front end, else of the network."""
        return input_shape if self.front is None else self.front.shape

    def features(self, values: Any) -> Any:
        """What is encrypted of one image or of a batch of images: the front end's features. Everything else, such as
        features themselves, stays as it is."""
        if self.front is None or np.shape(values)[-3:] != self.front.shape:
            return values
        images = np.asarray(values)
        found = self.front.apply(images.reshape(-1, *self.front.shape))
        return found.reshape(*images.shape[:-3], self.front.features)

    def name_of(self, number: int) -> str:
        """The name of a class, for people: characters that move or reorder what is printed show as escapes."""
        if number >= len(self.class_names):
            return str(number)
        return printable(self.class_names[number])

    def as_json(self) -> dict[str, Any]:
        """Only what is not as in most networks."""
        found: dict[str, Any] = {}
        for name in ("input_parts", "output_parts"):
            if getattr(self, name):
                found[name] = [part.as_json() for part in getattr(self, name)]
        if self.task != "classes":
            found["task"] = self.task
        if self.threshold:
            found["threshold"] = self.threshold
        if self.class_names:
            found["class_names"] = list(self.class_names)
        if self.front is not None:
            found["front"] = self.front.as_json()
        return found


def interface_of(about: Mapping[str, Any]) -> Interface:
    """The interface that a network's record tells."""
    parts = {
        f"{name}_parts": tuple(Part(part["name"], tuple(part["shape"])) for part in about.get(f"{name}s", ()))
        for name in ("input", "output")
    }
    return Interface(
        **parts,
        task=about.get("task", "classes"),
        threshold=float(about.get("threshold", 0.0)),
        class_names=tuple(about.get("class_names", ())),
        front=front_from_json(about["front"]) if about.get("front") is not None else None,
    )


def read_interface(fields: Fields, input_shape: Shape, output_shape: Shape) -> Interface:
    """The interface in a client.json; the usual one for a file without any.

    Raises: FormatError naming the field.
    """
    if "interface" not in fields.values:
        return Interface()
    inner = fields.inner("interface")
    task = inner.text("task") if "task" in inner.values else "classes"
    if task not in TASKS:
        raise inner.wrong("task", f"one of {', '.join(TASKS)}")
    names = _names(inner, "class_names", inner.values.get("class_names", []))
    if len(names) > max(2, prod(output_shape)):
        raise inner.wrong("class_names", f"at most {max(2, prod(output_shape))} names")
    return Interface(
        input_parts=_parts(inner, "input_parts", prod(input_shape)),
        output_parts=_parts(inner, "output_parts", prod(output_shape)),
        task=task,
        threshold=inner.number("threshold") if "threshold" in inner.values else 0.0,
        class_names=names,
        front=_front(inner, prod(input_shape)) if "front" in inner.values else None,
    )


def _front(fields: Fields, features: int) -> Front:
    inner = fields.inner("front")
    shape = inner.integers("shape", 1, MOST_SIZE, least=3, most=3)
    if prod(shape) > MOST_SIZE:
        raise inner.wrong("shape", f"sizes whose product is at most {MOST_SIZE}")
    indices = inner.integers("indices", 0, prod(shape) - 1, least=features, most=features)
    gains = inner.numbers("gains", least=features, most=features)
    if not all(LEAST_GAIN <= gain <= MOST_GAIN for gain in gains):
        raise inner.wrong("gains", f"numbers from {LEAST_GAIN:g} to {MOST_GAIN:g}")
    try:
        return front_from_json({"kind": inner.text("kind"), "shape": shape, "indices": indices, "gains": gains})
    except ValueError as error:
        raise inner.wrong("kind", "a front end that this program knows") from error


def _names(fields: Fields, name: str, values: Any) -> tuple[str, ...]:
    allowed = f"at most {MOST_NAMES} texts of at most {MOST_CHARACTERS} characters"
    if not isinstance(values, list) or len(values) > MOST_NAMES:
        raise fields.wrong(name, allowed)
    if not all(isinstance(value, str) and len(value) <= MOST_CHARACTERS for value in values):
        raise fields.wrong(name, allowed)
    return tuple(values)


def _parts(fields: Fields, name: str, size: int) -> tuple[Part, ...]:
    if name not in fields.values:
        return ()
    rows: Sequence[Any] = fields.values[name]
    allowed = f"1 to {MOST_PARTS} objects with a name and a shape, whose sizes add up to {size}"
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_PARTS or not all(isinstance(row, dict) for row in rows):
        raise fields.wrong(name, allowed)
    parts = []
    for row in rows:
        inner = Fields(f"{fields.where}: field '{name}'", row)
        (label,) = _names(inner, "name", [inner.text("name")])
        parts.append(Part(label, inner.integers("shape", 1, MOST_SIZE, most=MOST_DIMENSIONS)))
    if sum(part.size for part in parts) != size or len({part.name for part in parts}) != len(parts):
        raise fields.wrong(name, f"{allowed}, each with a name of its own")
    return tuple(parts)
