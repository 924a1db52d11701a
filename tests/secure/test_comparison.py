"""Signs by composite polynomials, and keep bits of a grid by the operations of CKKS, in clear."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.polynomial import chebyshev

from cipherpress.detection.anchors import Anchors
from cipherpress.detection.pairwise import neighbours, pairwise_nms
from cipherpress.detection.recovery import Places
from compress.errors import ConfigError, InputRangeError, InputShapeError, SlotOverflowError
from secure.comparison.grid import PairGrid
from secure.comparison.keeping import ClearOperations, Keeping, Leveled, evaluate_odd, evaluate_sign
from secure.comparison.minimax import OddPolynomial, certified_bounds, nearest_to_one
from secure.comparison.sign import Sign, cheapest_sign, composite_sign

SHIFTS = ((0, 0), (0, 2), (2, 0), (2, 2))
GRID = PairGrid(16, 16, 3, SHIFTS, 16384)


@pytest.fixture(scope="module")
def keeping() -> Keeping:
    return Keeping(GRID, composite_sign(2**-5, (15, 15), most=1.0))


def test_the_composite_of_degrees_seven_and_seven() -> None:
    found = composite_sign(1 / 8, (7, 7), most=1.0, tolerance=0)
    first, second = (chebyshev.cheb2poly(one.series)[1::2] / one.bound ** np.arange(1, 8, 2) for one in found.factors)
    assert first == pytest.approx([6.2656775, -26.8361387, 44.5659388, -23.2633332], abs=2e-6)
    assert second == pytest.approx([2.2790973, -2.3788805, 1.4177295, -0.3206888], abs=1e-5)
    values = found(np.array([1, 0.5, 0.25, 0.125, 0.0625, 0.01]))
    assert values == pytest.approx([0.99711, 0.99744, 1.00282, 0.99711, 0.75342, 0.14216], abs=2e-5)
    assert -np.log2(found.deviation) == pytest.approx(8.43, abs=0.01)
    assert found.levels == 6


def test_the_composite_of_degrees_fifteen_and_fifteen() -> None:
    found = composite_sign(1 / 32, (15, 15), most=1.0, tolerance=0)
    assert found.factors[0].coefficients == pytest.approx(
        [1.27343781, -0.42502769, 0.25574006, -0.18357203, 0.14391618, -0.11922645, 0.10285911, -0.52905218], abs=3e-7
    )
    assert found.factors[1].coefficients == pytest.approx(
        [1.26099381, -0.38883807, 0.1990247, -0.11105388, 0.0610095, -0.03116313, 0.01392009, -0.0051458], abs=1e-6
    )
    assert found.factors[1].bound == pytest.approx(1.480925, abs=1e-6)
    values = found(np.array([1, 0.5, 0.1, 1 / 32, 0.01]))
    assert values == pytest.approx([0.99875, 0.99991, 0.9993, 0.99875, 0.56449], abs=1e-5)
    assert -np.log2(found.deviation) == pytest.approx(9.64, abs=0.01)
    assert found.levels == 8


@pytest.mark.parametrize(
    ("degrees", "values"),
    [
        ((7, 7, 7, 7), {0.5: 1.0, 0.25: 1.0, 0.1: 1.0, 0.0625: 1.0, 0.03125: 0.99986, 0.01: 0.77199, 0.0: 0.0}),
        ((9, 9, 9), {0.25: 0.99935, 0.01: 0.68922}),
    ],
)
def test_published_composites_of_another_kind(degrees: tuple[int, ...], values: dict[float, float]) -> None:
    """g g f f of degree 7, and g g f of degree 9, from the literature: the class holds them as it holds its own."""
    g = {7: [4589, -16577, 25614, -12860], 9: [5850, -34974, 97015, -113492, 46623]}[degrees[0]]
    f = {7: [35 / 16, -35 / 16, 21 / 16, -5 / 16], 9: [315 / 128, -420 / 128, 378 / 128, -180 / 128, 35 / 128]}
    factors = []
    for powers in [[one / 1024 for one in g]] * 2 + [f[degrees[0]]] * (len(degrees) - 2):
        filled = np.zeros(2 * len(powers))
        filled[1::2] = powers
        factors.append(OddPolynomial(tuple(chebyshev.poly2cheb(filled)[1::2]), 1.0))
    found = Sign(tuple(factors), 0.01, 1.0, 0.0, 1.0)
    for x, expected in values.items():
        assert found(np.array([x, -x])) == pytest.approx([expected, -expected], abs=2e-5)


@pytest.mark.parametrize(("gap", "degrees"), [(2**-3, (7, 7)), (2**-4, (7, 15)), (2**-5, (15, 15)), (2**-8, (15,) * 3)])
def test_the_certified_deviation_holds_and_is_close(gap: float, degrees: tuple[int, ...]) -> None:
    found = composite_sign(gap, degrees)
    x = np.linspace(gap, found.most, 100_001)
    reached = np.abs(found(x) - 1).max()
    assert reached <= found.deviation <= 1.2 * reached + 3e-4  # the tolerance widens what later factors are fitted to
    below = np.linspace(-gap, gap, 10_001)
    assert np.abs(found(below)).max() <= 1 + found.deviation
    assert found(-x) == pytest.approx(-found(x), abs=1e-12)


def test_a_certified_bound_is_never_below_a_value() -> None:
    found = OddPolynomial((0.0,) * 31 + (1.0,), 1.0)  # T_63, whose extremes lie between the points of any grid
    x = np.cos(np.pi * np.arange(64) / 63)[1:20]
    for low, high in zip(x[1:], x, strict=False):
        least, greatest = certified_bounds(found, low - 1e-4, high + 1e-4)
        assert least <= -1
        assert greatest >= 1
    assert certified_bounds(found, -1.0, 1.0) == pytest.approx((-1, 1), abs=2e-3)


def test_noise_within_the_tolerance_leaves_the_composite_stable() -> None:
    found = composite_sign(2**-5, (15, 15), tolerance=1e-3)
    rng = np.random.default_rng(0)
    x = rng.uniform(2**-5, 1.05, 10_000)
    for factor in found.factors:
        x = factor(x) + rng.uniform(-1e-3, 1e-3, len(x))
    assert np.abs(x - 1).max() < found.deviation + 1e-3


def test_a_chebyshev_series_is_less_sensitive_to_noise_than_powers() -> None:
    factor = nearest_to_one(2**-5, 1.0, 15)
    powers = chebyshev.cheb2poly(factor.series)
    assert np.abs(powers).sum() > 1e4 * np.abs(factor.series).sum()


def test_the_extremes_of_a_minimax_polynomial_alternate() -> None:
    found = nearest_to_one(0.1, 1.0, 9)
    error = found(np.linspace(0.1, 1.0, 200_001)) - 1
    turns = np.split(error, np.flatnonzero(np.diff(np.sign(error)) != 0) + 1)
    peaks = np.array([np.abs(part).max() for part in turns])
    assert len(peaks) == 6
    assert peaks == pytest.approx(peaks[0], rel=1e-5)


def test_the_cheapest_sign_has_the_fewest_levels() -> None:
    found = cheapest_sign(2**-4, 2**-6)
    assert (found.levels, [one.degree for one in found.factors]) == (7, [7, 15])
    with pytest.raises(ConfigError, match="^gap: got"):
        cheapest_sign(1e-9, 1e-9)


def test_values_outside_the_fitted_range_are_refused() -> None:
    found = composite_sign(2**-3, (7, 7))
    with pytest.raises(InputRangeError, match="value 1.2 at place 1"):
        found(np.array([0.5, 1.2]))
    with pytest.raises(InputRangeError, match="value nan"):
        found(np.array([np.nan]))


@pytest.mark.parametrize(
    ("arguments", "field"),
    [((0.0, (7,)), "gap"), ((2.0, (7,)), "gap"), ((0.1, ()), "degrees"), ((0.1, (8,)), "degree"), ((0.01, (3,)), "x")],
)
def test_signs_that_cannot_be_are_refused(arguments: tuple, field: str) -> None:
    if field == "x":  # far from the sign, and still a valid composite with its own bound
        assert composite_sign(*arguments).deviation > 0.9
        return
    with pytest.raises(ConfigError, match=f"^{field}: got"):
        composite_sign(*arguments)


@pytest.mark.parametrize(("degree", "products"), [(3, 2), (7, 5), (15, 10), (31, 19)])
def test_an_odd_series_takes_the_fewest_levels(degree: int, products: int) -> None:
    rng = np.random.default_rng(1)
    polynomial = OddPolynomial(tuple(rng.standard_normal((degree + 1) // 2)), 2.0)
    run = ClearOperations()
    x = rng.uniform(-2, 2, 64)
    found = evaluate_odd(polynomial, Leveled(x / 2), run, factor=3.0)
    assert found.slots == pytest.approx(3 * polynomial(x), abs=1e-9)
    assert (found.spent, run.products) == (polynomial.levels, products)


def test_series_that_waste_a_level_are_refused() -> None:
    with pytest.raises(ConfigError, match="^degree: got 9"):
        evaluate_odd(OddPolynomial((1.0,) * 5, 1.0), Leveled(np.zeros(4)), ClearOperations())


def test_the_evaluated_sign_is_the_composite() -> None:
    found = composite_sign(2**-4, (7, 15))
    x = np.linspace(-1, 1, 101)
    value = evaluate_sign(found, Leveled(x / found.factors[0].bound), ClearOperations(), factor=0.5)
    assert value.slots == pytest.approx(found(x) / 2, abs=1e-9)
    assert value.spent == found.levels == 7


def test_neighbours_of_the_grid_are_those_of_pooling() -> None:
    anchors = Anchors(image=(240, 240), areas=(64.0**2,), ratios=(1.0,))
    assert anchors.cells == (16, 16)
    line, column = (part.ravel() for part in np.indices((16, 16)))
    wanted = neighbours(Places(0 * line, column, line), anchors, ("single",), "three")
    found = np.zeros((256, 256), dtype=bool)
    for number, own in enumerate(GRID.neighbours):
        dy, dx = number // 5 - 2, number % 5 - 2
        y, x = np.nonzero(own)
        found[y * 16 + x, (y + dy) * 16 + x + dx] = True
    np.fill_diagonal(wanted, False)
    assert np.array_equal(found, wanted)


def test_the_operations_are_counted(keeping: Keeping) -> None:
    run = ClearOperations()
    kept = keeping.evaluate(Leveled(GRID.pack(np.zeros((16, 16)))), run)
    assert (run.rotations, len(run.steps), run.products) == (19, 8, 25)
    assert kept.spent == keeping.levels == 14


def scenes(count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    for _ in range(count):
        yield np.where(rng.random((16, 16)) < 0.6, 0.0, rng.integers(1, 16, (16, 16)) / 15)


def wanted_bits(scores: np.ndarray, least_gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Which cells beat all neighbours, the earlier of equal cells first; and whether every difference is decided."""
    keep, decided = np.ones((2, 16, 16), dtype=bool)
    padded = np.pad(scores, 2)
    for number, own in enumerate(GRID.neighbours):
        dy, dx = number // 5, number % 5
        apart = scores - padded[dy : dy + 16, dx : dx + 16]
        keep &= ~(own & ((apart < 0) | ((apart == 0) & (number < 12))))
        decided &= ~(own & (apart != 0) & (np.abs(apart) < least_gap))
    return keep, decided


