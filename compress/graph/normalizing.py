"""Rules for normalizations: by running statistics, which are constants, and of each input, which are replaced."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from compress.graph.building import Builder, argument, source_of
from compress.graph.composite import FittedNorm

#: Normalizations over trailing axes; all others keep one pair of parameters per channel.
_TRAILING = (nn.LayerNorm, nn.RMSNorm, F.layer_norm, F.rms_norm, torch.layer_norm, torch.rms_norm)
#: Those that subtract the mean first.
_CENTRED = (nn.LayerNorm, F.layer_norm, torch.layer_norm)


def batch_norm(build: Builder, node: fx.Node) -> None:
    module: Any = build.module_of(node)
    if module.running_mean is None or module.running_var is None:
        norm_of_each_input(build, node)
    else:
        build.append(node, "norm", module=module)


def batch_norm_function(build: Builder, node: fx.Node) -> None:
    """F.batch_norm by running statistics: a factor and a shift per channel."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    given = {name: argument(node, place, name, None) for place, name in enumerate(names)}
    if given["training"] or given["running_mean"] is None:
        norm_of_each_input(build, node)
        return
    mean, var = build.constant(given["running_mean"]), build.constant(given["running_var"])
    scale = 1.0 / torch.sqrt(var + (1e-5 if given["eps"] is None else given["eps"]))  # type: ignore[operator]
    scale = scale if given["weight"] is None else scale * build.constant(given["weight"])
    shift = -mean * scale + (0.0 if given["bias"] is None else build.constant(given["bias"]))
    column = (-1,) + (1,) * (len(build.shape(node)) - 1)
    build.append(node, "affine", scale=scale.reshape(column).numpy(), shift=shift.reshape(column).numpy())


def channel_affine(build: Builder, node: fx.Node) -> None:
    build.append(node, "norm", module=build.module_of(node))


def norm_of_each_input(build: Builder, node: fx.Node) -> None:
    """A division by a deviation of the values themselves: conversion puts constants in its place.

    Options: axes, how many of the last axes have parameters of their own (0: the channels have); centred: whether the
    mean over the last axis is subtracted first.
    """
    module: Any = build.module_of(node)
    kind: Any = node.target if module is None else type(module)
    given = argument(node, 1, "normalized_shape", ()) if module is None else getattr(module, "normalized_shape", ())
    axes = 0
    if kind in _TRAILING:
        axes = 1 if isinstance(given, int) else len(given)  # type: ignore[arg-type]
    build.append(node, "samplenorm", module=module, axes=axes, centred=kind in _CENTRED and axes == 1)


def fitted_norm(build: Builder, node: fx.Node) -> None:
    """What conversion made of such a normalization: a linear map."""
    module = build.module_of(node)
    assert isinstance(module, FittedNorm)
    inputs = (build.value_of[source_of(node)],)
    if module.centred:
        size = build.shape(node)[-1]
        axis, matrix = len(build.shape(node)) - 1, np.eye(size) - 1.0 / size
        inputs = (build.append(node, "axismap", inputs=inputs, suffix=".centre", axis=axis, matrix=matrix),)
    build.append(node, "affine", inputs=inputs, scale=build.array(module.scale), shift=build.array(module.shift))
