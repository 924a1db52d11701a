"""Every bit is counted: checked against examples worked out by hand and against the bytes on disk."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from compress.account.accounting import (
    account,
    account_layer,
    bias_bits,
    cheapest_positions,
    code_entropy_bits,
    relative_fillers,
)
from compress.account.adaptive_coding import encode
from compress.dataset import Dataset
from compress.joint.quantize import joint_quantize
from compress.model.codebook import LayerCodes
from compress.model.compressed import CompressedModel
from compress.model.saved import save_model
from compress.opq.opq import opq


def toy(columns=40, positions=(0, 3, 20, 39)):
    nonzero = np.zeros(columns, dtype=bool)
    nonzero[list(positions)] = True
    return nonzero


@pytest.mark.parametrize(("gap_bits", "bits"), [(2, 72), (3, 56), (4, 48), (5, 36)])
def test_relative_index_with_fillers_by_hand(gap_bits, bits):
    entries = 4 + relative_fillers(toy(), gap_bits)
    assert entries * (gap_bits + 4) == bits


def test_the_cheapest_encoding_is_named():
    assert cheapest_positions(toy()[None], value_bits=4) == (
        "relative-5",
        36 - 16,
    )  # Rice with its header: 4 + 20 or more
    assert cheapest_positions(np.ones((3, 4), bool), 4) == ("none", 0)
    half = np.random.default_rng(0).random((50, 50)) < 0.5
    assert cheapest_positions(half, 4) == ("bitmap", 2500)
    one_each = np.eye(1000, 1024, dtype=bool)[:, np.random.default_rng(0).permutation(1024)]
    assert cheapest_positions(one_each, 4)[1] <= 1000 * 10 + 1001 * 10


def test_relative_index_of_random_positions_meets_its_expectation():
    nonzero = np.random.default_rng(0).random(400_000) < 0.1
    entries = int(nonzero.sum()) + relative_fillers(nonzero, 4)
    assert entries * 8 / nonzero.size == pytest.approx(0.9819589818, rel=0.01)


def test_entropy_of_positions_and_values_by_hand():
    codes = np.zeros(40, dtype=np.int32)
    codes[[0, 3, 20, 39]] = 1
    assert code_entropy_bits(codes) == pytest.approx(18.7598, abs=1e-4)


@given(codes=arrays(np.int32, (4, 6), elements=st.integers(-7, 7)))
def test_no_bitmap_is_shorter_than_the_entropy(codes):
    layer = account_layer("x", LayerCodes(codes, np.array(-3, dtype=np.int32), codes != 0, 7))
    assert layer.total_bits == layer.value_bits + layer.position_bits + layer.overhead_bits
    assert layer.nonzeros + int((codes == 0).sum()) == layer.parameters
    if layer.position_encoding == "bitmap":
        assert layer.value_bits + layer.position_bits >= layer.entropy_bits - 1e-9


def test_masked_and_rounded_zeros_are_counted_separately():
    codes = np.array([[3, 0, 0, -1]], dtype=np.int32)
    layer = account_layer("x", LayerCodes(codes, np.array(0, dtype=np.int32), np.array([[True, True, False, True]]), 3))
    assert (layer.nonzeros, layer.kept, layer.sparsity, layer.distinct) == (2, 3, 0.5, 2)


def by_hand():
    """Two layers whose bits are all worked out below."""
    net = nn.Sequential(nn.Linear(100, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Linear(10, 4)).eval()
    return opq(net, sparsity=0, bits=4)


def test_whole_network_by_hand():
    found = account(by_hand())
    rows = found["layers"]
    assert found["parameters"] == 1000 + 10 + 20 + 40 + 4
    fixed = sum(row["nonzeros"] * row["bits"] for row in rows)
    values = sum(row["value_bits"] for row in rows)
    positions = sum(row["position_bits"] for row in rows)
    assert found["total_bits"] == values + positions + 2 * (8 + 8) + 32 * 14
    assert found["compression_rate"] == pytest.approx(32 * 1074 / found["total_bits"])
    assert found["compression_rate_paper"] == pytest.approx(32 * 1040 / fixed)
    assert found["nonzeros"] == sum(row["nonzeros"] for row in rows) + 14
    assert found["uncompressed_layers"] == []
    assert {"parameters", "nonzeros", "sparsity", "bits", "compression_rate", "layers"} <= found.keys()
    assert {"layer", "parameters", "nonzeros", "sparsity", "bits", "compression_rate"} <= rows[0].keys()


def test_one_adaptive_string_is_taken_where_it_is_shorter():
    random = np.random.default_rng(0)
    values = random.choice([1, -1, 2, 7], size=(40, 50), p=[0.7, 0.2, 0.09, 0.01])
    codes = np.where(random.random((40, 50)) < 0.1, values, 0).astype(np.int32)
    layer = account_layer("x", LayerCodes(codes, np.array(-3, dtype=np.int32), codes != 0, 7))
    assert layer.value_encoding == layer.position_encoding == "adaptive"
    assert 8 * len(encode(codes, 7)) <= layer.value_bits + layer.position_bits
    assert layer.value_bits + layer.position_bits < layer.nonzeros * layer.bits + cheapest_positions(codes != 0, 4)[1]
    tiny = account_layer("x", LayerCodes(codes[:1, :8], np.array(-3, dtype=np.int32), codes[:1, :8] != 0, 1))
    assert tiny.value_encoding == "fixed"


def test_biases_that_are_zero_cost_their_flags_only():
    fed = np.arange(100) < 50
    assert bias_bits(np.ones(4, dtype=bool), np.ones(4, dtype=bool), 8) == 32
    assert bias_bits(fed, fed, 8) <= 50 * 8 + 2 * 5  # two learned sequences of 50 equal decisions each
    assert bias_bits(np.arange(100) % 2 == 0, np.ones(100, dtype=bool), 8) >= 50 * 8 + 99


def test_biases_on_grids_count_their_bits():
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    x = random.random((40, 6), dtype=np.float32)
    data = Dataset(name="x", x_train=x, y_train=np.zeros(40, int), x_test=x, y_test=np.zeros(40, int))
    small = opq(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), sparsity=0.3, bits=4)
    saved = account(small)["total_bits"] - account(joint_quantize(small, data, bits=8))["total_bits"]
    assert saved == 8 * (32 - 8) - 2 * 8


def test_channel_steps_are_counted():
    net = nn.Sequential(nn.Linear(20, 10))
    rows = [account(opq(net, sparsity=0.5, granularity=kind))["layers"][0] for kind in ("layer", "channel")]
    assert [row["overhead_bits"] for row in rows] == [8 + 8, 80 + 8]


def test_an_uncompressed_network_has_rate_one_and_running_statistics_cost():
    plain = CompressedModel(module=nn.Sequential(nn.Linear(5, 3)))
    assert account(plain)["compression_rate"] == 1
    assert account(plain)["uncompressed_layers"] == ["0"]
    normed = CompressedModel(module=nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 3)).eval())
    assert account(normed)["total_bits"] == 32 * (28 + 10)


def test_the_folder_has_the_counted_size(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(400, 300), nn.ReLU(), nn.Linear(300, 100)).eval()
    small = opq(net, sparsity=0.6, bits=4)
    save_model(small, tmp_path / "m")
    rows = account(small)["layers"]
    stored_bits = sum(row["kept"] * row["bits"] + row["parameters"] + row["overhead_bits"] for row in rows) + 32 * 400
    on_disk = (tmp_path / "m" / "model.safetensors").stat().st_size
    assert on_disk == pytest.approx(stored_bits / 8, rel=0.03)
