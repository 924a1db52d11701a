"""demo: the whole road on real digits, told step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

import cipherpress as cp
from cipherpress.commands.command import command
from cipherpress.commands.console import Output, size, table

if TYPE_CHECKING:
    from torch import nn

    from compress.dataset import Dataset
    from compress.network import Network
    from hwmodel.report import Comparison

ARCHITECTURES = ("cpu-engine", "cpu-seal", "eyeriss", "craterlake")


@dataclass(frozen=True)
class Compressed:
    """What compression and conversion made of the plain network."""

    network: Network
    counted: dict[str, Any]


@command("demo", "cipherpress demo --images 20")
@click.option("--images", default=20, show_default=True, type=click.IntRange(1, 10_000), help="Encrypted test images.")
def demo_command(out: Output, images: int) -> None:
    """Compress, convert and compile the zoo's mlp, make keys, and classify encrypted digits. Takes about a minute."""
    from compress.training.loop import accuracy

    data = cp.load_data("mnist")
    labels = data.y_test
    assert labels is not None, "MNIST has labels"
    _tell(out, f"1  data      MNIST, {len(data.x_train):,} training and {len(data.x_test):,} test images")
    plain = cp.load_model("mlp")
    _tell(out, "2  network   mlp 784-64-10 with ReLU, trained weights from the zoo")
    small = _compressed(out, plain, data)
    with out.progress("compile") as progress:
        bundle = cp.compile(small.network, data, progress=progress)
    report = bundle.report
    _tell(
        out,
        f"5  compile   N={report['poly_modulus_degree']}, {report['log2_qp']:.0f}-bit modulus, "
        f"{report['security_bits']}-bit security, {report['rotations']} rotations, "
        f"{report['plain_multiplications']} plain products",
    )
    with out.progress("encrypted") as progress:
        result = cp.round_trip(bundle, data.x_test[:images], labels[:images], progress=progress)
    _tell(
        out,
        f"6  run       {images} test {_digits(images)}, encrypted by the client, classified by a server that has no "
        "secret key\n",
    )
    captions = [f"a {label}, named {answer}" for label, answer in zip(labels, result["classes"], strict=False)]
    _tell(out, pictures(data.x_test[:4, 0], captions))
    comparison = cp.compare(bundle, list(ARCHITECTURES))
    result["accuracy_plain"] = accuracy(plain, data.x_test, labels)
    result["accuracy_converted"] = small.network.about["accuracy_after"]
    result["compression_rate"] = small.counted["compression_rate"]
    _tell(out, f"\n{_summary(result, small.counted, comparison, data)}")
    _tell(out, f"\nWhat one image costs (modelled):\n{comparison}")
    right = round(result["accuracy_encrypted"] * images)
    named = f"{right} of {images} encrypted {_digits(images)} named right"
    last = f"\n{named}, {result['server_ms']:.0f} ms each on the server"
    out.result(result | {"estimates": comparison.to_json()}, last)


def _tell(out: Output, text: str) -> None:
    """A part of the result, on stdout as soon as it is known; --json prints everything at the end instead."""
    if not out.as_json:
        click.echo(text)


def _compressed(out: Output, plain: nn.Module, data: Dataset) -> Compressed:
    """Steps 3 and 4, by the zoo's preset for this network."""
    from cipherpress.zoo.presets import press_setting
    from compress.account.accounting import account
    from compress.press.pressing import coded, pruned

    setting = press_setting("mlp")
    with out.progress("compress") as progress:
        small = coded(pruned(plain, data, setting, progress=progress), data, setting, progress=progress)
    assert isinstance(small, cp.CompressedModel), "the preset has a codebook"
    counted, before = account(small), small.history[-1]["accuracy_after"]
    _tell(
        out,
        f"3  compress  half of the inputs and {counted['sparsity']:.0%} of the weights gone, "
        f"{counted['bits']:.1f} bits each, {counted['compression_rate']:.1f} times smaller",
    )
    with out.progress("convert") as progress:
        network = cp.convert(small, data, setting.conversion, augment=True, teacher=plain, progress=progress)
    _tell(
        out,
        f"4  convert   ReLU -> polynomial of degree 2, distilled; {before:.2%} -> "
        f"{network.about['accuracy_after']:.2%} on {len(data.x_test):,} test images",
    )
    return Compressed(network, counted)


def _summary(result: dict[str, Any], counted: dict[str, Any], comparison: Comparison, data: Dataset) -> str:
    """Plain, compressed and encrypted, side by side."""
    modelled_ms = next(report.latency_ms for report in comparison.reports if report.mode == "plain")
    weight_bytes, image_bytes, score_bytes = 4 * counted["parameters"], data.x_test[0].size, 4 * data.classes
    right = round(result["accuracy_encrypted"] * result["images"])
    errors = f"{result['max_logit_error']:.3f} ({result['predicted_logit_error']:.3f} predicted)"
    rows = [
        (
            "accuracy",
            f"{result['accuracy_plain']:.2%} of {len(data.x_test):,}",
            f"{result['accuracy_converted']:.2%}",
            f"{right} of {result['images']}",
        ),
        ("weights", size(weight_bytes), size(weight_bytes / counted["compression_rate"]), "the same"),
        ("time per image", "", f"{modelled_ms:.3f} ms (modelled)", f"{result['server_ms']:.1f} ms (measured)"),
        ("sent per image", size(image_bytes), size(image_bytes), size(result["upload_bytes"])),
        ("received per image", size(score_bytes), size(score_bytes), size(result["download_bytes"])),
        ("keys, sent once", "", "", size(result["evaluation_key_bytes"])),
        ("largest logit error", "", "", errors),
    ]
    columns = ["", "plain", "compressed", "encrypted"]
    return table([dict(zip(columns, row, strict=True)) for row in rows], columns)


def _digits(count: int) -> str:
    return "digit" if count == 1 else "digits"


def pictures(images: Any, captions: list[str]) -> str:
    """Grey images (count, 28, 28) in [0, 1] beside each other, their middle parts in letters."""
    shades = " .:*#"
    halved = (images[:, 4:24:2, 5:23] + images[:, 5:24:2, 5:23]) / 2  # a letter is twice as high as it is wide
    drawn = [["".join(shades[min(int(5 * grey), 4)] for grey in row) for row in image] for image in halved]
    lines = [*zip(*drawn, strict=True), [f"{caption:<18}" for caption in captions[: len(drawn)]]]
    return "\n".join("  ".join(line).rstrip() for line in lines)
