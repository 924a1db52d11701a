"""The command line: parse, call, show. No maths here; heavy imports happen inside the commands that need them."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import wraps
from math import inf, nan
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

import cipherpress as cp
from compress.errors import BudgetError, CipherpressError, ConfigError, ModelError, OverwriteError

if TYPE_CHECKING:
    from hwmodel.architecture import Architecture
    from hwmodel.variants import VariantTable

#: Test images that an exported file is checked on.
CHECKED_IMAGES = 200

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass
class Output:
    """Where results go: one JSON object on stdout, or tables and progress on stderr."""

    as_json: bool = False
    quiet: bool = False

    def result(self, values: dict[str, Any], text: str = "") -> None:
        """The command's result; `text` is what people read instead of JSON."""
        if self.as_json:
            click.echo(json.dumps(values))
        elif text:
            click.echo(text, err=True)

    def say(self, text: str) -> None:
        if not (self.quiet or self.as_json):
            click.echo(text, err=True)

    @contextmanager
    def progress(self, label: str) -> Iterator[Callable[[str, float], None]]:
        """A progress bar on stderr; its callback takes a label and a share of the work."""
        if self.quiet or self.as_json or not sys.stderr.isatty():
            yield lambda step, share: None
            return
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=1.0)
            yield lambda step, share: bar.update(task, completed=share, description=f"{label}: {step}")


def table(rows: list[dict[str, Any]], columns: list[str]) -> str:
    """Rows as aligned text."""
    from io import StringIO

    from rich.console import Console
    from rich.table import Table

    grid = Table(box=None, pad_edge=False)
    for column in columns:
        numeric = any(isinstance(row.get(column), int | float) for row in rows)
        grid.add_column(column.replace("_", " "), justify="right" if numeric else "left")
    for row in rows:
        grid.add_row(*(_cell(row.get(column)) for column in columns))
    console = Console(file=StringIO(), width=160)
    console.print(grid)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.rstrip().splitlines())


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def _pairs(values: dict[str, Any]) -> str:
    rows = [
        {"": name.replace("_", " "), "value": value}
        for name, value in values.items()
        if not isinstance(value, dict) and name != "classes"
    ]
    return table(rows, ["", "value"])


def command(name: str, example: str) -> Callable[[Command], Command]:
    """A subcommand with the options every command has; ends with an example in its help."""

    def decorate(function: Command) -> Command:
        @wraps(function)
        def run(*args: Any, as_json: bool, quiet: bool, verbose: bool, threads: int | None, **options: Any) -> Any:
            logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(name)s: %(message)s")
            _limit_threads(threads)
            return function(Output(as_json, quiet), *args, **options)

        wrapped: Any = run
        for option in (
            click.option(
                "--threads",
                type=click.IntRange(1),
                help="Threads for training and linear algebra, and of an encrypted request by run and infer (default 1).",
            ),
            click.option("--verbose", is_flag=True, help="Log what is decided."),
            click.option("--quiet", is_flag=True, help="No progress."),
            click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout."),
        ):
            wrapped = option(wrapped)
        return main.command(name, epilog=f"\b\nExample:\n  {example}")(wrapped)  # type: ignore[return-value]

    return decorate


def _limit_threads(threads: int | None) -> None:
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)


def _request_threads() -> int:
    """What --threads says of an encrypted request: one thread where it is not given."""
    return click.get_current_context().params["threads"] or 1


