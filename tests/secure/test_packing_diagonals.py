"""Slot maps and diagonals: a table applied to slots gives exactly the matrix product, in the slot map it promises."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import sparse

from secure.drafting.stage_cost import constant_keys
from secure.layout.diagonals import apply_table, folded_table, placed_table, plane_constants
from secure.layout.packing import (
    EMPTY,
    fanned_map,
    grid_map,
    in_planes,
    input_vectors,
    least_share,
    next_power_of_two,
    period_of,
    periodic_map,
    replicated_grid_map,
    spread,
)
from secure.stages.stages import Grid

SLOTS = 64


def sparse_matrix(rng, rows, columns, density=1.0):
    dense = rng.normal(size=(rows, columns)) * (rng.random((rows, columns)) < density)
    return sparse.csr_matrix(dense)


def assert_table_is_product(table, maps, sources, atoms):
    slots = {atom: spread(atoms[atom], sources[atom]) for atom in maps}
    wanted = sum(matrix @ atoms[atom] for atom, matrix in maps.items())
    np.testing.assert_allclose(apply_table(table, slots), spread(wanted, table.output_map), atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 150),
    rows=st.integers(1, 100),
    density=st.sampled_from([1.0, 0.2]),
    fanned=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_folded_table_is_the_matrix_product(size, rows, density, fanned, seed):
    rng = np.random.default_rng(seed)
    maps = {0: sparse_matrix(rng, rows, size, density)}
    sources = {0: fanned_map(np.arange(size), rows, SLOTS) if fanned else periodic_map(size, SLOTS)}
    table = folded_table(maps, sources, rows)
    assert_table_is_product(table, maps, sources, {0: rng.normal(size=size)})


@settings(max_examples=40, deadline=None)
@given(sizes=st.tuples(st.integers(1, 90), st.integers(1, 40)), rows=st.integers(1, 70), seed=st.integers(0, 2**16))
def test_two_atoms_of_different_maps_share_one_table(sizes, rows, seed):
    rng = np.random.default_rng(seed)
    maps = {0: sparse_matrix(rng, rows, sizes[0]), 2: sparse_matrix(rng, rows, sizes[1])}
    sources = {0: fanned_map(np.arange(sizes[0]), rows, SLOTS), 2: periodic_map(sizes[1], SLOTS)}
    table = folded_table(maps, sources, rows)
    assert_table_is_product(table, maps, sources, {0: rng.normal(size=sizes[0]), 2: rng.normal(size=sizes[1])})


@settings(max_examples=40, deadline=None)
@given(
    channels=st.tuples(st.integers(1, 3), st.integers(1, 9)),
    side=st.integers(2, 4),
    repeated=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_placed_table_is_the_matrix_product(channels, side, repeated, seed):
    rng = np.random.default_rng(seed)
    origin = (channels[0], side, side)
    source_grid = Grid(channels[0], (side, side), (1, 1), origin)
    target_grid = Grid(channels[1], (side // 2, side // 2), (2, 2), origin)
    source = (replicated_grid_map if repeated else grid_map)(source_grid, (side, side), SLOTS)
    target = grid_map(target_grid, (side, side), SLOTS)
    maps = {0: sparse_matrix(rng, channels[1] * (side // 2) ** 2, channels[0] * side**2, 0.5)}
    table = placed_table(maps, {0: source}, target)
    assert_table_is_product(table, maps, {0: source}, {0: rng.normal(size=channels[0] * side**2)})


def test_a_fanned_input_needs_fewer_rotations_than_a_periodic_one():
    rng = np.random.default_rng(0)
    maps = {0: sparse_matrix(rng, 16, 60)}
    fanned = folded_table(maps, {0: fanned_map(np.arange(60), 16, 256)}, 16)
    periodic = folded_table(maps, {0: periodic_map(60, 256)}, 16)
    assert len({key.rotation for key in fanned.diagonals}) == 4  # 16 rows * 60 features / 256 slots, rounded up
    assert len({key.rotation for key in periodic.diagonals}) == 16


def test_a_diagonal_of_zeros_does_not_exist():
    dense = np.zeros((8, 8))
    dense[np.arange(8), (np.arange(8) + 3) % 8] = 1.0
    table = folded_table({0: sparse.csr_matrix(dense)}, {0: periodic_map(8, 16)}, 8)
    assert [key.rotation for key in table.diagonals] == [3]


def test_a_strided_convolution_on_the_raster_needs_one_rotation_per_tap():
    # one channel, 8 x 8, kernel 2 x 2, stride 2: four taps, four diagonals, though there are 16 outputs
    rows, columns = [], []
    for y in range(4):
        for x in range(4):
            for dy in range(2):
                for dx in range(2):
                    rows.append(y * 4 + x)
                    columns.append((2 * y + dy) * 8 + 2 * x + dx)
    matrix = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(16, 64))
    source = grid_map(Grid(1, (8, 8), (1, 1), (1, 8, 8)), (8, 8), 64)
    target = grid_map(Grid(1, (4, 4), (2, 2), (1, 8, 8)), (8, 8), 64)
    table = placed_table({0: matrix}, {0: source}, target)
    assert sorted(key.rotation for key in table.diagonals) == [0, 1, 8, 9]


@pytest.mark.parametrize(("number", "power"), [(0, 1), (1, 1), (2, 2), (3, 4), (64, 64), (65, 128)])
def test_next_power_of_two(number, power):
    assert next_power_of_two(number) == power


def test_period_of_a_map():
    assert period_of(periodic_map(5, 64)) == 8
    assert period_of(periodic_map(64, 64)) == 64
    assert period_of(fanned_map(np.arange(60), 16, 256)) == 256


def test_spread_leaves_empty_slots_zero():
    slots = spread(np.array([5.0, 7.0]), np.array([[0, EMPTY, 1, 0]]))
    np.testing.assert_array_equal(slots, [[5.0, 0.0, 7.0, 5.0]])


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 150),
    rows=st.integers(1, 60),
    rounded=st.booleans(),
    dropped=st.floats(0, 0.9),
    seed=st.integers(0, 2**16),
)
def test_inputs_without_readers_need_no_slot(size, rows, rounded, dropped, seed):
    rng = np.random.default_rng(seed)
    read = np.flatnonzero(rng.random(size) >= dropped)
    read = read if len(read) else np.arange(1)
    matrix = np.zeros((rows, size))
    matrix[:, read] = rng.normal(size=(rows, len(read)))
    share = least_share(len(read), rows, SLOTS)
    source = fanned_map(read, rows, SLOTS, next_power_of_two(share) if rounded else share)
    assert set(read) <= set(source.ravel())
    maps = {0: sparse.csr_matrix(matrix)}
    table = folded_table(maps, {0: source}, rows)
    assert_table_is_product(table, maps, {0: source}, {0: rng.normal(size=size)})


def test_pruned_residue_classes_leave_whole_diagonals_empty():
    rng = np.random.default_rng(0)
    column, row = np.arange(60)[None, :], np.arange(16)[:, None]
    kept = rng.normal(size=(16, 60)) * np.isin((column - row) % 4, (0, 2))
    table = folded_table({0: sparse.csr_matrix(kept)}, {0: fanned_map(np.arange(60), 16, 256)}, 16)
    assert {key.rotation for key in table.diagonals} == {0, 2}


def test_a_class_of_places_is_one_diagonal_in_both_planes():
    """50 features, 2 per slot, on 12 rows: 16 blocks hold shares of 2 slots, and the first plane has whole shares."""
    rng = np.random.default_rng(0)
    source = in_planes(np.arange(50), 2, fanned_map(np.arange(32), 12, 256, 2), 32)
    column, row = np.arange(50)[None, :], np.arange(12)[:, None]
    maps = {0: sparse.csr_matrix(rng.normal(size=(12, 50)) * ((column - row) % 2 == 1))}
    table = folded_table(maps, {0: source}, 12)
    assert {key.rotation for key in plane_constants(table, 2)} == {1}
    assert_table_is_product(table, maps, {0: source}, {0: rng.normal(size=50)})


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(1, 16),
    rows=st.integers(1, 20),
    copies=st.sampled_from([2, 4, 8]),
    density=st.sampled_from([1.0, 0.3]),
    seed=st.integers(0, 2**16),
)
def test_rows_shared_out_over_copies_are_the_matrix_product(size, rows, copies, density, seed):
    rng = np.random.default_rng(seed)
    maps = {1: sparse_matrix(rng, rows, size, density)}
    source = periodic_map(size, SLOTS)
    period = period_of(source)
    groups = min(copies, SLOTS // period)
    assume(next_power_of_two(-(-rows // groups)) <= period)
    table = folded_table(maps, {1: source}, rows, groups)
    values = rng.normal(size=size)
    anything = np.where(source == EMPTY, 1e6, spread(values, source))  # values in empty slots must not be read
    found = apply_table(table, {1: anything})
    held = table.output_map != EMPTY
    assert set(table.output_map[held].tolist()) == set(range(rows))
    np.testing.assert_allclose(found[held], (maps[1] @ values)[table.output_map[held]], atol=1e-9)
    assert table.partial or not np.any(found[~held])


def test_sharing_rows_out_needs_fewer_diagonals():
    matrix = {1: sparse_matrix(np.random.default_rng(0), 16, 16)}
    counts = [len(folded_table(matrix, {1: periodic_map(16, 64)}, 16, groups).diagonals) for groups in (1, 2, 4)]
    assert counts == [16, 8, 4]


def test_more_shares_than_copies_are_refused():
    with pytest.raises(ValueError, match="8 shares of 16 rows do not fit 4 copies"):
        folded_table({1: sparse_matrix(np.random.default_rng(0), 16, 16)}, {1: periodic_map(16, 64)}, 16, 8)


@settings(max_examples=30, deadline=None)
@given(size=st.integers(2, 90), rows=st.integers(1, 30), seed=st.integers(0, 2**16))
def test_two_planes_in_one_ciphertext_are_the_matrix_product(size, rows, seed):
    rng = np.random.default_rng(seed)
    maps = {0: sparse_matrix(rng, rows, size)}
    half = -(-size // 2)
    source = in_planes(np.arange(size), 2, fanned_map(np.arange(half), rows, SLOTS))
    table = folded_table(maps, {0: source}, rows)
    values = rng.normal(size=size)
    slots = input_vectors(values, source.reshape(-1, 2, SLOTS))
    total = np.zeros(table.output_map.shape, dtype=complex)
    for key, constant in plane_constants(table, 2).items():
        total[key.output] += np.roll(slots[key.input], -key.rotation) * constant
    for fold in table.folds:
        total = total + np.roll(total, -fold, axis=-1)
    np.testing.assert_allclose((total + total.conj()).real, spread(maps[0] @ values, table.output_map), atol=1e-9)
    assert set(constant_keys(table, 2)) == set(plane_constants(table, 2))
