"""Every error that cipherpress raises on purpose. `error_tree()` draws them; docs/errors.md shows that drawing.

A message says where, what was found, what is allowed and what to do. What it names is also in attributes (layer, field,
value, path), so that a program need not read the message.
"""

from __future__ import annotations

from collections.abc import Iterator
from reprlib import Repr
from typing import Any

#: The longest message. A name in a file may be megabytes.
LONGEST_MESSAGE = 2_000
#: The longest text that a message shows of a value from a file, which may be megabytes.
LONGEST_SHOWN = 200
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlist = _SHORT.maxtuple = 12
_SHORT.maxlevel = 3


def shown(value: object) -> str:
    """A value from a file as a short text for a message."""
    text = _SHORT.repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def printable(text: str) -> str:
    """A name from outside, for people: characters that command a terminal, or move what is printed, show as escapes."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _cut(message: str) -> str:
    return message if len(message) <= LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]}..."


class CipherpressError(Exception):
    """What a caller may catch. The command line turns it into one line and exit status 1."""

    def __init__(self, message: str = "", *rest: object) -> None:
        super().__init__(_cut(message), *rest)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, self.__dict__)  # __init__ of a subclass takes other arguments


class ModelError(CipherpressError):
    """A model cannot be found, loaded or understood."""


class DataError(CipherpressError):
    """A data set is missing, damaged or of the wrong shape."""


class ConfigError(CipherpressError):
    """An option is out of range; attributes field, value and allowed."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{field}: got {value!r}; allowed: {allowed}")
        self.field, self.value, self.allowed = field, value, allowed


class OverwriteError(CipherpressError):
    """An output exists and nothing was written; attribute path."""

    def __init__(self, path: object) -> None:
        super().__init__(f"{path} exists; choose another output or pass --force to replace it")
        self.path = str(path)


class LayerError(CipherpressError):
    """An error that may belong to one layer; attribute layer, its dotted module path or node name, or None."""

    def __init__(self, layer: str | None, message: str) -> None:
        super().__init__(message if layer is None else f"layer '{layer}': {message}")
        self.layer = layer


class CompressError(LayerError):
    """Compression cannot go on."""


class UnsupportedLayerError(CompressError):
    """A layer or function has no CKKS-friendly form; the message names what to use instead."""


class CalibrationError(CompressError):
    """The calibration data cannot support what was asked."""


class CollapseError(CompressError):
    """Conversion lost what the network knew, or its values explode; nothing was made."""


class BudgetError(CompressError):
    """A sparsity, bit, rate or target cannot be met; the message names what can be reached."""

    def __init__(self, message: str, layer: str | None = None) -> None:
        super().__init__(layer, message)


class CompileError(LayerError):
    """Compilation cannot go on."""


class LevelBudgetError(CompileError):
    """The network is deeper than the largest allowed ring carries."""


class SlotOverflowError(CompileError):
    """A value is wider than the allowed number of ciphertexts."""


class PrecisionError(CompileError):
    """No parameter set reaches the wanted error at the output."""


class PlanBudgetError(CompileError, BudgetError):
    """No plan that is precise enough keeps to the limits on keys and upload."""

    def __init__(self, message: str, layer: str | None = None) -> None:
        LayerError.__init__(self, layer, message)


class CompilationSizeError(CompileError, BudgetError):
    """Compiling the network would take more memory or time than allowed; attributes estimated_bytes and
    estimated_seconds. Raised before any work."""

    def __init__(self, layer: str | None, message: str, *, estimated_bytes: float, estimated_seconds: float) -> None:
        LayerError.__init__(self, layer, message)
        self.estimated_bytes, self.estimated_seconds = estimated_bytes, estimated_seconds


class InsecureParametersError(CompileError):
    """Encryption parameters are outside the security table, or SEAL does not take them."""

    def __init__(self, message: str, layer: str | None = None) -> None:
        super().__init__(layer, message)


class PlanError(CompileError):
    """A checker found the plan inconsistent: a defect of a compiler pass, not of the user's network."""


class FormatError(CipherpressError):
    """A file or message is truncated, altered, of another kind or of another version."""


class KeyMismatchError(CipherpressError):
    """A key, a ciphertext and a bundle do not belong together."""


class KeyNotRegisteredError(KeyMismatchError):
    """A server does not hold the evaluation key of a request; register it and send the request again."""

    def __init__(self, name: str, key_id: bytes) -> None:
        super().__init__(
            f"{name}: no evaluation key {key_id.hex()[:8]} is registered, or it left to make room for others; "
            "register it and send the request again"
        )
        self.key_id = key_id


class SecretKeyError(CipherpressError):
    """A secret key was offered to a server, which did not read it."""


class InputShapeError(CipherpressError):
    """An input has the wrong shape, or values that are not finite."""


class InputRangeError(InputShapeError):
    """An input has a value outside the range that the bundle accepts; attributes feature, value, low and high."""

    def __init__(self, message: str, *, feature: int, value: float, low: float, high: float) -> None:
        super().__init__(message)
        self.feature, self.value, self.low, self.high = feature, value, low, high


class AnswerRangeError(CipherpressError):
    """The answers to a block of images are so large that the modulus does not hold them."""


class KeyBytesError(CipherpressError):
    """The keys that a bundle asks for would take more memory than allowed; attributes needed_bytes and max_bytes."""

    def __init__(self, message: str, *, needed_bytes: int, max_bytes: float) -> None:
        super().__init__(message)
        self.needed_bytes, self.max_bytes = needed_bytes, max_bytes


class BackendError(LayerError):
    """The homomorphic-encryption library refused an operation; the message includes its own."""

    def __init__(self, message: str, layer: str | None = None) -> None:
        super().__init__(layer, message)


class ServiceError(CipherpressError):
    """A server over the network refused a request, or cannot start; attributes status (HTTP, or None) and kind."""

    def __init__(self, message: str = "", *, status: int | None = None, kind: str = "") -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


class ServiceUnavailableError(ServiceError):
    """A server cannot be reached, or is too busy, after all tries."""


class BundleChangedError(ServiceError):
    """A server's bundle is not the one that was asked for, or that was pinned at first use."""


class CostModelError(CipherpressError):
    """An architecture file is wrong, or a question about costs has no answer."""


def _restored(cls: type[CipherpressError], args: tuple[Any, ...], attributes: dict[str, Any]) -> CipherpressError:
    """An error that another process raised, or a copy."""
    error = cls.__new__(cls, *args)
    error.__dict__.update(attributes)
    return error


def error_tree() -> str:
    """The classes of this file as a tree: one line per class, with the first sentence of its docstring.

    A class with two parents stands under the first one, and names the other.
    """
    rows = list(_rows(CipherpressError, "", ""))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {meaning}" for name, meaning in rows)


def _rows(cls: type[CipherpressError], head: str, indent: str) -> Iterator[tuple[str, str]]:
    others = [base.__name__ for base in cls.__bases__[1:]]
    meaning = (cls.__doc__ or "").splitlines()[0].split("; ")[0].rstrip(".")
    yield head + cls.__name__, meaning + "".join(f" (also a {name})" for name in others)
    children = [child for child in cls.__subclasses__() if child.__bases__[0] is cls and child.__module__ == __name__]
    for child in children:
        last = child is children[-1]
        yield from _rows(child, indent + ("`- " if last else "|- "), indent + ("   " if last else "|  "))
