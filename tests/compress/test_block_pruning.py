"""prune_blocks on a small network: whole blocks, budgets, and masks that survive every later step."""

from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
import torch
from torch import nn

from compress.account.accounting import account
from compress.blocks import prune as blocks
from compress.blocks.cost import CkksDiagonals, PlainBlocks
from compress.blocks.options import BlockPruning
from compress.blocks.prune import block_table
from compress.conversion.convert import convert
from compress.conversion.options import Conversion
from compress.dataset import Dataset
from compress.errors import BudgetError, CompressError, ConfigError, FormatError, InputShapeError
from compress.model.compressed import prunable_layers
from compress.model.masking import WeightMask, layer_mask
from compress.model.saved import load_model_folder, save_model
from compress.opq.opq import opq
from compress.training.finetune import finetune
from compress.training.loop import accuracy, fit_
from compress.training.schedule import Schedule

SELDOM = {field.name for field in fields(BlockPruning)}


def prune_blocks(model, data, **options):
    """One round, unless the options say otherwise."""
    config = {"rounds": 1, "images": 1024} | {name: options.pop(name) for name in SELDOM & set(options)}
    return blocks.prune_blocks(model, data, config=BlockPruning(**config), **options)


@pytest.fixture(scope="module")
def data():
    """Five classes from a random linear map followed by a kink."""
    random = np.random.default_rng(0)
    x = random.random((2500, 16), dtype=np.float32)
    y = np.abs((x - 0.5) @ random.normal(size=(16, 5))).argmax(axis=1)
    return Dataset("toy", x[:2000], y[:2000], x[2000:], y[2000:])


@pytest.fixture(scope="module")
def plain(data):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5))
    fit_(
        net,
        torch.from_numpy(data.x_train),
        torch.from_numpy(data.y_train),
        Schedule(epochs=12, learning_rate=1e-2, batch_size=64),
        loss=lambda outputs, targets, inputs: nn.functional.cross_entropy(outputs, targets),
    )
    return net


@pytest.fixture(scope="module")
def small(plain, data):
    return prune_blocks(plain, data, sparsity=0.4, block="residue:128", slots=64)


def residues_alive(mask, modulus):
    row, column = np.nonzero(mask)
    return len(np.unique((column - row) % modulus))


def test_whole_residue_classes_go_and_the_budget_holds(small, plain, data):
    masks, rows = small.masks(), block_table(small)
    assert [row["layer"] for row in rows] == ["0", "2", "4"] == list(masks)
    for row, modulus in zip(rows, (4, 32, 8), strict=True):
        mask = masks[row["layer"]]
        assert residues_alive(mask, modulus) == row["kept"] and row["blocks"] == modulus
        line, column = np.indices(mask.shape)
        alive = np.unique(((column - line) % modulus)[mask])
        assert (mask == np.isin((column - line) % modulus, alive)).all()
    step = small.history[-1]
    assert step["cost_pruned"] <= 0.6 * step["cost_dense"] < step["cost_pruned"] + 3
    assert all(
        (small.module.get_submodule(name).weight.detach().numpy()[~mask] == 0).all() for name, mask in masks.items()
    )
    assert all(not part.parametrizations for part in plain if hasattr(part, "parametrizations"))


def test_block_counts_are_met_exactly(plain, data):
    for share, left in ((0.25, 33), (0.5, 22)):
        found = prune_blocks(plain, data, sparsity=share, block="residue:128", cost="block-count", slots=64)
        assert sum(row["kept"] for row in block_table(found)) == left


@pytest.mark.parametrize("block", ["band:4", "tile:4x4", "inputs:2+residue:8", "outputs:2", "packed:4"])
def test_every_family_meets_the_budget(plain, data, block):
    found = prune_blocks(plain, data, sparsity=0.3, block=block, cost=PlainBlocks(token_tile=4), images=200)
    step = found.history[-1]
    assert 0.65 < step["cost_pruned"] / step["cost_dense"] <= 0.7
    assert step["options"]["block"] == block and step["options"]["cost"] == "plain-blocks"


