"""Network -> stages: the network rewritten so that squares and products are its only non-linear steps. Pure.

Under CKKS squares cost levels, and all linear maps between two squares can be combined into one. So each value of the
network is written as an affine function of *atoms*: the input and the squares made so far. A polynomial activation is
written with its square completed (derived):

    degree 2:      c2 x^2 + c1 x + c0 = sign(c2) (sqrt|c2| (x + c1 / (2 c2)))^2 + c0 - c1^2 / (4 c2)
    degrees 3, 4:  two squarings in a row (`secure.stages.quartic_squares`)

Where that would subtract large numbers, a better conditioned form is taken (`compress.completed_square`). A polynomial
adds one stage per squaring: an affine map of atoms followed by a square. What is affine around the squares is combined
with the maps that read the activation. Average pooling, batch normalization, permutations and residual additions
disappear into the maps in the same way.

A product of two values becomes a *paired* stage, whose affine map makes both factors, or, where plans with products are
not wanted, a stage of two squares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from compress.coefficients import LARGEST_DEGREE, substitute
from compress.completed_square import NEGLIGIBLE, CompletedSquare, conditioned_square, interval
from compress.errors import CompileError
from compress.network import (
    Add,
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
    Range,
    Reshape,
)
from compress.network import Affine as AffineNode
from secure.stages.grids import Grid as Grid
from secure.stages.grids import grid_after, joined_grid, root_grid, same_grid
from secure.stages.matrices import linear_matrix
from secure.stages.pairs import activated
from secure.stages.quartic_squares import QuarticSquares, quartic_squares
from secure.stages.stage import Stage as Stage

Array = NDArray[np.float64]


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


def network_stages(network: Network, *, products: bool = False) -> tuple[Stage, ...]:
    """The stages of a network, in order; the last one is its output.

    products: whether products of two values become paired stages, and not two squares.
    Raises: CompileError for a node or an activation without a rule, and for a value that depends on no input.
    """
    forms: dict[str, Form] = {}
    stages: list[Stage] = []
    for node in network.nodes:
        if isinstance(node, Input):
            forms[node.name] = input_form(node)
        else:
            inputs = [forms[name] for name in node.inputs]
            forms[node.name] = node_form(node, network, inputs, stages, products=products)
    last = forms[network.nodes[-1].name]
    return _on_one_raster((*stages, closed_stage(last, squared=False)))


def _on_one_raster(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """The stages with the grids of one origin, the first one's; values on another raster lose their positions.

    An input that is read under two shapes (as an image and as a sequence) has two rasters; slots are laid out on one.
    """
    origin = next((stage.grid.origin for stage in stages if stage.grid is not None), None)
    return tuple(
        stage if stage.grid is None or stage.grid.origin == origin else replace(stage, grid=None) for stage in stages
    )


def run_stages(stages: tuple[Stage, ...], images: Array) -> tuple[list[Array], list[Array]]:
    """Run the stages in clear: (all atoms, the affine value of every stage) for images (batch, *input_shape).

    Atoms and values are (features, batch).
    """
    atoms = [np.asarray(images, dtype=np.float64).reshape(len(images), -1).T]
    values = []
    for stage in stages:
        values.append(stage.apply(atoms))
        if stage.squared:
            atoms.append(activated(values[-1], stage.making))
    return atoms, values


def closed_stage(form: Form, *, squared: bool, paired: bool = False) -> Stage:
    """The stage of a form, without zero entries and without atoms that it does not depend on."""
    maps = {atom: _pruned(matrix) for atom, matrix in form.maps.items()}
    maps = {atom: matrix for atom, matrix in maps.items() if matrix.nnz}
    if not maps:
        raise CompileError(form.layer, "depends on no input: every weight before it is zero; prune less")
    return Stage(maps, form.constant, form.grid, form.layer, squared, paired)


def _pruned(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """A copy of the matrix that stores no zeros and no entry twice."""
    matrix = matrix.copy()
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def input_form(node: Node) -> Form:
    """The form of the input."""
    return Form({0: sparse.identity(node.size, format="csr")}, np.zeros(node.size), root_grid(node.shape), node.name)


def node_form(node: Node, network: Network, inputs: list[Form], stages: list[Stage], *, products: bool = False) -> Form:
    """The form of a node's value. inputs: the forms of the values that it reads. Squares are appended to stages.

    products: as for `network_stages`.
    """
    first = inputs[0]
    match node:
        case Dense() | Conv() | ConvTranspose() | AvgPool() | AffineNode() | AxisMap() | Gather() | Permute():
            matrix, constant = linear_matrix(node, network.node(node.inputs[0]).shape)
            layer = node.name if isinstance(node, (Dense, Conv, ConvTranspose)) else first.layer
            return replace(first.then(matrix, constant), grid=grid_after(node, first.grid), layer=layer)
        case Reshape():
            start = network.nodes[0]
            untouched = first.layer == start.name and set(first.maps) == {0} and node.size == start.size
            grid = root_grid(node.shape) if untouched else same_grid(first.grid, node.shape)
            return replace(first, grid=grid)
        case Add():
            return replace(_sum(first, inputs[1]), grid=first.grid if first.grid == inputs[1].grid else None)
        case Concat():
            return _joined_form(node, network, inputs)
        case Multiply():
            made = _paired_form if products else _product_form
            return made(node, inputs, _balance(node, network), stages)
        case Polynomial():
            return _polynomial_form(node, first, network.ranges.get(node.inputs[0]), stages)
    raise CompileError(node.name, f"{type(node).__name__} has no rule in the compiler")


def _joined_form(node: Concat, network: Network, inputs: list[Form]) -> Form:
    """Values side by side: each one's features move to their places in the result, where the others have zeros."""
    places = np.arange(node.size).reshape(node.shape)
    start, total = 0, None
    for name, form in zip(node.inputs, inputs, strict=True):
        length = network.node(name).shape[node.axis]
        own = np.take(places, range(start, start + length), axis=node.axis).ravel()
        entries = (np.ones(len(own)), (own, np.arange(len(own))))
        moved = form.then(sparse.csr_matrix(entries, shape=(node.size, len(own))), np.zeros(node.size))
        total = moved if total is None else _sum(total, moved)
        start += length
    assert total is not None
    return replace(total, grid=joined_grid(node, [form.grid for form in inputs]), layer=inputs[-1].layer)


