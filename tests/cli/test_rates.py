"""`compress` searches a rate, a loss or both, and refuses what does not go together."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.failing import fails
from tests.small_road import Road, call, call_json

QUICK = ("--shots", 2, "--epochs", 20, "--epochs-between", 8, "--epochs-further", 10, "--epochs-reference", 8)


def command(road: Road, output: Path, *options: object) -> tuple[str, ...]:
    return (
        "compress",
        road.path("plain"),
        "--model",
        road.factory,
        "--data",
        road.data,
        *map(str, options),
        "-o",
        str(output),
    )


def test_a_rate_within_a_loss_is_searched_and_saved(road: Road, tmp_path: Path) -> None:
    options = ("--target-rate", 12, "--max-loss", 6, *QUICK)
    found = call_json(*command(road, tmp_path / "out", *options))
    assert found["compression_rate"] >= 12
    search = found["search"]
    assert search["target_rate"] == 12 and search["max_loss_points"] == 6
    assert search["loss_points_held_out"] <= 6 and search["held_out"] == 80
    assert search["one_shot"]["epochs"] == 8
    assert search["score_after"] == found["accuracy_compressed"] >= found["accuracy_plain"] - 0.1
    assert search["recipe"]["shots"] == 2 and search["recipe"]["epochs"] == 20
    # what was saved can be converted like any other compressed model
    converted = call_json(
        "convert", str(tmp_path / "out"), "--model", road.factory, "--data", road.data, "--epochs", "1",
        "-o", str(tmp_path / "friendly"),
    )  # fmt: skip
    assert converted["accuracy_after"] > 0.9


def test_the_text_has_every_network_and_one_shot(road: Road, tmp_path: Path) -> None:
    result = call(*command(road, tmp_path / "out", "--max-loss", 8, "--max-trials", 2, *QUICK))
    assert result.exit_code == 0
    assert "trained, on 80 held-out training rows:" in result.stdout
    assert "one shot: " in result.stdout and "after 8 epochs" in result.stdout
    assert "times smaller, everything counted; saved" in result.stdout.splitlines()[-1]


def test_a_loss_that_a_rate_exceeds_is_one_line(road: Road, tmp_path: Path) -> None:
    options = ("--target-rate", 70, "--max-loss", 0, "--max-trials", 2, *QUICK)
    line = fails(tmp_path, *command(road, tmp_path / "out", *options))
    assert "70 times smaller with at most 0 points lost asked; on held-out training rows" in line
    assert "points; ask for less, or give more epochs, shots or trials" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--max-loss", 1, "--sparsity", 0.5), "--sparsity and --max-loss exclude each other"),
        (("--max-loss", 1, "--method", "blocks"), "--max-loss is an option of opq"),
        (("--max-loss", 1, "--method", "blocks", "--method", "opq"), "--max-loss counts what opq alone loses"),
        (("--max-loss", -1), "-1.0 is not in the range x>=0"),
        (("--target-rate", 5, "--method", "opq", "--method", "joint"), "leave out --method joint"),
        (("--target-rate", 5, "--granularity", "channel"), "--granularity channel: the search does not take it"),
        (("--one-shot",), "--one-shot goes with --target-rate alone"),
        (("--target-rate", 5, "--one-shot", "--shots", 3), "--shots: for the search"),
        (("--shrinkage", 0.1, "--bias-bits", 4), "--bias-bits, --shrinkage: for the search"),
    ],
)
def test_options_that_exclude_each_other_are_refused(tmp_path: Path, options: tuple[object, ...], message: str) -> None:
    result = call("compress", "mlp", "--data", "mnist", *map(str, options), "-o", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize("option", [("--shots", 0), ("--bias-bits", 1), ("--cap", 1), ("--epochs-between", -1)])
def test_parts_of_the_recipe_out_of_range_are_refused(road: Road, tmp_path: Path, option: tuple[str, int]) -> None:
    line = fails(tmp_path, *command(road, tmp_path / "out", "--target-rate", 9, *option))
    assert f"{option[0].removeprefix('--').replace('-', '_')}: got {option[1]}; allowed:" in line.replace("1.0;", "1;")
