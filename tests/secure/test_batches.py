"""Batches: one row is one input, several are a list of requests, and a list of replies is decrypted at once."""

import numpy as np
import pytest

from compress.errors import FormatError, InputRangeError, InputShapeError
from secure.parties.batches import batch_rows, batch_size, single
from secure.parties.client import Client
from secure.parties.inputs import read_input
from secure.parties.server import Server
from tests.secure.plans import small_bundle

SHAPE = (4, 8)


@pytest.fixture(scope="module")
def parties():
    bundle = small_bundle()
    client, server = Client(bundle.client), Server(bundle.server)
    server.register(client.evaluation_key)
    return client, server


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(-1, 1, (3, *SHAPE))


def close(client, left, right):
    return np.abs(left - right).max() < 2 * client.spec.predicted_logit_error


def test_a_batch_of_one_is_its_only_row(parties, images):
    client, server = parties
    one, batch = (client.decrypt(server.run(client.encrypt(x))) for x in (images[0], images[:1]))
    assert one.shape == batch.shape == client.spec.output_shape
    assert close(client, one, batch)


def test_several_rows_are_a_list_of_requests_and_their_answers_one_array(parties, images):
    client, server = parties
    requests = client.encrypt_many(images)
    assert [type(request) for request in requests] == [bytes] * 3
    answers = client.decrypt([server.run(request) for request in requests])
    assert answers.shape == (3, *client.spec.output_shape)
    for row, answer in zip(images, answers, strict=True):
        assert close(client, answer, client.decrypt(server.run(client.encrypt(row))))


def test_a_list_of_inputs_is_a_batch_too(parties, images):
    client, server = parties
    for batch in (list(images), tuple(images), [row.astype(np.float32) for row in images]):
        assert len(client.encrypt_many(batch)) == 3


def test_no_rows_are_no_requests(parties, images):
    client, _ = parties
    assert client.encrypt_many(images[:0]) == []
    assert client.decrypt([]).shape == (0, *client.spec.output_shape)


@pytest.mark.parametrize("count", [0, 2, 3])
def test_encrypt_says_what_to_call_for_a_batch(parties, images, count):
    with pytest.raises(InputShapeError, match=rf"a batch of {count} inputs of shape \(4, 8\).*call encrypt_many\(x\)"):
        parties[0].encrypt(images[:count])


def test_encrypt_many_says_what_to_call_for_one_input(parties, images):
    with pytest.raises(InputShapeError, match=r"\(4, 8\) is no batch; give .* \(inputs, 4, 8\), or call"):
        parties[0].encrypt_many(images[0])
    with pytest.raises(InputShapeError, match="float is no batch"):
        parties[0].encrypt_many(1.5)


def test_rows_are_checked_and_clipped_as_single_inputs_are(parties, images):
    client, _ = parties
    wild = images.copy()
    wild[1, 0, 0] = 50.0
    with pytest.raises(InputRangeError, match="is 50, accepted are"):
        client.encrypt_many(wild)
    assert len(client.encrypt_many(wild, clip=True)) == 3


def test_a_bad_reply_in_a_list_is_named_by_its_number(parties, images):
    client, server = parties
    good = server.run(client.encrypt(images[0]))
    with pytest.raises(FormatError, match="reply 1: "):
        client.decrypt([good, good[:-1]])


def test_an_input_whose_first_axis_has_one_entry_is_no_batch():
    image = np.zeros((1, 28, 28))
    assert single(image, (1, 28, 28)) is image
    assert batch_size(image, (1, 28, 28)) is None
    assert batch_size(image[None], (1, 28, 28)) == 1
    assert batch_size([[1.0], [1.0, 2.0]], (2,)) is None
    assert len(batch_rows(np.zeros((5, 1, 28, 28)), (1, 28, 28))) == 5


def test_a_file_with_a_batch_needs_a_row(tmp_path, images):
    path = tmp_path / "x.npy"
    np.save(path, images)
    assert np.array_equal(read_input(path, SHAPE, row=2), images[2])
    with pytest.raises(InputShapeError, match=r"x.npy: a batch of 3 inputs.*--row"):
        read_input(path, SHAPE)
    for row in (-1, 3):
        with pytest.raises(InputShapeError, match=f"row {row} of 3"):
            read_input(path, SHAPE, row=row)
    np.save(path, images[:1])
    assert np.array_equal(read_input(path, SHAPE), images[0])
    np.save(path, images[0])
    with pytest.raises(InputShapeError, match=r"shape \(4, 8\), no batch of inputs; leave out --row"):
        read_input(path, SHAPE, row=0)


def test_an_image_of_another_size_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "x.png"
    image.new("L", (30, 20), 7).save(path)
    assert read_input(path, (1, 20, 30)).shape == (1, 20, 30)
    monkeypatch.setattr(image.Image, "convert", None)  # nothing is decoded
    with pytest.raises(InputShapeError, match="x.png: an image of 30 x 20 pixels; the network takes 30 x 30; scale"):
        read_input(path, (1, 30, 30))


def test_an_image_with_a_world_of_pixels_or_damage_is_no_traceback(tmp_path, monkeypatch):
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "x.png"
    image.new("L", (30, 20), 7).save(path)
    whole = path.read_bytes()
    for length in (20, 40):
        path.write_bytes(whole[:length])
        with pytest.raises(InputShapeError, match="x.png: not an image file that pillow can read"):
            read_input(path, (1, 20, 30))
    path.write_bytes(whole)
    monkeypatch.setattr(image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputShapeError, match="x.png: not an image file that pillow can read"):
        read_input(path, (1, 20, 30))
