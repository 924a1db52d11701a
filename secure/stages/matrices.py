"""Linear nodes of a Network as sparse matrices over flat features (in C order), with their constants. Pure."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from compress.network import (
    Affine,
    AvgPool,
    AxisMap,
    Conv,
    ConvTranspose,
    Dense,
    Gather,
    Node,
    Permute,
    Shape,
)

Array = NDArray[np.float64]


def linear_matrix(node: Node, input_shape: Shape) -> tuple[sparse.csr_matrix, Array]:
    """(matrix, constant) such that flat_output = matrix @ flat_input + constant.

    The matrix is (node.size, prod(input_shape)), the constant (node.size,).
    Raises: TypeError for nodes that are not linear in one value.
    """
    match node:
        case Dense():
            copies = prod(input_shape[:-1])
            matrix = sparse.kron(sparse.identity(copies), sparse.csr_matrix(node.weights.values()), format="csr")
            return matrix, np.tile(node.bias, copies)
        case Conv():
            matrix = _window_matrix(
                node.weights.values(), input_shape, node.shape, node.stride, node.padding, node.dilation, node.groups
            )
            return matrix, np.repeat(node.bias, prod(node.shape[1:]))
        case ConvTranspose():
            return _transposed_matrix(node, input_shape), np.repeat(node.bias, prod(node.shape[1:]))
        case AvgPool():
            channels = input_shape[0]
            filters = np.full((channels, 1, *node.kernel), 1.0 / prod(node.kernel))
            ones = (1,) * len(node.kernel)
            matrix = _window_matrix(filters, input_shape, node.shape, node.stride, node.padding, ones, channels)
            return matrix, np.zeros(node.size)
        case Affine():
            scale = np.broadcast_to(node.scale, node.shape).ravel()
            return sparse.diags(scale, format="csr"), np.broadcast_to(node.shift, node.shape).ravel().astype(np.float64)
        case Gather():
            rows = np.flatnonzero(node.indices >= 0)
            entries = (np.ones(len(rows)), (rows, node.indices[rows]))
            return sparse.csr_matrix(entries, shape=(node.size, prod(input_shape))), np.zeros(node.size)
        case AxisMap():
            before, after = prod(input_shape[: node.axis]), prod(input_shape[node.axis + 1 :])
            inner = sparse.kron(sparse.csr_matrix(node.matrix), sparse.identity(after), format="csr")
            return sparse.kron(sparse.identity(before), inner, format="csr"), np.zeros(node.size)
        case Permute():
            order = np.arange(node.size).reshape(input_shape).transpose(node.axes).ravel()
            ones_vector = np.ones(node.size)
            matrix = sparse.csr_matrix((ones_vector, (np.arange(node.size), order)), shape=(node.size, node.size))
            return matrix, np.zeros(node.size)
    raise TypeError(f"node '{node.name}' is not linear: {type(node).__name__}")


def _window_matrix(
    filters: Array, in_shape: Shape, out_shape: Shape, stride: Shape, padding: Shape, dilation: Shape, groups: int
) -> sparse.csr_matrix:
    """The matrix of a convolution: cross-correlation of (in, *spatial) with filters (out, in / groups, *kernel)."""
    kernel = filters.shape[2:]
    spatial_in, spatial_out = in_shape[1:], out_shape[1:]
    per_axis_source, per_axis_valid = [], []
    for size, out_size, k, s, p, d in zip(spatial_in, spatial_out, kernel, stride, padding, dilation, strict=True):
        source = np.arange(out_size)[:, None] * s - p + np.arange(k)[None, :] * d  # (out, tap)
        per_axis_source.append(source)
        per_axis_valid.append((source >= 0) & (source < size))
    flat_source, valid = per_axis_source[0], per_axis_valid[0]
    for axis in range(1, len(kernel)):
        flat_source = _outer(flat_source * spatial_in[axis], per_axis_source[axis], np.add)
        valid = _outer(valid, per_axis_valid[axis], np.logical_and)
    positions, taps = valid.shape
    out_channels, in_per_group = filters.shape[:2]
    weights = filters.reshape(out_channels, in_per_group, taps)
    out_channel, in_channel, tap = np.nonzero(weights)
    source_channel = out_channel // (out_channels // groups) * in_per_group + in_channel
    rows = out_channel[:, None] * positions + np.arange(positions)[None, :]
    columns = source_channel[:, None] * prod(spatial_in) + flat_source[:, tap].T
    values = np.broadcast_to(weights[out_channel, in_channel, tap][:, None], rows.shape)
    keep = valid[:, tap].T
    shape = (out_channels * positions, prod(in_shape))
    return sparse.csr_matrix((values[keep], (rows[keep], columns[keep])), shape=shape)


def _transposed_matrix(node: ConvTranspose, input_shape: Shape) -> sparse.csr_matrix:
    """The transpose of the convolution from the node's value back to its input, with the same kernel."""
    weights, groups = node.weights.values(), node.groups
    inputs, per_group = weights.shape[:2]
    shape = (node.shape[0], *node.shape[1:])
    matrix = _window_matrix(weights, shape, input_shape, node.stride, node.padding, node.dilation, groups)
    assert matrix.shape == (inputs * prod(input_shape[1:]), per_group * groups * prod(node.shape[1:]))
    return matrix.T.tocsr()


def _outer(left: NDArray, right: NDArray, combine: np.ufunc) -> NDArray:
    """Combine (a, s) with (b, t) into (a * b, s * t), the right index running fastest on both axes."""
    mixed = combine(left[:, None, :, None], right[None, :, None, :])
    return np.asarray(mixed.reshape(left.shape[0] * right.shape[0], left.shape[1] * right.shape[1]))
