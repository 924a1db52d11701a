"""The parametrization: forward, straight-through gradient, and its use with copies, state dicts and torch.fx."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import fx, nn

from compress.model.quantizer import (
    CodebookQuantizer,
    latent_weight,
    layer_codes,
    quantize_layer_,
    quantizer_of,
    write_out_,
)

WEIGHT = torch.tensor([[0.10, -0.30, 0.55, 0.90, -1.40, 0.02]])
MASK = np.array([[0, 1, 1, 1, 1, 0]], dtype=bool)


def quantized_linear(weight=WEIGHT, mask=MASK, log2_step=-2, levels=3):
    layer = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
    quantize_layer_(layer, mask, np.array(log2_step, dtype=np.int32), levels)
    return layer


def test_forward_masks_rounds_and_clips():
    assert quantized_linear().weight.tolist() == [[0, -0.25, 0.5, 0.75, -0.75, 0]]


def test_gradient_passes_inside_the_window_of_the_kept():
    weight = WEIGHT.clone().requires_grad_()
    CodebookQuantizer(MASK, np.array(-2, dtype=np.int32), 3)(weight).sum().backward()
    assert weight.grad.tolist() == [[0, 1, 1, 0, 0, 0]]


def test_codes_are_those_of_the_forward_pass():
    layer = quantized_linear()
    codes = layer_codes(layer)
    assert codes.codes.tolist() == [[0, -1, 2, 3, -3, 0]]
    assert codes.values().tolist() == layer.weight.tolist()
    assert (codes.granularity, codes.bits, codes.levels) == ("layer", 3, 3)


@given(seed=st.integers(0, 2**16), kind=st.sampled_from([torch.float32, torch.float64]))
def test_ties_and_their_neighbours_agree_between_simulation_and_codes(seed, kind):
    random = torch.Generator().manual_seed(seed)
    ties = (torch.randint(-20, 20, (4, 50), generator=random).to(kind) + 0.5) * 0.25
    near = torch.nextafter(
        ties, torch.where(torch.rand(ties.shape, generator=random) < 0.5, -torch.inf, torch.inf).to(kind)
    )
    weight = torch.where(torch.rand(ties.shape, generator=random) < 0.5, ties, near)
    weight[0, :2] = torch.tensor([0.125, -0.125], dtype=kind).nextafter(torch.tensor(0.0, dtype=kind))
    layer = quantized_linear(weight, np.ones((4, 50), bool), levels=127)
    assert torch.equal(layer.weight, torch.from_numpy(layer_codes(layer).values()).to(kind))
    assert layer_codes(layer).codes[0, :2].tolist() == [0, 0]


def test_codes_with_a_step_per_channel_by_hand():
    weight = torch.tensor([[0.9, -0.5], [0.09, -0.05]])
    layer = quantized_linear(weight, np.ones((2, 2), bool), [-3, -6], 7)
    assert layer_codes(layer).codes.tolist() == [[7, -4], [6, -3]]
    assert layer_codes(layer).granularity == "channel"
    assert torch.equal(layer.weight, torch.tensor([[0.875, -0.5], [6 / 64, -3 / 64]]))


def test_pruned_latents_are_zero_from_the_start():
    assert latent_weight(quantized_linear()).tolist()[0][0] == 0
    layer = quantized_linear()
    layer.weight = torch.ones_like(WEIGHT)
    assert latent_weight(layer).tolist() == [[0, 1, 1, 1, 1, 0]]


def test_momentum_and_decay_move_only_what_is_kept():
    torch.manual_seed(0)
    layer = nn.Linear(20, 10)
    mask = np.random.default_rng(0).random((10, 20)) < 0.4
    quantize_layer_(layer, mask, np.array(-4, dtype=np.int32), 7)
    before, quantizer = layer_codes(layer), copy.deepcopy(quantizer_of(layer))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    for _ in range(50):
        optimizer.zero_grad()
        (layer(torch.randn(16, 20)) - 1).square().mean().backward()
        optimizer.step()
    after = layer_codes(layer)
    assert (latent_weight(layer).detach().numpy()[~mask] == 0).all()
    assert all(torch.equal(a, b) for a, b in zip(quantizer.buffers(), quantizer_of(layer).buffers(), strict=True))
    assert (after.codes != before.codes)[mask].any()
    assert np.abs(after.codes).max() <= 7


def test_copies_state_dicts_and_tracing_keep_it():
    net = nn.Sequential(quantized_linear(), nn.ReLU())
    x = torch.randn(4, 6)
    wanted = net(x)
    assert torch.equal(copy.deepcopy(net)(x), wanted)
    other = nn.Sequential(quantized_linear(WEIGHT * 2, ~MASK, -1, 7), nn.ReLU())
    other.load_state_dict(net.state_dict())
    assert torch.equal(other(x), wanted)
    traced = fx.symbolic_trace(net)
    assert [node.op for node in traced.graph.nodes] == ["placeholder", "call_module", "call_module", "output"]
    assert torch.equal(traced(x), wanted)
    assert layer_codes(traced.get_submodule("0")) is not None


def test_writing_a_copy_out_leaves_the_original_quantized():
    layer = quantized_linear()
    plain = copy.deepcopy(layer)
    write_out_(plain)
    assert type(plain) is nn.Linear and isinstance(plain.weight, nn.Parameter)
    assert torch.equal(plain.weight, layer.weight)
    assert layer_codes(layer) is not None and layer_codes(plain) is None
    assert set(plain.state_dict()) == {"weight", "bias"}


@pytest.mark.parametrize("layer", [nn.Linear(2, 3), nn.ReLU()])
def test_other_layers_have_no_codes(layer):
    assert layer_codes(layer) is None
