"""The advice in error messages: what to use instead of a layer or function that cannot run under CKKS here."""

from __future__ import annotations

from compress.errors import UnsupportedLayerError

#: Lower-case part of the name of an operation -> advice. The first key that matches is taken, so longer keys come
#: first.
ADVICE: dict[str, str] = {
    "softmax": "leave it to the client after decryption; of features use an element-wise gate such as a sigmoid; in "
    "attention it has (batch, queries, keys) or (batch, heads, queries, keys)",
    "attention": "use nn.MultiheadAttention, or write out softmax(q @ k.transpose(-2, -1)) @ v",
    "transformer": "use nn.TransformerEncoderLayer, which has an encrypted form",
    "lstm": "unroll to linear layers over a fixed length, or use Conv1d",
    "gru": "unroll to linear layers over a fixed length, or use Conv1d",
    "rnn": "unroll to linear layers over a fixed length, or use Conv1d",
    "embedding": "embed on the client and feed the vectors: a table look-up needs the index in clear",
    "long": "give numbers: whole numbers index tables, which need the index in clear; embed on the client",
    "conv_transpose3d": "use two spatial axes, with the third one among the channels",
    "convtranspose3d": "use two spatial axes, with the third one among the channels",
    "conv3d": "use Conv2d with the third axis among the channels",
    "bilinear": "multiply two values after a Linear each",
    "batch_norm": "use nn.BatchNorm1d or nn.BatchNorm2d as a module, with running statistics",
    "batchnorm": "use BatchNorm1d or BatchNorm2d with running statistics",
    "norm": "use BatchNorm, which folds into the layer before it, or LayerNorm, which conversion replaces",
    "matmul": "multiply a value by a matrix of weights; products of two values go element by element (x * y)",
    "einsum": "multiply a value by weights; products of two values go element by element (x * y)",
    "bmm": "multiply a value by a matrix of weights; products of two values go element by element (x * y)",
    "argmax": "leave it to the client after decryption",
    "argmin": "leave it to the client after decryption",
    "pool3d": "use two spatial axes, with the third one among the channels",
    "max": "use max pooling or an element-wise maximum with a constant, or leave it to the client after decryption",
    "min": "leave the minimum to the client after decryption",
    "sort": "leave it to the client after decryption",
    "topk": "leave it to the client after decryption",
    "where": "choose by a constant mask, or by a comparison of the value itself, as in where(x > 0, x, 0.1 * x)",
    "item": "compute on the whole tensor: no number of the data is known before decryption",
    "div": "divide by a constant or by a function of the same value; a division of two values is not offered",
    "prod": "multiply the parts one by one (x[:, 0] * x[:, 1])",
    "cumsum": "use a Linear with a triangular matrix of ones",
    "std": "use BatchNorm, whose statistics are constants",
    "var": "use BatchNorm, whose statistics are constants",
}

SUPPORTED = (
    "Linear, Conv1d/2d and their transposes, normalizations, pooling, resampling, element-wise activations, sums and "
    "products of values, slices, concatenation, padding, reshapes, permutations and constant arithmetic"
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
