"""How networks fall into unified modules: the page's counts for residual networks (J14), and what cannot be fused."""

import pytest
import torch
from torch import Tensor, nn

from compress.errors import UnsupportedLayerError
from compress.unified import UnifiedModule, quantization_points, unify


def conv(inputs, outputs, stride=1, kernel=3):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs)
    )


class Basic(nn.Module):
    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.first, self.second = conv(inputs, outputs, stride), conv(outputs, outputs)
        self.shortcut = conv(inputs, outputs, stride, 1) if stride != 1 else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(torch.relu(self.first(x)))
        return torch.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class Bottleneck(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.a, self.b, self.c = conv(channels, 2, kernel=1), conv(2, 2), conv(2, channels, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.c(torch.relu(self.b(torch.relu(self.a(x))))) + x)


def resnet18():
    blocks = [Basic(2, 2), Basic(2, 2)]
    for _ in range(3):
        blocks += [Basic(2, 2, stride=2), Basic(2, 2)]
    stem = [conv(3, 2, 2, 7), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 5)).eval()


def test_residual_blocks_and_networks():
    assert quantization_points(Basic(2, 2).eval(), (2, 8, 8)) == (7, 2)
    assert quantization_points(Bottleneck(4).eval(), (4, 8, 8)) == (10, 3)
    # the last block's sum takes the average pool with it: one fewer than a table that counts the pool apart
    assert quantization_points(resnet18(), (3, 64, 64)) == (68, 18)


def test_a_projection_is_one_module_of_two_convolutions():
    (first, last) = unify_folded(Basic(2, 4, stride=2), (2, 8, 8))
    assert first.fused == ("first.0", "relu")
    assert [layer.name for layer in last.weighted] == ["second.0", "shortcut.0"]
    assert not last.signed


def unify_folded(module, shape):
    from compress.folding import fold_batch_norm

    return unify(fold_batch_norm(module.eval()), shape).modules


def test_a_value_that_two_layers_read_is_quantized_once():
    class Fork(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.a(x)
            return self.b(y) + self.c(y)

    names = [module.name for module in unify_folded(Fork(), (4,))]
    assert names == ["a", "add"]


def test_a_sum_of_quantized_values_is_a_module_of_its_own():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            y = torch.relu(self.a(x))
            return y + x

    modules = unify_folded(Sum(), (4,))
    assert [type(m) for m in modules] == [UnifiedModule, UnifiedModule]
    assert [term.layer for term in modules[1].terms] == [None, None]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.GELU(), "layer '1': activation has no form in integers and shifts; joint quantization takes Linear"),
        (nn.Sigmoid(), "layer '1': activation has no form in integers"),
    ],
)
def test_what_integers_cannot_do_is_named(layer, message):
    with pytest.raises(UnsupportedLayerError, match=message):
        unify(nn.Sequential(nn.Linear(4, 4), layer), (4,))


def test_an_average_over_nine_values_is_no_shift():
    with pytest.raises(UnsupportedLayerError, match="layer '1': average over 9 values is no shift"):
        unify(nn.Sequential(nn.Conv2d(1, 1, 1), nn.AvgPool2d(3)), (1, 9, 9))
