"""What BatchEvaluator prepares before it runs: constants, slices, runs, places in memory, and predicted times."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.errors import PlanError
from secure.coded.plan import Quadratic, Step
from secure.params import make_params
from secure.residues.constants import SLACK, code_limit, column_slices, modulo
from secure.residues.digits import (
    GROUP,
    LARGEST_CODE,
    LARGEST_DIGIT,
    LARGEST_ROW,
    TILE,
    digit_count,
    exact_in_digits,
    highest_with_digits,
    packed_codes,
    pair_count,
)  # fmt: skip
from secure.residues.layout import LINE, chunk_size, lay_out
from secure.residues.pairs import split_digits
from secure.residues.runs import count_runs, sparse_runs
from secure.residues.steps import prepare
from secure.residues.times import TYPICAL_RESIDUE_TIMES, Way, fastest_way, predicted_ms, preferring
from tests.secure.batch_plans import batch_plan, linear, random_plans

PRIMES = [make_params(2048, (bits,), None).data_primes[0] for bits in (20, 41, 49)]
matrices = st.tuples(
    st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([1, 40, 300]), st.sampled_from([0.0, 0.02, 0.3, 1.0])
)


def matrix_of(drawn):
    seed, rows, columns, density = drawn
    generator = np.random.default_rng(seed)
    return generator.integers(-40, 41, (rows, columns)) * (generator.random((rows, columns)) < density)


@settings(max_examples=200)
@given(value=st.integers(-(2**1000), 2**1000), prime=st.sampled_from(PRIMES))
def test_whole_numbers_of_any_size_are_taken_modulo_a_prime_exactly(value, prime):
    rounded = float(value)
    found = modulo(np.array([rounded]), prime)[0]
    assert (int(found) - int(rounded)) % prime == 0
    assert abs(found) <= prime // 2


@pytest.mark.parametrize("prime", PRIMES)
def test_the_largest_sum_stays_below_two_to_the_53_and_one_more_would_not(prime):
    limit = code_limit(linear([[1]]), prime)
    largest = prime // 2 + SLACK
    assert (1 + limit) * largest <= 2**53 < (2 + limit) * largest


@settings(deadline=None, max_examples=60)
@given(drawn=matrices, limit=st.sampled_from([40, 60, 500, 10**6]))
def test_slices_of_columns_keep_to_the_limit_and_could_not_be_longer(drawn, limit):
    matrix = matrix_of(drawn)
    slices = column_slices(linear(matrix), matrix.shape[1], limit)
    assert [first for first, _ in slices] == [0, *(end for _, end in slices[:-1])]
    assert slices[-1][1] == matrix.shape[1]
    for first, end in slices:
        assert np.abs(matrix[:, first:end]).sum(axis=1).max() <= limit
        if end < matrix.shape[1]:
            assert np.abs(matrix[:, first : end + 1]).sum(axis=1).max() > limit


@settings(deadline=None, max_examples=60)
@given(drawn=matrices, limit=st.sampled_from([40, 60, 500, 10**6]))
def test_runs_hold_every_code_once_and_are_reduced_before_the_limit(drawn, limit):
    matrix = matrix_of(drawn)
    layer = linear(matrix)
    made = sparse_runs(layer, matrix.shape[1], limit)
    sums = dict.fromkeys(range(len(matrix)), 0)
    left, open_rows = matrix.copy(), set()
    for row, first, end, starting, reduced in made.runs.tolist():
        assert starting == (row not in open_rows)
        open_rows.add(row)
        np.subtract.at(left[row], made.columns[first:end], made.codes[first:end].astype(int))
        sums[row] += int(np.abs(made.codes[first:end]).sum())
        assert sums[row] <= limit
        sums[row] = 0 if reduced else sums[row]
    assert not left.any()
    assert open_rows == set(range(len(matrix)))
    assert set({row: reduced for row, *_, reduced in made.runs.tolist()}.values()) == {1}  # the last of each row
    counted = count_runs(layer, matrix.shape[1], limit)
    assert len(made.runs) / 2 <= counted <= 2 * len(made.runs)
    if np.abs(matrix).sum(axis=1).max() <= limit:
        assert counted == len(made.runs)


def test_primes_that_leave_short_sums_are_predicted_to_be_slow():
    """Sums of 5-bit codes beside residues of 49 bits are reduced after every few codes, and each time costs a run."""
    matrix = np.random.default_rng(3).integers(-15, 16, (100, 300))
    layer, columns = linear(matrix), 300
    few, many = (count_runs(layer, columns, limit) for limit in (10**6, 31))
    assert many > 10 * few and many == pytest.approx(len(sparse_runs(layer, columns, 31).runs), rel=0.25)


@settings(deadline=None, max_examples=60)
@given(plan=random_plans(), chunk=st.sampled_from([32, 64]))
def test_values_in_use_never_overlap(plan, chunk):
    layout = lay_out(plan, chunk)
    last_use = [0] * (len(plan.steps) + 1)
    for number, step in enumerate(plan.steps, start=1):
        for source in step.sources:
            last_use[source] = number
    for number in range(1, len(plan.steps) + 1):
        alive = [layout.places[value] for value in range(number) if last_use[value] >= number]
        used = sorted(
            (place.start, place.start + place.features * place.stride)
            for place in (*alive, layout.places[number], layout.scratch[number])
        )
        assert all(end <= start for (_, end), (start, _) in zip(used, used[1:], strict=False))
        assert used[-1][1] <= layout.size
    for place, parts in zip(layout.places, plan.parts, strict=True):
        assert place.start % LINE == 0 and place.stride % LINE == 0 and (place.stride // LINE) % 2 == 1
        assert place.stride >= parts * chunk


def test_memory_of_values_that_nobody_reads_any_more_is_used_again():
    plan = batch_plan(9, [linear(np.eye(9, dtype=int), source=source) for source in range(20)])
    layout = lay_out(plan, 32)
    assert layout.size == 3 * 9 * layout.places[0].stride  # source, target, scratch


def mlp(density, bits=(41,)):
    generator = np.random.default_rng(0)
    codes = generator.integers(1, 32, (64, 784)) * (generator.random((64, 784)) < density)
    square = Quadratic(
        layer="act", sources=(1,), scales=np.ones(64), square=np.ones(64), linear=np.zeros(64), constant=np.zeros(64)
    )
    return batch_plan(784, [linear(codes, layer="fc1"), square, linear(np.ones((10, 64)), layer="fc2", source=2)], bits)


def test_the_predicted_time_follows_zeros_and_primes():
    dense, sparse, two = (predicted_ms(mlp(*options)) for options in ((1.0,), (0.1,), (1.0, (41, 41))))
    assert set(dense.layers_ms) == {"fc1", "act", "fc2"}
    assert dense.total_ms == pytest.approx(dense.moved_ms + sum(dense.layers_ms.values()))
    assert list(dense.steps_ms) == list(dense.layers_ms.values())
    assert sparse.layers_ms["fc1"] < dense.layers_ms["fc1"] / 3
    assert sparse.layers_ms["act"] == dense.layers_ms["act"]
    assert two.total_ms == pytest.approx(2 * dense.total_ms)
    assert predicted_ms(mlp(1.0), chunk=32).total_ms > predicted_ms(mlp(1.0), chunk=512).total_ms


def test_times_decide_between_the_ways_of_a_linear_layer():
    plan = mlp(0.5)
    prime = plan.params.data_primes[0]
    cheap = replace(TYPICAL_RESIDUE_TIMES, dense_ps=1.0, packed_ps=1.0)
    assert fastest_way(plan.steps[0], 784, prime, cheap) is Way.BLAS
    slow = replace(cheap, dense_ps=1e3)
    assert fastest_way(plan.steps[0], 784, prime, replace(slow, digit_ps=1e3)) is Way.SPARSE
    assert fastest_way(plan.steps[0], 784, prime, replace(slow, digit_ps=1.0)) is Way.DIGITS
    blas, digits = preferring(Way.BLAS), preferring(Way.DIGITS)
    assert predicted_ms(plan, times=cheap, choice=blas).layers_ms["fc1"] < predicted_ms(plan).layers_ms["fc1"]
    assert predicted_ms(plan, times=cheap, choice=digits) == predicted_ms(plan, choice=digits)  # no BLAS, no difference


def test_layers_whose_sums_leave_32_bits_are_not_done_by_digits():
    always = preferring(Way.DIGITS)
    prime = PRIMES[0]
    for row, exact in (
        ([LARGEST_CODE], True),
        ([LARGEST_CODE + 1], False),
        ([-LARGEST_CODE - 1], False),
        ([LARGEST_CODE, -LARGEST_CODE, LARGEST_ROW - 2 * LARGEST_CODE], True),
        ([LARGEST_CODE, -LARGEST_CODE, LARGEST_ROW - 2 * LARGEST_CODE + 1], False),
    ):
        layer = linear([[0] * len(row), row])
        assert exact_in_digits(layer) is exact
        assert (fastest_way(layer, len(row), prime, always) is Way.DIGITS) is exact
    assert LARGEST_ROW * LARGEST_DIGIT < 2**31 <= (LARGEST_ROW + 1) * LARGEST_DIGIT


@settings(deadline=None, max_examples=60)
@given(drawn=matrices)
def test_packed_codes_hold_every_code_in_groups_of_rows_and_pairs_of_columns(drawn):
    matrix = matrix_of(drawn)
    rows, columns = matrix.shape
    pairs, found = pair_count(columns), np.zeros((rows + GROUP, 2 * pair_count(columns)), dtype=int)
    packed, first = packed_codes(linear(matrix), columns), 0
    while len(packed):
        group = GROUP if len(packed) >= GROUP * pairs else GROUP // 2
        part, packed = packed[: group * pairs].reshape(pairs, group), packed[group * pairs :]
        found[first : first + group, 0::2] = part.astype(np.int16).T
        found[first : first + group, 1::2] = (part >> 16).T
        first += group
    assert rows <= first < rows + GROUP // 2
    np.testing.assert_array_equal(found[:rows, :columns], matrix)
    assert not found[rows:].any() and not found[:, columns:].any()


@pytest.mark.parametrize("bits", [20, 31, 32, 33, 41, 47, 48, 49])
@pytest.mark.parametrize("columns", [1, 4])
def test_digits_of_residues_fit_into_16_bits_at_both_ends_of_the_range(bits, columns):
    """For primes just below a power of two as for any others: what digits make is the residue modulo the prime."""
    prime = make_params(64, (bits,), None).data_primes[0]
    count, ends = digit_count(prime), prime // 2 + SLACK
    values = np.random.default_rng(bits).integers(-ends, ends, (columns, TILE), endpoint=True)
    values[0, :10] = -ends, 1 - ends, ends, ends - 1, -1, 0, 2**15, 2**15 - 1, -(2**15), 2**16
    work, digits = values.astype(float).reshape(-1), np.zeros(count * pair_count(columns) * TILE, dtype=np.int32)
    highest = float(highest_with_digits(count))
    split_digits(work, 0, TILE, columns, 0, digits, 0, count, highest, float(prime))
    both = digits.reshape(count, pair_count(columns), TILE)
    halves = np.stack([both.astype(np.int16), (both >> 16).astype(np.int16)], axis=2).astype(object)
    made = sum(halves[digit] * 2 ** (16 * digit) for digit in range(count)).reshape(-1, TILE)
    assert not ((made[:columns] - values) % prime).any() and not made[columns:].any()
    assert np.abs(made[:columns] - values).max() in (0, prime)


def test_a_layer_that_is_not_exact_has_no_predicted_time():
    plan = batch_plan(2, [linear([[1, 2**20]], layer="wide")], (49,))
    with pytest.raises(PlanError, match="layer 'wide': a code of 1048576 times residues of a prime of 49 bits"):
        predicted_ms(plan)


def test_chunks_are_smaller_where_values_are_wider():
    assert chunk_size(batch_plan(4, [linear(np.eye(4, dtype=int))])) == 2048
    assert chunk_size(mlp(1.0)) == 64
    assert chunk_size(batch_plan(9000, [linear(np.ones((1, 9000), dtype=int))])) == 32


def test_threads_get_several_chunks_each():
    plan = batch_plan(4, [linear(np.eye(4, dtype=int))])
    assert [chunk_size(plan, threads) for threads in (1, 2, 3, 8, 1000)] == [2048, 256, 128, 64, 32]


def test_a_step_that_is_none_is_refused():
    plan = batch_plan(2, [linear(np.eye(2, dtype=int))])
    bare = replace(plan, steps=(Step(layer="bare", sources=(0,), scales=np.ones(2)),))
    with pytest.raises(TypeError, match="Step is no step of a plan"):
        prepare(bare, lay_out(bare, 32), plan.params.data_primes[0], TYPICAL_RESIDUE_TIMES)
