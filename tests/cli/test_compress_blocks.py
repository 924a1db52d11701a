"""Block pruning from the command line, alone and before OPQ."""

from pathlib import Path

import pytest

from tests.small_road import Road, call, call_json


@pytest.mark.parametrize("block", ["tile:8x8", "inputs:4", "inputs:4+residue:16", "outputs:4"])
def test_a_model_is_compressed_by_blocks_alone(road: Road, tmp_path: Path, block: str) -> None:
    options = ("--data", road.data, "--method", "blocks", "--block", block, "--cost", "plain-blocks", "--epochs", 1)
    found = call_json(
        "compress", road.path("plain"), "--model", road.factory, *options, "--sparsity", 0.4, "-o", tmp_path / "out"
    )
    assert 0.3 < found["sparsity"] < 0.8
    assert [row["bits"] for row in found["layers"]] == [32, 32]
    assert found["accuracy_compressed"] > 0.9


def test_blocks_then_opq_compile_to_a_bundle(road: Road, tmp_path: Path) -> None:
    options = ("--data", road.data, "--method", "blocks", "--method", "opq", "--cost", "block-count", "--bits", 4)
    pruned = call_json("compress", road.path("plain"), "--model", road.factory, *options, "-o", tmp_path / "small")
    assert pruned["sparsity"] == pytest.approx(0.5, abs=0.2)
    assert all(row["bits"] <= 5 for row in pruned["layers"])
    common = ("--model", road.factory, "--data", road.data)
    call_json("convert", tmp_path / "small", *common, "--epochs", 1, "-o", tmp_path / "friendly")
    bundle = call_json("compile", tmp_path / "friendly", "--data", road.data, "-o", tmp_path / "bundle")
    assert bundle["plain_multiplications"] < road.results["compile"]["plain_multiplications"]


def test_the_encrypted_objective_counts_bits_per_layer(road: Road, tmp_path: Path) -> None:
    options = ("--model", road.factory, "--data", road.data, "--bits", 4.5, "--epochs", 0)
    found = call_json("compress", road.path("plain"), *options, "--objective", "encrypted", "-o", tmp_path / "small")
    assert sum(row["bits"] for row in found["layers"]) == 9


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (("--block", "diagonal:3"), 1, "block: got 'diagonal:3'; allowed: residue:128, band:16, tile:8x8"),
        (("--sparsity", "0.999"), 1, "the sparsest layers allowed cost"),
        (("--target-rate", "9"), 2, "--target-rate is an option of opq; give --sparsity, or --method opq too"),
    ],
)
def test_impossible_block_options_are_refused(
    road: Road, tmp_path: Path, options: tuple[str, ...], status: int, message: str
) -> None:
    command = ("compress", road.path("plain"), "--model", road.factory, "--data", road.data, "--method", "blocks")
    result = call(*command, *options, "-o", tmp_path / "out")
    assert result.exit_code == status
    assert message in result.stderr
    assert not (tmp_path / "out").exists()