def test_keep_bits_agree_with_plain_ones_on_a_hundred_scenes(keeping: Keeping) -> None:
    rng = np.random.default_rng(2)
    worst, occupied = 0.0, 0
    for scores in scenes(100, rng):
        keep, decided = wanted_bits(scores, keeping.least_gap)
        assert decided.all()
        bits = keeping.evaluate(Leveled(GRID.pack(scores)), ClearOperations()).slots[GRID.cell_slots]
        worst, occupied = max(worst, float(np.abs(bits - keep).max())), occupied + int((scores > 0).sum())
    assert worst <= keeping.deviation < 0.02
    assert occupied > 9_000


def test_keep_bits_are_those_of_psrr(keeping: Keeping) -> None:
    anchors = Anchors(image=(240, 240), areas=(64.0**2,), ratios=(1.0,))
    rng = np.random.default_rng(3)
    for _ in range(5):
        scores = np.where(rng.random((16, 16)) < 0.8, 0.0, rng.permutation(256).reshape(16, 16) / 255)
        _, decided = wanted_bits(scores, keeping.least_gap)
        line, column = np.nonzero(scores)
        centre = 16.0 * np.stack([column, line], axis=1) + 8
        kept = pairwise_nms(
            np.concatenate([centre - 32, centre + 32], axis=1), scores[line, column], anchors=anchors, pools=("single",)
        )
        bits = keeping.evaluate(Leveled(GRID.pack(scores)), ClearOperations()).slots[GRID.cell_slots][line, column]
        sure = decided[line, column]
        assert np.array_equal(np.flatnonzero((bits > 0.5) & sure), np.sort(kept[sure[kept]]))


