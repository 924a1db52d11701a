"""The torch modules, functions and methods that mean the same, one set per meaning.

A module is spelled by its class, a function by itself, a method by its name.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from compress.graph.composite import ElementwiseActivation, FittedNorm, FittedSoftmax
from compress.graph.modules import ChannelAffine, PolynomialActivation

Spelling = type[nn.Module] | Callable[..., Any] | str
Spellings = frozenset[Any]

LINEAR: Spellings = frozenset({nn.Linear, F.linear})
CONVOLUTION: Spellings = frozenset({nn.Conv1d, nn.Conv2d, F.conv1d, F.conv2d})
TRANSPOSED: Spellings = frozenset({nn.ConvTranspose1d, nn.ConvTranspose2d, F.conv_transpose1d, F.conv_transpose2d})
MATRIX_PRODUCT: Spellings = frozenset({operator.matmul, torch.matmul, torch.mm, torch.bmm, "matmul", "mm", "bmm"})
ADDED_PRODUCT: Spellings = frozenset({torch.addmm})
EINSUM: Spellings = frozenset({torch.einsum})
#: Operations that are linear in their one value, if the rest is constant.
LINEAR_IN_ONE_VALUE: Spellings = frozenset({torch.tensordot, torch.baddbmm, torch.cumsum, "cumsum", torch.diff, "diff"})
BATCH_NORM: Spellings = frozenset({nn.BatchNorm1d, nn.BatchNorm2d})
BATCH_NORM_FUNCTION: Spellings = frozenset({F.batch_norm})
#: Normalizations by statistics of each input.
NORM_OF_EACH_INPUT: Spellings = frozenset({
    nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.RMSNorm, nn.LocalResponseNorm, F.layer_norm,
    F.group_norm, F.instance_norm, F.rms_norm, F.local_response_norm,
})  # fmt: skip
#: The modules that conversion itself puts into a model.
CHANNEL_AFFINE: Spellings = frozenset({ChannelAffine})
POLYNOMIAL: Spellings = frozenset({PolynomialActivation})
FITTED_NORM: Spellings = frozenset({FittedNorm})
FITTED_SOFTMAX: Spellings = frozenset({FittedSoftmax})

#: Element-wise functions that conversion replaces by a fitted polynomial.
ACTIVATION_MODULES: Spellings = frozenset({
    nn.ReLU, nn.LeakyReLU, nn.SiLU, nn.GELU, nn.Sigmoid, nn.Tanh, nn.ELU, nn.SELU, nn.CELU, nn.Softplus, nn.Hardtanh,
    nn.ReLU6, nn.Hardswish, nn.Hardsigmoid, nn.Mish, nn.Softsign, nn.LogSigmoid, nn.Tanhshrink, nn.Hardshrink,
    nn.Softshrink, nn.Threshold, nn.RReLU,
})  # fmt: skip
ACTIVATION_FUNCTIONS: Spellings = frozenset({
    torch.relu, torch.relu_, F.relu, F.relu_, torch.sigmoid, F.sigmoid, torch.tanh, F.tanh, F.leaky_relu, F.silu,
    F.gelu, F.elu, F.selu, torch.selu, F.celu, F.softplus, F.hardtanh, F.relu6, F.hardswish, F.hardsigmoid, F.mish,
    F.softsign, F.logsigmoid, F.tanhshrink, F.hardshrink, F.softshrink, F.threshold, torch.abs, torch.clamp, torch.clip,
    torch.sin, torch.cos, torch.erf, torch.exp, torch.expm1, torch.log, torch.log1p, torch.sqrt, torch.rsqrt,
    torch.reciprocal, torch.atan, torch.arctan, torch.sinh, torch.cosh, torch.asinh,
    "relu", "relu_", "sigmoid", "tanh", "abs", "clamp", "clip", "sin", "cos", "erf", "exp", "expm1", "log", "log1p",
    "sqrt", "rsqrt", "reciprocal", "atan", "clamp_min", "clamp_max",
})  # fmt: skip
#: A function of one value that a model writes in several operations, as importing puts it together.
COMPOSED: Spellings = frozenset({ElementwiseActivation})
PRELU: Spellings = frozenset({nn.PReLU, F.prelu, torch.prelu, "prelu"})
#: Element-wise operations that have a form only as a part of a function of one value.
PARTS: Spellings = PRELU | {
    torch.maximum, torch.minimum, "maximum", "minimum", operator.gt, operator.ge, operator.lt, operator.le, torch.gt,
    torch.ge, torch.lt, torch.le, "gt", "ge", "lt", "le", torch.sign, "sign", torch.heaviside,
}  # fmt: skip
SQUARE: Spellings = frozenset({torch.square, "square"})
POWER: Spellings = frozenset({operator.pow, torch.pow, "pow"})

ADD: Spellings = frozenset({operator.add, operator.iadd, torch.add, "add", "add_"})
SUBTRACT: Spellings = frozenset({operator.sub, operator.isub, torch.sub, torch.subtract, "sub", "sub_"})
MULTIPLY: Spellings = frozenset({operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_"})
DIVIDE: Spellings = frozenset({operator.truediv, operator.itruediv, torch.div, torch.true_divide, "div", "div_"})
NEGATE: Spellings = frozenset({operator.neg, torch.neg, "neg"})

AVERAGE_POOL: Spellings = frozenset({nn.AvgPool1d, nn.AvgPool2d, F.avg_pool1d, torch.avg_pool1d, F.avg_pool2d})
MAX_POOL: Spellings = frozenset({
    nn.MaxPool1d, nn.MaxPool2d, F.max_pool1d, torch.max_pool1d, F.max_pool2d, torch.max_pool2d,
})  # fmt: skip
ADAPTIVE_AVERAGE_POOL: Spellings = frozenset({
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, F.adaptive_avg_pool1d, torch.adaptive_avg_pool1d, F.adaptive_avg_pool2d,
})  # fmt: skip
ADAPTIVE_MAX_POOL: Spellings = frozenset({
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, F.adaptive_max_pool1d, F.adaptive_max_pool2d,
})  # fmt: skip
MEAN: Spellings = frozenset({torch.mean, "mean"})
SUM: Spellings = frozenset({torch.sum, "sum"})
INTERPOLATE: Spellings = frozenset({nn.Upsample, F.interpolate, F.upsample})
CONCATENATE: Spellings = frozenset({torch.cat, torch.concat, torch.concatenate})
ITEM: Spellings = frozenset({operator.getitem})
PAD: Spellings = frozenset({
    nn.ZeroPad1d, nn.ZeroPad2d, nn.ConstantPad1d, nn.ConstantPad2d, nn.ReflectionPad1d, nn.ReflectionPad2d,
    nn.ReplicationPad1d, nn.ReplicationPad2d, nn.CircularPad1d, nn.CircularPad2d, F.pad,
})  # fmt: skip
#: Operations whose result consists of elements of their values and constants.
MOVE: Spellings = frozenset({
    torch.chunk, torch.split, torch.tensor_split, torch.unbind, torch.stack, torch.narrow, torch.select,
    torch.index_select, torch.roll, torch.tile, torch.repeat_interleave, torch.movedim, torch.swapaxes, torch.tril,
    torch.triu, torch.masked_fill, torch.where, torch.hstack, torch.broadcast_to, F.unfold, F.pixel_shuffle,
    F.pixel_unshuffle, F.channel_shuffle, nn.Unfold, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle, "chunk",
    "split", "tensor_split", "unbind", "narrow", "select", "index_select", "roll", "tile", "repeat", "expand",
    "expand_as", "repeat_interleave", "movedim", "swapaxes", "tril", "triu", "masked_fill", "unfold", "broadcast_to",
    getattr,
})  # fmt: skip

RESHAPE: Spellings = frozenset({
    nn.Flatten, nn.Unflatten, torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze,
    "flatten", "view", "reshape", "squeeze", "unsqueeze", "unflatten",
})  # fmt: skip
PERMUTE: Spellings = frozenset({torch.permute, "permute"})
TRANSPOSE: Spellings = frozenset({torch.transpose, "transpose"})
#: Modules that do something during training only. Conversion takes them out before it trains.
DROPOUT_MODULES = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
ALIAS: Spellings = frozenset({
    nn.Identity, *DROPOUT_MODULES, "contiguous", "clone", "detach", torch.clone,
})  # fmt: skip
DROPOUT: Spellings = frozenset({
    F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout,
})  # fmt: skip
SOFTMAX: Spellings = frozenset({
    nn.Softmax, nn.LogSoftmax, F.softmax, F.log_softmax, torch.softmax, torch.log_softmax, "softmax", "log_softmax",
})  # fmt: skip

IN_PLACE: Spellings = frozenset({
    torch.relu_, F.relu_, operator.iadd, operator.isub, operator.imul, operator.itruediv,
    "relu_", "add_", "sub_", "mul_", "div_",
})  # fmt: skip
#: Spellings of one-dimensional pooling; every other pooling here has two dimensions.
ONE_DIMENSIONAL: Spellings = frozenset({
    nn.AvgPool1d, F.avg_pool1d, torch.avg_pool1d, nn.MaxPool1d, F.max_pool1d, torch.max_pool1d, nn.AdaptiveAvgPool1d,
    F.adaptive_avg_pool1d, torch.adaptive_avg_pool1d, nn.AdaptiveMaxPool1d, F.adaptive_max_pool1d,
})  # fmt: skip


def spelled(spelling: Spelling) -> str:
    """How a spelling is written in a model, for people: nn.Linear, F.relu, torch.add, x + y, x.view()."""
    if isinstance(spelling, str):
        return f"x.{spelling}()"
    if spelling is getattr:
        return "x.mT"  # the one attribute that is an operation
    name, home = spelling.__name__, getattr(spelling, "__module__", None) or ""
    if isinstance(spelling, type):
        return f"nn.{name}" if home.startswith("torch.nn") else name
    if home == "_operator":
        return _OPERATORS[name]
    if spelling is F.logsigmoid:  # a built-in function that has another name
        return "F.logsigmoid"
    only_functional = getattr(F, name, None) is spelling and getattr(torch, name, None) is not spelling
    return f"F.{name}" if only_functional else f"torch.{name}"


_OPERATORS = {
    "add": "x + y", "iadd": "x += y", "sub": "x - y", "isub": "x -= y", "mul": "x * y", "imul": "x *= y",
    "truediv": "x / y", "itruediv": "x /= y", "neg": "-x", "pow": "x ** y", "matmul": "x @ y", "getitem": "x[...]",
    "gt": "x > y", "ge": "x >= y", "lt": "x < y", "le": "x <= y",
}  # fmt: skip
