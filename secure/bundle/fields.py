"""The fields of an object of a JSON file, read by type and range. Nothing is converted: a text is no number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

from compress.errors import FormatError, shown

#: A reader of one value; None for a value that it does not take.
Read = Callable[[Any], Any]


@dataclass(frozen=True)
class Fields:
    """The fields of one object. where: the file, for messages."""

    where: str
    values: Mapping[str, Any]

    def wrong(self, name: str, allowed: str) -> FormatError:
        """The error that says what a field holds and what it may hold."""
        if name not in self.values:
            return FormatError(f"{self.where}: field '{name}' is missing; allowed: {allowed}; the file is altered")
        found = shown(self.values[name])
        return FormatError(f"{self.where}: field '{name}' is {found}; allowed: {allowed}; the file is altered")

    def inner(self, name: str) -> Fields:
        """The fields of an object inside. Raises: FormatError."""
        if not isinstance(self.values.get(name), dict):
            raise self.wrong(name, "an object")
        return Fields(f"{self.where}: field '{name}'", self.values[name])

    def text(self, name: str) -> str:
        """Raises: FormatError."""
        return str(self._one(name, lambda value: value if isinstance(value, str) else None, "a text"))

    def boolean(self, name: str) -> bool:
        """Raises: FormatError."""
        return bool(self._one(name, lambda value: value if isinstance(value, bool) else None, "true or false"))

    def integer(self, name: str, low: int, high: int) -> int:
        """Raises: FormatError."""
        return int(self._one(name, _integer(low, high), f"a whole number from {low} to {high}"))

    def integers(self, name: str, low: int, high: int, *, most: int, least: int = 0) -> tuple[int, ...]:
        """`least` to `most` whole numbers from low to high. Raises: FormatError."""
        allowed = f"a list of {least} to {most} whole numbers from {low} to {high}"
        return self._several(name, _integer(low, high), allowed, least, most)

    def number(self, name: str, low: float = -inf, high: float = inf) -> float:
        """A finite number. Raises: FormatError."""
        return float(self._one(name, _number(low, high), f"a number from {low:g} to {high:g}"))

    def numbers(
        self, name: str, low: float = -inf, high: float = inf, *, most: int, least: int = 0
    ) -> tuple[float, ...]:
        """`least` to `most` finite numbers. Raises: FormatError."""
        allowed = f"a list of {least} to {most} numbers from {low:g} to {high:g}"
        return self._several(name, _number(low, high), allowed, least, most)

    def _one(self, name: str, read: Read, allowed: str) -> Any:
        found = read(self.values.get(name))
        if found is None:
            raise self.wrong(name, allowed)
        return found

    def _several(self, name: str, read: Read, allowed: str, least: int, most: int) -> tuple[Any, ...]:
        values = self.values.get(name)
        if not isinstance(values, list) or not least <= len(values) <= most:
            raise self.wrong(name, allowed)
        found = tuple(read(value) for value in values)
        if None in found:
            raise self.wrong(name, allowed)
        return found


def _integer(low: int, high: int) -> Read:
    return lambda value: value if type(value) is int and low <= value <= high else None


def _number(low: float, high: float) -> Read:
    return lambda value: (
        float(value) if type(value) in (int, float) and isfinite(value) and low <= value <= high else None
    )
