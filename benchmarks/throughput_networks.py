"""The networks of the throughput table: every zoo network by every method, trained, converted and kept on disk.

    python -m benchmarks.throughput_networks FOLDER [NETWORK ...] [--processes 4]

A network that lies in the folder already, made by the same recipe, is not trained again, so a run that was stopped goes
on where it was. All steps are the product's own: OPQ with fine-tuning on its codebook, joint quantization, block
pruning, and conversion with the zoo's press settings.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cipherpress as cp
from compress.network import Network
from compress.network_file import load_network

logger = logging.getLogger(__name__)

SEED = 0
NETWORKS = ("mlp", "lenet300", "lenet5", "cnn")
#: Shots of pruning above EASY of the weights, epochs of fine-tuning between two of them, and after the last one.
SHOTS, EASY, EPOCHS_BETWEEN, EPOCHS_LAST = 3, 0.5, 1, 3


@dataclass(frozen=True)
class Variant:
    """One way to make a network small. name: for people.

    sparsity: share of weights that OPQ prunes, in shots with fine-tuning; None for no OPQ. code_bits: mean bits of its
    codes. joint_bits: of joint quantization after it; None for none. block, share: pruned before. taught: converted on
    distorted images, from what the uncompressed network answers, as `press --shots` does. convert_epochs,
    convert_distortion: of conversion, where they are not those of the zoo's press setting.
    """

    name: str
    sparsity: float | None = None
    code_bits: float = 5.0
    joint_bits: int | None = None
    block: str | None = None
    share: float = 0.0
    taught: bool = False
    convert_epochs: int | None = None
    convert_distortion: float | None = None


VARIANTS = (
    Variant("float weights"),
    Variant("dense, 5 bits", 0.0),
    Variant("dense, 4 bits, taught", 0.0, 4.0, taught=True),
    Variant("OPQ 50 %", 0.5),
    Variant("OPQ 75 %, taught", 0.75, taught=True, convert_epochs=32, convert_distortion=0.4),
    Variant("OPQ 80 %", 0.8),
    Variant("OPQ 90 %", 0.9),
    Variant("OPQ 95 %", 0.95),
    Variant("joint, 8 bits", joint_bits=8),
    Variant("joint, 6 bits", joint_bits=6),
    Variant("joint, 5 bits", joint_bits=5),
    Variant("joint, 4 bits", joint_bits=4),
    Variant("OPQ 90 %, joint 5 bits", 0.9, joint_bits=5),
    Variant("half the inputs, 5 bits", 0.0, block="inputs:1", share=0.5),
)


#: Variants that are left out for networks with convolutions, whose training takes longest.
DENSE_NETWORKS_ONLY = ("OPQ 50 %", "joint, 4 bits", "OPQ 90 %, joint 5 bits", "half the inputs, 5 bits")
#: Variants of mlp alone, whose one hidden layer loses most where it learns from the compressed network.
MLP_ONLY = ("dense, 4 bits, taught", "OPQ 75 %, taught")


def variants_of(network: str) -> tuple[Variant, ...]:
    """The variants of a network in the table."""
    left_out = {"mlp": (), "lenet300": MLP_ONLY}.get(network, (*DENSE_NETWORKS_ONLY, *MLP_ONLY))
    return tuple(variant for variant in VARIANTS if variant.name not in left_out)


def variant_folder(folder: Path, network: str, variant: Variant) -> Path:
    """Where a network of the table lies."""
    words = "".join(letter if letter.isalnum() else " " for letter in variant.name).split()
    return Path(folder) / network / "-".join(words)


def stored(folder: Path, network: str, variant: Variant) -> Network | None:
    """The network if it lies there and was made by this recipe."""
    path = variant_folder(folder, network, variant)
    if not path.is_dir():
        return None
    found = load_network(path)
    return found if found.about.get("recipe") == _recipe(variant) else None


def trained(folder: Path, network: str, variant: Variant) -> Network:
    """The network, from the folder or trained and saved there."""
    found = stored(folder, network, variant)
    if found is None:
        found = _trained(network, variant)
        cp.save(found, variant_folder(folder, network, variant), force=True)
    return found


def _recipe(variant: Variant) -> dict[str, Any]:
    """The settings as JSON holds them, which a stored network has to be made by."""
    epochs = {"epochs_between": EPOCHS_BETWEEN, "epochs": EPOCHS_LAST}
    fields = asdict(variant)
    for name in ("taught", "convert_epochs", "convert_distortion"):
        if not fields[name]:
            del fields[name]  # as in the records of networks that were trained before there were such parts
    return {**fields, "seed": SEED, "shots": SHOTS, **epochs}


def _trained(name: str, variant: Variant) -> Network:
    from cipherpress.zoo.presets import press_setting
    from compress.model.compressed import CompressedModel
    from compress.opq.shots import opq_in_shots, rising_shots

    data, model = cp.load_data("mnist"), cp.load_model(name)
    small: Any = model
    if variant.block is not None:
        small = cp.prune_blocks(small, data, sparsity=variant.share, block=variant.block, cost="block-count", seed=SEED)
    if variant.sparsity is not None:
        count = SHOTS if variant.sparsity > EASY else 1
        shots = rising_shots(
            variant.sparsity, variant.code_bits, shots=count, epochs_between=EPOCHS_BETWEEN, epochs=EPOCHS_LAST
        )
        small = opq_in_shots(small, data, shots, augment=True, seed=SEED)
    if variant.joint_bits is not None:
        small = cp.joint_quantize(small, data, bits=variant.joint_bits, seed=SEED)
    taught: dict[str, Any] = {"teacher": model, "augment": True} if variant.taught else {}
    own: dict[str, Any] = {name: getattr(variant, name) for name in ("convert_epochs", "convert_distortion")}
    setting = replace(press_setting(name), **{field: value for field, value in own.items() if value is not None})
    network = cp.convert(small, data, setting.conversion, **taught, seed=SEED)
    rate = cp.account(small)["compression_rate"] if isinstance(small, CompressedModel) else 1.0
    return replace(network, about={**network.about, "compression_rate": rate, "recipe": _recipe(variant)})


def train_all(folder: Path, networks: Iterable[str], variants: Sequence[str], processes: int) -> None:
    """Train what is missing, several networks at a time, one thread each. variants: names; none for all."""
    jobs = [
        (network, variant)
        for network in networks
        for variant in variants_of(network)
        if (not variants or variant.name in variants) and stored(folder, network, variant) is None
    ]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        running = {pool.submit(trained, folder, network, variant): (network, variant.name) for network, variant in jobs}
        for done in as_completed(running):
            name, about = running[done], done.result().about
            logger.info("%s, %s: %.4f, %.1f times smaller", *name, about["accuracy_after"], about["compression_rate"])


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--variant", action="append", default=[], help="Only this one; repeats.")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    train_all(chosen.folder, chosen.networks, chosen.variant, chosen.processes)
