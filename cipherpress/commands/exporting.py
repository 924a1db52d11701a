"""export: a trained or compressed model as ONNX."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import click

import cipherpress as cp
from cipherpress.commands.artifacts import Destination, ModelSource
from cipherpress.commands.command import command
from cipherpress.commands.console import Output, size
from cipherpress.commands.options import model_options, output_options, path_option

#: Test images that an exported file is checked on.
CHECKED_IMAGES = 200


class InputShape(click.ParamType):
    """Whole positive numbers with commas between them."""

    name = "shape"

    def convert(
        self, value: str | tuple[int, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = value.split(",")
        if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
            self.fail(f"'{value}' is not a shape; give whole positive numbers with commas, such as 1,28,28", param, ctx)
        return tuple(int(part) for part in parts)


@command("export", "cipherpress export out/small -o small.onnx")
@model_options
@output_options
@click.option(
    "--input-shape",
    "shape",
    type=InputShape(),
    help="Shape of one input, such as 1,28,28 (default: the one the model has seen).",
)
@click.option(
    "--storage",
    default="dense",
    show_default=True,
    type=click.Choice(["dense", "codes"]),
    help="Weights as floats, or as a codebook's integers and steps.",
)
@click.option("--data", "data_name", help="Check the file on test images of this data instead of random inputs.")
@path_option("--data-dir", help="Folder of data sets that are not shipped.")
def export_command(
    out: Output,
    model: ModelSource,
    output: Destination,
    shape: tuple[int, ...] | None,
    storage: Literal["dense", "codes"],
    data_name: str | None,
    data_dir: Path | None,
) -> None:
    """Write a trained or compressed model as ONNX, checked with onnxruntime where it is installed
    (cipherpress[onnx]).
    """
    from cipherpress.zoo.loading import input_shape_of

    output.refuse_existing()
    thing = model.trainable()
    images = cp.load_data(data_name, data_dir).x_test[:CHECKED_IMAGES] if data_name is not None else None
    with out.progress("export") as progress:
        written = cp.export_onnx(
            thing,
            output.path,
            input_shape=input_shape_of(thing) if shape is None else shape,
            images=images,
            storage=storage,
            force=output.force,
            progress=progress,
        )
    checked = (
        f"largest difference {written.largest_difference:.2g} from torch on {written.images_checked} inputs"
        if written.largest_difference is not None
        else "not checked, onnxruntime is not installed"
    )
    result = {**asdict(written), "path": str(written.path), "coded_layers": list(written.coded_layers)}
    text = f"{size(written.file_bytes)}, ONNX operator set {written.opset}; {checked}; saved {output.path}"
    out.result(result, text)
