"""Client and server of throughput bundles together: what is encrypted comes back, in any number of images."""

import io
import json
import logging
import pickle
import subprocess
import sys
from copy import copy, deepcopy
from dataclasses import replace

import numpy as np
import pytest

from compress.errors import (
    BackendError,
    ConfigError,
    FormatError,
    InputRangeError,
    InputShapeError,
    InsecureParametersError,
    KeyMismatchError,
    SecretKeyError,
)
from compress.parts import Part
from secure.bundle.interface import Interface
from secure.params import ERROR_STD, make_params
from secure.parties.client import Client
from secure.parties.keys import SecretKey
from secure.streams.client import BatchClient
from secure.streams.server import BatchServer
from tests.secure.batches_by_hand import BUNDLE_ID, ONE_PRIME, SEVERAL_PRIMES, bundle_of, same, squares
from tests.secure.plans import small_bundle

SCALE = 2.0**16


def error_std(params, dropped=0):
    return np.sqrt(params.slots * (ERROR_STD**2 + (4**dropped + 1) / 12)) / SCALE


@pytest.mark.parametrize(
    "params, dropped", [(ONE_PRIME, 0), (ONE_PRIME, 9), (SEVERAL_PRIMES, 0)], ids=["one prime", "dropped", "several"]
)
@pytest.mark.parametrize("blocks, images", [(0, 1), (0, 2), (1, -1), (1, 0), (1, 1)])
def test_images_come_back_in_order(params, dropped, blocks, images):
    bundle = bundle_of((same(6, SCALE),), (2, 3), SCALE, params=params, dropped=dropped)
    client, server = BatchClient(bundle.client), BatchServer(bundle.server)
    count = blocks * params.slots + images
    batch = np.random.default_rng(count).uniform(-1, 1, (count, 2, 3))
    request = client.encrypt_batch(batch)
    assert len(request) == -(-count // params.slots) * client._requests.frame_bytes
    found = client.decrypt_batch(server.run_batch(request))
    assert found.shape == (count, 6)
    assert np.abs(found - batch.reshape(count, 6)).max() < 6.5 * error_std(params, dropped)


@pytest.mark.parametrize(
    "params, dropped", [(ONE_PRIME, 0), (ONE_PRIME, 9), (SEVERAL_PRIMES, 0)], ids=["one prime", "dropped", "several"]
)
def test_inputs_that_the_plan_does_not_read_change_nothing(params, dropped):
    step = replace(same(2, SCALE), indices=np.array([4, 1]))
    bundle = bundle_of((step,), (6,), SCALE, params=params, dropped=dropped)
    client, server = BatchClient(bundle.client), BatchServer(bundle.server)
    batch = np.random.default_rng(0).uniform(-1, 1, (5, 6))
    found = client.decrypt_batch(server.run_batch(client.encrypt_batch(batch)))
    assert np.abs(found - batch[:, [4, 1]]).max() < 8 * error_std(params, dropped)


@pytest.mark.parametrize("count, params, scale", [(1, ONE_PRIME, 2.0**13), (2, SEVERAL_PRIMES, 2.0**18)])
def test_squares_without_any_key(count, params, scale):
    bundle = bundle_of(squares(5, scale, count), (5,), scale, params=params)
    client, server = BatchClient(bundle.client), BatchServer(bundle.server)
    batch = np.random.default_rng(7).uniform(-1, 1, (9, 5))
    found = client.decrypt_batch(server.run_batch(client.encrypt_batch(batch)))
    assert np.abs(found - batch**2**count).max() < 2**count * 6.5 * error_std(params) * SCALE / scale


@pytest.fixture(scope="module")
def bundle():
    return bundle_of((same(6, SCALE),), (2, 3), SCALE)


@pytest.fixture(scope="module")
def client(bundle):
    return BatchClient(bundle.client)


@pytest.fixture(scope="module")
def server(bundle):
    return BatchServer(bundle.server)


@pytest.fixture(scope="module")
def two_blocks(client):
    return client.encrypt_batch(np.random.default_rng(3).uniform(-1, 1, (1030, 2, 3)))


def test_frames_are_made_and_taken_one_at_a_time(client, server):
    class Images:
        """What a memory-mapped file is to a client: a shape, and slices."""

        shape, taken = (5 * 1024, 2, 3), []

        def __len__(self):
            return self.shape[0]

        def __getitem__(self, rows):
            self.taken.append(rows)
            return np.full((rows.stop - rows.start, 2, 3), 0.25)

    images, passed = Images(), []

    def watched(frames, stage):
        for frame in frames:
            passed.append(stage)
            yield frame

    requests = watched(client.encrypt_frames(images), "request")
    replies = watched(server.run_frames(requests), "reply")
    answers = list(watched(client.decrypt_frames(replies), "answer"))
    assert [len(answer) for answer in answers] == [1024] * 5
    assert passed == ["request", "reply", "answer"] * 5
    assert images.taken == [slice(start, start + 1024) for start in range(0, 5 * 1024, 1024)]


def test_files_and_bytes_are_the_same(client, server, two_blocks):
    replies = list(server.run_frames(server.read(io.BytesIO(two_blocks))))
    reply = b"".join(replies)
    assert server.run_batch(two_blocks) == reply
    answers = np.concatenate(list(client.decrypt_frames(client.read(io.BytesIO(reply)))))
    assert (answers == client.decrypt_batch(reply)).all()


def test_threads_of_a_server_give_the_same_bytes(bundle, server, two_blocks):
    assert BatchServer(bundle.server, threads=3).run_batch(two_blocks) == server.run_batch(two_blocks)


# -- inputs


def test_lists_and_other_numbers_are_batches(client, server):
    rows = [[[0, 1, 0], [1, 0, 1]], [[1, 1, 1], [0, 0, 0]]]
    for batch in (rows, tuple(rows), np.array(rows, dtype=np.uint8), np.array(rows, dtype=np.float32)):
        found = client.decrypt_batch(server.run_batch(client.encrypt_batch(batch)))
        assert np.abs(found - np.reshape(rows, (2, 6))).max() < 6.5 * error_std(ONE_PRIME)


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((2, 3)), r"input: shape \(2, 3\); a batch is an array of shape \(images, 2, 3\)"),
        (np.zeros((4, 6)), r"input: shape \(4, 6\)"),
        (np.float64(1.0), r"input: shape \(\)"),
        (np.zeros((0, 2, 3)), "input: a batch of no images"),
        ("text", "input: not an array of numbers"),
        ([[1, 2], [3]], "input: not an array of numbers"),
        (np.array([[["a"] * 3] * 2]), "input: not an array of numbers"),
    ],
)
def test_what_is_no_batch_is_refused(client, images, message):
    with pytest.raises(InputShapeError, match=message):
        client.encrypt_batch(images)


