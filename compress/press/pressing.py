"""From a trained model to a converted network by one Setting: block pruning, OPQ with fine-tuning, conversion.

This is the one place that runs the methods one after the other. What a setting costs under encryption is not known
here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from torch import nn

from compress.blocks.prune import prune_blocks
from compress.checks import check_seed
from compress.conversion.convert import convert
from compress.conversion.options import EPOCHS, Conversion
from compress.conversion.recipes import recipe_names
from compress.conversion.stable import PLAIN_DEPTH, depth
from compress.dataset import Dataset, Progress
from compress.graph.importing import import_model
from compress.graph.joined import joined
from compress.graph.layers import Layer
from compress.model.compressed import CompressedModel, module_of
from compress.model.unhooked import unhooked_copy
from compress.network import Network
from compress.opq.opq import opq
from compress.opq.shots import opq_in_shots, rising_shots
from compress.press.setting import Setting
from compress.training.finetune import finetune
from compress.training.objective import settled_for

#: Bits behind the point of the weights of deep networks.
DEEP_FRACTION_BITS = 7

#: Epochs of fine-tuning between two shots.
EPOCHS_BETWEEN = 1


def pruned(
    model: nn.Module | CompressedModel,
    data: Dataset,
    setting: Setting,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> nn.Module | CompressedModel:
    """The model without the blocks that the setting prunes; the model itself when it prunes none.

    Raises: what `prune_blocks` raises.
    """
    check_seed(seed)
    if setting.block is None:
        return model
    return prune_blocks(
        model, data, sparsity=setting.share, block=setting.block, cost=setting.cost, seed=seed, progress=progress
    )


def pressed(
    model: nn.Module | CompressedModel,
    data: Dataset,
    setting: Setting,
    *,
    augment: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> Network:
    """The converted network: `pruned`, then `trained`.

    A model without its blocks, or pruned in shots, is distilled from the given one, and so is any model where labels
    are no classes.
    """
    check_seed(seed)
    data, _ = settled_for(module_of(model), data, trust_labels=isinstance(model, CompressedModel))
    start = pruned(model, data, setting, seed=seed, progress=progress)
    alone = start is model and setting.shots is None and learns_from_labels(data)
    teacher = None if alone else module_of(model)
    return trained(start, data, setting, teacher=teacher, augment=augment, seed=seed, progress=progress)


def coded(
    model: nn.Module | CompressedModel,
    data: Dataset,
    setting: Setting,
    *,
    teacher: nn.Module | None = None,
    augment: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> nn.Module | CompressedModel:
    """The model with the setting's codebook, fine-tuned on it; the model itself when the setting has none.

    teacher: the network that fine-tuning distils from; without it, it learns from labels.
    """
    check_seed(seed)
    if setting.bits is None:
        return model
    if setting.shots is not None:
        shots = rising_shots(
            setting.sparsity, setting.bits, shots=setting.shots, epochs_between=EPOCHS_BETWEEN,
            epochs=setting.finetune_epochs,
        )  # fmt: skip
        return opq_in_shots(model, data, shots, teacher=teacher, augment=augment, seed=seed, progress=progress)
    small = opq(model, sparsity=setting.sparsity, bits=setting.bits)
    if not setting.finetune_epochs:
        return small
    return finetune(
        small, data, epochs=setting.finetune_epochs, teacher=teacher, augment=augment, seed=seed, progress=progress
    )


def trained(
    start: nn.Module | CompressedModel,
    data: Dataset,
    setting: Setting,
    *,
    teacher: nn.Module | None = None,
    augment: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> Network:
    """OPQ, fine-tuning and conversion of a model that is pruned already.

    teacher: the network that conversion distils from, and fine-tuning too where labels are no classes; without it
    conversion distils from the model itself.
    """
    check_seed(seed)
    guide = None if learns_from_labels(data) else teacher
    small = coded(start, data, setting, teacher=guide, augment=augment, seed=seed, progress=progress)
    conversion = deep_conversion(small, data, setting.conversion)
    return convert(small, data, conversion, teacher=teacher, augment=augment, seed=seed, progress=progress)


def deep_conversion(model: nn.Module | CompressedModel, data: Dataset, conversion: Conversion) -> Conversion:
    """The conversion, for deep networks of convolutions with weights of DEEP_FRACTION_BITS and plain squares.

    A deep network has few bits for each of its levels, so that its weights must do with few. Which of them are pruned
    stays; the codebook of a compressed model does not. In transformers several dense layers become one map, whose
    numbers have many bits whatever those of its layers.
    """
    layers = imported_layers(model, data)
    deep = is_deep(layers, conversion.straight) and not attends(layers)
    return replace(conversion, fraction_bits=DEEP_FRACTION_BITS) if deep else conversion


def usual_setting(model: nn.Module | CompressedModel, data: Dataset) -> Setting:
    """What is done to a model where nothing is asked for: the defaults, but no OPQ in deep networks and transformers.

    Single weights that are pruned save no encrypted product there, and weights of few bits neither: conversion rounds
    those of deep networks itself, and combines those of transformers.
    """
    layers = imported_layers(model, data)
    plain = is_deep(layers) or attends(layers)
    return Setting(sparsity=0.0, bits=None, finetune_epochs=0) if plain else Setting()


def is_deep(layers: Sequence[Layer], straight: Collection[str] = ()) -> bool:
    """Whether a network has convolutions and more than PLAIN_DEPTH activations in a row."""
    return depth(layers, straight) > PLAIN_DEPTH and any(layer.kind == "conv" for layer in layers)


def attends(layers: Sequence[Layer]) -> bool:
    """Whether a network has the softmax of attention inside."""
    return any(layer.kind == "softmax" for layer in layers)


def imported_layers(model: nn.Module | CompressedModel, data: Dataset) -> tuple[Layer, ...]:
    own, rows = joined(model, data)
    return import_model(unhooked_copy(module_of(own)), rows.input_shape).layers


def learns_from_labels(data: Dataset) -> bool:
    """Whether compressed networks are fine-tuned on labels, which name classes. Others learn from the given network."""
    return data.task in (None, "classes")


def with_epochs(model: nn.Module | CompressedModel, data: Dataset, setting: Setting) -> Setting:
    """The setting with the epochs that `convert` would take where it has none, so that a search can double them."""
    if setting.convert_epochs is not None:
        return setting
    conversion = setting.conversion
    imported = import_model(unhooked_copy(module_of(model)), data.input_shape)
    if recipe_names(imported, conversion)[0] == "stable":  # its epochs have a least number of steps
        return replace(setting, convert_epochs=EPOCHS)
    passes = conversion.passes(len(data.x_train))
    return replace(setting, convert_epochs=passes["epochs"], convert_batch_size=passes["batch_size"])
