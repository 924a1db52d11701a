"""detect: the digits in a picture, in clear or on the encrypted picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cipherpress.commands.artifacts import Destination
from cipherpress.commands.command import command, request_threads
from cipherpress.commands.console import Output, table
from cipherpress.commands.options import force_option, path_option
from compress.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cipherpress.detected import Detected

#: IMAGE that is a made-up scene, with its number behind.
SCENE = "scene:"


@command("detect", "cipherpress detect scene:12 --encrypted -o boxes.png")
@click.argument("image")
@click.option("--encrypted", is_flag=True, help="Encrypt the picture; the network runs on ciphertexts.")
@click.option("--detector", default="digit-detector", show_default=True, help="One that `cipherpress models` lists.")
@path_option("--bundle", help="Folder of the compiled detector, made where there is none (default: in the cache).")
@click.option(
    "--nms",
    default="psrr",
    show_default=True,
    type=click.Choice(["psrr", "greedy", "maxpool", "cells", "encrypted"]),
    help="How boxes are selected. encrypted: as cells, by comparisons on ciphertexts.",
)
@click.option("--least-score", default=0.5, show_default=True, type=float, help="Boxes below it are left out.")
@path_option("-o", "--output", "path", help="Save the picture with its boxes as .png.")
@force_option
def detect_command(
    out: Output,
    image: str,
    encrypted: bool,
    detector: str,
    bundle: Path | None,
    nms: str,
    least_score: float,
    path: Path | None,
    force: bool,
) -> None:
    """The handwritten digits in IMAGE: a picture of 64 x 64 pixels (.png or .npy), or scene:N, a made-up scene.

    With --encrypted the server sees ciphertexts alone. The client decrypts the scores of all anchors and selects the
    boxes in clear. With --nms encrypted it encrypts the scores again, one per cell, and the server compares them. The
    first run compiles the detector, which takes minutes.
    """
    from cipherpress.detected import ENCRYPTED, default_bundle, detect, detector_bundle
    from cipherpress.detection.drawing import drawn

    if bundle is not None and not encrypted:
        raise click.UsageError("--bundle is for an encrypted picture: give --encrypted too")
    if nms == ENCRYPTED and not encrypted:
        raise click.UsageError("--nms encrypted is for an encrypted picture: give --encrypted too, or --nms cells")
    output = None if path is None else Destination(path, force)
    if output is not None:
        output.refuse_existing()
    picture = _picture(image)
    compiled = None
    if encrypted:
        with out.progress("compile") as progress:
            compiled = detector_bundle(bundle or default_bundle(detector), progress, detector=detector)
    with out.progress("detect") as progress:
        found = detect(
            picture,
            bundle=compiled,
            detector=detector,
            nms=nms,
            least_score=least_score,
            threads=request_threads(),
            progress=progress,
        )
    if output is not None:
        output.write(drawn(picture[0], found.boxes, found.scores, found.classes))
    result = found.as_json() | {"nms": nms}
    rows = [
        {"class": box["class"], "score": box["score"]}
        | {side: round(box[side], 1) for side in ("x1", "y1", "x2", "y2")}
        for box in result["boxes"]
    ]
    summary = f"{found.candidates} candidates, {len(rows)} kept by {nms}; {_said(found)}"
    out.result(result, f"{table(rows, ['class', 'score', 'x1', 'y1', 'x2', 'y2'])}\n{summary}")


def _said(found: Detected) -> str:
    """What was encrypted, and how long the server took."""
    if not found.encrypted:
        return f"network {found.server_ms:.0f} ms in clear"
    network = f"network {found.server_ms:.0f} ms on the encrypted picture"
    own = found.selected
    if own is None:
        return f"{network}; boxes selected by the client in clear"
    return (
        f"{network}\nthe client decrypted the scores and encrypted them again, one for each of {own.cells} cells; "
        f"the server (keys of {own.key_bytes / 1e6:.0f} MB) compared them in {own.server_ms:.0f} ms on ciphertexts\n"
        f"{own.undecided} cells have a neighbour nearer than {own.least_gap:g} and are not decided for certain; "
        f"bits of the others are within {own.farthest:.4f} of 0 or 1 (at most {own.certified:.4f})"
    )


def _picture(image: str) -> NDArray[np.float64]:
    """The picture (1, 64, 64) that an IMAGE argument names.

    Raises: InputShapeError, ConfigError.
    """
    from cipherpress.zoo.scenes import SIDE, make_scenes
    from secure.parties.inputs import read_input

    if not image.startswith(SCENE):
        return read_input(Path(image), (1, SIDE, SIDE))
    number = image.removeprefix(SCENE)
    if not number.isdecimal():
        raise ConfigError("image", image, f"a file, or {SCENE}N with a whole number N of at least 0")
    return make_scenes(1, seed=int(number), held_out=True, digits=(3, 3)).images[0].astype("float64")