class _Group(click.Group):
    """Turns every expected error into one line on stderr and exit status 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except CipherpressError as error:
            _fail(str(error))
        except OSError as error:
            _fail(f"{error.filename or 'file'}: {error.strerror or error}")
        except KeyboardInterrupt:
            _fail("interrupted; nothing was left half-written")


def _fail(message: str) -> None:
    click.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(1)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(cp.__version__, prog_name="cipherpress")
def main() -> None:
    """Compress a trained network for the ciphertext, compile it, and run it on encrypted data."""


# -- what the options have in common

data_options = [
    click.option(
        "--data", "data_name", required=True, help="mnist, fashion-mnist, digits, an IDX folder or an .npz file."
    ),
    click.option("--data-dir", type=click.Path(path_type=Path), help="Where data that is not shipped lies."),
]
model_options = [
    click.option("--weights", type=click.Path(path_type=Path), help=".safetensors or .pt state dict."),
    click.option("--model", "factory", help="For a saved folder of your own model: path/to/file.py:factory again."),
]
output_options = [
    click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Where the result goes."),
    click.option("--force", is_flag=True, help="Replace an existing output."),
]
seed_option = [click.option("--seed", default=0, show_default=True, help="Seed of everything random.")]
opq_options = [
    click.option("--sparsity", type=float, help="Share of weights (blocks: of cost) that goes.  [default: 0.5]"),
    click.option("--target-rate", type=float, help="Instead of --sparsity: times smaller, everything counted."),
    click.option("--bits", default=5.0, show_default=True, help="Mean bits of a weight that stays."),
]
BLOCK_COSTS = ("ckks-diagonals", "plain-blocks", "block-count")
NO_BLOCKS = MappingProxyType({"block": None, "share": 0.0, "cost": BLOCK_COSTS[0]})
block_options = [
    click.option(
        "--block",
        default="residue:128",
        show_default=True,
        help="What blocks prunes: residue:128, band:16, tile:8x8, packed:32, inputs:4, outputs:4, taps or whole; A+B+C for the first layers one by one.",
    ),
    click.option(
        "--cost",
        default="ckks-diagonals",
        show_default=True,
        type=click.Choice(BLOCK_COSTS),
        help="What blocks spends: --sparsity is the share of it that goes.",
    ),
]


class ByteCount(click.ParamType):
    """A number of bytes: 500000, 500k or 2M, in decimal units as sizes are printed."""

    name = "bytes"
    _FACTORS = MappingProxyType({"k": 1e3, "m": 1e6, "g": 1e9})

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value).strip().lower().removesuffix("b")
        factor = self._FACTORS.get(text[-1:], 1.0)
        try:
            number = float(text[:-1] if factor > 1 else text) * factor
        except ValueError:
            number = nan
        if not number > 0:
            self.fail(f"'{value}' is no positive number of bytes; give for example 500k or 2M", param, ctx)
        return number


plan_options = [
    click.option("--max-error", type=float, help="Largest acceptable error of an output, six sigma."),
    click.option(
        "--max-disagreement",
        type=click.FloatRange(0, 1, min_open=True),
        default=cp.ACCEPTABLE_DISAGREEMENT,
        show_default=True,
        help="Without --max-error: largest share of classes that encryption may be expected to change.",
    ),
    click.option(
        "--budget-keys",
        "budget_keys_bytes",
        type=ByteCount(),
        default=inf,
        help="Most that all evaluation keys may take: 2M.",
    ),
    click.option(
        "--budget-upload",
        "budget_upload_bytes",
        type=ByteCount(),
        default=inf,
        help="Most that one request may take: 90k.",
    ),
]


target_options = [
    click.option(
        "--min-accuracy",
        type=click.FloatRange(0, 1),
        help="Search: least accuracy on held-out training images, such as 0.985; alone, for the fastest.",
    ),
    click.option("--target-ms", type=float, help="Search: most server time of a request, as predicted."),
    click.option("--target-keys", "target_keys_bytes", type=ByteCount(), help="Search: most bytes of keys: 2M."),
    click.option("--target-upload", "target_upload_bytes", type=ByteCount(), help="Search: most bytes a request: 90k."),
    click.option(
        "--family",
        "families",
        multiple=True,
        help="Search: blocks that are tried, as --block of compress; repeat for several.  [default: inputs:1]",
    ),
    click.option(
        "--search-trials",
        "max_trials",
        default=8,
        show_default=True,
        type=click.IntRange(1),
        help="Networks trained at most.",
    ),
    click.option(
        "--search-minutes",
        "minutes",
        default=30.0,
        show_default=True,
        type=click.FloatRange(0, min_open=True),
        help="No training starts that would end later.",
    ),
    click.option("--keep-closest", is_flag=True, help="Save the closest network when the target is missed."),
]


def options(*groups: list[Any]) -> Callable[[Command], Command]:
    """Several groups of options at once."""

    def decorate(function: Command) -> Command:
        wrapped: Any = function
        for group in reversed(groups):
            for option in reversed(group):
                wrapped = option(wrapped)
        return wrapped  # type: ignore[no-any-return]

    return decorate


def _load(spec: str, weights: Path | None = None, factory: str | None = None) -> Any:
    """A torch module, CompressedModel, Network or Bundle from a MODEL argument."""
    path = Path(spec)
    if cp.artifact_kind(path) == "weights":
        return _load_trained(path, weights, factory)
    if path.is_dir():
        return cp.load(path, cp.load_model(factory) if factory else None)
    if ":" not in spec and (path.suffix or os.sep in spec):
        raise ModelError(f"model '{spec}': no such folder; give a zoo name, path/to/file.py:factory or a saved folder")
    return cp.load_model(spec, weights)


def _load_trained(path: Path, weights: Path | None, factory: str | None) -> Any:
    """The module of a folder of trained weights, its files checked."""
    from cipherpress.zoo.networks import ZOO

    trained = str(_read_trained(path).get("model"))
    if factory is None and trained not in ZOO:
        raise ModelError(
            f"model '{path}': it holds the weights of {trained}; say which network with --model file.py:factory"
        )
    return cp.load_model(factory or trained, weights or path / "model.safetensors")


def _read_trained(path: Path) -> dict[str, Any]:
    from compress.artifact import read_hashed, read_json

    record = read_json(path / "model.json", kind="weights", version=1)
    read_hashed(path / "model.safetensors", record.get("sha256"))
    return record


def _refuse_existing(output: Path, force: bool) -> None:
    """Before any work: an existing output is not replaced without --force."""
    if output.exists() and not force:
        raise OverwriteError(output)


def _network(thing: Any, spec: str) -> Any:
    if isinstance(thing, cp.Bundle):
        raise ModelError(f"model '{spec}': it is compiled already; give the converted network")
    if not isinstance(thing, cp.Network):
        raise ModelError(f"model '{spec}': not converted yet; run `cipherpress convert` first, or `cipherpress press`")
    return thing


def _trainable(thing: Any, spec: str) -> Any:
    if isinstance(thing, cp.Network | cp.Bundle):
        raise ModelError(f"model '{spec}': it is converted already; start from the trained or compressed model")
    return thing


# -- what is there


@command("models", "cipherpress models --json")
def models(out: Output) -> None:
    """The zoo's networks, with their accuracy on all test images."""
    from cipherpress.zoo.networks import describe_models

    rows = describe_models()
    columns = ["name", "task", "input_shape", "parameters", "accuracy_plain", "images"]
    out.result({"models": rows}, table(rows, columns))


@command("architectures", "cipherpress architectures")
def architectures(out: Output) -> None:
    """The machines that estimate knows."""
    from hwmodel.architecture_file import list_architectures, load_architecture

    rows = [{"name": name, "title": load_architecture(name).title} for name in list_architectures()]
    out.result({"architectures": rows}, table(rows, ["name", "title"]))


# -- from a trained network to a bundle


@command("train", "cipherpress train mlp --data mnist -o out/mlp")
@click.argument("model")
@options(data_options, output_options, seed_option)
@click.option("--epochs", type=click.IntRange(1), help="Passes over the training data (default: the network's recipe).")
@click.option("--learning-rate", type=float, help="Highest learning rate (default: the network's recipe).")
def train(
    out: Output,
    model: str,
    data_name: str,
    data_dir: Path | None,
    output: Path,
    force: bool,
    seed: int,
    epochs: int | None,
    learning_rate: float | None,
) -> None:
    """Train MODEL from fresh weights; writes model.safetensors and model.json. The committed zoo weights come from here."""
    from cipherpress.zoo.training import save_trained, train_spec

    _refuse_existing(output, force)
    data = cp.load_data(data_name, data_dir)
    with out.progress("train") as progress:
        finished = train_spec(model, data, seed=seed, epochs=epochs, learning_rate=learning_rate, progress=progress)
    record = save_trained(finished, output, force=force)
    out.result(record, f"accuracy {record['accuracy_plain']:.4f} on {record['images']} test images; saved {output}")


