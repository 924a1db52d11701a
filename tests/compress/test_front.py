"""The public front end: cosine coefficients, and the network that lies behind them."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.fft

from compress.errors import InputShapeError, ModelError
from compress.front import (
    Front,
    behind_front,
    cosine_matrix,
    front_from_json,
    front_of,
    lowest_frequencies,
)
from compress.network import Affine, AxisMap, Dense, Gather, Input, Network, Weights


def network(front: Front) -> Network:
    """Its first four nodes are the front end; one dense layer follows."""
    rng = np.random.default_rng(0)
    rows, columns = (cosine_matrix(size) for size in front.shape[1:])
    nodes = (
        Input(name="image", inputs=(), shape=front.shape),
        AxisMap(name="rows", inputs=("image",), shape=front.shape, axis=1, matrix=rows),
        AxisMap(name="columns", inputs=("rows",), shape=front.shape, axis=2, matrix=columns),
        Gather(name="kept", inputs=("columns",), shape=(front.features,), indices=np.array(front.indices)),
        Affine(
            name="gained", inputs=("kept",), shape=(front.features,), scale=np.array(front.gains), shift=np.zeros(1)
        ),
        Dense(
            name="out",
            inputs=("gained",),
            shape=(3,),
            weights=Weights(rng.normal(size=(3, front.features)), np.array(1.0)),
            bias=rng.normal(size=3),
        ),
    )
    return Network(nodes=nodes, about={"front": {**front.as_json(), "node": "gained"}})


FRONT = Front((2, 6, 8), lowest_frequencies((2, 6, 8), 20), tuple(np.linspace(0.5, 2, 20)))


def test_the_transform_is_scipys() -> None:
    images = np.random.default_rng(1).normal(size=(5, *FRONT.shape))
    wanted = scipy.fft.dctn(images, axes=(2, 3), norm="ortho").reshape(5, -1)[:, list(FRONT.indices)]
    np.testing.assert_allclose(FRONT.apply(images), wanted * np.array(FRONT.gains), atol=1e-12)


def test_images_of_single_precision_are_transformed_in_it() -> None:
    images = np.random.default_rng(1).uniform(size=(9, *FRONT.shape)).astype(np.float32)
    found, exact = FRONT.apply(images), FRONT.apply(images.astype(np.float64))
    assert found.dtype == np.float64
    assert 0 < np.abs(found - exact).max() < 1e-6 * np.abs(exact).max()


def test_low_frequencies_come_first_and_channels_alternate() -> None:
    assert lowest_frequencies((2, 4, 4), 6) == (0, 16, 1, 4, 17, 20)
    assert lowest_frequencies((1, 2, 8), 3) == (0, 1, 2)
    assert len(set(lowest_frequencies((3, 5, 7), 105))) == 105


def test_the_network_behind_it_gives_the_same_answers() -> None:
    images = np.random.default_rng(2).normal(size=(7, *FRONT.shape))
    whole = network(FRONT)
    assert front_of(whole) == FRONT and front_from_json(FRONT.as_json()) == FRONT
    rest = behind_front(whole)
    assert rest.input_shape == (20,) and [node.name for node in rest.nodes] == ["gained", "out"]
    np.testing.assert_allclose(rest.run(FRONT.apply(images)), whole.run(images), atol=1e-12)


def test_a_network_without_one_stays_itself() -> None:
    plain = replace(network(FRONT), about={})
    assert front_of(plain) is None and behind_front(plain) is plain


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(InputShapeError, match=r"shape \(6, 8\) per image; the front end takes \(2, 6, 8\)"):
        FRONT.apply(np.zeros((3, 6, 8)))


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "wavelet"},
        {"gains": [1.0]},
        {"indices": [-1] * 20},
        {"node": "nowhere"},
        {"node": "rows"},
        {"shape": [2, 6]},
    ],
)
def test_a_record_that_does_not_fit_is_refused(change) -> None:
    whole = network(FRONT)
    with pytest.raises(ModelError, match="front end: .*convert again"):
        front_of(replace(whole, about={"front": {**whole.about["front"], **change}}))


def test_a_node_that_reads_the_image_is_refused() -> None:
    whole = network(FRONT)
    late = Dense(
        name="late",
        inputs=("image",),
        shape=(2, 6, 3),
        weights=Weights(np.ones((3, 8)), np.array(1.0)),
        bias=np.zeros(3),
    )
    with pytest.raises(ModelError, match="late: it reads what lies before"):
        behind_front(replace(whole, nodes=(*whole.nodes, late)))
