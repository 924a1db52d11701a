"""cipherpress: compress a trained torch network for the ciphertext, compile it to CKKS, run it on encrypted data.

The public names, loaded when first used: a server that imports this module starts without torch.

timing/   what the kernels of this machine take
zoo/      data sets and reference networks
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what editors and type checkers see; at run time __getattr__ loads each name when it is first used
    from torch import nn

    from cipherpress.zoo.datasets import load_data as load_data
    from cipherpress.zoo.loading import load_model as load_model
    from cipherpress.zoo.training import train as train
    from compress.blocks.prune import prune_blocks as prune_blocks
    from compress.conversion.convert import convert as convert
    from compress.errors import CipherpressError as CipherpressError
    from compress.joint.quantize import joint_quantize as joint_quantize
    from compress.model.compressed import CompressedModel
    from compress.model.onnx_file import export_onnx as export_onnx
    from compress.network import Network
    from compress.opq.opq import opq as opq
    from compress.press.target import Costs, Found
    from compress.training.finetune import finetune as finetune
    from hwmodel.report import compare as compare
    from hwmodel.report import estimate as estimate
    from secure.bundle.specs import Bundle
    from secure.parties.client import Client as Client
    from secure.parties.server import Server as Server
    from secure.plan import Plan as Plan

__version__ = "0.1.0"

_NAMES = {
    "Bundle": "secure.bundle.specs",
    "CipherpressError": "compress.errors",
    "Client": "secure.parties.client",
    "CompressedModel": "compress.model.compressed",
    "Network": "compress.network",
    "Plan": "secure.plan",
    "Server": "secure.parties.server",
    "compare": "hwmodel.report",
    "convert": "compress.conversion.convert",
    "estimate": "hwmodel.report",
    "export_onnx": "compress.model.onnx_file",
    "finetune": "compress.training.finetune",
    "load_data": "cipherpress.zoo.datasets",
    "load_model": "cipherpress.zoo.loading",
    "opq": "compress.opq.opq",
    "joint_quantize": "compress.joint.quantize",
    "prune_blocks": "compress.blocks.prune",
    "train": "cipherpress.zoo.training",
}

__all__ = [
    "Bundle",
    "CipherpressError",
    "Client",
    "CompressedModel",
    "Network",
    "Plan",
    "Server",
    "compare",
    "compile",
    "convert",
    "estimate",
    "export_onnx",
    "finetune",
    "joint_quantize",
    "load",
    "load_data",
    "load_model",
    "opq",
    "press",
    "press_for",
    "prune_blocks",
    "save",
    "train",
]

CALIBRATION_IMAGES = 512


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'cipherpress' has no attribute '{name}'")
    return getattr(importlib.import_module(_NAMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


#: Expected share of classes that encryption may change (`secure.drafting.draft` has the same; it is not loaded before it is needed).
ACCEPTABLE_DISAGREEMENT = 2.5e-3


def compile(
    network: Network,
    data: Any,
    *,
    max_error: float | None = None,
    max_disagreement: float = ACCEPTABLE_DISAGREEMENT,
    budget_keys_bytes: float = inf,
    budget_upload_bytes: float = inf,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> Bundle:
    """The bundle of a converted network, calibrated on training images of `data` (see `secure.compiling.compile.compile_network`).

    max_error: the largest error of a score, at six sigma; without it, max_disagreement: the largest share of classes that encryption may be
    expected to change. budget_keys_bytes, budget_upload_bytes: the most that all evaluation keys and one request may take. Plans are priced with the kernel
    times of `cipherpress calibrate` where this machine has them, else with the committed table; the report's `times` says which.
    """
    from cipherpress.timing.cache import current_times
    from hwmodel.counts import plain_workload
    from secure.compiling.compile import compile_network
    from secure.compiling.search import Budgets

    times = current_times()
    images = data.calibration(CALIBRATION_IMAGES, seed)
    bundle = compile_network(
        network,
        images,
        times=times.engine,
        seal_times=times.seal,
        max_error=max_error,
        max_disagreement=max_disagreement,
        budgets=Budgets(keys_bytes=budget_keys_bytes, upload_bytes=budget_upload_bytes),
        progress=progress,
    )
    added = {"times": times.origin, "plain_workload": plain_workload(network).to_json()}
    return replace(bundle, report={**bundle.report, **added})


def press(
    model: nn.Module | CompressedModel,
    data: Any,
    *,
    block: str | None = None,
    share: float = 0.0,
    cost: str = "ckks-diagonals",
    sparsity: float = 0.5,
    bits: float = 5,
    finetune_epochs: int = 1,
    convert_epochs: int = 8,
    convert_learning_rate: float = 2e-2,
    convert_batch_size: int = 256,
    convert_distortion: float = 1.0,
    augment: bool = True,
    max_error: float | None = None,
    max_disagreement: float = ACCEPTABLE_DISAGREEMENT,
    budget_keys_bytes: float = inf,
    budget_upload_bytes: float = inf,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> Bundle:
    """prune_blocks if a block is given, opq, finetune, convert and compile in one call.

    block, share, cost: as block, sparsity and cost of `prune_blocks`; conversion then distils from the unpruned model.
    Raises: ConfigError; what the steps raise.
    """
    from cipherpress.timing.cache import current_times
    from compress.errors import ConfigError
    from compress.press.pressing import pressed
    from compress.press.setting import Setting

    current_times()  # a damaged file is refused before anything is trained
    if (block is None) != (share == 0.0):
        raise ConfigError("share", share, "above 0 with a block, 0 without one; give both")
    setting = Setting(
        block=block,
        share=share,
        cost=cost,
        sparsity=sparsity,
        bits=bits,
        finetune_epochs=finetune_epochs,
        convert_epochs=convert_epochs,
        convert_learning_rate=convert_learning_rate,
        convert_batch_size=convert_batch_size,
        convert_distortion=convert_distortion,
    )
    network = pressed(model, data, setting, augment=augment, seed=seed, progress=progress)
    return compile(
        network,
        data,
        max_error=max_error,
        max_disagreement=max_disagreement,
        budget_keys_bytes=budget_keys_bytes,
        budget_upload_bytes=budget_upload_bytes,
        seed=seed,
        progress=progress,
    )


def press_for(
    model: nn.Module | CompressedModel,
    data: Any,
    *,
    min_accuracy: float,
    target_ms: float | None = None,
    target_keys_bytes: float | None = None,
    target_upload_bytes: float | None = None,
    families: Sequence[str] = ("inputs:1",),
    bits: float | None = None,
    convert_epochs: int = 8,
    convert_learning_rate: float = 2e-2,
    convert_batch_size: int = 256,
    convert_distortion: float = 1.0,
    augment: bool = True,
    max_error: float | None = None,
    max_disagreement: float = ACCEPTABLE_DISAGREEMENT,
    max_trials: int = 8,
    minutes: float = 30.0,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> Found:
    """Search for the compressed network whose plan meets a target; without target_ms for the fastest that is accurate enough.

    min_accuracy: on training images that are held out of all training. target_ms: server time, keys and upload as `compile` predicts
    them. max_error, max_disagreement: as of `compile`. families: of blocks that are tried. bits: of an OPQ codebook (None: none). max_trials, minutes: bounds of the search (see
    `compress.press.search.search`). The result's `met` and `verdict` say whether the target is met, `bundle` is what was found or comes
    closest, with its accuracy on all test images in the report.
    Raises: ConfigError; what convert and compile raise when not even the uncompressed network goes through.
    """
    from compress.blocks.patterns import parse_patterns
    from compress.conversion.calibrate import network_accuracy
    from compress.errors import BudgetError
    from compress.press.candidates import Candidates
    from compress.press.search import search
    from compress.press.setting import Setting
    from compress.press.target import Target
    from compress.training.held_out import hold_out

    target = Target(
        min_accuracy=min_accuracy, server_ms=target_ms, keys_bytes=target_keys_bytes, upload_bytes=target_upload_bytes
    )
    for family in families:
        parse_patterns(family)  # a name that is none is refused before anything is trained
    held = hold_out(data, seed=seed)
    precise = partial(compile, data=held, max_disagreement=max_disagreement, seed=seed)

    def compiled(network: Network, largest_error: float | None) -> tuple[tuple[Network, Bundle], Costs, float]:
        keys, upload = target_keys_bytes or inf, target_upload_bytes or inf
        try:
            bundle = precise(network, max_error=largest_error, budget_keys_bytes=keys, budget_upload_bytes=upload)
        except BudgetError:  # a plan that keeps to no budget says by how much it misses them
            bundle = precise(network, max_error=largest_error)
        return (network, bundle), _costs(bundle), bundle.client.predicted_logit_error

    maker = Candidates(model, held, compiled, max_error=max_error, augment=augment, seed=seed)
    start = Setting(
        sparsity=0.0,
        bits=bits,
        finetune_epochs=0,
        convert_epochs=convert_epochs,
        convert_learning_rate=convert_learning_rate,
        convert_batch_size=convert_batch_size,
        convert_distortion=convert_distortion,
    )
    found = search(maker, target, start, families, max_trials=max_trials, minutes=minutes, progress=progress)
    network, bundle = found.best.outcome
    about = {
        **bundle.report["about"],
        "accuracy_held_out": found.best.accuracy,
        "accuracy_after": network_accuracy(network, data.x_test, data.y_test),
        "test_images": len(data.x_test),
    }
    return found.with_bundle(replace(bundle, report={**bundle.report, "about": about, "targets": found.as_json()}))


def _costs(bundle: Bundle) -> Costs:
    """What a bundle's plan is predicted to cost, by the kinds of target."""
    from compress.press.target import Costs
    from secure.seal.sizes import ciphertext_bytes, evaluation_keys_bytes

    plan = bundle.server.plan
    manifest, params = plan.key_manifest, plan.params
    return Costs(
        server_ms=bundle.report["predicted_server_ms"],
        keys_bytes=evaluation_keys_bytes(params, len(manifest.galois_elements), relinearizes=manifest.relinearize),
        upload_bytes=plan.inputs * ciphertext_bytes(params, plan.input_level, seeded=True),
    )


