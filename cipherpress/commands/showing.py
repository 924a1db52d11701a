"""models, architectures, inspect: what is there, and what an artifact holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import cipherpress as cp
from cipherpress.commands.artifacts import folder_bytes, load_artifact, read_trained
from cipherpress.commands.command import command
from cipherpress.commands.console import Output, pairs, size, table
from cipherpress.commands.options import force_option, path_option
from compress.errors import ModelError


@command("models", "cipherpress models --json")
def models_command(out: Output) -> None:
    """The zoo's networks, with their accuracy on all test images; detectors with their AP50 on held-out scenes."""
    from cipherpress.zoo.detectors import describe_detectors
    from cipherpress.zoo.natives import describe_converted
    from cipherpress.zoo.networks import describe_models

    rows = [*describe_models(), *describe_converted(), *describe_detectors()]
    columns = ["name", "task", "input_shape", "parameters", "accuracy_plain", "ap50", "images"]
    out.result({"models": rows}, table(rows, columns))


@command("architectures", "cipherpress architectures")
def architectures_command(out: Output) -> None:
    """The machines that estimate knows."""
    from hwmodel.architecture_file import list_architectures, load_architecture

    rows = [{"name": name, "title": load_architecture(name).title} for name in list_architectures()]
    out.result({"architectures": rows}, table(rows, ["name", "title"]))


@command("inspect", "cipherpress inspect out/bundle")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--model", "factory", help="For a compressed model of your own: path/to/file.py:factory again.")
@path_option("--plot", help="Save a compressed model's allocation as a picture.")
@force_option
def inspect_command(out: Output, path: Path, factory: str | None, plot: Path | None, force: bool) -> None:
    """What an artifact holds: layers, codebooks, plan, levels, keys, security, sizes."""
    kind = cp.artifact_kind(path)
    if plot is not None and kind != "compressed":
        raise click.UsageError("--plot draws the allocation of a compressed model; `estimate --plot` draws costs")
    if path.is_file():
        from secure.streams.inspection import describe_file

        values = describe_file(path)
        out.result(values, pairs(values))
    elif kind == "compressed":
        _show_compressed(out, path, factory, plot, force)
    elif kind == "weights":
        record = read_trained(path)
        out.result(record, f"trained weights\n{pairs(record)}")
    else:
        _show_loaded(out, path)


def _show_compressed(out: Output, path: Path, factory: str | None, plot: Path | None, force: bool) -> None:
    """A compressed model's record; with its network at hand also sizes, multiplications and blocks by layer."""
    from compress.account.inspection import describe_model
    from compress.model.record import read_record

    record = read_record(path) | {"saved_bytes": folder_bytes(path)}
    if factory is None and record["source"].get("kind") != "zoo":
        columns = ["layer", "shape", "bits", "kept", "granularity"]
        hint = "give --model file.py:factory for sizes, multiplications and blocks by layer"
        if plot is not None:
            raise click.UsageError(f"--plot: the network is not in the zoo; {hint}")
        out.result(record, f"compressed model\n{table(record['layers'], columns)}\n{hint}")
        return
    model = load_artifact(str(path), factory=factory)
    assert isinstance(model, cp.CompressedModel), "the kind was read from the folder"
    counted: dict[str, Any] = describe_model(model)
    if plot is not None:
        from compress.account.allocation_plot import save_allocation_plot

        save_allocation_plot(counted["layers"], plot, force=force)
    columns = ["layer", "parameters", "nonzeros", "bits", "total_bits", "multiplications", "blocks", "blocks_kept"]
    sizes = (
        f"{counted['compression_rate']:.1f} times smaller than 32 bits per parameter, everything counted; "
        f"{size(record['saved_bytes'])} on disk with its description"
    )
    if (joint := counted["joint"]) is not None:
        sizes += (
            f"\njointly quantized at {joint['bits']} bits: quantization operations "
            f"{joint['quantization_points_before']} -> {joint['quantization_points_after']}"
        )
    out.result(record | {"account": counted}, f"compressed model\n{table(counted['layers'], columns)}\n{sizes}")


def _show_loaded(out: Output, path: Path) -> None:
    """A bundle or a converted network."""
    from compress.account.inspection import describe_network
    from secure.bundle.client_file import client_digest

    loaded = cp.load(path)
    if isinstance(loaded, cp.Bundle | cp.BatchBundle):
        digest = client_digest(loaded.client)
        about = {"kind": "bundle", "bundle_bytes": folder_bytes(path), "client_digest": digest}
        out.result(about | loaded.report_json(), f"{loaded.explain()}\ndigest of client.json: {digest}")
        return
    if not isinstance(loaded, cp.Network):
        raise ModelError(f"{path}: neither a model, a network nor a bundle")
    rows = describe_network(loaded)
    columns = ["name", "type", "shape", "parameters", "nonzeros", "bits", "low", "high"]
    out.result({"kind": "network", "layers": rows, "about": dict(loaded.about)}, f"network\n{table(rows, columns)}")
