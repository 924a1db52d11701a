"""The entry for the official benchmark: its arithmetic is the product's, and its stages run as whole processes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from entry import client, pixels, stages, words
from entry.chacha import streams
from entry.folders import BUNDLE, SIZES, size_of
from entry.modular import SHORT_BITS, below_prime, centred, reduce_, times
from entry.plan import run_plan
from entry.sampling import error_rows, uniform_rows
from entry.secret import Secret
from entry.server import Server
from entry.stages import STAGES
from entry.transform import Transform

import cipherpress as cp
from benchmarks.fhe_suite import driver
from benchmarks.fhe_suite.driver import SUBMISSION, StageError, run_suite
from benchmarks.fhe_suite.suite import row_of, suite_table
from compress.errors import ConfigError, DataError, FormatError, KeyMismatchError
from secure.bundle.batch_specs import BatchBundle, BatchClientSpec, BatchServerSpec
from secure.bundle.client_file import client_digest
from secure.bundle.files import load_bundle, plan_digest, save_bundle
from secure.draws.bits import pack_row, row_words
from secure.draws.chacha import initial_state, keystream
from secure.draws.sampling import ERROR_DOMAIN, error_row, set_nonce, uniform_row
from secure.params import GUIDELINE_2024_LOG2_QP, make_params
from secure.parties.container import HASH_BYTES, ContainerKind, parse
from secure.parties.keys import SecretKey
from secure.residues.evaluator import BatchEvaluator
from secure.streams.client import BatchClient
from secure.streams.keys import SecretRows
from secure.streams.server import BatchServer
from tests.secure.small_batches import every_step_plan, small_batch_bundle

KEY = bytes(range(32))
DEGREE = 1024
#: Of 16 bits, of which a third is drawn in vain; of the most bits of short products; and long ones.
PRIMES = (
    40961,
    *make_params(2048, [SHORT_BITS, SHORT_BITS - 1], None).data_primes,
    *make_params(2048, [46], None).data_primes,
)


def own_client(spec: BatchClientSpec) -> client.Client:
    return client.Client(spec, Secret(BatchClient(spec).secret_key.to_bytes(), spec))


def test_a_secret_key_is_read_as_seal_reads_it_and_a_foreign_one_is_refused() -> None:
    spec = small_batch_bundle().client
    key = BatchClient(spec).secret_key
    found = Secret(key.to_bytes(), spec)
    assert found.id == key.key_id
    np.testing.assert_array_equal(found.rows, SecretRows(spec.params, key).values)
    with pytest.raises(KeyMismatchError, match="secret key: it was made with another client.json"):
        Secret(key.to_bytes(), replace(spec, predicted_logit_error=0.2))
    with pytest.raises(KeyMismatchError, match="secret key: it belongs to bundle"):
        Secret(key.to_bytes(), replace(spec, bundle_id="ab" * 32))
    other = replace(spec, params=make_params(4096, [29, 29], None))
    foreign = SecretKey(spec.bundle_id, key.key_id, parse_content(key), client_digest(other))
    with pytest.raises(FormatError, match="secret key: a residue is not below its prime"):
        Secret(foreign.to_bytes(), other)


def parse_content(key: SecretKey) -> bytes:
    """SEAL's bytes of a key."""
    return parse(key.to_bytes(), ContainerKind.SECRET_KEY, "secret key").items[0]


def test_streams_are_those_of_the_product() -> None:
    nonces = np.array([(0, 0, 0), (1, 2, 3), (0, 1, 700)], dtype=np.uint32)
    for row, nonce in zip(streams(KEY, nonces, 5, 40), nonces, strict=True):
        wanted = keystream(KEY, (int(nonce[0]), int(nonce[1]), int(nonce[2])), 640, counter=5)
        np.testing.assert_array_equal(row, wanted)


@pytest.mark.parametrize("prime", PRIMES)
def test_uniform_residues_are_those_of_the_product_with_those_that_are_replaced(prime: int) -> None:
    state, wanted = initial_state(KEY, (0, 0, 0)), np.empty(DEGREE)
    for feature, row in enumerate(uniform_rows(KEY, 3, prime, 5, DEGREE)):
        set_nonce(state, 0, 3, feature)
        uniform_row(state, float(prime), prime.bit_length(), np.empty(DEGREE, dtype=np.uint64), wanted)
        np.testing.assert_array_equal(row, wanted)


