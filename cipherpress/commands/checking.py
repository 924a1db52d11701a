"""infer, verify: encrypted answers beside those in clear, and the inputs that a bundle stands worst."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import cipherpress as cp
from cipherpress.commands.artifacts import DataSource, load_bundle, load_latency_bundle
from cipherpress.commands.command import command, request_threads
from cipherpress.commands.console import Output, fail, pairs, table
from cipherpress.commands.options import bundle_argument, clip_option, data_options, seed_option


@command("infer", "cipherpress infer out/bundle --data mnist --images 100")
@bundle_argument
@data_options
@click.option("--images", default=100, show_default=True, type=click.IntRange(1), help="Test images, from the first.")
@click.option(
    "--backend",
    type=click.Choice(["engine", "seal", "clear"]),
    help="What runs the plan (default: the engine, or SEAL where the primes are too large for the engine).",
)
@clip_option
def infer_command(out: Output, bundle: Path, source: DataSource, images: int, backend: str | None, clip: bool) -> None:
    """The whole round trip over test images: score, agreement with the plan in clear, times, sizes, energy if it is
    counted. Data without labels has no score. A bundle for throughput runs all images as one batch.
    """
    from cipherpress.timing.energy import measured_energy

    loaded = load_bundle(bundle)
    data = source.load_for(loaded)
    energy: dict[str, Any] = {}
    with out.progress("infer") as progress, measured_energy(energy):
        result = cp.round_trip(
            loaded,
            data.x_test[:images],
            None if data.y_test is None else data.y_test[:images],
            backend=backend,
            threads=request_threads(),
            clip=clip,
            progress=progress,
        )
    about = loaded.report.get("about", {})
    plain = {name: about[name] for name in ("score_plain", "accuracy_plain") if name in about}
    result = {**result, **plain, **energy}
    out.result(result, pairs(result))


@command("verify", "cipherpress verify out/bundle --data mnist")
@bundle_argument
@data_options
@click.option("--images", default=256, show_default=True, type=click.IntRange(1), help="Test images to start from.")
@click.option(
    "--encrypted",
    default=8,
    show_default=True,
    type=click.IntRange(2),
    help="Inputs found that are encrypted, per radius.",
)
@click.option("--steps", default=20, show_default=True, type=click.IntRange(0), help="Gradient steps from an image.")
@click.option(
    "--radius",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="How far a value may move from its image, as a share of the accepted range, where the bundle has to hold.",
)
@seed_option
def verify_command(
    out: Output,
    bundle: Path,
    source: DataSource,
    images: int,
    encrypted: int,
    steps: int,
    radius: float,
    seed: int,
) -> None:
    """Search for the inputs that BUNDLE stands worst, by gradient on its plan, and run them encrypted.

    Shows the least headroom and the largest error on the images as they are, within --radius of them, and anywhere in
    the accepted range. Exit status 1 when the predicted bound or the modulus does not hold within --radius.
    """
    from secure.verify.verification import failures, verify_bundle

    loaded = load_latency_bundle(bundle, "verify")
    data = source.load()
    with out.progress("verify") as progress:
        result = verify_bundle(
            loaded, data.x_test[:images], encrypted=encrypted, steps=steps, radius=radius, seed=seed, progress=progress
        )
    columns = ["radius", "least_headroom_bits", "layer", "simulated_error", "largest_error", "classes_changed"]
    broken = failures(result)
    verdict = "it does not hold" if broken else "it holds, and nothing wraps around"
    bound = f"within radius {radius:g} the predicted bound {result['bound']:.4g} has to hold: {verdict}"
    out.result(result, f"{table(result['rows'], columns)}\n{bound}")
    if broken:
        fail("; ".join(broken))