@command("compress", "cipherpress compress mlp --data mnist --method opq --sparsity 0.8 --bits 4 -o out/small")
@click.argument("model")
@options(data_options, model_options)
@click.option(
    "--method",
    "methods",
    multiple=True,
    default=("opq",),
    type=click.Choice(["opq", "blocks", "joint"]),
    help="Applied in order.",
)
@options(opq_options)
@click.option(
    "--granularity", default="layer", type=click.Choice(["layer", "channel"]), help="One step a layer or channel."
)
@click.option(
    "--objective",
    default="storage",
    show_default=True,
    type=click.Choice(["storage", "encrypted"]),
    help="Opq shares out --bits by what a bit is: stored with every weight, or scale of a layer's plaintexts.",
)
@options(block_options)
@click.option(
    "--activation-bits", default=8, show_default=True, help="Of joint: for activations, and weights without a codebook."
)
@click.option("--epochs", default=2, show_default=True, help="Fine-tuning on the fixed codebook (not after joint).")
@click.option("--augment/--no-augment", default=True, help="Distort training images (image data only).")
@options(output_options, seed_option)
def compress(
    out: Output,
    model: str,
    data_name: str,
    data_dir: Path | None,
    weights: Path | None,
    factory: str | None,
    methods: tuple[str, ...],
    sparsity: float | None,
    target_rate: float | None,
    bits: float,
    granularity: Literal["layer", "channel"],
    objective: Literal["storage", "encrypted"],
    block: str,
    cost: str,
    activation_bits: int,
    epochs: int,
    augment: bool,
    output: Path,
    force: bool,
    seed: int,
) -> None:
    """Compress MODEL; prints sparsity, bits and rate by layer and the accuracy before and after."""
    from compress.account.accounting import account
    from compress.opq.target_rate import opq_at_rate
    from compress.training.loop import accuracy

    if sparsity is not None and target_rate is not None:
        raise click.UsageError("--sparsity and --target-rate exclude each other; give one")
    if target_rate is not None and "opq" not in methods:
        raise click.UsageError("--target-rate is opq's; give --sparsity, or --method opq too")
    _refuse_existing(output, force)
    data = cp.load_data(data_name, data_dir)
    small = _trainable(_load(model, weights, factory), model)
    before = accuracy(small.module if isinstance(small, cp.CompressedModel) else small, data.x_test, data.y_test)
    share = 0.5 if sparsity is None else sparsity
    for method in methods:
        if method == "blocks":
            with out.progress("prune blocks") as progress:
                small = cp.prune_blocks(
                    small, data, sparsity=share, block=block, cost=cost, seed=seed, progress=progress
                )
        elif method == "joint":
            with out.progress("joint quantization") as progress:
                small = cp.joint_quantize(small, data, bits=activation_bits, seed=seed, progress=progress)
        elif target_rate is None:
            small = cp.opq(small, sparsity=share, bits=bits, granularity=granularity, objective=objective)
        else:
            small = opq_at_rate(small, target_rate, bits=bits, granularity=granularity, objective=objective)
        if epochs and method != "joint":
            with out.progress("fine-tune") as progress:
                small = cp.finetune(small, data, epochs=epochs, augment=augment, seed=seed, progress=progress)
    cp.save(small, output, force=force)
    last = small.history[-1]  # joint's accuracy is that of integers, its weights alone say less
    after = last["accuracy_after"] if last["method"] == "joint" else accuracy(small.module, data.x_test, data.y_test)
    counted = account(small)
    result = {**counted, "images": len(data.x_test), "accuracy_plain": before, "accuracy_compressed": after}
    columns = ["layer", "parameters", "nonzeros", "sparsity", "bits", "compression_rate", "position_encoding"]
    summary = (
        f"accuracy {before:.4f} -> {after:.4f} on {len(data.x_test)} test images; "
        f"{counted['compression_rate']:.1f} times smaller, everything counted; saved {output}"
    )
    out.result(result, f"{table(counted['layers'], columns)}\n{summary}")


convert_options = [
    click.option("--degree", default=2, show_default=True, type=click.Choice(["2", "4"]), help="Of the polynomials."),
    click.option("--per-channel", is_flag=True, help="One polynomial a channel."),
]


@command("convert", "cipherpress convert out/small --data mnist -o out/friendly")
@click.argument("model")
@options(data_options, model_options, convert_options)
@click.option("--epochs", default=8, show_default=True, help="Distillation on the fixed codebook.")
@click.option("--learning-rate", default=2e-2, show_default=True)
@click.option("--augment/--no-augment", default=True, help="Distort training images (image data only).")
@options(output_options, seed_option)
def convert(
    out: Output,
    model: str,
    data_name: str,
    data_dir: Path | None,
    weights: Path | None,
    factory: str | None,
    degree: str,
    per_channel: bool,
    epochs: int,
    learning_rate: float,
    augment: bool,
    output: Path,
    force: bool,
    seed: int,
) -> None:
    """Replace MODEL's non-linearities by polynomials, fold its normalization, distil it from itself."""
    from compress.conversion.options import Conversion

    _refuse_existing(output, force)
    data = cp.load_data(data_name, data_dir)
    thing = _trainable(_load(model, weights, factory), model)
    with out.progress("convert") as progress:
        network = cp.convert(
            thing,
            data,
            Conversion(degree=int(degree), per_channel=per_channel, epochs=epochs, learning_rate=learning_rate),
            augment=augment,
            seed=seed,
            progress=progress,
        )
    cp.save(network, output, force=force)
    about = network.about
    before, after, images = about["accuracy_before"], about["accuracy_after"], about["test_images"]
    result = {"images": images, "accuracy_before": before, "accuracy_after": after, "replaced": about["replaced"]}
    out.result(result, f"accuracy {before:.4f} -> {after:.4f} on {images} test images; saved {output}")


@command("compile", "cipherpress compile out/friendly --data mnist -o out/bundle")
@click.argument("model")
@options(data_options, plan_options)
@click.option("--mode", default="latency", type=click.Choice(["latency"]), help="Packing: one input a request.")
@options(output_options, seed_option)
def compile_(
    out: Output,
    model: str,
    data_name: str,
    data_dir: Path | None,
    max_error: float | None,
    max_disagreement: float,
    budget_keys_bytes: float,
    budget_upload_bytes: float,
    mode: str,
    output: Path,
    force: bool,
    seed: int,
) -> None:
    """Choose packing, scales and parameters for a converted MODEL and write the BUNDLE."""
    _refuse_existing(output, force)
    network = _network(_load(model), model)
    data = cp.load_data(data_name, data_dir)
    with out.progress("compile") as progress:
        bundle = cp.compile(
            network,
            data,
            max_error=max_error,
            max_disagreement=max_disagreement,
            budget_keys_bytes=budget_keys_bytes,
            budget_upload_bytes=budget_upload_bytes,
            seed=seed,
            progress=progress,
        )
    cp.save(bundle, output, force=force)
    out.result(dict(bundle.report), f"{bundle.explain()}\nsaved {output}")


