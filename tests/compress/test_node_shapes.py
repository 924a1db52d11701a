"""Fields of nodes that do not fit each other are refused, and all that fits runs."""

import numpy as np
import pytest

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
    Permute,
    Polynomial,
    Reshape,
    Weights,
    evaluate_node,
)
from compress.network_file import _NODE_TYPES
from compress.node_shapes import RULES, shape_fault


def weights(*shape):
    return Weights(codes=np.ones(shape), step=np.array(1.0))


def node(cls, shape, **fields):
    inputs = tuple(f"x{k}" for k in range(len(GOOD[cls][0])))
    return cls(name="n", inputs=inputs, shape=shape, **fields)


WINDOW = {"stride": (2,), "padding": (1,), "dilation": (1,), "groups": 1}
#: Shapes that are read, the shape that is made, and fields that fit.
GOOD = {
    Dense: ([(3, 4)], (3, 2), {"weights": weights(2, 4), "bias": np.zeros(2)}),
    Conv: ([(4, 9)], (6, 5), {"weights": weights(6, 4, 3), "bias": np.zeros(6), **WINDOW}),
    ConvTranspose: ([(4, 5)], (6, 10), {"weights": weights(4, 6, 3), "bias": np.zeros(6), **WINDOW}),
    AvgPool: ([(2, 6, 6)], (2, 3, 3), {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0)}),
    Affine: ([(2, 3)], (2, 3), {"scale": np.ones((2, 1)), "shift": np.array(0.5)}),
    Polynomial: ([(2, 3)], (2, 3), {"coefficients": np.ones((3, 2))}),
    Add: ([(2, 3), (2, 3)], (2, 3), {}),
    Multiply: ([(2, 3), (2, 3)], (2, 3), {}),
    Concat: ([(2, 3), (4, 3)], (6, 3), {"axis": 0}),
    Gather: ([(2, 3)], (4,), {"indices": np.array([0, 5, -1, 5])}),
    AxisMap: ([(2, 3)], (2, 5), {"axis": 1, "matrix": np.ones((5, 3))}),
    Reshape: ([(2, 3)], (6,), {}),
    Permute: ([(2, 3, 4)], (4, 2, 3), {"axes": (2, 0, 1)}),
}
BAD = [
    (Dense, {"weights": weights(2, 3)}, "weights .2, 3. do not fit an input of shape"),
    (Dense, {"bias": np.zeros(3)}, "bias .3,. for 2 outputs"),
    (Dense, {"bias": np.zeros(2, np.float32)}, "bias is of type float32"),
    (Dense, {"weights": Weights(codes=np.ones((2, 4)), step=np.ones(3))}, "step float64 .3,. for codes"),
    (Dense, {"shape": (3, 3)}, "shape .3, 3., its fields make .3, 2."),
    (Conv, {"groups": 2}, "weights .* in 2 groups do not fit"),
    (Conv, {"stride": (0,)}, "do not fit an input"),
    (Conv, {"padding": (1, 1)}, "do not fit an input"),
    (Conv, {"padding": (2**40,)}, "make more than"),
    (Conv, {"dilation": (2**40,)}, "its fields make"),
    (ConvTranspose, {"shape": (6, 12)}, "does not follow from an input of shape"),
    (ConvTranspose, {"shape": (6,)}, "do not fit an input"),
    (ConvTranspose, {"shape": ()}, "do not fit an input"),
    (ConvTranspose, {"stride": (2**40,)}, "make more than"),
    (AvgPool, {"kernel": (2,)}, "kernel .2,., stride .* do not fit"),
    (AvgPool, {"kernel": (0, 1)}, "do not fit"),
    (AvgPool, {"padding": (2**40, 0)}, "padding .* makes more than"),
    (Affine, {"scale": np.ones((3, 1))}, "scale .3, 1. does not spread over shape"),
    (Affine, {"shift": np.ones((1, 2, 3))}, "shift .1, 2, 3. does not spread"),
    (Polynomial, {"coefficients": np.ones((0, 2))}, "coefficients .0, 2. do not fit"),
    (Polynomial, {"coefficients": np.ones((3, 5))}, "coefficients .3, 5. do not fit"),
    (Concat, {"axis": 2}, "which must agree on all axes but axis 2"),
    (Concat, {"axis": 1}, "which must agree on all axes but axis 1"),
    (Gather, {"indices": np.array([0, 6, 0, 0])}, "indices beyond the 6 elements"),
    (Gather, {"indices": np.array([0, -2, 0, 0])}, "indices beyond the 6 elements"),
    (Gather, {"indices": np.zeros(4, np.int32)}, "indices is of type int32"),
    (Gather, {"indices": np.zeros(3, np.int64)}, "indices .3,. for a shape of 4 elements"),
    (AxisMap, {"axis": 2}, "matrix .5, 3. does not fit axis 2"),
    (AxisMap, {"matrix": np.ones((5, 2))}, "matrix .5, 2. does not fit axis 1"),
    (Reshape, {"shape": (5,)}, "shape .5,. from .2, 3. of another size"),
    (Reshape, {"shape": (-6, -1)}, "up to 8 sizes of at least 1"),
    (Reshape, {"shape": (2**40, 2**40)}, "up to 8 sizes of at least 1"),
    (Permute, {"axes": (0, 0, 1)}, "axes .0, 0, 1. of an input of shape"),
    (Permute, {"axes": (0, 1, 3)}, "axes .0, 1, 3. of an input of shape"),
]


def test_every_kind_of_a_file_has_a_rule_and_a_case():
    assert RULES.keys() == set(_NODE_TYPES.values()) == GOOD.keys() | {Input}
    assert {cls for cls, _, _ in BAD} == GOOD.keys() - {Add, Multiply}


@pytest.mark.parametrize("cls", GOOD)
def test_what_passes_runs_and_makes_its_shape(cls):
    sources, shape, fields = GOOD[cls]
    good = node(cls, shape, **fields)
    assert shape_fault(good, sources) is None
    assert evaluate_node(good, *(np.zeros((2, *source)) for source in sources)).shape == (2, *shape)
    assert shape_fault(good, [*sources, *[sources[0]] * 1024]).startswith(f"it reads {len(sources) + 1024} values")
    assert shape_fault(good, []).startswith("it reads 0 values")


@pytest.mark.parametrize(("cls", "changes", "message"), BAD)
def test_fields_that_do_not_fit_are_named(cls, changes, message):
    sources, shape, fields = GOOD[cls]
    fields = {**fields, "shape": shape, **changes}
    with pytest.raises(AssertionError, match=message):
        assert shape_fault(node(cls, **fields), sources) is None


@pytest.mark.parametrize("cls", [Add, Multiply])
def test_two_values_of_different_shapes_are_refused(cls):
    assert "which must be the same" in shape_fault(node(cls, (2, 3)), [(2, 3), (3, 2)])