def test_families_are_assigned_to_layers_in_running_order(plain, data):
    found = prune_blocks(plain, data, sparsity=0.2, block="inputs:1+whole+outputs:1", cost="block-count", images=200)
    rows = {row["layer"]: (row["blocks"], row["kept"]) for row in block_table(found)}
    shapes = {name: layer.weight.shape for name, layer in prunable_layers(found.module)}
    first, second, last = shapes
    assert rows[first][0] == shapes[first][1] and rows[last][0] == shapes[last][0]
    assert rows[second] == (1, 1)


def test_a_second_pruning_counts_classes_among_the_remaining_lines(plain, data):
    """Every other input is gone, so the remaining classes are wrapped diagonals of the narrower matrix."""
    narrow = prune_blocks(plain, data, sparsity=0.5, block="inputs:1+whole", cost="block-count", images=200)
    found = prune_blocks(narrow, data, sparsity=0.2, block="residue:4+whole", cost="block-count", images=200, slots=64)
    name, layer = next(iter(prunable_layers(found.module)))
    mask = layer_mask(layer)
    living = layer_mask(dict(prunable_layers(narrow.module))[name]).any(axis=0)
    dense = mask[:, living]
    row, column = np.indices(dense.shape)
    classes = (column - row) % 2  # 64 slots: 2 blocks of 32 for the rows, two inputs per slot, so 2 of the 8 per block
    kept = [dense[classes == one].mean() for one in range(2)]
    assert set(kept) == {0.0, 1.0}


def test_refitting_recovers_part_of_what_pruning_cost(plain, data):
    lost = {}
    for reconstruct in (False, True):
        found = prune_blocks(plain, data, sparsity=0.4, block="residue:128", reconstruct=reconstruct, slots=64)
        assert found.history[-1]["reconstructed"] == (["0", "2", "4"] if reconstruct else [])
        lost[reconstruct] = accuracy(plain, data.x_test, data.y_test) - accuracy(found.module, data.x_test, data.y_test)
    assert lost[False] > 0.1
    assert lost[True] < 0.7 * lost[False]


def test_rounds_end_within_the_same_budget_and_take_more_each_time(plain, data):
    seen = []
    found = prune_blocks(
        plain, data, sparsity=0.4, slots=64, rounds=3, progress=lambda label, fraction: seen.append(fraction)
    )
    step = found.history[-1]
    assert step["cost_pruned"] <= 0.6 * step["cost_dense"] < step["cost_pruned"] + 3
    assert seen == sorted(seen) and seen[-1] == 1.0
    for name, mask in found.masks().items():  # these are still whole classes
        line, column = np.indices(mask.shape)
        number = (column - line) % {"0": 8, "2": 32, "4": 8}[name]
        assert (mask == np.isin(number, number[mask])).all()


@dataclass(frozen=True)
class SeveralPositions:
    """Layers as ciphertexts of two positions hold them.

    Products and rotations are counted by diagonal, so residue classes save them.
    """

    name: str = "several-positions"

    def of_layer(self, place, groups):
        return CkksDiagonals(slots=128).of_layer(replace(place, positions=2, reads_input=False), groups)


def test_the_hardware_aware_choice_does_better_than_magnitudes_and_equal_shares(plain, data):
    """With the same budget, magnitudes and equal shares do worse before any refitting."""
    worth = {}
    for allocation in ("hardware-aware", "uniform-time", "uniform", "global-magnitude"):
        found = prune_blocks(
            plain,
            data,
            sparsity=0.3,
            block="residue:128",
            cost=SeveralPositions(),
            allocation=allocation,
            reconstruct=False,
            slots=64,
        )
        assert found.history[-1]["cost_pruned"] <= 0.7 * found.history[-1]["cost_dense"]
        worth[allocation] = accuracy(found.module, data.x_test, data.y_test)
    assert worth["hardware-aware"] >= worth["uniform-time"] > max(worth["uniform"], worth["global-magnitude"])


