"""Inputs outside the accepted range, and keys beyond a limit, by the commands that meet them."""

from pathlib import Path

import numpy as np
import pytest

import cipherpress as cp
from tests.small_road import Road, call, call_json


@pytest.fixture
def outside(road: Road, tmp_path: Path) -> Path:
    image = np.load(road.data)["x_test"][0].copy()
    image[0, 1, 2] = 9.0
    np.save(tmp_path / "outside.npy", image)
    return tmp_path / "outside.npy"


def test_encrypt_refuses_a_value_outside_the_range_and_clips_on_demand(
    road: Road, outside: Path, tmp_path: Path
) -> None:
    arguments = ("encrypt", road.path("bundle"), "--key", road.path("keys/secret.key"), "--input", outside)
    refused = call(*arguments, "-o", tmp_path / "x.ct")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: input: feature 10 at (0, 1, 2) is 9, accepted are ")
    assert "clip it (clip=True, or --clip)" in refused.stderr
    assert not (tmp_path / "x.ct").exists()
    clipped = call(*arguments, "--clip", "-o", tmp_path / "x.ct")
    assert clipped.exit_code == 0
    assert "clipped 1 of 64 features: feature 10 at (0, 1, 2) from 9 to " in clipped.stderr
    found = call_json(*arguments, "--clip", "-o", tmp_path / "y.ct")
    assert found["clipped_features"] == 1
    inside = call_json(*arguments[:-1], road.path("x.npy"), "--clip", "-o", tmp_path / "z.ct")
    assert inside["clipped_features"] == 0


def test_infer_names_the_image_and_clips_on_demand(road: Road, tmp_path: Path) -> None:
    data = dict(np.load(road.data))
    data["x_test"][3, 0, 0, 0] = -7.0
    np.savez(tmp_path / "data.npz", **data)
    arguments = ("infer", road.path("bundle"), "--data", tmp_path / "data.npz", "--images", 5)
    refused = call(*arguments)
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: image 3: input: feature 0 at (0, 0, 0) is -7, accepted are ")
    found = call_json(*arguments, "--clip")
    assert (found["images"], found["clipped_images"], found["clipped_features"]) == (5, 1, 1)
    assert "clipped_images" not in call_json("infer", road.path("bundle"), "--data", road.data, "--images", 2)


def test_keygen_refuses_keys_beyond_a_limit(road: Road, tmp_path: Path) -> None:
    refused = call("keygen", road.path("bundle"), "-o", tmp_path / "keys", "--max-key-bytes", "1k")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: keys: this bundle asks for ")
    assert refused.stderr.rstrip().endswith("bytes with max_key_bytes= or --max-key-bytes")
    assert not (tmp_path / "keys").exists()
    call_json("keygen", road.path("bundle"), "-o", tmp_path / "keys", "--max-key-bytes", "1G")
    assert (tmp_path / "keys" / "secret.key").exists()


def test_inspect_says_which_inputs_are_accepted_and_what_releasing_scores_costs(road: Road) -> None:
    text = cp.load(road.path("bundle")).explain()
    assert "\ninputs    " in text and " are accepted\n" in text
    assert "\nrelease   scores of 10 answers with noise of " in text
    shown = call("inspect", road.path("bundle"))
    assert shown.exit_code == 0
    assert "are accepted" in shown.stdout
