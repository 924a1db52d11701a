"""Network -> Program: every node becomes forms over flat features (C order). Pure.

Codes of quantized layers are taken as they are, and their steps apart, so that a step costs no bits. Weights that were
never quantized become codes here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from compress.coefficients import LARGEST_DEGREE
from compress.errors import CompileError
from compress.network import (
    Add,
    Affine,
    AvgPool,
    AxisMap,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Gather,
    Input,
    Multiply,
    Network,
    Node,
    Permute,
    Polynomial,
    Reshape,
    Shape,
    Weights,
)
from secure.coded.forms import Form, LinearForm, ProductForm, Program, QuadraticForm, SelectForm, SumForm
from secure.coded.polynomials import polynomial_forms
from secure.coded.whole import whole_codes
from secure.stages.matrices import linear_matrix

Array = NDArray[np.float64]

#: Codes whose steps differ by input may become as wide as this before they are rounded.
EXACT_BITS = 24


@dataclass
class _Lowering:
    """What is known while the nodes are walked. values: by node name, the number of its value."""

    network: Network
    weight_bits: int
    forms: list[Form]
    values: dict[str, int]

    def append(self, form: Form) -> int:
        self.forms.append(form)
        return len(self.forms)


def lowered(network: Network, weight_bits: int) -> Program:
    """The program of a network. weight_bits: of codes for weights that have none, sign included.

    Raises: CompileError for a node without a rule.
    """
    state = _Lowering(network, weight_bits, [], {})
    for node in network.nodes:
        state.values[node.name] = _lower(node, state)
    last = state.values[network.nodes[-1].name]
    if last != len(state.forms) or last == 0:  # the output is a value that was made earlier, or the input itself
        size = network.nodes[-1].size
        state.append(SelectForm(layer=network.nodes[-1].name, sources=(last,), indices=np.arange(size)))
    return Program(network.nodes[0].size, tuple(state.forms))


def _lower(node: Node, state: _Lowering) -> int:
    """Append the forms of a node; the number of its value."""
    sources = tuple(state.values[name] for name in node.inputs)
    match node:
        case Input():
            return 0
        case Reshape():
            return sources[0]
        case Affine():
            return state.append(_affine(node, sources))
        case Polynomial():
            return _polynomial(node, sources[0], state)
        case Add():
            return state.append(
                SumForm(
                    layer=node.name,
                    sources=sources,
                    weights=np.ones((len(sources), node.size)),
                    constant=np.zeros(node.size),
                )
            )
        case Multiply():
            return state.append(ProductForm(layer=node.name, sources=sources, size=node.size))
        case Concat():
            return state.append(SelectForm(layer=node.name, sources=sources, indices=_joined(node, state.network)))
        case Dense() | Conv() | ConvTranspose() | AvgPool() | AxisMap() | Gather() | Permute():
            shape = state.network.node(node.inputs[0]).shape
            return state.append(_linear(node, sources, shape, state.weight_bits))
    raise CompileError(node.name, f"{type(node).__name__} has no rule in the compiler")


def _affine(node: Affine, sources: tuple[int, ...]) -> Form:
    def whole(array: Array) -> Array:
        return np.broadcast_to(array, node.shape).ravel().astype(np.float64)

    return QuadraticForm(
        layer=node.name,
        sources=sources,
        square=np.zeros(node.size),
        linear=whole(node.scale),
        constant=whole(node.shift),
    )


def _polynomial(node: Polynomial, source: int, state: _Lowering) -> int:
    if node.degree > LARGEST_DEGREE:
        reason = f"a polynomial of degree {node.degree} is not supported; the largest degree is {LARGEST_DEGREE}"
        raise CompileError(node.name, reason)
    repeats = node.size // node.coefficients.shape[1]
    coefficients = np.repeat(node.coefficients, repeats, axis=1)
    added = polynomial_forms(node.name, source, len(state.forms) + 1, coefficients)
    state.forms.extend(added)
    return len(state.forms)


def _joined(node: Concat, network: Network) -> NDArray[np.int64]:
    """For every element of the result, its place among all features of the sources."""
    places, start = [], 0
    for name in node.inputs:
        source = network.node(name)
        places.append(np.arange(start, start + source.size).reshape(source.shape))
        start += source.size
    return np.concatenate(places, axis=node.axis).ravel()


def _linear(node: Node, sources: tuple[int, ...], shape: Shape, weight_bits: int) -> Form:
    """The form of a node that is linear in one value of this shape."""
    codes, steps, bias = _coded(node, shape, weight_bits)
    codes.sum_duplicates()
    codes.eliminate_zeros()
    return LinearForm(layer=node.name, sources=sources, codes=codes, steps=steps, bias=bias)


def _coded(node: Node, shape: Shape, weight_bits: int) -> tuple[sparse.csr_matrix, Array, Array]:
    """(codes, steps, bias) of a linear node."""
    weights = getattr(node, "weights", None)
    coded = isinstance(weights, Weights) and np.issubdtype(weights.codes.dtype, np.integer)
    if isinstance(node, Dense | Conv | ConvTranspose) and coded and _by_output(node):
        weights = node.weights
        matrix, bias = linear_matrix(replace(node, weights=replace(weights, step=np.ones(()))), shape)
        steps = np.broadcast_to(weights.step, (node.shape[-1] if isinstance(node, Dense) else node.shape[0],))
        places = node.size // len(steps)
        rows = np.tile(steps, places) if isinstance(node, Dense) else np.repeat(steps, places)
        return _signed(_with_data(matrix, np.rint(matrix.data)), rows, bias)
    matrix, bias = linear_matrix(node, shape)
    if isinstance(node, AvgPool):
        return _with_data(matrix, np.sign(matrix.data)), np.full(node.size, 1.0 / prod(node.kernel)), bias
    codes, step = whole_codes(matrix.data, weight_bits, EXACT_BITS if coded else None)
    return _with_data(matrix, codes), np.full(node.size, step), bias


def _by_output(node: Dense | Conv | ConvTranspose) -> bool:
    """Whether the steps of its weights, if they differ, belong to its outputs."""
    return node.weights.step.ndim == 0 or not isinstance(node, ConvTranspose)


def _with_data(matrix: sparse.csr_matrix, data: NDArray[Any]) -> sparse.csr_matrix:
    return sparse.csr_matrix((data.astype(np.int64), matrix.indices, matrix.indptr), shape=matrix.shape)


def _signed(codes: sparse.csr_matrix, steps: Array, bias: Array) -> tuple[sparse.csr_matrix, Array, Array]:
    """The same map with steps above 0: a negative one turns the signs of its row, one of 0 empties it."""
    signs = np.sign(steps).astype(np.int64)
    if (signs == 1).all():
        return codes, steps, bias
    codes = sparse.csr_matrix(sparse.diags(signs, dtype=np.int64) @ codes)
    return codes, np.where(steps == 0, 1.0, np.abs(steps)), bias