def test_the_power_term_moves_the_shares(plain, data):
    options = {"sparsity": 0.4, "block": "residue:128", "power_weight": 2.0, "images": 200, "slots": 64}
    kept = {
        term: [row["kept"] for row in block_table(prune_blocks(plain, data, power_term=term, **options))]
        for term in ("corrected", "released", "none")
    }
    assert kept["corrected"] != kept["released"]
    energies = {
        term: sum(row["energy"] for row in block_table(prune_blocks(plain, data, power_term=term, **options)))
        for term in ("corrected", "none")
    }
    assert energies["corrected"] <= energies["none"]


def test_the_same_seed_gives_the_same_weights(plain, data, small):
    again = prune_blocks(plain, data, sparsity=0.4, block="residue:128", slots=64)
    for (name, first), (_, second) in zip(
        small.module.state_dict().items(), again.module.state_dict().items(), strict=True
    ):
        assert torch.equal(first, second), name
    assert again.history == small.history


def test_finetuning_keeps_masks_and_helps(small, data):
    tuned = finetune(small, data, epochs=6, learning_rate=5e-3)
    for name, mask in small.masks().items():
        assert (tuned.masks()[name] == mask).all()
        weight = tuned.module.get_submodule(name).weight.detach().numpy()
        assert (weight[~mask] == 0).all() and (weight[mask] != 0).mean() > 0.99
    assert tuned.history[-1]["accuracy_after"] > tuned.history[-1]["accuracy_before"]


def test_opq_afterwards_counts_the_blocks_and_keeps_them(small, data):
    total = sum(mask.size for mask in small.masks().values())
    gone = sum(int((~mask).sum()) for mask in small.masks().values())
    for share in (0.8, 0.1):  # more than the blocks pruned, and less
        both = opq(small, sparsity=share, bits=4)
        assert both.masks() == {}
        for name, mask in small.masks().items():
            codes = both.layers()[name]
            assert not (codes.mask & ~mask).any() and (codes.codes[~mask] == 0).all()
        pruned = sum(int((~codes.mask).sum()) for codes in both.layers().values())
        assert pruned == max(round(share * total), gone)
        rows = both.history[-1]["allocation"]
        assert [row["held"] for row in rows] == [int((~mask).sum()) for mask in small.masks().values()]
        assert sum(row["pruned"] for row in rows) == pruned
    tuned = finetune(both, data, epochs=1)
    assert all((tuned.layers()[name].codes[~mask] == 0).all() for name, mask in small.masks().items())


def test_conversion_leaves_no_trace_of_pruned_diagonals(small, data):
    network = convert(small, data, Conversion(epochs=1))
    dense = [node for node in network.nodes if type(node).__name__ == "Dense"]
    for node, mask in zip(dense, small.masks().values(), strict=True):
        assert (np.asarray(node.weights.codes)[~mask] == 0).all()


def test_an_exported_network_is_dense_and_computes_the_same(small, data):
    plain_module = small.export()
    x = torch.from_numpy(data.x_test[:20])
    assert torch.equal(plain_module(x), small.module(x))
    assert not any(isinstance(part, WeightMask) for part in plain_module.modules())


