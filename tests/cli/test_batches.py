"""keygen, encrypt, run and decrypt of a bundle for throughput: batches of any size, by files, and no server key."""

import stat
from pathlib import Path

import numpy as np
import pytest

from secure.bundle.files import save_bundle
from tests.secure.plans import small_bundle
from tests.secure.small_batches import every_step_by_hand, small_batch_bundle
from tests.small_road import call, call_json

#: The bundle has 2048 slots: more images need a second block.
IMAGES = 2050


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundle, its key, a batch, its request and the reply."""
    folder = tmp_path_factory.mktemp("batches")
    save_bundle(small_batch_bundle(), folder / "bundle")
    images = np.random.default_rng(3).uniform(-1, 1, (IMAGES, 2, 3))
    np.save(folder / "x.npy", images)
    secret = folder / "keys/secret.key"
    call_json("keygen", folder / "bundle", "-o", folder / "keys")
    call_json("encrypt", folder / "bundle", "--key", secret, "--input", folder / "x.npy", "-o", folder / "x.ct")
    call_json("run", folder / "bundle", "--input", folder / "x.ct", "-o", folder / "y.ct")
    return folder


def secret(road: Path) -> tuple[str, Path]:
    return "--key", road / "keys/secret.key"


def test_keygen_makes_the_secret_key_alone(road: Path, tmp_path: Path) -> None:
    assert [path.name for path in (road / "keys").iterdir()] == ["secret.key"]
    assert stat.S_IMODE((road / "keys/secret.key").stat().st_mode) == 0o600
    assert call_json("keygen", road / "bundle", "-o", tmp_path / "keys") == {"evaluation_key_bytes": 0}
    said = call("keygen", road / "bundle", "-o", tmp_path / "others")
    assert "its server needs none" in said.stdout
    again = call("keygen", road / "bundle", "-o", tmp_path / "keys")
    assert again.exit_code == 1 and "secret.key exists" in again.stderr


def test_a_batch_comes_back_decrypted(road: Path, tmp_path: Path) -> None:
    wanted = every_step_by_hand(np.load(road / "x.npy"))
    found = call_json("decrypt", road / "bundle", *secret(road), "--input", road / "y.ct", "-o", tmp_path / "y.npy")
    scores = np.load(tmp_path / "y.npy")
    assert np.abs(scores - wanted).max() < 0.15
    assert found["images"] == IMAGES
    assert found["classes"] == scores.argmax(axis=1).tolist()
    assert found["class_names"][:3] == ["abc"[number] for number in found["classes"][:3]]
    assert "scores" not in found
    shown = call("decrypt", road / "bundle", *secret(road), "--input", road / "y.ct")
    assert "2,050 images" in shown.stdout and "share" in shown.stdout


def test_measurements_are_reported(road: Path, tmp_path: Path) -> None:
    found = call_json("encrypt", road / "bundle", *secret(road), "--input", road / "x.npy", "-o", tmp_path / "x.ct")
    assert (found["images"], found["blocks"]) == (IMAGES, 2)
    assert found["upload_bytes"] == (tmp_path / "x.ct").stat().st_size
    assert found["upload_bytes_per_image"] == found["upload_bytes"] / IMAGES
    assert found["client_images_per_s"] > 0
    ran = call_json("run", road / "bundle", "--input", tmp_path / "x.ct", "-o", tmp_path / "y.ct")
    assert (ran["images"], ran["blocks"], ran["threads"], ran["backend"]) == (IMAGES, 2, 1, "engine")
    assert ran["download_bytes"] == (tmp_path / "y.ct").stat().st_size
    assert ran["images_per_s"] == pytest.approx(IMAGES / ran["server_ms"] * 1e3)


def test_threads_share_a_batch_and_change_nothing(road: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cipherpress.commands.command.limit_threads", lambda threads: None)  # torch's, for later tests
    found = call_json("run", road / "bundle", "--input", road / "x.ct", "-o", tmp_path / "y.ct", "--threads", 2)
    assert found["threads"] == 2
    assert (tmp_path / "y.ct").read_bytes() == (road / "y.ct").read_bytes()
    options = ("--input", road / "x.npy", "-o", tmp_path / "x.ct", "--threads", 2)
    assert call_json("encrypt", road / "bundle", *secret(road), *options)["images"] == IMAGES


@pytest.mark.parametrize("images", [1, 2, 3])
def test_few_answers_are_listed(road: Path, tmp_path: Path, images: int) -> None:
    values = np.load(road / "x.npy")[:images]
    np.save(tmp_path / "x.npy", values[0] if images == 1 else values)
    call_json("encrypt", road / "bundle", *secret(road), "--input", tmp_path / "x.npy", "-o", tmp_path / "x.ct")
    call_json("run", road / "bundle", "--input", tmp_path / "x.ct", "-o", tmp_path / "y.ct")
    found = call_json("decrypt", road / "bundle", *secret(road), "--input", tmp_path / "y.ct")
    np.testing.assert_allclose(found["scores"], every_step_by_hand(values), atol=0.15)
    shown = call("decrypt", road / "bundle", *secret(road), "--input", tmp_path / "y.ct").stdout
    assert len(shown.splitlines()) == images + 1 and "image" in shown


def test_one_row_and_other_forms_of_inputs(road: Path, tmp_path: Path) -> None:
    def answers(name: str, *options: object) -> np.ndarray:
        files = ("--input", tmp_path / name, "-o", tmp_path / "x.ct", "--force")
        call_json("encrypt", road / "bundle", *secret(road), *files, *options)
        call_json("run", road / "bundle", "--input", tmp_path / "x.ct", "-o", tmp_path / "y.ct", "--force")
        return np.array(call_json("decrypt", road / "bundle", *secret(road), "--input", tmp_path / "y.ct")["scores"])

    values = np.load(road / "x.npy")[:4]
    np.save(tmp_path / "batch.npy", values)
    np.testing.assert_allclose(answers("batch.npy", "--row", 2), every_step_by_hand(values[2:3]), atol=0.15)
    np.save(tmp_path / "flat.npy", values.reshape(4, 6).astype(np.float32))
    np.testing.assert_allclose(answers("flat.npy"), every_step_by_hand(values), atol=0.15)
    pixels = (255 * np.abs(values)).astype(np.uint8)
    np.save(tmp_path / "pixels.npy", pixels)
    np.testing.assert_allclose(answers("pixels.npy"), every_step_by_hand(pixels / 255), atol=0.15)
    np.save(tmp_path / "wide.npy", 3 * values)
    np.testing.assert_allclose(answers("wide.npy", "--clip"), every_step_by_hand(np.clip(3 * values, -1, 1)), atol=0.15)


def test_clipped_values_are_counted(road: Path, tmp_path: Path) -> None:
    values = np.zeros((3, 2, 3))
    values[1, 0], values[2, 0, 0] = 2.0, -5.0
    np.save(tmp_path / "x.npy", values)
    files = ("--input", tmp_path / "x.npy", "-o", tmp_path / "x.ct")
    refused = call("encrypt", road / "bundle", *secret(road), *files)
    assert refused.exit_code == 1 and "image 1" in refused.stderr and not (tmp_path / "x.ct").exists()
    found = call_json("encrypt", road / "bundle", *secret(road), *files, "--clip")
    assert (found["clipped_images"], found["clipped_features"]) == (2, 4)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((4, 7)), "a batch of shape (inputs, 2, 3)"),
        (np.zeros((0, 2, 3)), "no images"),
        (np.full((2, 2, 3), np.nan), "not finite"),
        (np.array(["a"]), "real numbers"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(road: Path, tmp_path: Path, values: np.ndarray, said: str) -> None:
    np.save(tmp_path / "x.npy", values)
    files = ("--input", tmp_path / "x.npy", "-o", tmp_path / "x.ct")
    refused = call("encrypt", road / "bundle", *secret(road), *files)
    assert refused.exit_code == 1 and said in refused.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "x.npy"]


def test_keys_and_files_of_the_other_mode_are_refused(road: Path, tmp_path: Path) -> None:
    save_bundle(small_bundle(), tmp_path / "latency")
    call_json("keygen", tmp_path / "latency", "-o", tmp_path / "keys")
    np.save(tmp_path / "one.npy", np.zeros((4, 8)))
    secret_key, evaluation = tmp_path / "keys/secret.key", tmp_path / "keys/evaluation.key"
    one = ("--key", secret_key, "--input", tmp_path / "one.npy", "-o", tmp_path / "one.ct")
    call_json("encrypt", tmp_path / "latency", *one)
    with_key = call("run", road / "bundle", "--key", evaluation, "--input", road / "x.ct", "-o", tmp_path / "y.ct")
    assert with_key.exit_code == 1 and "leave out --key" in with_key.stderr
    without = call("run", tmp_path / "latency", "--input", tmp_path / "one.ct", "-o", tmp_path / "y.ct")
    assert without.exit_code == 2 and "--key KEYS/evaluation.key" in without.stderr
    for bundle, file, said in (
        (road / "bundle", tmp_path / "one.ct", "field 'kind' is request, expected batch request"),
        (road / "bundle", secret_key, "this is a secret key"),
        (tmp_path / "latency", road / "x.ct", "field 'kind' is batch request, expected request"),
    ):
        key = ("--key", evaluation) if bundle != road / "bundle" else ()
        refused = call("run", bundle, *key, "--input", file, "-o", tmp_path / "y.ct")
        assert refused.exit_code == 1 and said in refused.stderr
    other = call("encrypt", road / "bundle", "--key", secret_key, "--input", road / "x.npy", "-o", tmp_path / "x.ct")
    assert other.exit_code == 1 and "belongs to bundle" in other.stderr
    assert not (tmp_path / "y.ct").exists() and not (tmp_path / "x.ct").exists()


def test_a_damaged_batch_is_refused_and_nothing_is_written(road: Path, tmp_path: Path) -> None:
    content = (road / "x.ct").read_bytes()
    half = len(content) // 2
    for changed, said in (
        (content[:-1], "frame 1"),
        (content[:half], "1 of 2 frames"),
        (content[half:], "frames before it are missing"),
        (b"", "it holds no frame"),
        (content[: half + 90] + bytes([content[half + 90] ^ 1]) + content[half + 91 :], "frame 1"),
    ):
        (tmp_path / "x.ct").write_bytes(changed)
        refused = call("run", road / "bundle", "--input", tmp_path / "x.ct", "-o", tmp_path / "y.ct")
        assert refused.exit_code == 1 and said in refused.stderr
        assert list(tmp_path.iterdir()) == [tmp_path / "x.ct"]