def test_a_value_outside_the_range_is_named_with_its_image(client):
    images = np.zeros((1500, 2, 3))
    images[1027, 1, 2], images[1400, 0, 0] = 1.5, -9
    with pytest.raises(InputRangeError, match=r"image 1027: feature 5 at \(1, 2\) is 1.5, accepted are -1 to 1") as got:
        client.encrypt_batch(images)
    assert (got.value.feature, got.value.value, got.value.low, got.value.high) == (5, 1.5, -1.0, 1.0)
    for wrong in (np.nan, np.inf):
        images[1200, 0, 0] = wrong
        with pytest.raises(InputShapeError, match="image 1200: it holds values that are not finite"):
            client.encrypt_batch(images, clip=True)


def test_clipping_brings_values_to_the_nearest_end_and_says_so(client, server, caplog):
    images = np.zeros((1500, 2, 3))
    images[3, 0, :2], images[1100, 1, 1] = (7, -1.01), -50
    with caplog.at_level(logging.WARNING):
        found = client.decrypt_batch(server.run_batch(client.encrypt_batch(images, clip=True)))
    assert np.abs(found - np.clip(images, -1, 1).reshape(1500, 6)).max() < 6.5 * error_std(ONE_PRIME)
    assert [record.getMessage() for record in caplog.records] == ["input: clipped 3 values of 2 images"]
    caplog.clear()
    client.encrypt_batch(np.zeros((2, 2, 3)), clip=True)
    assert not caplog.records


def test_several_inputs_and_outputs_by_name(server):
    parts = (Part("image", (2, 2)), Part("row", (2,)))
    made = bundle_of((same(6, SCALE),), (6,), SCALE)
    interface = Interface(input_parts=parts, output_parts=(Part("first", (4,)), Part("second", (2,))), task="none")
    client = BatchClient(replace(made.client, interface=interface))
    random = np.random.default_rng(4)
    image, row = random.uniform(-1, 1, (5, 2, 2)), random.uniform(-1, 1, (5, 2))
    for batch in ((image, row), {"row": row, "image": image}):
        first, second = client.decrypt_batch(BatchServer(made.server).run_batch(client.encrypt_batch(batch)))
        assert np.abs(first - image.reshape(5, 4)).max() < 6.5 * error_std(ONE_PRIME)
        assert np.abs(second - row).max() < 6.5 * error_std(ONE_PRIME)
    with pytest.raises(InputShapeError, match="row"):
        client.encrypt_batch({"image": image})


def test_inputs_that_the_modulus_cannot_hold_are_refused_before_any_key_is_used():
    with pytest.raises(BackendError, match=r"input_scale: inputs are encoded as up to 4.4e\+12, and the modulus holds"):
        BatchClient(bundle_of((same(1, 2.0**42),), (1,), 2.0**42).client)


# -- keys


def test_a_saved_key_decrypts_and_another_one_is_refused(bundle, client, server, two_blocks):
    reply = server.run_batch(two_blocks)
    again = BatchClient(bundle.client, SecretKey.from_bytes(client.secret_key.to_bytes()))
    assert (again.decrypt_batch(reply) == client.decrypt_batch(reply)).all()
    with pytest.raises(KeyMismatchError, match="reply: it was made with key"):
        BatchClient(bundle.client).decrypt_batch(reply)


def test_keys_of_other_bundles_and_of_other_client_files_are_refused(bundle, client):
    other = replace(bundle.client, bundle_id="77" * 32)
    with pytest.raises(KeyMismatchError, match="secret key: it belongs to bundle 5a5a5a"):
        BatchClient(other, client.secret_key)
    with pytest.raises(KeyMismatchError, match="secret key: it was made with client.json"):
        BatchClient(replace(bundle.client, predicted_logit_error=2.0), client.secret_key)
    latency = Client(small_bundle().client).secret_key
    disguised = SecretKey(BUNDLE_ID, latency.key_id, latency._content(), client.secret_key.client_digest)
    with pytest.raises(FormatError, match="secret key"):
        BatchClient(bundle.client, disguised)


def test_there_is_no_evaluation_key(client):
    with pytest.raises(KeyMismatchError, match="evaluation key: a throughput bundle has none; its server needs no key"):
        client.evaluation_key  # noqa: B018


def test_every_client_has_a_key_of_its_own(bundle):
    clients = [BatchClient(bundle.client) for _ in range(4)]
    assert len({one.secret_key.key_id for one in clients}) == 4
    assert len({one.secret_key.to_bytes() for one in clients}) == 4


@pytest.mark.parametrize("copied", [pickle.dumps, copy, deepcopy])
def test_a_secret_key_is_not_copied_with_what_holds_it(client, copied):
    with pytest.raises(TypeError, match="a secret key cannot be pickled or copied"):
        copied(client._decryptor._secret)
    if copied is not copy:
        with pytest.raises(TypeError, match=r"a secret key cannot be pickled or copied|cannot pickle"):
            copied(client)


def test_a_special_prime_is_refused(bundle):
    params = make_params(4096, [40], 41)
    with pytest.raises(InsecureParametersError, match="special_prime: a throughput bundle has none"):
        BatchClient(replace(bundle.client, params=params))


@pytest.mark.parametrize("degree, bits", [(2048, [30, 24]), (4096, [40, 40, 27]), (1024, [26])])
def test_parameters_outside_the_table_are_refused_by_both_parties(bundle, degree, bits):
    params = make_params(degree, bits, None)
    with pytest.raises(InsecureParametersError, match="128-bit security allows|is not one of"):
        BatchClient(replace(bundle.client, params=params))
    with pytest.raises(InsecureParametersError, match="128-bit security allows|is not one of"):
        BatchServer(replace(bundle.server, plan=replace(bundle.server.plan, params=params)))


@pytest.mark.parametrize("threads", [0, -1, 1.5, True])
def test_threads_are_a_whole_number(bundle, threads):
    for party in (
        lambda: BatchClient(bundle.client, threads=threads),
        lambda: BatchServer(bundle.server, threads=threads),
    ):
        with pytest.raises(ConfigError, match="threads: got"):
            party()


def test_specs_of_latency_bundles_are_refused(bundle):
    latency = small_bundle()
    with pytest.raises(ConfigError, match="spec: got 'ClientSpec'; allowed: a BatchClientSpec"):
        BatchClient(latency.client)
    with pytest.raises(ConfigError, match="spec: got 'ServerSpec'; allowed: a BatchServerSpec"):
        BatchServer(latency.server)
    with pytest.raises(ConfigError, match="secret_key: got 'bytes'"):
        BatchClient(bundle.client, b"key")


# -- what a server refuses


def test_a_server_refuses_secret_keys_and_messages_of_other_kinds(client, server, two_blocks):
    latency = small_bundle()
    other = Client(latency.client)
    for key in (client.secret_key.to_bytes(), other.secret_key.to_bytes()):
        with pytest.raises(SecretKeyError, match="this is a secret key; a server must never have one"):
            server.run_batch(key)
    for content, kind in (
        (other.encrypt(np.full((4, 8), 0.5)), "request"),
        (other.evaluation_key.to_bytes(), "evaluation key"),
        (server.run_batch(two_blocks), "batch reply"),
    ):
        with pytest.raises(FormatError, match=f"field 'kind' is {kind}, expected batch request"):
            server.run_batch(content)
    with pytest.raises(FormatError, match="field 'kind' is batch request, expected batch reply"):
        client.decrypt_batch(two_blocks)
    with pytest.raises(FormatError, match="it holds no frame"):
        server.run_batch(b"")


def test_frames_of_another_batch_are_refused(client, server, two_blocks):
    size = len(two_blocks) // 2
    other = client.encrypt_batch(np.zeros((1030, 2, 3)))
    with pytest.raises(FormatError, match="request, frame 1: it belongs to batch"):
        server.run_batch(two_blocks[:size] + other[size:])
    with pytest.raises(FormatError, match="request: 1 of 2 frames; the last ones are missing"):
        server.run_batch(two_blocks[:size])


@pytest.mark.parametrize("feature", [0, 5])
def test_a_residue_that_is_not_below_its_prime_is_refused(client, server, two_blocks, feature):
    layout = client._requests
    frame = layout.parse(two_blocks[: layout.frame_bytes], "request")
    item = bytearray(frame.items[0])
    end = (feature + 1) * 2048 * 41 // 8
    item[end - 6 : end] = b"\xff" * 6  # the last residue of the feature
    head = replace(frame.head, blocks=1)
    content = layout.to_bytes(replace(frame, head=head, items=(bytes(item),)))
    with pytest.raises(FormatError, match="request, frame 0: a residue is not below its prime; the file is altered"):
        server.run_batch(content)


def test_the_server_loads_neither_tenseal_nor_torch():
    code = (
        "import sys, json\nfrom secure.bundle.files import load_server\nfrom secure.streams.server import BatchServer\n"
        "from secure.streams.warming import load_server_kernels\nload_server_kernels()\n"
        "print(json.dumps([name for name in ('tenseal', 'torch', 'zstandard') if name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout) == []
