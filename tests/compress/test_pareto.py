"""The Pareto set, against its definition point by point."""

from hypothesis import given
from hypothesis import strategies as st

from compress.pareto import pareto_front

POINTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), max_size=14)


def dominates(one, other):
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


@given(POINTS)
def test_the_front_has_every_undominated_point_once(points):
    front = [points[index] for index in pareto_front(points)]
    assert len(front) == len(set(front))
    assert set(front) == {point for point in points if not any(dominates(other, point) for other in points)}


def test_equal_points_are_represented_by_the_first():
    assert pareto_front([(1, 2), (1, 2), (2, 1), (3, 3)]) == [0, 2]
    assert pareto_front([]) == []