@command(
    "press",
    "cipherpress press mlp --data mnist -o out/bundle\n"
    "  cipherpress press lenet300 --data mnist --target-ms 9 --min-accuracy 0.985 -o out/fast",
)
@click.argument("model")
@options(data_options, model_options, plan_options)
@click.option("--block", help="Blocks pruned first, as --block of compress (default: the network's preset, or none).")
@click.option("--share", type=float, help="Share of --cost that goes with them (default: the preset, or 0).")
@click.option(
    "--cost",
    type=click.Choice(BLOCK_COSTS),
    help="What --share is a share of (default: the preset, or ckks-diagonals).",
)
@click.option("--sparsity", type=float, help="Share of weights that goes (default: the network's preset, or 0.5).")
@click.option("--bits", type=float, help="Mean bits of a weight that stays (default: the preset, or 5).")
@click.option("--finetune-epochs", type=click.IntRange(0), help="Default: the preset, or 1.")
@click.option("--convert-epochs", type=click.IntRange(0), help="Default: the preset, or 8.")
@click.option("--convert-learning-rate", type=float, help="Default: the preset, or 0.02.")
@click.option("--augment/--no-augment", default=True, help="Distort training images (image data only).")
@options(target_options, output_options, seed_option)
def press(
    out: Output,
    model: str,
    data_name: str,
    data_dir: Path | None,
    weights: Path | None,
    factory: str | None,
    max_error: float | None,
    max_disagreement: float,
    budget_keys_bytes: float,
    budget_upload_bytes: float,
    augment: bool,
    min_accuracy: float | None,
    target_ms: float | None,
    target_keys_bytes: float | None,
    target_upload_bytes: float | None,
    families: tuple[str, ...],
    max_trials: int,
    minutes: float,
    keep_closest: bool,
    output: Path,
    force: bool,
    seed: int,
    **chosen: float | str | None,
) -> None:
    """Compress, convert and compile MODEL in one go.

    With --min-accuracy and targets it searches for a network that meets them: activations as straight lines, whole blocks pruned and
    the codebook of --bits are tried by what their plans are predicted to cost, on held-out training images. What was tried stays in
    BUNDLE/targets.json with a picture. A target that cannot be met ends with status 1 and writes nothing.
    """
    from dataclasses import asdict

    from cipherpress.zoo.presets import press_options

    targets = {
        "target_ms": target_ms,
        "target_keys_bytes": target_keys_bytes,
        "target_upload_bytes": target_upload_bytes,
    }
    if min_accuracy is None and (keep_closest or any(value is not None for value in targets.values())):
        raise click.UsageError("a target needs --min-accuracy; without one everything can be pruned away")
    _refuse_existing(output, force)
    data = cp.load_data(data_name, data_dir)
    thing = _trainable(_load(model, weights, factory), model)
    given = {name: value for name, value in chosen.items() if value is not None}
    if min_accuracy is not None:
        if (
            budget_keys_bytes < inf
            or budget_upload_bytes < inf
            or {"block", "share", "cost", "sparsity", "finetune_epochs"} & set(given)
        ):
            raise click.UsageError(
                "with --min-accuracy the search decides what is pruned: leave out --sparsity, --finetune-epochs, --block, --share and --cost, and give "
                "--target-keys and --target-upload instead of budgets"
            )
        preset = {name: value for name, value in asdict(press_options(model)).items() if name.startswith("convert_")}
        wanted: dict[str, Any] = {**targets, **preset, **given} | ({"families": families} if families else {})
        with out.progress("search") as progress:
            found = cp.press_for(
                thing,
                data,
                min_accuracy=min_accuracy,
                **wanted,
                augment=augment,
                max_error=max_error,
                max_disagreement=max_disagreement,
                max_trials=max_trials,
                minutes=minutes,
                seed=seed,
                progress=progress,
            )
        _save_search(out, found, output, force, keep_closest)
        return
    settings = {name: value for name, value in asdict(press_options(model)).items() if name != "straight"} | given
    if {"block", "share", "cost"} & set(given):  # one pruning, not half of the user's and half of the preset's
        settings |= {name: given.get(name, default) for name, default in NO_BLOCKS.items()}
    with out.progress("press") as progress:
        bundle = cp.press(
            thing,
            data,
            **settings,
            augment=augment,
            max_error=max_error,
            max_disagreement=max_disagreement,
            budget_keys_bytes=budget_keys_bytes,
            budget_upload_bytes=budget_upload_bytes,
            seed=seed,
            progress=progress,
        )
    cp.save(bundle, output, force=force)
    out.result(dict(bundle.report), f"{bundle.explain()}\nsaved {output}")


def _save_search(out: Output, found: Any, output: Path, force: bool, keep_closest: bool) -> None:
    """The bundle of a search with everything that was tried beside it; of a missed target only on demand, and an error."""
    from compress.press.search_file import PLOT_FILE, TARGETS_FILE, write_search

    if found.met or keep_closest:
        cp.save(found.bundle, output, force=force)
        drawn = write_search(found, output)
        out.say("" if drawn else f"no {PLOT_FILE}: it needs matplotlib; install cipherpress[plots]")
    if not found.met:
        raise BudgetError(f"{found.verdict}" + (f"; the closest is saved in {output}" if keep_closest else ""))
    rows = found.as_json()["trials"]
    shown = [{**row, "setting": row["described"], "pareto": "yes" if row["pareto"] else ""} for row in rows]
    columns = ["setting", "server_ms", "keys_bytes", "upload_bytes", "accuracy_held_out", "pareto"]
    about = found.bundle.report["about"]
    text = (
        f"{table(shown, columns)}\n\n{found.verdict}; {about['accuracy_after']:.2%} on {about['test_images']} test images"
        f"\nsaved {output} with {TARGETS_FILE}"
    )
    out.result(dict(found.bundle.report), text)


