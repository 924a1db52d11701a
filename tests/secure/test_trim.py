"""Units without readers or without inputs are removed, and the answers stay the same."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from secure.stages.stages import Grid, Stage, run_stages
from secure.stages.trim import trimmed


def dense_stages(rng, sizes, density):
    stages = []
    for index, (size, read) in enumerate(zip(sizes[1:], sizes[:-1], strict=True)):
        matrix = rng.normal(size=(size, read)) * (rng.random((size, read)) < density)
        matrix[0, 0] = 1.0  # every stage depends on something
        constant = rng.normal(size=size)
        squared = index < len(sizes) - 2
        stages.append(Stage({index: sparse.csr_matrix(matrix)}, constant, None, f"fc{index}", squared))
    return tuple(stages)


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=5),
    density=st.sampled_from([0.1, 0.3, 1.0]),
    seed=st.integers(0, 2**16),
)
def test_trimming_keeps_the_outputs(sizes, density, seed):
    rng = np.random.default_rng(seed)
    stages = dense_stages(rng, sizes, density)
    images = rng.normal(size=(5, sizes[0]))
    smaller = trimmed(stages)
    _, wanted = run_stages(stages, images)
    _, found = run_stages(smaller, images)
    np.testing.assert_allclose(found[-1], wanted[-1], rtol=1e-9, atol=1e-9)
    assert all(small.size <= large.size for small, large in zip(smaller, stages, strict=True))
    assert trimmed(smaller) is smaller


def test_dead_units_by_hand():
    first = np.array([[1.0, 0.0], [0.0, 0.0], [2.0, 1.0]])  # unit 1 is the constant 3, unit 2 has no reader
    second = np.array([[5.0, 2.0, 0.0]])
    stages = (
        Stage({0: sparse.csr_matrix(first)}, np.array([1.0, 3.0, 4.0]), None, "a", True),
        Stage({1: sparse.csr_matrix(second)}, np.array([0.5]), None, "b", False),
    )
    one, two = trimmed(stages)
    assert one.maps[0].toarray().tolist() == [[1.0, 0.0]]
    assert two.maps[1].toarray().tolist() == [[5.0]]
    assert two.constant.tolist() == [0.5 + 2.0 * 3.0**2]


def test_where_positions_are_kept_only_whole_channels_leave():
    grid = Grid(2, (2,), (1,), (1, 2))
    first = sparse.csr_matrix(np.ones((4, 2)))
    read = np.array([[1.0, 0.0, 0.0, 0.0]])  # one position of channel 0, nothing of channel 1
    stages = (
        Stage({0: first}, np.zeros(4), grid, "conv", True),
        Stage({1: sparse.csr_matrix(read)}, np.zeros(1), None, "fc", False),
    )
    conv, fc = trimmed(stages)
    assert (conv.grid.channels, conv.size, fc.maps[1].shape) == (1, 2, (1, 2))


@pytest.mark.parametrize("constant", [0.0, 2.0])
def test_a_stage_keeps_at_least_one_unit(constant):
    stages = (
        Stage({0: sparse.csr_matrix(np.eye(2))}, np.full(2, constant), None, "a", True),
        Stage({0: sparse.csr_matrix(np.ones((1, 2))), 1: sparse.csr_matrix((1, 2))}, np.zeros(1), None, "b", False),
    )
    assert [stage.size for stage in trimmed(stages)] == [1, 1]
