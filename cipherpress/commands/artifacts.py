"""What a MODEL or BUNDLE argument names, loaded and checked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cipherpress as cp
from compress.errors import ConfigError, ModelError, OverwriteError

if TYPE_CHECKING:
    from torch import nn

    from compress.dataset import Dataset
    from compress.model.compressed import CompressedModel
    from compress.network import Network
    from compress.tasks import Task
    from secure.bundle.batch_specs import BatchBundle
    from secure.bundle.specs import Bundle


def load_artifact(
    spec: str, weights: Path | None = None, factory: str | None = None, *, random_weights: bool | None = None
) -> nn.Module | CompressedModel | Network | Bundle | BatchBundle:
    """A torch module, CompressedModel, Network or bundle of either mode from a MODEL argument.

    random_weights: whether those of file.py:factory may be random; None where they do not matter.
    Raises: ModelError, FormatError; ConfigError for random weights of anything but a factory.
    """
    from cipherpress.zoo.loading import fresh_model
    from cipherpress.zoo.natives import CONVERTED

    path = Path(spec)
    if random_weights and (path.is_dir() or weights is not None):
        raise ConfigError("random_weights", True, "only for MODEL as path/to/file.py:factory, without --weights")
    if cp.artifact_kind(path) == "weights":
        return _trained_module(path, weights, factory)
    if path.is_dir():
        return cp.load(path, fresh_model(factory) if factory else None)
    if spec in CONVERTED:
        if weights is not None or random_weights:
            raise ModelError(f"model '{spec}': it is converted already and has its weights; leave out other ones")
        return cp.load_network(spec)
    if ":" not in spec and (path.suffix or os.sep in spec):
        raise ModelError(f"model '{spec}': no such folder; give a zoo name, path/to/file.py:factory or a saved folder")
    if random_weights is None:
        return fresh_model(spec, weights)
    return cp.load_model(spec, weights, random_weights=random_weights)


def _trained_module(path: Path, weights: Path | None, factory: str | None) -> nn.Module:
    """The module of a folder of trained weights, its files checked."""
    from cipherpress.zoo.networks import TWINS, ZOO

    trained = str(read_trained(path).get("model"))
    if factory is None and trained not in {**ZOO, **TWINS}:
        raise ModelError(
            f"model '{path}': it holds the weights of {trained}; name the network with --model path/to/file.py:factory"
        )
    return cp.load_model(factory or trained, weights or path / "model.safetensors")


def read_trained(path: Path) -> dict[str, Any]:
    """What `cipherpress train` wrote beside the weights, which are checked against their sha256.

    Raises: FormatError.
    """
    from compress.artifact import read_hashed, read_json

    record = read_json(path / "model.json", kind="weights", version=1)
    read_hashed(path / "model.safetensors", record.get("sha256"))
    return record


@dataclass(frozen=True)
class ModelSource:
    """A MODEL argument, with --weights, --random-weights and --model."""

    spec: str
    weights: Path | None = None
    factory: str | None = None
    random_weights: bool = False

    def trainable(self) -> nn.Module | CompressedModel:
        """A model that can still be compressed or converted.

        Raises: ModelError for a network that is converted already, and for random weights without --random-weights.
        """
        thing = load_artifact(self.spec, self.weights, self.factory, random_weights=self.random_weights)
        if isinstance(thing, cp.Network | cp.Bundle | cp.BatchBundle):
            raise ModelError(
                f"model '{self.spec}': it is converted already; start from the trained or compressed model"
            )
        return thing


@dataclass(frozen=True)
class DataSource:
    """A DATA argument, with --data-dir and --task."""

    data_name: str
    data_dir: Path | None = None
    task: Task | None = None

    def load(self) -> Dataset:
        """Raises: DataError."""
        return cp.as_dataset(cp.load_data(self.data_name, self.data_dir), task=self.task)

    def load_for(self, bundle: Bundle | BatchBundle) -> Dataset:
        """Data with labels as the bundle's task has them; without labels for task none.

        Data of another shape than the bundle's inputs stays as it is, and is refused where it is used.
        Raises: DataError for labels that do not fit; ConfigError for a damaged report.
        """
        from compress.scores import scoring_of

        about, data = bundle.report.get("about", {}), self.load()
        if data.input_shape != bundle.client.interface.given_shape(bundle.client.input_shape):
            return data
        task = self.task or scoring_of(about).task
        named = cp.as_dataset(data, task=task, class_names=tuple(about.get("class_names", ())))
        return named.for_outputs(bundle.client.output_shape)


@dataclass(frozen=True)
class Destination:
    """-o and --force."""

    path: Path
    force: bool = False

    def refuse_existing(self, *inside: str) -> None:
        """Before any work: an existing output, or a file of this name inside it, is not replaced without --force.

        Raises: OverwriteError; ConfigError for a file where files go inside.
        """
        if inside and self.path.is_file():
            raise ConfigError("output", str(self.path), "a folder; this is a file")
        for path in [self.path / name for name in inside] or [self.path]:
            if path.exists() and not self.force:
                raise OverwriteError(path)

    def check_folder(self) -> None:
        """Before any work: the output will be a folder, which replaces nothing but an earlier artifact, with --force.

        Raises: OverwriteError; ConfigError for somebody else's folder or file.
        """
        from compress.artifact import check_output_folder

        check_output_folder(self.path, force=self.force)

    def save(self, thing: CompressedModel | Network | Bundle | BatchBundle) -> None:
        """Raises: OverwriteError."""
        cp.save(thing, self.path, force=self.force)

    def write(self, content: bytes) -> None:
        """Raises: OverwriteError."""
        cp.write_file(self.path, content, force=self.force)


def load_converted(spec: str) -> Network:
    """A MODEL that `cipherpress convert` made.

    Raises: ModelError for one that is not converted yet, or compiled already.
    """
    thing = load_artifact(spec)
    if isinstance(thing, cp.Bundle | cp.BatchBundle):
        raise ModelError(f"model '{spec}': it is compiled already; give the converted network")
    if not isinstance(thing, cp.Network):
        raise ModelError(f"model '{spec}': not converted yet; run `cipherpress convert` first, or `cipherpress press`")
    return thing


def load_bundle(path: Path) -> Bundle | BatchBundle:
    """What a BUNDLE argument names, of either mode.

    Raises: ModelError for another artifact.
    """
    loaded = cp.load(path)
    if not isinstance(loaded, cp.Bundle | cp.BatchBundle):
        raise ModelError(f"{path}: not a bundle; make one with `cipherpress compile`")
    return loaded


def load_latency_bundle(path: Path, task: str) -> Bundle:
    """What a BUNDLE argument names, for a command that bundles for throughput do not have.

    task: what the command does. Raises: ModelError for another artifact, and for a bundle for throughput.
    """
    loaded = load_bundle(path)
    if not isinstance(loaded, cp.Bundle):
        raise ModelError(
            f"{path}: a bundle for throughput; {task} takes one for latency: compile the network again without --mode"
        )
    return loaded


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