@command("calibrate", "cipherpress calibrate")
@click.option("--force", is_flag=True, help="Measure again, and replace a damaged file.")
def calibrate(out: Output, force: bool) -> None:
    """Measure what operations take on this machine, for compile and press to choose plans by.

    Takes some seconds on one thread (the first time the engine's kernels are compiled too). The times are kept per user, for
    this processor and these versions; CIPHERPRESS_CACHE names another folder than the user's cache.
    """
    from datetime import date

    from cipherpress.timing.cache import cache_path, load_times, save_times

    path = cache_path()
    errors = {}
    if force or not path.exists():
        from cipherpress.timing.measuring import measure_engine, measure_seal

        with out.progress("calibrate") as progress:
            progress("engine", 0.0)
            engine = measure_engine()
            progress("SEAL", 0.5)
            seal = measure_seal()
        save_times(engine.times, seal.times, date.today())
        errors = {"engine": engine.mean_relative_error, "seal": seal.mean_relative_error}
    times = load_times(path)
    kernels = {"engine": asdict(times.engine), "seal": asdict(times.seal)}
    result = {"path": str(path), "measured": bool(errors), "times": times.origin, **kernels}
    if errors:
        result["mean_relative_error"] = errors
        summary = f"operations are predicted within {errors['engine']:.1%} (engine) and {errors['seal']:.1%} (SEAL) on average"
    else:
        summary = "measured before; --force measures again"
    rows = [{"runtime": name, **values} for name, values in kernels.items()]
    columns = ["runtime", *kernels["engine"]]
    out.result(result, f"{table(rows, columns)}\n{times.origin}: {summary}; saved {path}")


# -- client and server, by files


@command("keygen", "cipherpress keygen out/bundle -o out/keys")
@click.argument("bundle", type=click.Path(path_type=Path))
@options(output_options)
def keygen(out: Output, bundle: Path, output: Path, force: bool) -> None:
    """Make secret.key (keep it) and evaluation.key (for the server)."""
    from secure.bundle.files import load_client
    from secure.parties.client import Client
    from secure.parties.keys import EVALUATION_FILE, SECRET_FILE, write_keys

    for name in (SECRET_FILE, EVALUATION_FILE):
        _refuse_existing(output / name, force)
    client = Client(load_client(bundle))
    write_keys(output, client.secret_key, client.evaluation_key, force=force)
    size = (output / EVALUATION_FILE).stat().st_size
    out.result(
        {"evaluation_key_bytes": size}, f"saved {output / SECRET_FILE} and {output / EVALUATION_FILE} ({size:,} bytes)"
    )


@command("encrypt", "cipherpress encrypt out/bundle --key out/keys/secret.key --input x.npy -o x.ct")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--key", required=True, type=click.Path(path_type=Path), help="secret.key")
@click.option(
    "--input", "source", required=True, type=click.Path(path_type=Path), help="An .npy array or an image file."
)
@options(output_options)
def encrypt(out: Output, bundle: Path, key: Path, source: Path, output: Path, force: bool) -> None:
    """Encrypt one input (.npy of the network's shape, or an image file)."""
    from secure.parties.inputs import read_input
    from compress.artifact import write_file

    _refuse_existing(output, force)
    client = _client(bundle, key)
    request = client.encrypt(read_input(source, client.spec.input_shape))
    write_file(output, request, force=force)
    out.result({"upload_bytes": len(request)}, f"saved {output} ({len(request):,} bytes)")


@command("run", "cipherpress run out/bundle --key out/keys/evaluation.key --input x.ct -o y.ct")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--key", required=True, type=click.Path(path_type=Path), help="evaluation.key")
@click.option("--input", "source", required=True, type=click.Path(path_type=Path), help="A .ct made by encrypt.")
@options(output_options)
def run(out: Output, bundle: Path, key: Path, source: Path, output: Path, force: bool) -> None:
    """The server's work: the network on an encrypted input. Needs no torch and no secret."""
    from time import perf_counter

    from secure.bundle.files import load_server
    from compress.artifact import write_file
    from secure.parties.server import Server

    _refuse_existing(output, force)
    evaluation_key, request = key.read_bytes(), source.read_bytes()
    server = Server(load_server(bundle), threads=_request_threads())
    server.register(evaluation_key, str(key))
    key_id, ciphertexts = server.load_request(request, str(source))
    start = perf_counter()
    outputs = server.run_ciphertexts(key_id, ciphertexts)
    server_ms = (perf_counter() - start) * 1e3
    reply = server.pack_reply(key_id, outputs)
    write_file(output, reply, force=force)
    result = {"server_ms": server_ms, "threads": server.threads, "download_bytes": len(reply)}
    out.result(result, f"saved {output} ({len(reply):,} bytes) after {server_ms:.1f} ms")


@command("decrypt", "cipherpress decrypt out/bundle --key out/keys/secret.key --input y.ct")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--key", required=True, type=click.Path(path_type=Path), help="secret.key")
@click.option("--input", "source", required=True, type=click.Path(path_type=Path), help="A .ct made by run.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Also save the scores as .npy.")
@click.option("--force", is_flag=True, help="Replace an existing output.")
def decrypt(out: Output, bundle: Path, key: Path, source: Path, output: Path | None, force: bool) -> None:
    """Decrypt an answer; prints the classes with their scores, best first."""
    from io import BytesIO

    import numpy as np

    from compress.artifact import write_file

    if output is not None:
        _refuse_existing(output, force)
    scores = _client(bundle, key).decrypt(source.read_bytes(), str(source))
    if output is not None:
        buffer = BytesIO()
        np.save(buffer, scores)
        write_file(output, buffer.getvalue(), force=force)
    order = np.argsort(scores.ravel())[::-1].tolist()
    rows = [{"class": index, "score": float(scores.ravel()[index])} for index in order]
    out.result({"class": order[0], "scores": scores.tolist()}, table(rows, ["class", "score"]))


def _client(bundle: Path, key: Path) -> Any:
    from secure.bundle.files import load_client
    from secure.parties.client import Client
    from secure.parties.keys import SecretKey

    return Client(load_client(bundle), SecretKey.from_bytes(key.read_bytes(), str(key)))


# -- looking and measuring


@command("infer", "cipherpress infer out/bundle --data mnist --images 100")
@click.argument("bundle", type=click.Path(path_type=Path))
@options(data_options)
@click.option("--images", default=100, show_default=True, type=click.IntRange(1), help="Test images, from the first.")
@click.option("--backend", default="tenseal", type=click.Choice(["tenseal", "cleartext"]))
def infer(out: Output, bundle: Path, data_name: str, data_dir: Path | None, images: int, backend: str) -> None:
    """The whole round trip over test images: accuracy, agreement with the plan in clear, timings, sizes, energy if it is counted."""
    from cipherpress.timing.energy import measured_energy
    from secure.verify.roundtrip import round_trip

    loaded = cp.load(bundle)
    if not isinstance(loaded, cp.Bundle):
        raise ModelError(f"{bundle}: not a bundle; make one with `cipherpress compile`")
    data = cp.load_data(data_name, data_dir)
    energy: dict[str, Any] = {}
    with out.progress("infer") as progress, measured_energy(energy):
        result = round_trip(
            loaded,
            data.x_test[:images],
            data.y_test[:images],
            backend=backend,
            threads=_request_threads(),
            progress=progress,
        )
    result = {**result, **energy}
    out.result(result, _pairs(result))


