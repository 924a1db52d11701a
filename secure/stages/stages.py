"""Network -> stages: the network rewritten so that squaring is its only non-linear step. Pure.

Under CKKS squares cost levels, and all linear maps between two squares can be combined into one. So each value of the
network is an affine function of *atoms*: the input and the squares made so far. A polynomial activation with its
square completed (derived)

    degree 2:  c2 x^2 + c1 x + c0 = sign(c2) (sqrt|c2| (x + c1 / 2 c2))^2 + c0 - c1^2 / 4 c2
    degree 4:  c4 (x^2 + a x + b)^2 + g x + d,  a = c3 / 2 c4, b = (c2 / c4 - a^2) / 2, g = c1 - 2 c4 a b, d = c0 - c4
    b^2

adds one stage (two for degree 4): an affine map of atoms followed by a square. Its affine rest folds into whatever
reads it. Average pooling, batch normalization, permutations and residual additions disappear into the maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from compress.completed_square import complete_square
from compress.errors import CompileError
from compress.network import Add, AvgPool, Conv, Dense, Input, Network, Node, Permute, Polynomial, Reshape, Shape
from compress.network import Affine as AffineNode
from secure.stages.matrices import linear_matrix

Array = NDArray[np.float64]

#: A curve whose leading coefficient is smaller than this times the next one counts as a straight line. Its square
#: would only amplify noise.
NEGLIGIBLE = 1e-6


@dataclass(frozen=True)
class Grid:
    """Where the positions of a value lie on the input's raster.

    channels, sizes: of the value. steps: raster units between neighbours along each axis. origin: the shape (channels,
    *spatial) of the input that the raster belongs to.
    """

    channels: int
    sizes: Shape
    steps: Shape
    origin: Shape

    @property
    def extent(self) -> Shape:
        """The raster units that the positions cover along each axis."""
        return tuple(size * step for size, step in zip(self.sizes, self.steps, strict=True))


@dataclass(frozen=True)
class Form:
    """An affine function of atoms: the sum over atoms of maps[atom] @ atom, plus the constant. Features are flat."""

    maps: Mapping[int, sparse.csr_matrix]
    constant: Array
    grid: Grid | None
    layer: str

    def then(self, matrix: sparse.csr_matrix, constant: Array) -> Form:
        """The form followed by another affine map. The caller sets the grid."""
        maps = {atom: (matrix @ own).tocsr() for atom, own in self.maps.items()}
        return replace(self, maps=maps, constant=matrix @ self.constant + constant)


@dataclass(frozen=True)
class Stage:
    """One affine map of atoms, squared or (for the last one) returned.

    maps: matrices (size, size of the atom) by atom; atom 0 is the input, atom k the square made by stage k - 1.
    layer: the last weighted layer folded in, for messages.
    """

    maps: Mapping[int, sparse.csr_matrix]
    constant: Array
    grid: Grid | None
    layer: str
    squared: bool

    @property
    def size(self) -> int:
        return len(self.constant)

    @cached_property
    def squared_maps(self) -> Mapping[int, sparse.csr_matrix]:
        """The maps with every entry squared: they map variances of independent errors."""
        return {atom: matrix.multiply(matrix).tocsr() for atom, matrix in self.maps.items()}

    def apply(self, atoms: Mapping[int, Array] | list[Array]) -> Array:
        """The affine part on atoms (features, batch) -> (size, batch)."""
        total = np.repeat(self.constant[:, None], atoms[0].shape[1], axis=1)
        for atom, matrix in self.maps.items():
            total += matrix @ atoms[atom]
        return total


def network_stages(network: Network) -> tuple[Stage, ...]:
    """The stages of a network, in order; the last one is its output.

    Raises: CompileError for a node that has no place here.
    """
    forms: dict[str, Form] = {}
    stages: list[Stage] = []
    for node in network.nodes:
        if isinstance(node, Input):
            forms[node.name] = _input_form(node)
        else:
            forms[node.name] = _node_form(node, network, [forms[name] for name in node.inputs], stages)
    last = forms[network.nodes[-1].name]
    return (*stages, _close(last, squared=False))


def run_stages(stages: tuple[Stage, ...], images: Array) -> tuple[list[Array], list[Array]]:
    """(atoms, affine values of every stage), each (features, batch), for images (batch, *input_shape)."""
    atoms = [np.asarray(images, dtype=np.float64).reshape(len(images), -1).T]
    values = []
    for stage in stages:
        values.append(stage.apply(atoms))
        if stage.squared:
            atoms.append(values[-1] ** 2)
    return atoms, values


def _close(form: Form, *, squared: bool) -> Stage:
    maps = {atom: _pruned(matrix) for atom, matrix in form.maps.items()}
    maps = {atom: matrix for atom, matrix in maps.items() if matrix.nnz}
    if not maps:
        raise CompileError(form.layer, "depends on no input: every weight before it is zero; prune less")
    return Stage(maps, form.constant, form.grid, form.layer, squared)


def _pruned(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    matrix = matrix.copy()
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def _input_form(node: Node) -> Form:
    return Form({0: sparse.identity(node.size, format="csr")}, np.zeros(node.size), _root_grid(node.shape), node.name)


def _root_grid(shape: Shape) -> Grid | None:
    """The grid of a value (channels, *spatial) with one or two spatial axes: its own raster. None for a flat value."""
    return Grid(shape[0], shape[1:], (1,) * (len(shape) - 1), shape) if len(shape) in (2, 3) else None


def _node_form(node: Node, network: Network, inputs: list[Form], stages: list[Stage]) -> Form:
    first = inputs[0]
    match node:
        case Dense() | Conv() | AvgPool() | AffineNode() | Permute():
            matrix, constant = linear_matrix(node, network.node(node.inputs[0]).shape)
            layer = node.name if isinstance(node, (Dense, Conv)) else first.layer
            return replace(first.then(matrix, constant), grid=_grid_after(node, first.grid), layer=layer)
        case Reshape():
            untouched = first.layer == network.nodes[0].name and set(first.maps) == {0}
            grid = _root_grid(node.shape) if untouched else _same_grid(first.grid, node.shape)
            return replace(first, grid=grid)
        case Add():
            second = inputs[1]
            maps = dict(first.maps)
            for atom, matrix in second.maps.items():
                maps[atom] = maps[atom] + matrix if atom in maps else matrix
            grid = first.grid if first.grid == second.grid else None
            return Form(maps, first.constant + second.constant, grid, first.layer)
        case Polynomial():
            return _polynomial_form(node, first, stages)
    raise CompileError(node.name, f"{type(node).__name__} has no rule in the compiler")


def _grid_after(node: Node, grid: Grid | None) -> Grid | None:
    if grid is None or isinstance(node, (Dense, Permute)):
        return None
    if isinstance(node, (Conv, AvgPool)):
        steps = tuple(step * stride for step, stride in zip(grid.steps, node.stride, strict=True))
        return Grid(node.shape[0], node.shape[1:], steps, grid.origin)
    return grid


def _same_grid(grid: Grid | None, shape: Shape) -> Grid | None:
    return grid if grid is not None and shape == (grid.channels, *grid.sizes) else None


def _polynomial_form(node: Polynomial, form: Form, stages: list[Stage]) -> Form:
    channels = node.coefficients.shape[1]
    repeats = node.size // node.shape[0] if channels > 1 else node.size
    coefficients = np.repeat(node.coefficients, repeats, axis=1)  # (degree + 1, features)
    if node.degree == 4:
        return _quartic_form(node.name, coefficients, form, stages)
    if node.degree > 4 or node.degree == 3:
        raise CompileError(
            node.name, f"a polynomial of degree {node.degree} is not supported; convert with degree 2 or 4"
        )
    padded = np.zeros((3, node.size))
    padded[: node.degree + 1] = coefficients
    return _quadratic_form(padded, form, stages)


def _quadratic_form(coefficients: Array, form: Form, stages: list[Stage]) -> Form:
    """c2 x^2 + c1 x + c0 for every feature. Features with a negligible square stay straight lines."""
    square = complete_square(coefficients, NEGLIGIBLE)
    if not square.scale.any():
        return form.then(sparse.diags(square.slope, format="csr"), square.offset)
    root = np.sqrt(np.abs(square.scale))
    atom = _square(form.then(sparse.diags(root, format="csr"), root * square.centre), stages)
    squares = {atom: sparse.diags(np.sign(square.scale), format="csr")}
    result = replace(form, maps=squares, constant=square.offset)
    return result if square.scale.all() else _plus(result, form, square.slope)


def _quartic_form(name: str, coefficients: Array, form: Form, stages: list[Stage]) -> Form:
    c0, c1, c2, c3, c4 = coefficients
    if not np.all(np.abs(c4) > NEGLIGIBLE * np.abs(coefficients[1:4]).max(axis=0)):
        raise CompileError(name, "a quartic with a vanishing leading coefficient; convert with degree 2")
    a = c3 / (2 * c4)
    b = (c2 / c4 - a * a) / 2
    ones = np.ones_like(c4)
    inner = _quadratic_form(np.stack([b, a, ones]), form, stages)
    root = np.sqrt(np.abs(c4))
    atom = _square(inner.then(sparse.diags(root, format="csr"), np.zeros_like(c4)), stages)
    squares = {atom: sparse.diags(np.sign(c4), format="csr")}
    result = replace(form, maps=squares, constant=c0 - c4 * b * b)
    return _plus(result, form, c1 - 2 * c4 * a * b)


def _plus(result: Form, form: Form, slope: Array) -> Form:
    """result + slope * form, feature by feature."""
    line = form.then(sparse.diags(slope, format="csr"), np.zeros_like(slope))
    return replace(result, maps={**line.maps, **result.maps}, constant=result.constant + line.constant)


def _square(form: Form, stages: list[Stage]) -> int:
    """Append the form as a squared stage; returns the number of the atom that it makes."""
    stages.append(_close(form, squared=True))
    return len(stages)
