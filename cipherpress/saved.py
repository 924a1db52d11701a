"""save and load: every artifact of the project by its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import FormatError

if TYPE_CHECKING:
    from torch import nn

    from compress.model.compressed import CompressedModel
    from compress.network import Network
    from secure.bundle.batch_specs import BatchBundle
    from secure.bundle.specs import Bundle


def save(thing: CompressedModel | Network | Bundle | BatchBundle, folder: str | Path, force: bool = False) -> None:
    """Write a CompressedModel, a Network or a bundle as a folder. With force it takes the place of an earlier artifact.

    Raises: OverwriteError when the folder exists and force is False; ConfigError when force would replace what is no
    artifact of ours; TypeError for anything else.
    """
    from compress.network import Network
    from secure.bundle.batch_specs import BatchBundle
    from secure.bundle.specs import Bundle

    if isinstance(thing, Network):
        from compress.network_file import save_network

        save_network(thing, folder, force=force)
    elif isinstance(thing, Bundle | BatchBundle):
        from secure.bundle.files import save_bundle

        save_bundle(thing, folder, force=force)
    else:
        from compress.model.compressed import CompressedModel
        from compress.model.saved import save_model

        if not isinstance(thing, CompressedModel):
            raise TypeError(
                f"cannot save {type(thing).__name__}; save a CompressedModel, a Network, a Bundle or a BatchBundle"
            )
        save_model(thing, folder, force=force)


def load(folder: str | Path, module: nn.Module | None = None) -> CompressedModel | Network | Bundle | BatchBundle:
    """What a folder holds; a bundle of either mode.

    module: a fresh module of the same architecture, for compressed models that are not of the zoo.

    Raises: FormatError naming file and field.
    """
    path = Path(folder)
    kind = artifact_kind(path)
    if kind == "bundle":
        from secure.bundle.files import load_bundle

        return load_bundle(path)
    if kind == "network":
        from compress.network_file import load_network

        return load_network(path)
    if kind == "compressed":
        from compress.model.record import read_record
        from compress.model.saved import load_model_folder

        source = read_record(path)["source"]
        if module is None and source.get("kind") == "zoo":
            from cipherpress.zoo.loading import zoo_model

            module = zoo_model(source.get("name"), f"{path / 'model.json'}: field 'source'")
        return load_model_folder(path, module)
    raise FormatError(f"{path}: no saved model, network or bundle in this folder")


def artifact_kind(folder: str | Path) -> str | None:
    """ "bundle", "network", "compressed" or "weights", by what lies in the folder; None for anything else."""
    from compress.json_file import read_object

    path = Path(folder)
    if (path / "client.json").is_file():
        return "bundle"
    try:
        kind = read_object(path / "model.json").get("kind")
    except FormatError:
        return None
    return kind if isinstance(kind, str) else None