@command("verify", "cipherpress verify out/bundle --data mnist")
@click.argument("bundle", type=click.Path(path_type=Path))
@options(data_options)
@click.option("--images", default=256, show_default=True, type=click.IntRange(1), help="Test images to start from.")
@click.option("--encrypted", default=8, show_default=True, type=click.IntRange(2), help="Finds to encrypt, a radius.")
@click.option("--steps", default=20, show_default=True, type=click.IntRange(0), help="Steps uphill from an image.")
@click.option(
    "--radius",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="How far a pixel may go from its image, in parts of the calibrated range, for the bundle to have to stand it.",
)
@options(seed_option)
def verify(
    out: Output,
    bundle: Path,
    data_name: str,
    data_dir: Path | None,
    images: int,
    encrypted: int,
    steps: int,
    radius: float,
    seed: int,
) -> None:
    """Search for the inputs that BUNDLE stands worst, by gradient on its plan, and run them encrypted.

    Shows the least headroom and the largest error on the images as they are, within --radius of them, and anywhere in the
    calibrated range. Exit status 1 when the predicted bound or the modulus does not hold within --radius.
    """
    from secure.verify.verification import failures, verify_bundle

    loaded = cp.load(bundle)
    if not isinstance(loaded, cp.Bundle):
        raise ModelError(f"{bundle}: not a bundle; make one with `cipherpress compile`")
    data = cp.load_data(data_name, data_dir)
    with out.progress("verify") as progress:
        result = verify_bundle(
            loaded, data.x_test[:images], encrypted=encrypted, steps=steps, radius=radius, seed=seed, progress=progress
        )
    columns = ["radius", "least_headroom_bits", "layer", "simulated_error", "largest_error", "classes_changed"]
    bound = f"predicted bound {result['bound']:.4g}; radius {radius:g} has to hold"
    out.result(result, f"{table(result['rows'], columns)}\n{bound}")
    broken = failures(result)
    if broken:
        _fail("; ".join(broken))
    out.say("the bound holds, and nothing wraps around")


@command("export", "cipherpress export out/small -o small.onnx")
@click.argument("model", metavar="PATH")
@options(model_options, output_options)
@click.option("--input-shape", help="Of one input, such as 1,28,28 (default: the one the model has seen).")
@click.option(
    "--storage",
    default="dense",
    show_default=True,
    type=click.Choice(["dense", "codes"]),
    help="Weights as floats, or a codebook's integers and steps.",
)
@click.option("--data", "data_name", help="Check the file on test images of this data instead of random inputs.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where data that is not shipped lies.")
def export(
    out: Output,
    model: str,
    weights: Path | None,
    factory: str | None,
    output: Path,
    force: bool,
    input_shape: str | None,
    storage: Literal["dense", "codes"],
    data_name: str | None,
    data_dir: Path | None,
) -> None:
    """Write a trained or compressed model as ONNX, checked with onnxruntime where it is installed (cipherpress[onnx])."""
    from cipherpress.zoo.loading import input_shape_of

    _refuse_existing(output, force)
    thing = _trainable(_load(model, weights, factory), model)
    shape = _shape(input_shape) if input_shape is not None else input_shape_of(thing)
    images = cp.load_data(data_name, data_dir).x_test[:CHECKED_IMAGES] if data_name is not None else None
    with out.progress("export") as progress:
        written = cp.export_onnx(
            thing, output, input_shape=shape, images=images, storage=storage, force=force, progress=progress
        )
    checked = (
        f"largest difference {written.largest_difference:.2g} from torch on {written.images_checked} inputs"
        if written.largest_difference is not None
        else "not checked, onnxruntime is not installed"
    )
    result = {**asdict(written), "path": str(written.path), "coded_layers": list(written.coded_layers)}
    out.result(result, f"{_size(written.file_bytes)}, ONNX operator set {written.opset}; {checked}; saved {output}")


