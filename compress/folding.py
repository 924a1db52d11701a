"""Batch normalization folded into the linear layer before it, before anything is compressed (OPQ fits folded weights)."""

from __future__ import annotations

import copy

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """A copy in eval mode whose batch normalizations are folded where a convolution or linear layer is their only source and they
    its only reader; exact. A module without any, or one that torch.fx cannot follow, is copied as it is."""
    copied = copy.deepcopy(module).eval()
    if not any(isinstance(part, _NORMS) for part in copied.modules()):
        return copied
    try:
        traced = fx.symbolic_trace(copied)
    except Exception:  # user code with control flow: conversion names the layer, compression alone goes on
        return copied
    layers = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        norm = layers.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(norm, _NORMS) or norm.running_mean is None:
            continue
        source = node.args[0]
        linear = layers.get(str(source.target)) if isinstance(source, fx.Node) and source.op == "call_module" else None
        if linear is None or len(source.users) != 1:
            continue
        if isinstance(linear, _CONVOLUTIONS):
            fused: nn.Module = fuse_conv_bn_eval(linear, norm)
        elif isinstance(linear, nn.Linear):
            fused = fuse_linear_bn_eval(linear, norm)
        else:
            continue
        traced.set_submodule(str(source.target), fused)
        node.replace_all_uses_with(source)
        traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced
