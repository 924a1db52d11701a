"""A forced save over any artifact leaves exactly the new artifact, and `load` returns it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import pytest

import cipherpress as cp
from cipherpress.zoo.networks import Recipe
from cipherpress.zoo.training import Run, Trained, save_trained
from compress.errors import FormatError
from compress.model.compressed import CompressedModel
from compress.press.search_file import PLOT_FILE, TARGETS_FILE, write_search
from compress.press.setting import Setting
from compress.press.target import Costs, Found, Target, Trial
from secure.bundle.specs import Bundle
from tests.golden import make

MODEL_FILES = {"model.json", "model.safetensors"}
BUNDLE_FILES = {"client.json", "server/plan.json", "server/constants.safetensors", "report.json"}


def search() -> Found:
    costs = Costs(server_ms=1.0, keys_bytes=1.0, upload_bytes=1.0)
    trial = Trial(setting=Setting(), costs=costs, accuracy=0.9, outcome=None)
    return Found(target=Target(min_accuracy=0.5), trials=(trial,), estimates=(), stopped="")


def weights() -> Run:
    trained = Trained(make.module(), 0.5, 10)
    return Run(trained, "own.py:net", "cipherpress train own.py:net", "own.npz", 0, Recipe(epochs=1))


@dataclass(frozen=True)
class Kind(ABC):
    """How an artifact is saved, which files it has, and what `load` returns for it."""

    files: set[str]
    loaded: type | None

    @abstractmethod
    def save(self, folder: Path, force: bool) -> None:
        """Save one artifact of this kind."""


class Compressed(Kind):
    def save(self, folder, force):
        cp.save(make.compressed(), folder, force=force)


class Converted(Kind):
    def save(self, folder, force):
        cp.save(make.network(), folder, force=force)


class Compiled(Kind):
    def save(self, folder, force):
        cp.save(make.bundle(), folder, force=force)


class Weights(Kind):
    def save(self, folder, force):
        save_trained(weights(), folder, force=force)


class Search(Kind):
    def save(self, folder, force):
        cp.save(make.bundle(), folder, force=force)
        assert write_search(search(), folder)


KINDS = {
    "compressed": Compressed(MODEL_FILES, CompressedModel),
    "network": Converted(MODEL_FILES, cp.Network),
    "bundle": Compiled(BUNDLE_FILES, Bundle),
    "weights": Weights(MODEL_FILES, None),
    "search": Search(BUNDLE_FILES | {TARGETS_FILE, PLOT_FILE}, Bundle),
}


@pytest.mark.parametrize("new", KINDS)
@pytest.mark.parametrize("old", KINDS)
def test_a_forced_save_leaves_exactly_the_new_artifact(tmp_path, old, new):
    folder = tmp_path / "out"
    KINDS[old].save(folder, False)
    with pytest.raises(cp.OverwriteError, match="out exists; choose another output or pass --force"):
        KINDS[new].save(folder, False)
    KINDS[new].save(folder, True)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == KINDS[new].files
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    if (loaded := KINDS[new].loaded) is None:
        with pytest.raises(FormatError, match="no saved model, network or bundle in this folder"):
            cp.load(folder)
    else:
        assert isinstance(cp.load(folder, make.module()), loaded)