def _shape(text: str) -> tuple[int, ...]:
    """Whole positive numbers with commas between them."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError("input-shape", text, "whole positive numbers with commas between them, such as 1,28,28")
    return tuple(int(part) for part in parts)


def _folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@command("inspect", "cipherpress inspect out/bundle")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--model", "factory", help="For a compressed model of your own: path/to/file.py:factory again.")
@click.option("--plot", type=click.Path(path_type=Path), help="Save a compressed model's allocation as a picture.")
@click.option("--force", is_flag=True, help="Replace an existing plot.")
def inspect(out: Output, path: Path, factory: str | None, plot: Path | None, force: bool) -> None:
    """What an artifact holds: layers, codebooks, plan, levels, keys, security, sizes."""
    from compress.account.inspection import describe_model, describe_network
    from secure.parties.inspection import describe_file

    if path.is_file():
        values = describe_file(path)
        out.result(values, _pairs(values))
        return
    kind = cp.artifact_kind(path)
    if plot is not None and kind != "compressed":
        raise click.UsageError("--plot draws the allocation of a compressed model; `estimate --plot` draws costs")
    if kind == "compressed":
        from compress.model.saved import read_record

        record = read_record(path) | {"saved_bytes": _folder_bytes(path)}
        if factory is None and record["source"].get("kind") != "zoo":
            columns = ["layer", "shape", "bits", "kept", "granularity"]
            hint = "give --model file.py:factory for sizes, multiplications and blocks by layer"
            if plot is not None:
                raise click.UsageError(f"--plot: the network is not in the zoo; {hint}")
            out.result(record, f"compressed model\n{table(record['layers'], columns)}\n{hint}")
            return
        counted = describe_model(_load(str(path), factory=factory))
        if plot is not None:
            from compress.account.allocation_plot import save_allocation_plot

            save_allocation_plot(counted["layers"], plot, force=force)
        columns = ["layer", "parameters", "nonzeros", "bits", "total_bits", "multiplications", "blocks", "blocks_kept"]
        sizes = (
            f"{counted['compression_rate']:.1f} times smaller than 32 bits a parameter, everything counted; "
            f"{_size(record['saved_bytes'])} on disk with its description"
        )
        if (joint := counted["joint"]) is not None:
            sizes += (
                f"\njointly quantized at {joint['bits']} bits: quantization operations "
                f"{joint['quantization_points_before']} -> {joint['quantization_points_after']}"
            )
        out.result(record | {"account": counted}, f"compressed model\n{table(counted['layers'], columns)}\n{sizes}")
        return
    if kind == "weights":
        record = _read_trained(path)
        out.result(record, f"trained weights\n{_pairs(record)}")
        return
    loaded = cp.load(path)
    if isinstance(loaded, cp.Bundle):
        size = {"bundle_bytes": _folder_bytes(path)}
        out.result({"kind": "bundle", **size, **loaded.report}, loaded.explain())
        return
    if not isinstance(loaded, cp.Network):
        raise ModelError(f"{path}: neither a model, a network nor a bundle")
    rows = describe_network(loaded)
    columns = ["name", "type", "shape", "parameters", "nonzeros", "bits", "low", "high"]
    out.result({"kind": "network", "layers": rows, "about": dict(loaded.about)}, f"network\n{table(rows, columns)}")


@command("estimate", "cipherpress estimate out/bundle --arch cpu-seal --arch eyeriss")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option(
    "--arch",
    "names",
    multiple=True,
    help="An architecture's name or YAML file; repeat for several (default: all that fit).",
)
@click.option("--node", "node_nm", type=float, help="Scale the machines' energies to this technology node, in nm.")
@click.option(
    "--plot", type=click.Path(path_type=Path), help="Save the comparison as a picture (needs cipherpress[plots])."
)
@click.option(
    "--picture",
    type=click.Choice(("costs", "energy", "roofline", "waterfall", "pareto")),
    help="What --plot shows: of one MODEL its costs (default), energy by component or rooflines; of several bundles the way from "
    "the first in clear to the last encrypted (default), or accuracy against encrypted latency.",
)
@click.option("--force", is_flag=True, help="Replace an existing plot.")
def estimate(
    out: Output,
    models: tuple[str, ...],
    names: tuple[str, ...],
    node_nm: float | None,
    plot: Path | None,
    picture: str | None,
    force: bool,
) -> None:
    """Modelled latency and energy of a converted network or a known shape (plain), or a bundle (plain and encrypted).

    Several MODELs are compared with the first one. Shapes: alexnet, deit-b, deit-s, resnet20, vgg16.
    """
    from hwmodel.architecture import PLAIN
    from hwmodel.architecture_file import list_architectures, load_architecture
    from hwmodel.node import at_node
    from hwmodel.variants import compare_variants

    of_several = picture in ("waterfall", "pareto")
    if picture is not None and (len(set(models)) > 1) is not of_several:
        raise click.UsageError(f"--picture {picture} takes {'several MODELs' if of_several else 'one MODEL'}")
    if plot is not None:
        _refuse_existing(plot, force)
    distinct = dict.fromkeys(models)
    short = {Path(model).name for model in distinct}
    subjects = {Path(model).name if len(short) == len(distinct) else model: _priced(model) for model in distinct}
    encrypted = all(isinstance(subject, cp.Bundle) for subject in subjects.values())
    machines = [load_architecture(name) for name in names or list_architectures()]
    if not names:
        machines = [machine for machine in machines if encrypted or PLAIN in machine.modes]
    if node_nm is not None:
        machines = [at_node(machine, node_nm) for machine in machines]
    if len(subjects) > 1:
        variants = compare_variants(subjects, machines, _accuracies(subjects))
        if plot is not None:
            _plot_variants(variants, machines, picture, plot, force)
        out.result(variants.to_json(), str(variants))
        return
    comparison = cp.compare(next(iter(subjects.values())), machines)
    if plot is not None:
        from hwmodel.plots import save_energy_plot, save_plot, save_roofline_plot

        if picture == "roofline":
            save_roofline_plot(comparison, {machine.name: machine for machine in machines}, plot, force=force)
        else:
            (save_energy_plot if picture == "energy" else save_plot)(comparison, plot, force=force)
    out.result(comparison.to_json(), str(comparison))


def _accuracies(subjects: Mapping[str, Any]) -> dict[str, float]:
    """Accuracy in clear of the bundles that know theirs."""
    reports = {name: subject.report for name, subject in subjects.items() if isinstance(subject, cp.Bundle)}
    return {
        name: report["about"]["accuracy_after"]
        for name, report in reports.items()
        if "accuracy_after" in report.get("about", {})
    }


def _plot_variants(
    variants: VariantTable, machines: Sequence[Architecture], picture: str | None, plot: Path, force: bool
) -> None:
    """A picture of several models on the first machine that runs them both in clear and encrypted."""
    from hwmodel.architecture import ENCRYPTED, PLAIN
    from hwmodel.plots import save_pareto_plot, save_waterfall_plot

    both = [machine.name for machine in machines if {PLAIN, ENCRYPTED} <= set(machine.modes)]
    if not both:
        raise click.UsageError("--plot of several MODELs needs a machine with both modes; add --arch cpu-engine")
    if picture == "pareto":
        save_pareto_plot(variants, both[0], plot, force=force)
    else:
        save_waterfall_plot(variants, both[0], both[0], plot, force=force)


def _priced(model: str) -> Any:
    """What can be priced: the workload of a known shape, a converted network or a bundle."""
    from hwmodel.shapes import SHAPES, shape_workload

    if model in SHAPES:
        return shape_workload(model)
    loaded = _load(model)
    if not isinstance(loaded, cp.Network | cp.Bundle):
        raise ModelError(
            f"model '{model}': only converted networks and bundles can be priced; run `cipherpress convert` first"
        )
    return loaded


@command("report", "cipherpress report out/bundle -o report.html")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--arch", "names", multiple=True, help="An architecture's name or YAML file (default: all).")
@click.option("--measured", type=click.Path(path_type=Path), help="What `infer --json` printed, to stand beside.")
@options(output_options)
def report(out: Output, bundle: Path, names: tuple[str, ...], measured: Path | None, output: Path, force: bool) -> None:
    """One self-contained page about a bundle: network, compression, plan, security, accuracy, costs and charts."""
    from hwmodel.architecture_file import list_architectures, load_architecture
    from hwmodel.page import report_page
    from compress.artifact import write_file

    _refuse_existing(output, force)
    loaded = cp.load(bundle)
    if not isinstance(loaded, cp.Bundle):
        raise ModelError(f"{bundle}: not a bundle; make one with `cipherpress compile`")
    machines = [load_architecture(name) for name in names or list_architectures()]
    run = None if measured is None else _measured_run(measured)
    page = report_page(loaded.report, cp.compare(loaded, machines), machines, run).encode()
    write_file(output, page, force=force)
    out.result({"path": str(output), "bytes": len(page)}, f"saved {output}, {_size(len(page))}")


def _measured_run(path: Path) -> dict[str, Any]:
    from compress.errors import FormatError

    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{path}: not JSON ({error}); save what `cipherpress infer BUNDLE --json` prints") from error
    if not isinstance(run, dict) or "server_ms" not in run:
        raise FormatError(f"{path}: field server_ms is missing; save what `cipherpress infer BUNDLE --json` prints")
    return run


@command("bench", "cipherpress bench peers -o out/bench")
@click.argument("names", nargs=-1)
@options(output_options)
@click.option("--images", default=100, show_default=True, type=click.IntRange(20))
def bench(out: Output, names: tuple[str, ...], output: Path, force: bool, images: int) -> None:
    """The benchmark tables of the README, from scratch."""
    from importlib import import_module

    from benchmarks import BENCHMARKS

    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        raise ConfigError("benchmark", unknown[0], ", ".join(BENCHMARKS))
    results = {}
    for name in names or tuple(BENCHMARKS):
        _refuse_existing(output / f"{name}.json", force)
        with out.progress(name) as progress:
            results[name] = import_module(BENCHMARKS[name]).run(output, images=images, progress=progress)
        out.say((output / f"{name}.md").read_text())
    out.result(results)


@command("demo", "cipherpress demo --images 20")
@click.option("--images", default=20, show_default=True, type=click.IntRange(1, 10_000), help="Encrypted test images.")
def demo(out: Output, images: int) -> None:
    """The whole road on real digits: compress, convert, compile, make keys, classify encrypted."""
    from cipherpress.zoo.presets import press_options
    from compress.account.accounting import account
    from compress.press.pressing import pruned
    from compress.training.loop import accuracy
    from secure.verify.roundtrip import round_trip

    data = cp.load_data("mnist")
    out.say(f"1  data      MNIST, {len(data.x_train):,} training and {len(data.x_test):,} test images")
    plain = cp.load_model("mlp")
    out.say("2  network   mlp 784-64-10 with ReLU, trained weights from the zoo")
    preset = press_options("mlp")
    with out.progress("compress") as progress:
        narrow = pruned(plain, data, preset, progress=progress)
        small = cp.opq(narrow, sparsity=preset.sparsity, bits=preset.bits or 0)
        small = cp.finetune(small, data, epochs=preset.finetune_epochs, augment=True, progress=progress)
    counted, after = account(small), small.history[-1]["accuracy_after"]
    rate = counted["compression_rate"]
    out.say(
        f"3  compress  half of the inputs and {counted['sparsity']:.0%} of the weights gone, {counted['bits']:.1f} bits each, {rate:.1f} times "
        "smaller"
    )
    with out.progress("convert") as progress:
        network = cp.convert(
            small,
            data,
            preset.conversion,
            augment=True,
            teacher=plain,
            progress=progress,
        )
    converted = network.about["accuracy_after"]
    out.say(
        f"4  convert   ReLU -> polynomial of degree 2, distilled; {after:.2%} -> {converted:.2%} on {len(data.x_test):,} test images"
    )
    with out.progress("compile") as progress:
        bundle = cp.compile(network, data, progress=progress)
    report = bundle.report
    out.say(
        f"5  compile   N={report['poly_modulus_degree']}, {report['log2_qp']:.0f}-bit modulus, {report['security_bits']}-bit security, "
        f"{report['rotations']} rotations, {report['plain_multiplications']} plain products"
    )
    with out.progress("encrypted") as progress:
        result = round_trip(bundle, data.x_test[:images], data.y_test[:images], progress=progress)
    answers, right = result["classes"], round(result["accuracy_encrypted"] * images)
    out.say(
        f"6  run       {images} test digits, encrypted by the client, classified by a server that has no secret key\n"
    )
    captions = [f"a {label}, named {answer}" for label, answer in zip(data.y_test, answers, strict=False)]
    out.say(_pictures(data.x_test[:4, 0], captions))
    comparison = cp.compare(bundle, ["cpu-engine", "cpu-seal", "eyeriss", "craterlake"])
    modelled_ms = next(report.latency_ms for report in comparison.reports if report.mode == "plain")
    plain_accuracy = accuracy(plain, data.x_test, data.y_test)
    size, scores = data.x_test[0].size, 4 * data.classes
    rows = [
        ("accuracy", f"{plain_accuracy:.2%} of {len(data.x_test):,}", f"{converted:.2%}", f"{right} of {images}"),
        ("weights", _size(4 * counted["parameters"]), _size(4 * counted["parameters"] / rate), "the same"),
        ("time an image", "", f"{modelled_ms:.3f} ms (modelled)", f"{result['server_ms']:.1f} ms (measured)"),
        ("sent an image", _size(size), _size(size), _size(result["upload_bytes"])),
        ("received an image", _size(scores), _size(scores), _size(result["download_bytes"])),
        ("keys, sent once", "", "", _size(result["evaluation_key_bytes"])),
        (
            "largest logit error",
            "",
            "",
            f"{result['max_logit_error']:.3f} ({result['predicted_logit_error']:.3f} predicted)",
        ),
    ]
    columns = ["", "plain", "compressed", "encrypted"]
    out.say("\n" + table([dict(zip(columns, row, strict=True)) for row in rows], columns))
    out.say(f"\nWhat one image costs (modelled):\n{comparison}")
    result |= {"accuracy_plain": plain_accuracy, "accuracy_converted": converted}
    result |= {"compression_rate": rate, "estimates": comparison.to_json()}
    out.result(
        result, f"\n{right} of {images} encrypted digits named right, {result['server_ms']:.0f} ms each on the server"
    )


def _size(count: float) -> str:
    return f"{count:.0f} B" if count < 1000 else f"{count / 1e3:.1f} kB" if count < 1e6 else f"{count / 1e6:.2f} MB"


def _pictures(images: Any, captions: list[str]) -> str:
    """Grey images (count, 28, 28) in [0, 1] beside each other, their middle parts in letters."""
    shades = " .:*#"
    halved = (images[:, 4:24:2, 5:23] + images[:, 5:24:2, 5:23]) / 2  # a letter is twice as high as it is wide
    pictures = [["".join(shades[min(int(5 * grey), 4)] for grey in row) for row in image] for image in halved]
    lines = [*zip(*pictures, strict=True), [f"{caption:<18}" for caption in captions[: len(pictures)]]]
    return "\n".join("  ".join(line).rstrip() for line in lines)


if __name__ == "__main__":
    main()
