"""The transformers compute attention, have the sizes of their shapes, and can be compressed whole."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn

import cipherpress as cp
from cipherpress.zoo.loading import input_shape_of, load_model
from cipherpress.zoo.networks import SHAPES, ZOO, describe_models
from cipherpress.zoo.transformers import (
    COMPACT,
    DEIT_B,
    DEIT_S,
    Attention,
    PatchEmbedding,
    TransformerShape,
    VisionTransformer,
    deit_b,
    deit_s,
    vit,
)
from compress.account.accounting import account
from compress.conversion.exporting import export_network
from compress.dataset import Dataset
from compress.errors import UnsupportedLayerError
from compress.graph.tracing import trace
from compress.model.compressed import prunable_layers
from compress.opq.opq import opq
from compress.training.finetune import finetune

TINY = TransformerShape(image=4, channels=1, patch=2, width=6, depth=1, heads=3, hidden=8, classes=2)


def test_patches_are_the_squares_of_the_image_row_by_row():
    embedding = PatchEmbedding(TINY)
    with torch.no_grad():
        embedding.projection.weight.copy_(torch.eye(6, 4))
        embedding.projection.bias.zero_()
        embedding.positions.zero_()
    tokens = embedding(torch.arange(16.0).reshape(1, 1, 4, 4))
    assert tokens[0, :, :4].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


def test_attention_is_torchs_own_attention_with_the_same_weights():
    torch.manual_seed(0)
    ours, theirs = Attention(COMPACT), nn.MultiheadAttention(64, 4, batch_first=True)
    with torch.no_grad():
        parts = (ours.query, ours.key, ours.value)
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
        tokens = torch.randn(5, 16, 64)
        assert torch.allclose(ours(tokens), theirs(tokens, tokens, tokens)[0], atol=1e-6)


def test_one_token_of_equal_keys_attends_evenly():
    torch.manual_seed(0)
    attention = Attention(TINY)
    with torch.no_grad():
        attention.key.weight.zero_()
        tokens = torch.randn(2, 4, 6)
        expected = attention.output(attention.value(tokens).mean(dim=1, keepdim=True)).expand(2, 4, 6)
        assert torch.allclose(attention(tokens), expected, atol=1e-6)


def test_the_order_of_patches_matters_through_positions_only():
    torch.manual_seed(0)
    network = vit().eval()
    with torch.no_grad():
        image = torch.rand(1, 1, 28, 28)
        turned = torch.cat([image[..., 14:], image[..., :14]], dim=-1)  # the halves swapped: equal patches, new places
        assert not torch.allclose(network(image), network(turned), atol=1e-4)
        network.embedding.positions.zero_()
        assert torch.allclose(network(image), network(turned), atol=1e-5)


def test_it_traces_for_any_batch_and_every_projection_is_a_linear_layer():
    network = vit().eval()
    traced = fx.symbolic_trace(network)
    for batch in (1, 3):
        images = torch.rand(batch, 1, 28, 28)
        assert torch.equal(traced(images), network(images))
    assert trace(network, (1, 28, 28)).graph_module is not None
    layers = dict(prunable_layers(network))
    assert len(layers) == 1 + 3 * 6 + 1 and all(isinstance(layer, nn.Linear) for layer in layers.values())
    assert {"query", "key", "value", "output"} <= {name.rsplit(".")[-1] for name in layers}


@pytest.mark.parametrize(
    ("factory", "shape", "published"), [(deit_s, DEIT_S, 22_050_664), (deit_b, DEIT_B, 86_567_656)]
)
def test_deit_shapes_have_deits_parameters_without_the_class_token(factory, shape, published):
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in factory().parameters())
    assert count == shape.parameters == published - 2 * shape.width  # without the class token and its position
    assert shape.tokens == 196 and shape.width % shape.heads == 0


def test_shapes_are_listed_without_accuracy_and_loaded_with_the_same_random_weights(monkeypatch):
    rows = {row["name"]: row for row in describe_models()}
    for name in SHAPES:
        assert name not in ZOO
        assert rows[name]["accuracy_plain"] is None and rows[name]["images"] == 0
    entry = SHAPES["deit-s"]
    small = replace(entry, input_shape=(1, 4, 4), factory=lambda: VisionTransformer(TINY))
    monkeypatch.setattr("cipherpress.zoo.loading.SHAPES", {"deit-s": small})
    state = torch.random.get_rng_state()
    first, second = load_model("deit-s").state_dict(), load_model("deit-s").state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert torch.equal(state, torch.random.get_rng_state())
    assert input_shape_of(load_model("deit-s")) == (1, 4, 4)


@pytest.mark.slow
def test_deit_s_runs_on_an_image():
    with torch.no_grad():
        assert load_model("deit-s")(torch.rand(1, 3, 224, 224)).shape == (1, 1000)


def blobs(count=96):
    """Images of two classes, bright in the upper or the lower half."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, count)
    images = rng.random((count, 1, 28, 28)).astype(np.float32) * 0.3
    for image, label in zip(images, labels, strict=True):
        image[0, 14 * label : 14 * label + 14] += 0.5
    data = Dataset(name="blobs", x_train=images, y_train=labels, x_test=images, y_test=labels)
    return data


def test_opq_and_finetuning_take_the_transformer_whole(tmp_path):
    data, network = blobs(), load_model("vit")
    small = opq(network, sparsity=0.6, bits=4)
    tuned = finetune(small, data, epochs=12, learning_rate=2e-3)
    before, after = small.layers(), tuned.layers()
    assert len(after) == 20
    assert sum(int(layer.mask.sum()) for layer in after.values()) == math.ceil(
        0.4 * sum(c.codes.size for c in after.values())
    )
    for name, codes in after.items():
        assert np.array_equal(codes.mask, before[name].mask) and np.array_equal(codes.log2_step, before[name].log2_step)
        assert not codes.codes[~codes.mask].any()
    assert any(not np.array_equal(codes.codes, before[name].codes) for name, codes in after.items())
    assert tuned.history[-1]["accuracy_after"] >= 0.95 > tuned.history[-1]["accuracy_before"]
    cp.save(tuned, tmp_path / "small")
    loaded = cp.load(tmp_path / "small")
    images = torch.from_numpy(data.x_test)
    with torch.no_grad():
        assert torch.equal(loaded.module(images), tuned.module(images))
        assert torch.allclose(tuned.export()(images), tuned.module(images), atol=1e-6)
    assert account(tuned)["uncompressed_layers"] == []


def test_freezing_without_conversion_names_the_layer_that_is_not_exact():
    with pytest.raises(UnsupportedLayerError, match="'softmax': softmax is not exact; call convert, which replaces it"):
        export_network(Attention(TINY).eval(), (4, 6), np.ones((2, 4, 6)))


def test_the_loss_of_training_reaches_every_parameter():
    torch.manual_seed(0)
    network = vit()
    F.cross_entropy(network(torch.rand(8, 1, 28, 28)), torch.arange(8)).backward()
    still = [name for name, parameter in network.named_parameters() if parameter.grad.abs().max() == 0]
    assert still == []