def _balance(node: Multiply, network: Network) -> float:
    """t, by which a / t and t b are of one size, as far as ranges are known."""
    ranges: list[Range | None] = [network.ranges.get(name) for name in node.inputs]
    sizes = [1.0 if edge is None or edge.rms == 0 else edge.rms for edge in ranges]
    t = float(np.sqrt(sizes[0] / sizes[1]))
    return t


def _paired_form(node: Multiply, inputs: list[Form], t: float, stages: list[Stage]) -> Form:
    """a b = (a / t) (t b): one paired stage. t brings both factors to one size, since their value has one scale."""
    left, right = inputs
    for own, other in (inputs, inputs[::-1]):
        if not any(matrix.count_nonzero() for matrix in own.maps.values()):  # a constant
            return other.then(sparse.diags(own.constant, format="csr"), np.zeros(node.size))
    one = sparse.identity(node.size, format="csr")
    none, nothing = sparse.csr_matrix((node.size, node.size)), np.zeros(2 * node.size)
    both = _sum(
        left.then(sparse.vstack([one / t, none], format="csr"), nothing),
        right.then(sparse.vstack([none, t * one], format="csr"), nothing),
    )
    grid = left.grid if right.grid is None or left.grid == right.grid else right.grid if left.grid is None else None
    atom = _square(replace(both, grid=grid), stages, paired=True)
    return Form({atom: one}, np.zeros(node.size), grid, left.layer)


def _product_form(node: Multiply, inputs: list[Form], t: float, stages: list[Stage]) -> Form:
    """a b = ((a / t + t b)^2 - (a / t - t b)^2) / 4: one stage of both squares (derived). It costs one level.

    t brings both factors to one size, so that the difference of the squares loses no digits to the larger one.
    """
    left, right = inputs
    one, nothing = sparse.identity(node.size, format="csr"), np.zeros(2 * node.size)
    first = left.then(sparse.vstack([one / t, one / t], format="csr"), nothing)
    both = _sum(first, right.then(sparse.vstack([t * one, -t * one], format="csr"), nothing))
    grid = left.grid if left.grid == right.grid else None
    wide = None if grid is None else replace(grid, channels=2 * grid.channels)
    atom = _square(replace(both, grid=wide), stages)
    maps = {atom: sparse.hstack([0.25 * one, -0.25 * one], format="csr")}
    return Form(maps, np.zeros(node.size), grid, left.layer)


