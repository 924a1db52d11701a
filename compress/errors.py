"""Every error cipherpress raises on purpose.

CipherpressError                what a caller may catch; the CLI turns it into one line and exit status 1
|- ModelError                   a MODEL argument that cannot be turned into a network
|- DataError                    a DATA argument: missing, damaged, or of the wrong shape
|- ConfigError                  an option out of range (field, value, what is allowed)
|- OverwriteError               an output that exists already
|- CompressError                compression (layer)
|  |- UnsupportedLayerError     a layer or function that has no CKKS-friendly form here
|  |- CalibrationError          the calibration data cannot support what was asked
|  `- BudgetError               a sparsity, bit or rate budget that cannot be met
|- CompileError                 compilation (layer)
|  |- LevelBudgetError          deeper than any allowed ring carries
|  |- SlotOverflowError         wider than allowed
|  |- PrecisionError            no parameters reach the wanted error
|  |- InsecureParametersError   a modulus above the security table
|  `- PlanError                 a checker found the plan inconsistent
|- FormatError                  a file or message that is truncated, altered, or of another kind or version
|- KeyMismatchError             key, ciphertext and bundle do not belong together
|- SecretKeyError               secret material offered to a server
|- InputShapeError              an input of the wrong shape or with non-finite values
|- BackendError                 the HE library refused an operation (operation, layer)
`- CostModelError               an architecture file or a cost question that has no answer
"""


class CipherpressError(Exception):
    """Root of the tree: the message is one line that says where, what was found, what is allowed, what to do."""


class ModelError(CipherpressError):
    """A model that cannot be found, loaded or understood."""


class DataError(CipherpressError):
    """A data set that is missing, damaged or of the wrong shape."""


class ConfigError(CipherpressError):
    """An option out of range."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{field}: got {value!r}; allowed: {allowed}")
        self.field = field


class OverwriteError(CipherpressError):
    """An output path that exists; nothing was written."""

    def __init__(self, path: object) -> None:
        super().__init__(f"{path} exists; choose another output or pass --force to replace it")


class LayerError(CipherpressError):
    """An error that belongs to one layer of a network; `layer` is its dotted module path or node name."""

    def __init__(self, layer: str, message: str) -> None:
        super().__init__(f"layer '{layer}': {message}")
        self.layer = layer


class CompressError(LayerError):
    """Compression cannot go on at this layer."""


class UnsupportedLayerError(CompressError):
    """A layer or function without a CKKS-friendly form; the message names what to use instead."""


class CalibrationError(CompressError):
    """The calibration data cannot support what was asked of this layer."""


class BudgetError(CipherpressError):
    """A sparsity, bit or rate budget that cannot be met; the message names the reachable limit."""


class CompileError(LayerError):
    """Compilation cannot go on at this layer."""


class LevelBudgetError(CompileError):
    """The network is deeper than the largest allowed ring carries."""


class SlotOverflowError(CompileError):
    """A value is wider than the allowed number of ciphertexts."""


class PrecisionError(CompileError):
    """No parameter set reaches the wanted error at the output."""


class InsecureParametersError(CipherpressError):
    """A modulus larger than the security table allows for its ring."""


class PlanError(CompileError):
    """A checker found the plan inconsistent; a defect of a pass, not of the user's network."""


class FormatError(CipherpressError):
    """A file or message that is truncated, altered, of another kind or of another version."""


class KeyMismatchError(CipherpressError):
    """A key, a ciphertext and a bundle that do not belong together."""


class SecretKeyError(CipherpressError):
    """Secret key material was offered to a server; it was not read."""


class InputShapeError(CipherpressError):
    """An input of the wrong shape or with values that are not finite."""


class BackendError(CipherpressError):
    """The homomorphic-encryption library refused an operation; the native message is included."""


class CostModelError(CipherpressError):
    """An architecture file is wrong, or a cost question has no answer."""
