"""load_model: a MODEL argument becomes a torch module that remembers where it came from."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import pickle
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from cipherpress.zoo.natives import CONVERTED
from cipherpress.zoo.networks import SHAPES, TWINS, WEIGHTS, ZOO
from cipherpress.zoo.own_weights import generator_states, why_random
from compress.checks import check_flag
from compress.errors import ConfigError, FormatError, ModelError, shown
from compress.model.compressed import CompressedModel

logger = logging.getLogger(__name__)

SOURCE_ATTRIBUTE = "cipherpress_source"
#: `ModelSource.weights` of a module that nothing has trained.
RANDOM = "random"


@dataclass(frozen=True)
class ModelSource:
    """Where a module came from: kind "zoo", "factory" or "python"; for a factory its file's name and sha256.

    weights: "random" where they were drawn and nothing trained them.
    """

    kind: str
    name: str
    file: str | None = None
    sha256: str | None = None
    weights: str | None = None


def load_model(spec: str, weights: str | Path | None = None, *, random_weights: bool = False) -> nn.Module:
    """The module of a zoo name or of path/to/file.py:factory, in eval mode; a zoo network has its trained weights.

    weights: a .safetensors file, or a .pt state dict that loads without unpickling code. A zoo network that is a shape
    only comes with random weights, the same ones every time. A factory without `weights` must give weights of its own
    (`cipherpress.zoo.own_weights` says how that is told; the file runs twice for it).
    random_weights: take a factory's random weights all the same; the module's source then says so.
    Raises: ModelError naming the file, the key or the factory, and for random weights that were not asked for;
    ConfigError for random weights where there are others.
    """
    check_flag("random_weights", random_weights)
    if random_weights and (weights is not None or spec in ZOO):
        raise ConfigError("random_weights", True, "False where a file or the zoo gives trained weights")
    if spec in TWINS and weights is None and not random_weights:
        raise ModelError(
            f"model '{spec}': it ships without weights; train them (cipherpress train {spec} --data "
            f"{TWINS[spec].data}), or take the converted network '{spec.removesuffix('-relu')}'"
        )
    module = fresh_model(spec, weights)
    if weights is None and source_of(module).kind == "factory":
        reason = why_random(module, generator_states(), lambda: _from_factory(spec, keep=False)[0])
        if reason is not None and not random_weights:
            raise ModelError(
                f"model '{spec}': its weights are random: {reason}; give trained ones with --weights FILE (weights=), "
                "or go on with these by --random-weights (random_weights=True)"
            )
        if reason is not None:
            logger.warning("model '%s': its weights are random, and nothing has trained them", spec)
            setattr(module, SOURCE_ATTRIBUTE, replace(source_of(module), weights=RANDOM))
    return module


def fresh_model(spec: str, weights: str | Path | None = None) -> nn.Module:
    """As `load_model`, but a factory's weights may be any: for a module that is trained, or filled with saved weights.

    Raises: ModelError.
    """
    if spec in ZOO:
        module = ZOO[spec].factory()
        source = ModelSource("zoo", spec)
        weights = weights if weights is not None else WEIGHTS / f"{spec}.safetensors"
    elif spec in SHAPES or spec in TWINS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module = (TWINS[spec] if spec in TWINS else SHAPES[spec]).factory()
        source = ModelSource("zoo", spec, weights=RANDOM if weights is None else None)
    elif ":" in spec:
        module, source = _from_factory(spec)
    else:
        if spec in CONVERTED:
            raise ModelError(f"model '{spec}': it is converted already: load_network gives it, for compile")
        raise ModelError(
            f"model '{spec}': neither a zoo network ({', '.join((*ZOO, *TWINS, *SHAPES))}) nor path/to/file.py:factory "
            "nor a saved folder"
        )
    if weights is not None:
        _load_weights(module, Path(weights))
    setattr(module, SOURCE_ATTRIBUTE, source)
    return module.eval()


def zoo_model(name: object, where: str) -> nn.Module:
    """The zoo network that a file names, with its trained weights. Text from a file never becomes a path or an import.

    Raises: FormatError, with `where` for file and field, for anything but the name of a zoo network.
    """
    known = (*ZOO, *TWINS, *SHAPES)
    if not isinstance(name, str) or name not in known:
        raise FormatError(
            f"{where} names the zoo network {shown(name)}, which does not exist; allowed: {', '.join(known)}"
        )
    return load_model(name) if name in ZOO else fresh_model(name)


def source_of(module: nn.Module) -> ModelSource:
    """Where a module came from; kind "python" for one that was not loaded here."""
    source = getattr(module, SOURCE_ATTRIBUTE, None)
    return source if isinstance(source, ModelSource) else ModelSource("python", type(module).__name__)


def input_shape_of(model: nn.Module | CompressedModel) -> tuple[int, ...] | None:
    """The shape of one input, as a compressed model has seen it or the zoo network takes it; None if unknown."""
    if isinstance(model, CompressedModel) and model.input_shape is not None:
        return model.input_shape
    source = model.source if isinstance(model, CompressedModel) else vars(source_of(model))
    if source.get("kind") != "zoo":
        return None
    entry = ZOO.get(source["name"]) or TWINS.get(source["name"]) or SHAPES.get(source["name"])
    return None if entry is None else entry.input_shape


def _from_factory(spec: str, *, keep: bool = True) -> tuple[nn.Module, ModelSource]:
    file, _, name = spec.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise ModelError(f"model '{spec}': {path} not found; write it as path/to/file.py:factory")
    module_spec = importlib.util.spec_from_file_location(f"cipherpress_user_{path.stem}", path)
    if module_spec is None or module_spec.loader is None:
        raise ModelError(f"model '{spec}': {path} is not a Python file")
    namespace = importlib.util.module_from_spec(module_spec)
    before = sys.modules.get(module_spec.name)
    sys.modules[module_spec.name] = namespace  # dataclasses and pickling look a class's module up there
    try:
        module_spec.loader.exec_module(namespace)
        factory = getattr(namespace, name, None)
        module = factory() if callable(factory) else None
    except (Exception, SystemExit) as error:  # the user's own code may raise anything
        raise ModelError(f"model '{spec}': {_where(error, path)}{type(error).__name__}: {_one_line(error)}") from error
    finally:
        if not keep and before is not None:
            sys.modules[module_spec.name] = before
    if factory is None or not callable(factory):
        raise ModelError(f"model '{spec}': {path} defines no function '{name}'")
    if not isinstance(module, nn.Module):
        raise ModelError(f"model '{spec}': {name}() returned {type(module).__name__}; it must return an nn.Module")
    return module, ModelSource("factory", name, path.name, hashlib.sha256(path.read_bytes()).hexdigest())


def _where(error: BaseException, path: Path) -> str:
    """`file.py line N, ` of the last frame in the user's file."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{path.name} line {line}, " if line is not None else ""


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _load_weights(module: nn.Module, path: Path) -> None:
    if not path.is_file():
        raise ModelError(f"weights {path}: file not found")
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_state_dict(path)
    own = module.state_dict()
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or unknown:
        raise ModelError(
            f"weights {path}: missing {missing or 'nothing'}, unknown {unknown or 'nothing'}; "
            "they belong to another model"
        )
    for key, value in state.items():
        if value.shape != own[key].shape:
            raise ModelError(
                f"weights {path}: '{key}' has shape {tuple(value.shape)}, the model needs {tuple(own[key].shape)}"
            )
        if value.is_complex() or not torch.isfinite(value).all():
            raise ModelError(
                f"weights {path}: '{key}' holds values that are not finite real numbers; train or save the model again"
            )
    module.load_state_dict(state)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:  # KeyError: numbers of a type that torch lacks
        raise ModelError(f"weights {path}: not a complete safetensors file ({_one_line(error)})") from error


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    advice = "save the tensors alone: torch.save(model.state_dict(), file) or a .safetensors file"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"weights {path}: loading it would run code from the file, which is refused; {advice}"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(f"weights {path}: not a complete state dict ({_one_line(error)}); {advice}") from error
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise ModelError(f"weights {path}: it holds no state dict; {advice}")
    return state
