"""How networks are divided into unified modules: published counts for residual networks, and what cannot be fused."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cipherpress.zoo.transformers import COMPACT, TransformerShape, VisionTransformer
from compress.errors import UnsupportedLayerError
from compress.joint.fixed_point import Grid
from compress.joint.regroup import quantization_points, unify
from compress.joint.unified import UnifiedModule, View

TINY = TransformerShape(image=4, channels=1, patch=2, width=6, depth=1, heads=2, hidden=8, classes=2)


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


def test_residual_blocks_and_networks_have_the_published_numbers_of_modules():
    assert quantization_points(Basic(2, 2).eval(), (2, 8, 8)) == (7, 2)
    assert quantization_points(Bottleneck(4).eval(), (4, 8, 8)) == (10, 3)
    # the last block's sum includes the average pool: one fewer than in a table that counts the pool separately
    assert quantization_points(resnet18(), (3, 64, 64)) == (68, 18)


def test_a_projection_is_one_module_of_two_convolutions():
    (first, last) = unify_folded(Basic(2, 4, stride=2), (2, 8, 8))
    assert first.fused == ("first.0", "relu")
    assert [layer.name for layer in last.weighted] == ["second.0", "shortcut.0"]
    assert not last.signed


def unify_folded(module, shape):
    from compress.model.folding import fold_batch_norm

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


def test_a_transformer_block_falls_into_ten_modules():
    """47 operations become 33 modules: embedding 2 to 1, three blocks 14 to 10 each, norm, mean and head 3 to 2."""
    module = VisionTransformer(COMPACT)
    assert quantization_points(module, (1, 28, 28)) == (2 + 3 * 14 + 3, 1 + 3 * 10 + 2)
    names = [step.fused for step in unify(module, (1, 28, 28)).modules]
    assert names[0] == ("embedding.projection", "add")
    first = names[1:11]
    assert first[0] == ("blocks.0.attention_norm",)
    assert first[1:4] == [(f"blocks.0.attention.{part}",) for part in ("query", "key", "value")]
    assert first[4:6] == [("softmax",), ()]  # queries times keys is fused with its softmax; then values times weights
    assert first[6] == ("blocks.0.attention.output",)
    assert first[7:] == [("blocks.0.dense_norm",), ("blocks.0.expand", "blocks.0.activation"), ("blocks.0.contract",)]
    assert names[-2:] == [("norm",), ("head",)]


def test_scores_keep_their_factor_for_the_softmax():
    modules = unify(VisionTransformer(TINY), (1, 4, 4)).modules
    scores = next(step for step in modules if isinstance(step, UnifiedModule) and step.softmax is not None)
    assert scores.scale == pytest.approx(3**-0.5) and not scores.signed
    assert scores.terms[0].layer is None and scores.terms[0].factor is not None


class Calls(nn.Module):
    """A linear layer over tokens (4, 6), followed by the function of the test."""

    def __init__(self, function):
        super().__init__()
        self.first, self.other = nn.Linear(6, 6), nn.Linear(6, 6)
        self.convolution = nn.Conv1d(4, 4, 1)
        self.offset = nn.Parameter(torch.ones(4, 6))
        self.call = function

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self, self.first(x))


def names(function):
    return [step.name for step in unify(Calls(function), (4, 6)).modules]


def test_an_operation_after_a_table_or_a_factor_starts_a_new_module():
    assert names(lambda m, x: torch.relu(F.gelu(x))) == ["gelu", "relu"]
    assert names(lambda m, x: F.gelu(x + m.offset)) == ["gelu"]
    assert names(lambda m, x: torch.relu(x * 0.5)) == ["mul", "relu"]
    assert names(lambda m, x: torch.relu(x) + m.offset) == ["relu", "add"]
    gate = names(lambda m, x: torch.softmax(x, -1) @ m.other(x).transpose(1, 2))
    assert gate == ["first", "other", "softmax", "matmul"]


def test_a_linear_layer_and_a_convolution_are_no_sum_of_one_axis():
    assert names(lambda m, x: m.other(x) + m.convolution(x)) == ["first", "convolution", "add"]
    module = unify(Calls(lambda m, x: m.other(x) + m.convolution(x)), (4, 6)).modules[-1]
    assert [layer.name for layer in module.weighted] == ["other"]


def test_a_mean_of_sums_is_fused_and_one_of_values_is_kept_exact():
    fused = unify(Calls(lambda m, x: x.mean(1)), (4, 6))
    assert [step.name for step in fused.steps] == ["mean"] and isinstance(fused.steps[0], UnifiedModule)
    kept = unify(Calls(lambda m, x: F.gelu(x).mean(1)), (4, 6)).steps
    assert [type(step) for step in kept] == [UnifiedModule, View]
    assert kept[1].grid(Grid(3, 8, True)) == Grid(5, 10, True)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda m, x: x**2,
            "layer 'pow_1': polynomial has no form in integers and shifts; joint quantization takes Linear",
        ),
        (lambda m, x: x - m.other(x), "layer 'sub': add has no form in integers"),
        (lambda m, x: x * 0.3, "layer 'mul': a factor of 0.3 is no shift; use a power of two, or scale the weights"),
        (lambda m, x: x * -0.5, "layer 'mul': affine has no form in integers"),
        (lambda m, x: x * m.offset.cumsum(0), "layer 'mul': affine has no form in integers"),
        (
            lambda m, x: F.softmax(x, dim=1),
            "layer 'softmax': softmax over axis 1 has no form in integers; take it over the",
        ),
        (lambda m, x: F.log_softmax(x, dim=-1) + x, "layer 'log_softmax': log_softmax has no encrypted form"),
        (lambda m, x: x @ m.offset.T, "layer 'matmul': matmul has no encrypted form; multiply a value by a matrix"),
        (lambda m, x: x.mean(1) @ x.mean(1).transpose(0, 1), "layer 'transpose': transpose moves the batch axis"),
        (lambda m, x: F.layer_norm(x, (6,)), "layer 'layer_norm': samplenorm has no form in integers"),
        (lambda m, x: x.mean(0), "layer 'mean': mean over the batch axis"),
        (lambda m, x: x.mean((1, 2)), "layer 'mean': average over 24 values is no shift"),
    ],
)  # fmt: skip
def test_what_integers_cannot_do_is_named(function, message):
    with pytest.raises(UnsupportedLayerError, match=message):
        unify(Calls(function), (4, 6))


def test_a_product_that_takes_images_for_rows_is_refused():
    """It would fit only a batch with as many images as features."""

    class Mixing(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.first(x) @ self.first(x).mean(1)

    with pytest.raises(UnsupportedLayerError, match="layer 'matmul': matmul along the batch axis mixes images"):
        unify(Mixing(), (4, 3))


def test_a_normalization_over_two_axes_is_refused():
    with pytest.raises(UnsupportedLayerError, match="layer '0': LayerNorm over 2 axes has no form in integers"):
        unify(nn.Sequential(nn.LayerNorm((4, 6))), (4, 6))


def test_an_average_over_nine_values_is_refused_as_no_shift():
    with pytest.raises(UnsupportedLayerError, match="layer '1': average over 9 values is no shift"):
        unify(nn.Sequential(nn.Conv2d(1, 1, 1), nn.AvgPool2d(3)), (1, 9, 9))
