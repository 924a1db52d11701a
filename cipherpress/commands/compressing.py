"""train, compress, convert: from a torch model to a converted network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import cipherpress as cp
from cipherpress.commands.artifacts import DataSource, Destination, ModelSource
from cipherpress.commands.command import command
from cipherpress.commands.console import Output, score_line, table
from cipherpress.commands.conversion import conversion_options
from cipherpress.commands.natives import native_line, training_options
from cipherpress.commands.options import (
    Group,
    augment_option,
    data_options,
    model_options,
    output_options,
    seed_option,
)
from cipherpress.commands.rates import Rates, rate_options, search_lines
from compress.blocks.options import COST_NAMES
from compress.opq.options import DEFAULT_BITS, DEFAULT_SPARSITY
from compress.tasks import SCORE_WORDS

if TYPE_CHECKING:
    from torch import nn

    from cipherpress.commands.natives import Training
    from compress.conversion.options import Conversion
    from compress.dataset import Dataset
    from compress.model.compressed import CompressedModel


@command("train", "cipherpress train mlp --data mnist -o out/mlp")
@click.argument("model")
@data_options
@output_options
@seed_option
@click.option("--epochs", type=click.IntRange(1), help="Passes over the training data (default: the network's recipe).")
@click.option("--learning-rate", type=float, help="Highest learning rate (default: the network's recipe).")
def train_command(
    out: Output,
    model: str,
    source: DataSource,
    output: Destination,
    seed: int,
    epochs: int | None,
    learning_rate: float | None,
) -> None:
    """Train MODEL from fresh weights; writes model.safetensors and model.json. The zoo's weights are made by this
    command.
    """
    from cipherpress.zoo.training import save_trained, train_spec

    output.check_folder()
    data = source.load()
    with out.progress("train") as progress:
        finished = train_spec(model, data, seed=seed, epochs=epochs, learning_rate=learning_rate, progress=progress)
    record = save_trained(finished, output.path, force=output.force)
    word = SCORE_WORDS[record["score"]]
    out.result(record, f"{word} {record['score_plain']:.4f} on {record['images']} test images; saved {output.path}")


#: Of fine-tuning after a method, where no rate is searched.
DEFAULT_EPOCHS = 2


class Methods:
    """What --method and its options ask for, checked before any work."""

    def __init__(self, methods: tuple[str, ...], sparsity: float | None, bits: float | None, **options: Any):
        self.methods, self.given_sparsity, self.given_bits = methods, sparsity, bits
        self.sparsity = DEFAULT_SPARSITY if sparsity is None else sparsity
        self.block, self.cost = options.pop("block"), options.pop("cost")
        self.activation_bits, self.epochs = options.pop("activation_bits"), options.pop("epochs")
        self.codebook = {"bits": DEFAULT_BITS if bits is None else bits, **options}
        self._check()

    def _check(self) -> None:
        """Raises: ConfigError."""
        from compress.blocks.options import check_blocks
        from compress.joint.options import check_joint
        from compress.opq.options import check_opq

        check_opq(sparsity=self.sparsity, **self.codebook)
        check_blocks(sparsity=self.sparsity, block=self.block, cost=self.cost)
        check_joint(bits=self.activation_bits)

    def check_with(self, rates: Rates) -> None:
        """Raises: UsageError for options that do not go together."""
        of_one_shot = {name: self.codebook[name] for name in ("granularity", "objective")}
        rates.check(self.methods, self.given_sparsity, of_one_shot)

    def apply(
        self,
        rates: Rates,
        start: nn.Module | CompressedModel,
        data: Dataset,
        *,
        augment: bool,
        seed: int,
        out: Output,
    ) -> CompressedModel:
        """The model after every method in turn; epochs of fine-tuning after each but joint quantization and a search.

        Fine-tuning learns from labels that name classes, and from the given model where there are none.
        """
        from compress.model.compressed import module_of
        from compress.press.pressing import learns_from_labels

        model, teacher = start, None if learns_from_labels(data) else module_of(start)
        epochs = DEFAULT_EPOCHS if self.epochs is None else self.epochs
        for method in self.methods:
            if method == "opq" and rates.searched:
                recipe = {"bits": self.given_bits, "epochs": self.epochs, "activation_bits": self.activation_bits}
                model = small = rates.search(model, data, recipe, augment=augment, seed=seed, out=out)
                continue
            small = self._apply_one(method, model, data, rates.target_rate, seed, out)
            if epochs and method != "joint":
                with out.progress("fine-tune") as progress:
                    small = cp.finetune(
                        small, data, epochs=epochs, teacher=teacher, augment=augment, seed=seed, progress=progress
                    )
            model = small
        return small

    def _apply_one(
        self,
        method: str,
        model: nn.Module | CompressedModel,
        data: Dataset,
        target_rate: float | None,
        seed: int,
        out: Output,
    ) -> CompressedModel:
        if method == "blocks":
            with out.progress("prune blocks") as progress:
                return cp.prune_blocks(
                    model, data, sparsity=self.sparsity, block=self.block, cost=self.cost, seed=seed, progress=progress
                )
        if method == "joint":
            with out.progress("joint quantization") as progress:
                return cp.joint_quantize(model, data, bits=self.activation_bits, seed=seed, progress=progress)
        if target_rate is None:
            return cp.opq(model, sparsity=self.sparsity, **self.codebook)
        from compress.opq.target_rate import opq_at_rate

        return opq_at_rate(model, target_rate, **self.codebook)


method_options = Group(
    "methods",
    Methods,
    (
        click.option(
            "--method",
            "methods",
            multiple=True,
            default=("opq",),
            type=click.Choice(["opq", "blocks", "joint"]),
            help="Repeat for several; they are applied in this order.",
        ),
        click.option(
            "--sparsity",
            type=float,
            help=f"Share of weights that goes; for blocks, share of cost.  [default: {DEFAULT_SPARSITY:g}]",
        ),
        click.option(
            "--bits",
            type=float,
            help=f"Mean bits of a weight that stays.  [default: {DEFAULT_BITS:g}; by rate in a search]",
        ),
        click.option(
            "--granularity",
            default="layer",
            show_default=True,
            type=click.Choice(["layer", "channel"]),
            help="One step per layer, or one per channel.",
        ),
        click.option(
            "--objective",
            default="storage",
            show_default=True,
            type=click.Choice(["storage", "encrypted"]),
            help="What opq spends --bits on: bytes stored per weight, or plaintext scale per layer.",
        ),
        click.option(
            "--block",
            default="residue:128",
            show_default=True,
            help="Family that blocks prunes: residue:128, band:16, tile:8x8, packed:32, inputs:4, outputs:4, taps, "
            "branch or whole; A+B+C gives the first layers a family each.",
        ),
        click.option(
            "--cost",
            default=COST_NAMES[0],
            show_default=True,
            type=click.Choice(COST_NAMES),
            help="Cost model of blocks: --sparsity is the share of this cost that goes.",
        ),
        click.option(
            "--activation-bits",
            type=click.IntRange(2, 16),
            default=8,
            show_default=True,
            help="Bits that joint gives activations, and weights that have no codebook.",
        ),
        click.option(
            "--epochs",
            type=click.IntRange(0),
            help="Fine-tuning on the fixed codebook (not after joint).  "
            f"[default: {DEFAULT_EPOCHS}; after the last shot of a search 15, or more for few rows]",
        ),
    ),
)


@command("compress", "cipherpress compress mlp --data mnist --method opq --sparsity 0.8 --bits 4 -o out/small")
@model_options
@data_options
@method_options
@rate_options
@augment_option
@output_options
@seed_option
def compress_command(
    out: Output,
    model: ModelSource,
    source: DataSource,
    methods: Methods,
    rates: Rates,
    augment: bool,
    output: Destination,
    seed: int,
) -> None:
    """Compress MODEL; prints sparsity, bits and rate by layer and the score before and after."""
    from compress.account.accounting import account
    from compress.graph.joined import joined
    from compress.model.compressed import module_of
    from compress.training.loop import predict
    from compress.training.objective import settled_for

    methods.check_with(rates)
    output.check_folder()
    start, rows = joined(model.trainable(), source.load())
    data, objective = settled_for(module_of(start), rows, trust_labels=isinstance(start, cp.CompressedModel))
    answers = predict(module_of(start), data.x_test)
    wanted = objective.scoring.wanted(answers) if data.y_test is None else data.y_test
    before = objective.score(answers, wanted)
    small = methods.apply(rates, start, data, augment=augment, seed=seed, out=out)
    output.save(small)
    # joint quantization states the score of integers, which the weights of its module do not give
    last = small.history[-1]
    integers = last["method"] in ("joint", "rate-search")
    after = last["score_after"] if integers else objective.score(predict(small.module, data.x_test), wanted)
    counted, named = account(small), objective.scoring.as_json()
    result = {**counted, "images": len(data.x_test), **named, "score_plain": before, "score_compressed": after}
    if objective.scoring.names_classes:
        result |= {"accuracy_plain": before, "accuracy_compressed": after}
    notes = ""
    if last["method"] == "rate-search":
        result["search"] = {name: value for name, value in last.items() if name not in ("method", "data", "images")}
        notes = f"{search_lines(last)}\n"
    columns = ["layer", "parameters", "nonzeros", "sparsity", "bits", "compression_rate", "position_encoding"]
    summary = (
        f"{score_line(named, before, after, len(data.x_test))}; "
        f"{counted['compression_rate']:.1f} times smaller, everything counted; saved {output.path}"
    )
    out.result(result, f"{table(counted['layers'], columns)}\n{notes}{summary}")


@command("convert", "cipherpress convert out/small --data mnist -o out/friendly")
@model_options
@data_options
@conversion_options
@training_options
@output_options
@seed_option
def convert_command(
    out: Output,
    model: ModelSource,
    source: DataSource,
    conversion: Conversion,
    training: Training,
    output: Destination,
    seed: int,
) -> None:
    """Replace MODEL's non-linearities by polynomials, fold its normalization, distil it from itself.

    With --native, train a network of a shape made for one ciphertext in its place.
    """
    native, augment = training.native, training.augment
    if native is not None and conversion != cp.Conversion():
        raise click.UsageError("--native trains a network of its own: give --native-epochs and its other options alone")
    output.check_folder()
    data = source.load()
    thing = model.trainable()
    with out.progress("convert") as progress:
        if native is None:
            network = cp.convert(thing, data, conversion, augment=augment, seed=seed, progress=progress)
        else:
            network = cp.native(thing, data, native, augment=augment, seed=seed, progress=progress)
    output.save(network)
    about: dict[str, Any] = dict(network.about)
    shown: dict[str, Any] = {
        name: about[name]
        for name in ("task", "score", "score_before", "score_after", "accuracy_before", "accuracy_after", "class_names")
        if name in about
    }
    made: dict[str, Any] = {name: about[name] for name in ("replaced", "native") if name in about}
    result = {"images": about["test_images"], **shown, **made}
    line = score_line(about, about["score_before"], about["score_after"], about["test_images"])
    told = f"{native_line(about)}\n" if native is not None else ""
    out.result(result, f"{told}{line}; saved {output.path}")
