"""The advice in error messages: what to use instead of a layer or function that cannot run under CKKS here."""

from __future__ import annotations

from compress.errors import UnsupportedLayerError

#: Lower-case part of the name of an operation -> advice. The first key that matches is taken, so longer keys come
#: first.
ADVICE: dict[str, str] = {
    "layernorm": "use BatchNorm, which folds into the layer before it: a norm of each input needs a division",
    "layer_norm": "use BatchNorm, which folds into the layer before it: a norm of each input needs a division",
    "groupnorm": "use BatchNorm, which folds into the layer before it: a norm of each input needs a division",
    "group_norm": "use BatchNorm, which folds into the layer before it: a norm of each input needs a division",
    "instancenorm": "use BatchNorm, which folds into the layer before it: a norm of each input needs a division",
    "instance_norm": "use BatchNorm, which folds into the layer before it: a norm of each input needs a division",
    "rmsnorm": "use BatchNorm, which folds into the layer before it: a norm of each input needs a division",
    "batch_norm": "use nn.BatchNorm1d or nn.BatchNorm2d as a module, with running statistics",
    "batchnorm": "use BatchNorm1d or BatchNorm2d with running statistics",
    "softmax": "leave it to the client after decryption; inside the network use a polynomial gate instead",
    "multiheadattention": "replace attention by convolutions or linear layers over a fixed length",
    "attention": "replace attention by convolutions or linear layers over a fixed length",
    "transformer": "replace attention by convolutions or linear layers over a fixed length",
    "lstm": "unroll to linear layers over a fixed length, or use Conv1d",
    "gru": "unroll to linear layers over a fixed length, or use Conv1d",
    "rnn": "unroll to linear layers over a fixed length, or use Conv1d",
    "embedding": "embed on the client and feed the vectors: a table look-up needs the index in clear",
    "convtranspose": "use nn.Upsample on the client, or a Conv after a Linear",
    "conv_transpose": "use nn.Upsample on the client, or a Conv after a Linear",
    "conv3d": "use Conv2d with the third axis among the channels",
    "conv1d": "use nn.Conv1d as a module",
    "conv2d": "use nn.Conv2d as a module",
    "linear": "use nn.Linear as a module",
    "matmul": "use nn.Linear for a product with weights; a product of two encrypted values is not offered",
    "einsum": "use nn.Linear or nn.Conv for a product with weights",
    "bmm": "use nn.Linear for a product with weights; a product of two encrypted values is not offered",
    "adaptive": "choose an output size that divides the input size",
    "dropout": "use nn.Dropout as a module: conversion removes it",
    "upsample": "use a stride of 1 earlier instead of up-sampling later",
    "interpolate": "use a stride of 1 earlier instead of up-sampling later",
    "pad": "use the padding of the convolution itself (zeros)",
    "concat": "add the branches (x + y) after a Linear or Conv each instead of concatenating them",
    "cat": "add the branches (x + y) after a Linear or Conv each instead of concatenating them",
    "stack": "add the branches (x + y) instead of stacking them",
    "getitem": "select with a Linear or strided Conv instead of indexing",
    "split": "use one Linear or Conv for each branch instead of splitting",
    "chunk": "use one Linear or Conv for each branch instead of splitting",
    "argmax": "leave it to the client after decryption",
    "max": "use average pooling, or leave the maximum to the client after decryption",
    "min": "leave the minimum to the client after decryption",
    "sort": "leave it to the client after decryption",
    "topk": "leave it to the client after decryption",
    "where": "use an activation such as ReLU, which conversion replaces by a polynomial",
    "norm": "use BatchNorm, which folds into the layer before it",
    "div": "divide by a constant; a division by an encrypted value is not offered",
    "mul": "multiply by a constant or square a value; a product of two different encrypted values is not offered",
    "sum": "use an average (mean over the spatial axes or AvgPool) or a Linear",
}

SUPPORTED = (
    "Linear, Conv1d/2d, BatchNorm1d/2d, average, adaptive average and max pooling, element-wise activations, "
    "reshapes, permutations, additions and constant arithmetic"
)


def advice_for(operation: str) -> str:
    """What to use instead of `operation` (a class or function name)."""
    lowered = operation.lower()
    return next(
        (text for key, text in ADVICE.items() if key in lowered), f"build it from what is supported: {SUPPORTED}"
    )


def unsupported(layer: str, operation: str, reason: str = "", advice: str = "") -> UnsupportedLayerError:
    """The error for `operation` at `layer`. reason: what is wrong with this use, if the operation is fine elsewhere."""
    what = f"{operation} {reason}" if reason else f"{operation} has no encrypted form"
    return UnsupportedLayerError(layer, f"{what}; {advice or advice_for(operation)}")
