"""Batch normalization folded into the linear layer before it, ahead of any compression."""

from __future__ import annotations

from collections import Counter

from torch import fx, nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from compress.model.unhooked import unhooked_copy

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """A copy in eval mode with every normalization folded exactly into the convolution or linear layer before it.

    A normalization is folded if that layer is its only source and is read by nothing else. A layer that is parametrized
    (quantized already) or called twice keeps its normalization. A module without normalizations, or one that torch.fx
    cannot trace, is only copied.
    """
    copied = unhooked_copy(module)
    if not any(isinstance(part, _NORMS) for part in copied.modules()):
        return copied
    try:
        traced = fx.symbolic_trace(copied)
    except Exception:  # user code with control flow; only conversion refuses it, by the name of the layer
        return copied
    nodes = list(traced.graph.nodes)
    calls = Counter(id(traced.get_submodule(str(node.target))) for node in nodes if node.op == "call_module")
    for node in nodes:
        if node.op != "call_module" or not isinstance(norm := traced.get_submodule(str(node.target)), _NORMS):
            continue
        source = node.args[0]
        if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) != 1:
            continue
        linear = traced.get_submodule(str(source.target))
        fused = _fused(linear, norm) if calls[id(linear)] == 1 else None
        if fused is not None:
            traced.set_submodule(str(source.target), fused)
            node.replace_all_uses_with(source)
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def _fused(linear: nn.Module, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Module | None:
    """The layer with the normalization in its weights; None if the two cannot be folded."""
    if norm.running_mean is None or parametrize.is_parametrized(linear):
        return None
    if isinstance(linear, _CONVOLUTIONS):
        return fuse_conv_bn_eval(linear, norm)
    if isinstance(linear, nn.Linear) and linear.out_features == norm.num_features:
        return fuse_linear_bn_eval(linear, norm)
    return None