def _sum(first: Form, second: Form) -> Form:
    """The sum of two values. Its grid and layer are those of the first."""
    maps = dict(first.maps)
    for atom, matrix in second.maps.items():
        maps[atom] = maps[atom] + matrix if atom in maps else matrix
    return replace(first, maps=maps, constant=first.constant + second.constant)


def _polynomial_form(node: Polynomial, form: Form, edge: Range | None, stages: list[Stage]) -> Form:
    """The form of an activation of degree 4 at most. Its squares are appended to stages.

    edge: the range of its input. It decides which form is well conditioned, never the value.
    """
    channels = node.coefficients.shape[1]
    repeats = node.size // node.shape[0] if channels > 1 else node.size
    coefficients = np.repeat(node.coefficients, repeats, axis=1)  # (degree + 1, features)
    if node.degree > LARGEST_DEGREE:
        reason = f"a polynomial of degree {node.degree} is not supported; the largest degree is {LARGEST_DEGREE}"
        raise CompileError(node.name, reason)
    low, high = (-1.0, 1.0) if edge is None else (edge.low, edge.high)
    if node.degree > 2:
        middle, half = interval(low, high)
        centred = np.zeros((5, node.size))
        centred[: node.degree + 1] = substitute(coefficients, -middle / half, 1.0 / half)
        if (np.abs(centred[3:]).sum(axis=0) > NEGLIGIBLE * np.abs(centred[1:3]).sum(axis=0)).any():
            return _quartic_form(
                quartic_squares(centred), form.then(*_line(node.size, 1 / half, -middle / half)), stages
            )
        coefficients = substitute(centred[:3], middle, half)
    padded = np.zeros((3, node.size))
    padded[: len(coefficients)] = coefficients
    return _quadratic_form(conditioned_square(padded, low, high), form, stages)


def _line(size: int, slope: float, shift: float) -> tuple[sparse.csr_matrix, Array]:
    """slope x + shift of every feature, as a matrix and a constant."""
    return sparse.diags(np.full(size, slope), format="csr"), np.full(size, shift)


def _quadratic_form(square: CompletedSquare, form: Form, stages: list[Stage]) -> Form:
    """scale (x + centre)^2 + offset + slope x for every feature. If no feature has a square, no stage is added."""
    if not square.scale.any():
        return form.then(sparse.diags(square.slope, format="csr"), square.offset)
    root = np.sqrt(np.abs(square.scale))
    atom = _square(form.then(sparse.diags(root, format="csr"), root * square.centre), stages)
    squares = {atom: sparse.diags(np.sign(square.scale), format="csr")}
    result = replace(form, maps=squares, constant=square.offset)
    return _plus(result, form, square.slope) if square.slope.any() else result


def _quartic_form(squares: QuarticSquares, z: Form, stages: list[Stage]) -> Form:
    """A cubic or quartic of z for every feature. Adds two stages, as wide as the form has squares of each kind."""
    firsts, seconds, size = len(squares.shifts), len(squares.signs), len(squares.offset)
    ones = sparse.vstack([sparse.identity(size, format="csr")] * firsts, format="csr")
    below = _square(_widened(z.then(ones, squares.shifts.ravel()), firsts), stages)
    inner = sparse.bmat(
        [[sparse.diags(squares.inner[i, j]) for j in range(firsts)] for i in range(seconds)], format="csr"
    )
    above = _square(_widened(replace(z, maps={below: inner}, constant=squares.constants.ravel()), seconds), stages)
    maps = {above: sparse.hstack([sparse.diags(row) for row in squares.signs], format="csr")}
    if squares.first.any():
        maps[below] = sparse.hstack([sparse.diags(row) for row in squares.first], format="csr")
    result = replace(z, maps=maps, constant=squares.offset)
    return _plus(result, z, squares.slope) if squares.slope.any() else result


def _widened(form: Form, copies: int) -> Form:
    """The form of `copies` values one after the other, on the grid of one with as many times the channels."""
    return form if form.grid is None else replace(form, grid=replace(form.grid, channels=copies * form.grid.channels))


def _plus(result: Form, form: Form, slope: Array) -> Form:
    """result + slope * form, feature by feature. result: may read no atom that form reads."""
    line = form.then(sparse.diags(slope, format="csr"), np.zeros_like(slope))
    return replace(result, maps={**line.maps, **result.maps}, constant=result.constant + line.constant)


def _square(form: Form, stages: list[Stage], *, paired: bool = False) -> int:
    """Append the form as a squared stage, or as one of two factors. Returns the number of the atom that it makes."""
    stages.append(closed_stage(form, squared=True, paired=paired))
    return len(stages)
