"""Methods chained on one model (blocks, OPQ, joint quantization, conversion): each one keeps what the others did."""

import numpy as np
import pytest
import torch
from torch import nn

from compress.blocks.prune import prune_blocks
from compress.conversion.convert import convert
from compress.conversion.options import Conversion
from compress.dataset import Dataset
from compress.errors import CompressError
from compress.joint.executable import joint_network
from compress.joint.quantize import joint_quantize
from compress.model.saved import load_model_folder, save_model
from compress.network import Dense
from compress.opq.opq import opq
from compress.training.finetune import finetune


def network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4)).eval()


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.random((300, 16), dtype=np.float32)
    y = (x[:, :4] + 0.1 * rng.random((300, 4))).argmax(axis=1)
    return Dataset(name="random", x_train=x, y_train=y, x_test=x[:80], y_test=y[:80])


@pytest.fixture(scope="module")
def chain(data):
    pruned = finetune(
        prune_blocks(network(), data, sparsity=0.4, block="residue:4", cost="block-count"), data, epochs=1
    )
    small = finetune(opq(pruned, sparsity=0.6, bits=5), data, epochs=1)
    return pruned, small, joint_quantize(small, data, bits=8)


def test_every_step_is_recorded_in_its_order(chain):
    methods = [step["method"] for step in chain[-1].history]
    assert methods == ["blocks", "finetune", "opq", "finetune", "joint"]


def test_what_blocks_pruned_stays_pruned_and_what_opq_chose_stays_chosen(chain):
    pruned, small, joint = chain
    for name, mask in pruned.masks().items():
        assert not (small.layers()[name].mask & ~mask).any()
    for name, codes in small.layers().items():
        assert np.array_equal(codes.codes, joint.layers()[name].codes)
        assert np.array_equal(codes.log2_step, joint.layers()[name].log2_step)


def test_distillation_and_conversion_keep_masks_codebooks_and_steps(chain, data):
    _, _, joint = chain
    tuned = finetune(joint, data, epochs=1, teacher=network())
    before, after = joint.layers(), tuned.layers()
    assert all(np.array_equal(before[name].mask, after[name].mask) for name in before)
    assert all(np.array_equal(before[name].log2_step, after[name].log2_step) for name in before)
    converted = {
        node.name: node.weights for node in convert(tuned, data, Conversion(epochs=1)).nodes if isinstance(node, Dense)
    }
    for name, codes in after.items():
        assert converted[name].bits == codes.bits
        assert not converted[name].values()[~codes.mask].any()


def test_the_whole_chain_is_saved_and_loaded(chain, data, tmp_path):
    save_model(chain[-1], tmp_path / "m")
    loaded = load_model_folder(tmp_path / "m", network())
    assert np.array_equal(
        joint_network(loaded).run_integer(data.x_test), joint_network(chain[-1]).run_integer(data.x_test)
    )


def test_methods_in_a_contradictory_order_are_refused_with_a_reason(chain, data):
    _, small, joint = chain
    with pytest.raises(CompressError, match="is quantized already"):
        prune_blocks(small, data)
    with pytest.raises(CompressError, match="is quantized already; run opq on the uncompressed model"):
        opq(joint)
    with pytest.raises(CompressError, match="is jointly quantized already"):
        joint_quantize(joint, data)