def test_noise_moves_keep_bits_little(keeping: Keeping) -> None:
    rng = np.random.default_rng(4)
    scores = next(scenes(1, rng))
    keep, _ = wanted_bits(scores, keeping.least_gap)
    noisy = keeping.evaluate(Leveled(GRID.pack(scores)), ClearOperations(noise=1e-6)).slots[GRID.cell_slots]
    assert np.abs(noisy - keep).max() < keeping.deviation + 1e-3


def test_of_equal_cells_the_earlier_one_stays(keeping: Keeping) -> None:
    scores = np.zeros((16, 16))
    scores[4, 4] = scores[4, 5] = scores[5, 4] = 0.8
    bits = keeping.evaluate(Leveled(GRID.pack(scores)), ClearOperations()).slots[GRID.cell_slots]
    assert bits[4, 4] == pytest.approx(1, abs=keeping.deviation)
    assert [bits[4, 5], bits[5, 4]] == pytest.approx([0, 0], abs=keeping.deviation)


def test_scores_nearer_than_the_least_gap_may_be_undecided(keeping: Keeping) -> None:
    scores = np.zeros((16, 16))
    scores[4, 4], scores[4, 5] = 0.8 - keeping.bias, 0.8
    bits = keeping.evaluate(Leveled(GRID.pack(scores)), ClearOperations()).slots[GRID.cell_slots]
    assert 0.2 < bits[4, 5] < 0.8


def test_grids_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SlotOverflowError, match="32 copies of a grid of 16 x 16 cells take 12,800 slots"):
        PairGrid(16, 16, 3, SHIFTS, 8192)
    with pytest.raises(ConfigError, match="^slots: got 1000"):
        PairGrid(4, 4, 2, SHIFTS, 1000)
    with pytest.raises(ConfigError, match="^kernel: got 0"):
        PairGrid(4, 4, 0, SHIFTS, 1024)
    with pytest.raises(ConfigError, match="^shifts: got"):
        PairGrid(4, 4, 2, (), 1024)
    with pytest.raises(InputShapeError, match="scores: shape"):
        GRID.pack(np.zeros((4, 4)))