def test_a_pruned_model_is_saved_and_loaded_unchanged(small, plain, data, tmp_path):
    save_model(small, tmp_path / "a")
    loaded = load_model_folder(tmp_path / "a", plain)
    assert loaded.history == small.history and loaded.input_shape == (16,)
    x = torch.from_numpy(data.x_test)
    assert torch.equal(loaded.module(x), small.module(x))
    assert all((loaded.masks()[name] == mask).all() for name, mask in small.masks().items())
    save_model(loaded, tmp_path / "b")
    for file in ("model.json", "model.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    tuned = finetune(loaded, data, epochs=1)
    assert all((tuned.masks()[name] == mask).all() for name, mask in small.masks().items())


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (("masked",), {}, "field 'masked' is dict, expected list"),
        (("masked", 0), {"layer": "0"}, r"field 'masked\[0\]': needs exactly kept, layer, shape"),
        (("masked", 0, "shape"), [0], r"field 'masked\[0\]': layer is a text and shape a list of whole numbers"),
        (("masked", 0, "kept"), 9999, r"field 'masked\[0\]'.kept: got 9999; 0 to 512 is allowed"),
        (("masked", 0, "kept"), 1, "tensor '0.mask' keeps .* says 1"),
        (
            ("masked", 1, "layer"),
            "0",
            "field 'masked' names '0' .*, which the model does not have or which is named twice",
        ),
    ],
)
def test_damaged_masks_are_named(small, plain, tmp_path, field, value, message):
    import json

    save_model(small, tmp_path / "a")
    path = tmp_path / "a" / "model.json"
    header = json.loads(path.read_text())
    place = header
    for key in field[:-1]:
        place = place[key]
    place[field[-1]] = value
    path.write_text(json.dumps(header))
    with pytest.raises(FormatError, match=message):
        load_model_folder(tmp_path / "a", plain)


def test_accounting_counts_masked_layers_as_32_bit_numbers(small):
    counted = account(small)
    kept = sum(int(mask.sum()) for mask in small.masks().values())
    assert [row["bits"] for row in counted["layers"]] == [32] * 3
    assert sum(row["value_bits"] for row in counted["layers"]) == 32 * kept
    biases = 32 + 32 + 5
    assert counted["nonzeros"] == kept + biases
    assert counted["uncompressed_layers"] == []
    overhead = sum(row["position_bits"] + row["overhead_bits"] for row in counted["layers"])
    assert counted["total_bits"] == 32 * (kept + biases) + overhead


def test_earlier_masks_stay(small, plain, data):
    again = prune_blocks(small, data, sparsity=0.5, block="tile:4x4", cost="block-count")
    for name, mask in small.masks().items():
        assert not (again.masks()[name] & ~mask).any()
    assert [step["method"] for step in again.history] == ["blocks", "blocks"]


def test_wrong_options_and_models_are_refused(plain, data, small):
    for options, message in (
        ({"sparsity": 1.0}, r"sparsity: got 1.0; allowed: a share in \[0, 1\)"),
        (
            {"allocation": "random"},
            "allocation: got 'random'; allowed: one of hardware-aware, uniform-time, uniform",
        ),
        ({"curves": "guessed"}, "curves: got 'guessed'; allowed: one of measured, taylor"),
        ({"images": 0}, "images: got 0; allowed: a whole number, 1 or more"),
        ({"rounds": 0}, "rounds: got 0; allowed: a whole number, 1 or more"),
        ({"block": "residue:4+whole+c"}, "block: got 'c'; allowed: residue:128, .* or whole"),
        ({"slots": 1000}, "slots: got 1000; allowed: a power of two"),
    ):
        with pytest.raises(ConfigError, match=message):
            prune_blocks(None, None, **options)
    with pytest.raises(BudgetError, match="the sparsest layers allowed cost"):
        prune_blocks(plain, data, sparsity=0.99, images=50)
    with pytest.raises(CompressError, match="layer '0': is quantized already, its steps fit .*; prune blocks first"):
        prune_blocks(opq(plain), data)
    with pytest.raises(CompressError, match="model ReLU: it has no Linear, Conv1d or Conv2d layer to prune"):
        prune_blocks(nn.ReLU(), data)
    with pytest.raises(InputShapeError, match=r"data: the network does not take images of shape \(16,\)"):
        prune_blocks(nn.Sequential(nn.Linear(9, 5)), data)


def test_weights_that_cannot_be_pruned_are_refused(data):
    broken = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))
    broken[1].weight = broken[0].weight
    with pytest.raises(
        CompressError, match="layer '1': shares its weight with '0'; give each layer a weight of its own"
    ):
        prune_blocks(broken, data)
    broken = nn.Sequential(nn.Linear(16, 5))
    with torch.no_grad():
        broken[0].weight[0, 0] = float("nan")
    with pytest.raises(CompressError, match="layer '0': has weights that are not finite; train the model again"):
        prune_blocks(broken, data)
