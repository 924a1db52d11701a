"""Network -> stages: the network rewritten so that squaring is its only non-linear step. Pure.

Under CKKS squares cost levels, and all linear maps between two squares can be combined into one. So each value of the
network is written as an affine function of *atoms*: the input and the squares made so far. A polynomial activation is
written with its square completed (derived):

    degree 2:  c2 x^2 + c1 x + c0 = sign(c2) (sqrt|c2| (x + c1 / (2 c2)))^2 + c0 - c1^2 / (4 c2)
    degree 4:  c4 (x^2 + a x + b)^2 + g x + d  with  a = c3 / (2 c4),  b = (c2 / c4 - a^2) / 2,
                                                     g = c1 - 2 c4 a b,  d = c0 - c4 b^2

It adds one stage per square (two for degree 4): an affine map of atoms followed by a square. What is affine around the
squares is combined with the maps that read the activation. Average pooling, batch normalization, permutations and
residual additions disappear into the maps in the same way.
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

#: An activation whose leading coefficient is smaller than this times the next one counts as a straight line. Its
#: square would only amplify noise.
NEGLIGIBLE = 1e-6


@dataclass(frozen=True)
class Grid:
    """Where the positions of a value lie on the input's raster.

    channels, sizes: the shape of the value, (channels, *sizes). steps: the distance of neighbours along each axis, in
    positions of the input. origin: the shape (channels, *spatial) of the input.
    """

    channels: int
    sizes: Shape
    steps: Shape
    origin: Shape

    @property
    def extent(self) -> Shape:
        """How many positions of the input the value covers along each axis."""
        return tuple(size * step for size, step in zip(self.sizes, self.steps, strict=True))


@dataclass(frozen=True)
class Form:
    """A value of the network as an affine function of atoms: the sum over atoms of maps[atom] @ atom, plus constant.

    Features are flat. grid: where positions lie, None for a value without positions. layer: the last weighted layer
    that is combined into the maps, for messages.
    """

    maps: Mapping[int, sparse.csr_matrix]
    constant: Array
    grid: Grid | None
    layer: str

    def then(self, matrix: sparse.csr_matrix, constant: Array) -> Form:
        """The form followed by another affine map. Its grid is still the old one; the caller sets the new one."""
        maps = {atom: (matrix @ own).tocsr() for atom, own in self.maps.items()}
        return replace(self, maps=maps, constant=matrix @ self.constant + constant)


@dataclass(frozen=True)
class Stage:
    """One affine map of atoms, squared or (for the last one) returned.

    maps: by atom, a matrix (size, size of the atom); atom 0 is the input, atom k the square made by stage k - 1.
    constant: (size,). grid, layer: as for `Form`. squared: False only for the last stage.
    """

    maps: Mapping[int, sparse.csr_matrix]
    constant: Array
    grid: Grid | None
    layer: str
    squared: bool

    @property
    def size(self) -> int:
        """The number of features of the stage's value."""
        return len(self.constant)

    @cached_property
    def squared_maps(self) -> Mapping[int, sparse.csr_matrix]:
        """The maps with every entry squared: they map variances of independent errors."""
        return {atom: matrix.multiply(matrix).tocsr() for atom, matrix in self.maps.items()}

    def apply(self, atoms: Mapping[int, Array] | list[Array]) -> Array:
        """The stage's affine value, (size, batch), for atoms (features, batch). The square is left out."""
        total = np.repeat(self.constant[:, None], atoms[0].shape[1], axis=1)
        for atom, matrix in self.maps.items():
            total += matrix @ atoms[atom]
        return total


def network_stages(network: Network) -> tuple[Stage, ...]:
    """The stages of a network, in order; the last one is its output.

    Raises: CompileError for a node or an activation without a rule, and for a value that depends on no input.
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
    """Run the stages in clear: (all atoms, the affine value of every stage) for images (batch, *input_shape).

    Atoms and values are (features, batch).
    """
    atoms = [np.asarray(images, dtype=np.float64).reshape(len(images), -1).T]
    values = []
    for stage in stages:
        values.append(stage.apply(atoms))
        if stage.squared:
            atoms.append(values[-1] ** 2)
    return atoms, values


def _close(form: Form, *, squared: bool) -> Stage:
    """The stage of a form, without zero entries and without atoms that it does not depend on."""
    maps = {atom: _pruned(matrix) for atom, matrix in form.maps.items()}
    maps = {atom: matrix for atom, matrix in maps.items() if matrix.nnz}
    if not maps:
        raise CompileError(form.layer, "depends on no input: every weight before it is zero; prune less")
    return Stage(maps, form.constant, form.grid, form.layer, squared)


def _pruned(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """A copy of the matrix that stores no zeros and no entry twice."""
    matrix = matrix.copy()
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def _input_form(node: Node) -> Form:
    return Form({0: sparse.identity(node.size, format="csr")}, np.zeros(node.size), _root_grid(node.shape), node.name)


def _root_grid(shape: Shape) -> Grid | None:
    """The grid of an input (channels, *spatial) with one or two spatial axes. None for any other shape."""
    return Grid(shape[0], shape[1:], (1,) * (len(shape) - 1), shape) if len(shape) in (2, 3) else None


def _node_form(node: Node, network: Network, inputs: list[Form], stages: list[Stage]) -> Form:
    """The form of a node's value. inputs: the forms of the values that it reads. Squares are appended to stages."""
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
    """The grid of a linear node's value, from the grid of what the node reads."""
    if grid is None or isinstance(node, (Dense, Permute)):
        return None
    if isinstance(node, (Conv, AvgPool)):
        steps = tuple(step * stride for step, stride in zip(grid.steps, node.stride, strict=True))
        return Grid(node.shape[0], node.shape[1:], steps, grid.origin)
    return grid


def _same_grid(grid: Grid | None, shape: Shape) -> Grid | None:
    """The grid if a reshaped value still has its channels and positions, else None."""
    return grid if grid is not None and shape == (grid.channels, *grid.sizes) else None


def _polynomial_form(node: Polynomial, form: Form, stages: list[Stage]) -> Form:
    """The form of an activation of degree 1, 2 or 4. Its squares are appended to stages."""
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
    """c2 x^2 + c1 x + c0 for every feature; coefficients (3, features), c0 first.

    Features whose square is negligible stay straight lines. If all are, no stage is added.
    """
    square = complete_square(coefficients, NEGLIGIBLE)
    if not square.scale.any():
        return form.then(sparse.diags(square.slope, format="csr"), square.offset)
    root = np.sqrt(np.abs(square.scale))
    atom = _square(form.then(sparse.diags(root, format="csr"), root * square.centre), stages)
    squares = {atom: sparse.diags(np.sign(square.scale), format="csr")}
    result = replace(form, maps=squares, constant=square.offset)
    return result if square.scale.all() else _plus(result, form, square.slope)


def _quartic_form(name: str, coefficients: Array, form: Form, stages: list[Stage]) -> Form:
    """c4 x^4 + ... + c0 for every feature; coefficients (5, features), c0 first. Adds two stages."""
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
    """result + slope * form, feature by feature. result: may read no atom that form reads."""
    line = form.then(sparse.diags(slope, format="csr"), np.zeros_like(slope))
    return replace(result, maps={**line.maps, **result.maps}, constant=result.constant + line.constant)


def _square(form: Form, stages: list[Stage]) -> int:
    """Append the form as a squared stage. Returns the number of the atom that the stage makes."""
    stages.append(_close(form, squared=True))
    return len(stages)
