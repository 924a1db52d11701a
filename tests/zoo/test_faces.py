"""BlazeFace's anchors and boxes; with the optional packages installed, real boxes on photographs."""

import numpy as np
import pytest

import cipherpress as cp
from cipherpress.zoo import faces
from cipherpress.zoo.faces import FACE_ANCHORS, SIDE, centres, decode_faces, faces_in, sources, views
from compress.errors import ConfigError, InputShapeError


def test_there_are_896_anchors_in_two_maps() -> None:
    points = centres()
    assert points.shape == (896, 2)
    assert points[0].tolist() == points[1].tolist() == [4, 4]
    assert points[2].tolist() == [12, 4]
    assert points[512].tolist() == points[517].tolist() == [8, 8]
    assert points[-1].tolist() == [120, 120]
    assert (sources()[:, :2] + sources()[:, 2:]).tolist() == (2 * points).tolist()


def test_outputs_become_boxes_around_their_anchor() -> None:
    moves, logits = np.zeros((896, 16)), np.full(896, -100.0)
    moves[2, :4], logits[2] = (3, -2, 20, 30), 2.0
    moves[5, :4], logits[5] = (0, 0, -4, 10), 9.0  # no width
    found = decode_faces(moves, logits, 0.5)
    assert found.boxes.tolist() == [[5, -13, 25, 17]]
    assert found.scores == pytest.approx(1 / (1 + np.exp(-2)))
    assert found.sources.tolist() == [[0, -8, 24, 16]]
    assert len(decode_faces(moves, logits, 0.95).boxes) == 0


def test_other_shapes_are_refused() -> None:
    with pytest.raises(InputShapeError, match="give .896, 16. and .896,."):
        decode_faces(np.zeros((896, 4)), np.zeros(896), 0.5)
    with pytest.raises(InputShapeError, match="picture: shape"):
        faces_in(np.zeros((3, 128, 128)), 0.5)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="faces: got 'no package skimage'; allowed: what pip install"):
        views()


@pytest.mark.slow
def test_on_a_photograph_every_selection_leaves_one_box_on_the_face() -> None:
    pytest.importorskip("ai_edge_litert", reason="the optional extra faces")
    pytest.importorskip("skimage", reason="the optional extra faces")
    whole = views()[0]
    assert whole.photograph == "astronaut.png"
    assert whole.picture.shape == (SIDE, SIDE, 3)
    found = faces_in(whole.picture, 0.5)
    assert len(found.boxes) > 3
    for kept in (
        cp.greedy_nms(found.boxes, found.scores, overlap=0.3),
        cp.psrr_nms(found.boxes, found.scores, anchors=FACE_ANCHORS),
    ):
        best = found.boxes[kept[0]]
        assert found.scores[kept[0]] == found.scores.max()
        assert best[0] < 56 < best[2]  # the face is at about (56, 28) of 128 pixels
        assert best[1] < 28 < best[3]
        assert len(kept) < len(found.boxes)