def save(thing: CompressedModel | Network | Bundle, folder: str | Path, force: bool = False) -> None:
    """Write a CompressedModel, Network or Bundle as a folder.

    Raises: OverwriteError when it exists and force is False; TypeError for anything else.
    """
    from compress.network import Network
    from secure.bundle.specs import Bundle

    if isinstance(thing, Network):
        from compress.network_file import save_network

        save_network(thing, folder, force=force)
    elif isinstance(thing, Bundle):
        from secure.bundle.files import save_bundle

        save_bundle(thing, folder, force=force)
    else:
        from compress.model.compressed import CompressedModel
        from compress.model.saved import save_model

        if not isinstance(thing, CompressedModel):
            raise TypeError(f"cannot save {type(thing).__name__}; save a CompressedModel, a Network or a Bundle")
        save_model(thing, folder, force=force)


def load(folder: str | Path, module: nn.Module | None = None) -> CompressedModel | Network | Bundle:
    """What a folder holds. `module`: a fresh module of the same architecture, for compressed models that are not of the zoo.

    Raises: FormatError naming file and field.
    """
    from compress.errors import FormatError

    path = Path(folder)
    if (path / "client.json").is_file():
        from secure.bundle.files import load_bundle

        return load_bundle(path)
    kind = artifact_kind(path)
    if kind == "network":
        from compress.network_file import load_network

        return load_network(path)
    if kind == "compressed":
        from compress.model.saved import load_model_folder, read_record

        source = read_record(path)["source"]
        if module is None and source.get("kind") == "zoo":
            from cipherpress.zoo.loading import load_model

            module = load_model(source["name"])
        return load_model_folder(path, module)
    raise FormatError(f"{path}: no saved model, network or bundle in this folder")


def artifact_kind(folder: str | Path) -> str | None:
    """ "bundle", "network" or "compressed", by what lies in the folder; None for anything else."""
    import json

    path = Path(folder)
    if (path / "client.json").is_file():
        return "bundle"
    try:
        return str(json.loads((path / "model.json").read_bytes()).get("kind"))
    except (OSError, ValueError, AttributeError):
        return None
