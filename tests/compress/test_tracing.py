"""Tracing: what a model may ask about the shape of its values, and what it may not ask about their contents."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from compress.errors import InputShapeError, UnsupportedLayerError
from compress.graph.importing import import_model


class Asks(nn.Module):
    """forward calls a function of the module and x, (batch, 2, 4, 4), after a convolution."""

    def __init__(self, call):
        super().__init__()
        self.first, self.scale = nn.Conv2d(2, 2, 1), nn.Parameter(torch.tensor(0.5))
        self.unused = nn.Linear(3, 3)
        self.call = call

    def forward(self, x, mask=None, *, flag=True):
        assert mask is None and flag
        return self.call(self, self.first(x))


def by_shape(m, x):
    b, c, h, w = x.shape
    assert x.shape == (b, 2, 4, 4) and (c, h, w) == (2, 4, 4)
    assert x.shape[1:].numel() == 32 if hasattr(x.shape[1:], "numel") else len(x.shape[1:]) == 3
    if x.dim() != 4 or x.ndimension() != 4 or x.ndim != 4 or not x.is_floating_point():
        raise ValueError("expected images")
    if b == 1:
        return x
    x = x.view(b, c * h, w).permute(0, 2, 1).reshape(b, -1)
    return x * math.sqrt(x.size(-1)) if x.size()[0] > 1 else x


ALLOWED = {
    "shape": by_shape,
    "dtype and device": lambda m, x: x.to(torch.float32 if x.dtype == torch.float32 else x.dtype).to(x.device),
    "loop over a split": lambda m, x: sum(part.mean((2, 3)) for part in x.split(1, dim=1)),
    "number of parts": lambda m, x: torch.cat(x.chunk(2, 2)[: len(x.chunk(2, 2))], 1),
    "loop over sizes": lambda m, x: torch.stack([x[:, :, i, i] for i in range(x.size(2))], 1),
    "squeeze without an axis": lambda m, x: F.avg_pool2d(x, 4).squeeze(),
    "torch.squeeze": lambda m, x: torch.squeeze(F.avg_pool2d(x, 4)),
    "a parameter's value": lambda m, x: x * 2 if m.scale > 0 else x,
    "a parameter's item": lambda m, x: x * m.scale.item(),
    "constants made from shapes": lambda m, x: x + torch.arange(x.shape[-1]) + torch.zeros(x.shape[1:]),
    "zeros like a value": lambda m, x: torch.cat([x, torch.zeros_like(x), x.new_ones(x.shape[0], 1, 4, 4)], 1),
    "torch._assert": lambda m, x: [x.tanh(), torch._assert(x.shape[1] == 2, "channels")][0],
}


@pytest.mark.parametrize("name", ALLOWED)
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_model_may_ask_about_shapes(name, batch):
    module = Asks(ALLOWED[name]).eval()
    graph = import_model(module, (2, 4, 4)).graph_module
    x = torch.randn(batch, 2, 4, 4)
    if batch == 1 and name in ("shape", "squeeze without an axis", "torch.squeeze"):
        assert graph(x).shape[0] == 1  # the model itself gives one input another shape
    else:
        torch.testing.assert_close(graph(x), module(x))


REFUSED = {
    "a value": lambda m, x: x if x.sum() > 0 else -x,
    "the largest value": lambda m, x: x / 2 if float(x.max()) > 1 else x,
    "a loop over the batch": lambda m, x: torch.stack([row * 2 for row in x]),
    "an assertion on values": lambda m, x: [x, [None for _ in [0] if x.min() >= 0]][0],
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_may_not_branch_on_values(name):
    text = "control flow that depends on the data cannot be traced .*tests of its shape are fine"
    with pytest.raises(UnsupportedLayerError, match=text):
        import_model(Asks(REFUSED[name]).eval(), (2, 4, 4))


def test_a_number_of_the_data_is_no_constant():
    with pytest.raises(UnsupportedLayerError, match=r"layer '.*': (item|getitem) .*"):
        import_model(Asks(lambda m, x: x * x[:, 0, 0, 0].unsqueeze(1)[2, 0].item()).eval(), (2, 4, 4))


@pytest.mark.parametrize(
    "call",
    [
        lambda m, x: x.view(len(x), -1),
        lambda m, x: x + torch.zeros(len(x), 2, 4, 4),
        lambda m, x: x.reshape(3, 32),
    ],
)
def test_a_fixed_batch_size_is_found(call):
    with pytest.raises(InputShapeError, match=r"takes a batch of one size only.*read the size from the input"):
        import_model(Asks(call).eval(), (2, 4, 4))


def test_a_failing_operation_is_named_with_the_layer():
    with pytest.raises(InputShapeError, match=r"layer 'matmul': fails on a batch of 3 inputs of shape \(2, 4, 4\)"):
        import_model(Asks(lambda m, x: torch.matmul(x, torch.ones(3, 3))).eval(), (2, 4, 4))