def test_errors_are_those_of_the_product() -> None:
    state, wanted = initial_state(KEY, (0, 0, 0)), np.empty(DEGREE)
    for feature, row in enumerate(error_rows(KEY, 5, DEGREE)):
        set_nonce(state, ERROR_DOMAIN, 0, feature)
        error_row(state, np.empty(3 * DEGREE // 2, dtype=np.uint32), wanted)
        np.testing.assert_array_equal(row, wanted)


@pytest.mark.parametrize("bits", [20, 26, 32, 41, 43, 46, 52])
def test_bit_strings_are_those_of_the_product(bits: int) -> None:
    values = np.random.default_rng(bits).integers(0, 1 << bits, (3, 128), dtype=np.uint64)
    values[0, :2] = 0, (1 << bits) - 1
    wanted = np.empty((3, row_words(128, bits)), dtype=np.uint64)
    for row, packed in zip(values, wanted, strict=True):
        pack_row(row.astype(np.float64), bits, packed)
    np.testing.assert_array_equal(words.pack(values, bits), wanted)
    np.testing.assert_array_equal(words.unpack(wanted, bits), values)


@pytest.mark.parametrize("prime", PRIMES)
def test_products_are_exact_at_the_ends_of_the_range(prime: int) -> None:
    half = prime // 2
    drawn = np.random.default_rng(prime).integers(-half, half, 200).tolist()
    left = [half, half, -half, half, 0, 1, *drawn]
    right = [half, -half, -half, 1, half, 1, *drawn[::-1]]
    found = times(np.array(left, dtype=np.float64), np.array(right, dtype=np.float64), prime)
    assert np.abs(found).max() <= half + 1
    wanted = [x * y % prime for x, y in zip(left, right, strict=True)]
    assert below_prime(reduce_(found, prime), prime).tolist() == wanted


def test_the_transform_multiplies_polynomials_modulo_one_more_than_a_power_of_x() -> None:
    prime, degree = PRIMES[-1], 64
    transform, random = Transform(prime, degree), np.random.default_rng(0)
    x, y = random.integers(0, prime, (2, degree))
    wanted = [0] * degree
    for i, left in enumerate(x.tolist()):
        for j, right in enumerate(y.tolist()):
            wanted[(i + j) % degree] += left * right * (-1 if i + j >= degree else 1)
    rows = transform.forward(centred(np.stack([x, y]).astype(np.uint64), prime))
    found = transform.backward(times(rows[:1], rows[1:], prime))
    assert below_prime(reduce_(found, prime), prime)[0].tolist() == [value % prime for value in wanted]


def test_every_kind_of_step_gives_the_residues_of_the_product() -> None:
    plan = every_step_plan()
    for which, prime in enumerate(plan.params.data_primes):
        random = np.random.default_rng(which)
        inputs = centred(random.integers(0, prime, (plan.inputs, 2, 4096)).astype(np.uint64), prime)
        found = run_plan(plan, prime, inputs.copy())
        wanted = BatchEvaluator(plan).run(which, inputs)
        np.testing.assert_array_equal(below_prime(found, prime), below_prime(wanted, prime))


def test_a_bundle_whose_client_leaves_inputs_out_is_refused(tmp_path, monkeypatch):
    made = small_batch_bundle()
    plan = replace(made.server.plan, read_inputs=tuple(range(6)))
    spec = replace(made.client, bundle_id=plan_digest(plan), read_inputs=plan.read_inputs)
    save_bundle(
        BatchBundle(client=spec, server=BatchServerSpec(bundle_id=spec.bundle_id, plan=plan)), tmp_path / "bundle"
    )
    monkeypatch.setattr(stages, "BUNDLE", tmp_path / "bundle")
    with pytest.raises(ConfigError, match="one with units or read_inputs"):
        stages.client_spec()


@pytest.mark.parametrize("bundle", [small_batch_bundle(), load_bundle(BUNDLE)], ids=["every step", "the entry's"])
def test_requests_and_replies_are_those_of_the_product(bundle: cp.Bundle) -> None:
    """The entry and the product serve each other; for one request both servers write the same bytes."""
    spec, random = bundle.client, np.random.default_rng(0)
    product = BatchClient(spec)
    own = client.Client(spec, Secret(product.secret_key.to_bytes(), spec))
    server, other = Server(bundle.server), BatchServer(bundle.server)
    count = spec.block_images + 3
    rows = spec.input_low + (spec.input_high - spec.input_low) * random.random((count, len(spec.input_low)))
    request = b"".join(own.encrypt(rows))
    frames = list(other._requests.split(request, "request"))
    reply = b"".join(server.run(frames, "request"))
    assert reply == other.run_batch(request)
    wanted = product.decrypt_batch(reply).reshape(count, -1)
    found = own.decrypt(product._replies.split(reply, "reply"), "reply")
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9 * np.abs(wanted).max())
    again = product.decrypt_batch(other.run_batch(product.encrypt_batch(rows.reshape(count, *spec.input_shape))))
    assert np.abs(again.reshape(count, -1) - found).max() < 2 * spec.predicted_logit_error


def test_two_requests_for_the_same_features_share_no_seed_and_no_residues() -> None:
    bundle = small_batch_bundle()
    own = own_client(bundle.client)
    frames = [frame for _ in range(2) for frame in own.encrypt(np.zeros((bundle.client.block_images + 1, 6)))]
    parsed = [own._requests.parse(frame, "request") for frame in frames]
    assert len({frame.seed for frame in parsed}) == len(parsed) == 4
    assert len({bytes(item) for frame in parsed for item in frame.items}) == 8


def test_altered_and_foreign_frames_are_refused() -> None:
    bundle = small_batch_bundle()
    own = own_client(bundle.client)
    (frame,) = own.encrypt(np.zeros((1, 6)))
    reply = b"".join(Server(bundle.server).run([frame], "request"))

    def too_large(content: bytes) -> bytes:
        start = len(content) - HASH_BYTES - 8
        body = content[:start] + b"\xff" * 8
        return body + hashlib.sha256(body).digest()

    with pytest.raises(FormatError, match="request, frame 0: a residue is not below its prime"):
        list(Server(bundle.server).run([too_large(frame)], "request"))
    with pytest.raises(FormatError, match="reply: a residue is not below its prime"):
        own.decrypt([too_large(reply)], "reply")
    with pytest.raises(KeyMismatchError, match="reply: it was made with another key"):
        own_client(bundle.client).decrypt([reply], "reply")


def test_pixels_of_any_width_are_read(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((3, 4)).round(6)
    path = tmp_path / "pixels.txt"
    driver.write_pixels(path, images)
    assert pixels._fixed_width(path.read_bytes(), 4) is not None
    np.testing.assert_array_equal(pixels.read_pixels(path, 4), images)
    text = path.read_text()
    for other in (text.replace(" ", "  "), text.rstrip("\n"), text.replace("0.", "."), text.replace(" ", "\t")):
        path.write_text(other)
        assert pixels._fixed_width(other.encode(), 4) is None
        np.testing.assert_array_equal(pixels.read_pixels(path, 4), images)
    for wrong in ("", text.replace("\n", " ", 1), text.replace("0.", "x.", 1), text.split(" ", 1)[1]):
        path.write_text(wrong)
        with pytest.raises(DataError, match="pixels.txt: "):
            pixels.read_pixels(path, 4)


def test_a_stage_takes_no_argument_a_size_or_arguments_that_it_does_not_know() -> None:
    assert size_of([]) == size_of(["--model", "mlp"]) == "single"
    assert [size_of([str(number)]) for number in range(4)] == list(SIZES) == list(driver.SIZES)
    assert size_of(["--remote", "3", "--dataset", "mnist"]) == "large"


def test_every_stage_is_there_as_a_file_and_as_an_executable() -> None:
    assert tuple(STAGES) == (*driver.ONCE, *driver.EVERY_RUN)
    for name in STAGES:
        assert f'main("{name}", sys.argv[1:])' in (SUBMISSION / f"{name}.py").read_text()
        assert f"../{name}.py" in (SUBMISSION / "build" / name).read_text()
        assert os.access(SUBMISSION / "build" / name, os.X_OK)
    assert {path.name for path in (SUBMISSION / "build").iterdir()} == STAGES.keys()


def test_the_bundle_keeps_to_the_table_of_2024() -> None:
    bundle = load_bundle(BUNDLE)
    params = bundle.client.params
    assert params.special_prime is None
    assert params.log2_qp <= GUIDELINE_2024_LOG2_QP[params.poly_modulus_degree]
    text = (SUBMISSION / "README.md").read_text()
    assert f"N = {params.poly_modulus_degree}" in text
    assert f"q = {', '.join(map(str, params.data_primes))}" in text
    assert "No official run has taken place" in text


@pytest.mark.parametrize(("size", "count", "executables"), [("single", 1, True), ("small", 15, False)])
def test_stages_as_processes_name_the_classes(tmp_path: Path, size: str, count: int, executables: bool) -> None:
    data = cp.load_data("mnist")
    (run,) = run_suite(tmp_path, size, data.x_test[:count], executables=executables)
    assert run.predictions.tolist() == data.y_test[:count].tolist()
    assert [time.stage for time in run.times] == list(STAGES)
    assert min(time.wall_s for time in run.times) > 0
    assert run.folder_bytes["public_keys"] == 0
    assert 0 < run.folder_bytes["secret_key"] < 1e6
    assert (tmp_path / "io" / size / "secret_key" / "secret.key").stat().st_mode & 0o077 == 0
    assert (tmp_path / "io" / size / "server_reported_steps.json").is_file()


def test_server_and_client_load_no_compiler_and_no_tenseal() -> None:
    code = (
        "import sys, entry.stages, entry.server, entry.client, secure.bundle.batch_plan_file\n"
        "print({'numba', 'tenseal', 'torch', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=SUBMISSION, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_a_stage_that_fails_says_why_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(SUBMISSION, tmp_path / "submission")
    monkeypatch.setattr(driver, "SUBMISSION", tmp_path / "submission")
    with pytest.raises(
        StageError, match=r"client_preprocess_input: status 1: [^\n]*: \(1, 783\), expected lines of 784 numbers$"
    ):
        run_suite(tmp_path, "single", np.zeros((1, 783)))
    (tmp_path / "submission" / "bundle" / "server" / "plan.json").unlink()
    with pytest.raises(
        StageError, match=r"server_preprocess_model: status 1: server_preprocess_model: [^\n]*plan.json[^\n]*$"
    ):
        run_suite(tmp_path, "single", np.zeros((1, 784)))


def test_the_table_states_medians_and_the_least_accuracy(tmp_path: Path) -> None:
    times = [driver.StageTime(stage, 2.0 + number, 1.0) for number, stage in enumerate(STAGES)]
    slower = [driver.StageTime(time.stage, 10 * time.wall_s, time.cpu_s) for time in times]
    folder_bytes = {"public_keys": 0, "secret_key": 17_000, "ciphertexts_upload": 5_000, "ciphertexts_download": 1_000}
    right, wrong = np.array([7, 2]), np.array([7, 3])
    runs = [driver.Run(tuple(found), folder_bytes, classes) for found, classes in
            ((times, right), (times, wrong), (slower, right))]  # fmt: skip
    row = row_of("small", runs, [driver.StageTime("compiled", 4.0, 3.0)], right)
    assert row["accuracy"] == 0.5
    assert row["wall_s"]["server_encrypted_compute"] == 6.0
    assert row["total_cpu_s"] == 7.0
    bundle = {"poly_modulus_degree": 2048, "log2_qp": 46.0}
    machine = {"cpu": "a processor", "cores": 2, "date": "2026-01-02", "load_average": 1.5}
    table = suite_table({"rows": [row], "runs": 3, "bundle": bundle, "machine": machine, "command": "a command"})
    times_of_both = "1.00, 2.00 | 2.00, 9.00 | 1.00, 6.00 | 3.00, 4.00 | 2.00, 15.00 | 7.00, 35.00"
    assert f"| small | 2 | {times_of_both} | 17 | 5 | 1 | 50.00% |" in table
    assert "no official run has taken place" in table


@pytest.mark.slow
def test_ten_thousand_images(tmp_path: Path) -> None:
    data = cp.load_data("mnist")
    (run,) = run_suite(tmp_path, "large", data.x_test)
    assert np.mean(run.predictions == data.y_test) >= 0.975
