"""Attention in the spellings that people write it in: what importing makes of it, and what conversion puts there."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import cipherpress as cp
from compress.conversion.calibrate import network_outputs
from compress.conversion.convert import convert
from compress.conversion.exporting import export_network
from compress.conversion.friendly import fitted_activation, replace_operations
from compress.conversion.options import Conversion
from compress.conversion.scores import fitted_softmax
from compress.dataset import Dataset
from compress.errors import CalibrationError, UnsupportedLayerError
from compress.graph.composite import FittedSoftmax
from compress.graph.importing import import_model
from compress.network import Multiply, Polynomial
from compress.press.pressing import attends, deep_conversion, imported_layers, is_deep, usual_setting
from compress.press.setting import Setting

TOKENS, WIDTH, HEADS = 5, 6, 2


class Packed(nn.Module):
    """One Linear for queries, keys and values, parted by a permutation that moves the batch axis."""

    def __init__(self, part) -> None:
        super().__init__()
        self.part, self.heads, self.scale = part, HEADS, (WIDTH // HEADS) ** -0.5
        self.qkv, self.drop, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Dropout(0.1), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = self.part(qkv)
        weights = self.drop(((q @ k.transpose(-2, -1)) * self.scale).softmax(dim=-1))
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, c))


class Fused(Packed):
    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.part(self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4))
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c))


class Sums(Packed):
    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.view(part.size(0), -1, HEADS, 3).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        weights = F.softmax(torch.einsum("bhid,bhjd->bhij", q, k) / 3**0.5, dim=-1)
        return self.proj(torch.einsum("bhij,bhjd->bhid", weights, v).transpose(1, 2).flatten(2))


class One(nn.Module):
    """A single head of bmm."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.bmm(F.softmax(torch.bmm(self.q(x), self.k(x).transpose(1, 2)) / 2.5, -1), self.v(x))


class Own(nn.Module):
    """A module of torch's, called with one value in several places."""

    def __init__(self, inner: nn.Module, call) -> None:
        super().__init__()
        self.inner, self.call, self.other = inner, call, nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self, x)


def encoder(**options) -> nn.Module:
    return nn.TransformerEncoderLayer(WIDTH, HEADS, 8, **options)


def first(**options) -> nn.Module:
    return nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, **options)


SPELLINGS = {
    "packed, indexed": lambda: Packed(lambda qkv: (qkv[0], qkv[1], qkv[2])),
    "packed, unbound": lambda: Packed(lambda qkv: qkv.unbind(0)),
    "packed, turned back": lambda: Packed(lambda qkv: qkv.contiguous().permute(1, 0, 2, 3, 4).unbind(1)),
    "fused": lambda: Fused(lambda qkv: qkv.unbind(0)),
    "einsum": lambda: Sums(None),
    "one head": One,
    "multihead": lambda: Own(first(), lambda m, x: m.inner(x, x, x)[0]),
    "multihead without weights": lambda: Own(first(bias=False), lambda m, x: m.inner(x, x, x, need_weights=False)[0]),
    "multihead of two values": lambda: Own(first(), lambda m, x: m.inner(x, m.other(x), x)[0]),
    "multihead of other sizes": lambda: Own(first(kdim=WIDTH, vdim=WIDTH), lambda m, x: m.inner(x, x, x)[0]),
    "multihead, weights": lambda: Own(first(), lambda m, x: m.inner(x, x, x)[1]),
    "multihead, tokens first": lambda: Own(
        nn.MultiheadAttention(WIDTH, HEADS),
        lambda m, x: (lambda t: m.inner(t, t, t)[0])(x.permute(1, 0, 2)).permute(1, 0, 2),
    ),
    "encoder layer": lambda: encoder(batch_first=True),
    "encoder layer, norms first": lambda: encoder(batch_first=True, norm_first=True, activation="gelu"),
    "encoder, tokens first": lambda: Own(
        nn.TransformerEncoder(encoder(), 2, norm=nn.LayerNorm(WIDTH), enable_nested_tensor=False),
        lambda m, x: m.inner(x.transpose(0, 1))[0],
    ),
    "encoder": lambda: nn.TransformerEncoder(encoder(batch_first=True), 2, enable_nested_tensor=False),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_attention_is_read_as_torch_computes_it_and_becomes_products(name):
    torch.manual_seed(0)
    module = SPELLINGS[name]().double().eval()
    x = torch.randn(40, TOKENS, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    imported = import_model(module, (TOKENS, WIDTH))
    with torch.no_grad():
        assert torch.allclose(imported.graph_module(x), module(x), atol=1e-9)
    kinds = [layer.kind for layer in imported.layers]
    blocks = kinds.count("softmax")
    assert blocks >= 1
    student, said = replace_operations(imported, x)
    network = export_network(student, (TOKENS, WIDTH), x.numpy())
    # queries with keys, weights with values; averaged weights are read without values
    products = sum(isinstance(node, Multiply) for node in network.nodes)
    assert products == (2 * blocks if "weights" != name.split(", ")[-1] else 1)
    assert sum("softmax -> linear in its scores" in line for line in said) == blocks
    with torch.no_grad():
        assert np.allclose(network.run(x.numpy()), student(x).numpy(), atol=1e-9)


REFUSED = [
    (
        Own(first(), lambda m, x: m.inner(x, x, x, attn_mask=torch.zeros(5, 5))[0]),
        "layer 'inner': attention with a mask",
    ),
    (Own(first(add_zero_attn=True), lambda m, x: m.inner(x, x, x)[0]), "with add_bias_kv or add_zero_attn"),
    (
        Own(first(), lambda m, x: F.scaled_dot_product_attention(x, x, x, is_causal=True)),
        "layer 'forward': attention with a mask; attend to all",
    ),
    (
        Own(nn.MultiheadAttention(WIDTH, HEADS), lambda m, x: m.inner(x, x, x)[0]),
        r"moves the batch axis; .*batch_first",
    ),
    (
        Own(first(), lambda m, x: m.other(x).permute(1, 0, 2)),
        "'permute': permute moves the batch axis; keep axis 0 first",
    ),
    (Own(first(), lambda m, x: x.permute(1, 0, 2) * 2), "'permute': permute moves the batch axis; keep axis 0 first"),
    (Own(first(), lambda m, x: x.permute(1, 0, 2).flip(0).permute(1, 0, 2)), "flip has no encrypted form"),
    (Own(first(), lambda m, x: F.log_softmax(x, -1) @ m.other.weight), "log_softmax has no encrypted form"),
    (Own(first(), lambda m, x: torch.softmax(x.mean(1), -1) @ m.other.weight), "of features use an element-wise gate"),
]


@pytest.mark.parametrize(("module", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_attention_cannot_be_is_refused_by_name(module, message):
    with pytest.raises(UnsupportedLayerError, match=message):
        import_model(module.eval(), (TOKENS, WIDTH))


def scores_layer(shape):
    (layer,) = import_model(nn.Sequential(nn.Softmax(-1), nn.Identity(), nn.Flatten()), shape).layers[:1]
    return layer


def test_each_head_gets_its_own_line_and_every_score_its_mean():
    rng = np.random.default_rng(0)
    slopes, places = np.array([0.05, -0.2]).reshape(2, 1, 1), rng.normal(size=(2, 3, 4))
    scores = rng.normal(size=(50, 2, 3, 4)) + rng.normal(size=(2, 3, 4))
    module, share = fitted_softmax(scores_layer((2, 3, 4)), scores, slopes * scores + places, torch.float64)
    assert share == pytest.approx(1)
    assert np.allclose(module.scale.detach().numpy(), slopes) and np.allclose(module.shift.detach().numpy(), places)


def test_scores_that_never_vary_leave_the_mean():
    scores = np.arange(12.0).reshape(1, 3, 4) + np.zeros((20, 1, 1))
    answers = np.random.default_rng(0).random((20, 3, 4))
    module, share = fitted_softmax(scores_layer((3, 4)), scores, answers, torch.float64)
    assert not module.scale.any() and share < 0.5
    assert np.allclose(module.shift.detach().numpy(), answers.mean(axis=0))


def test_scores_that_are_not_finite_are_refused_with_their_layer():
    scores = np.full((4, 3, 4), np.nan)
    with pytest.raises(CalibrationError, match="layer '0': 48 of 48 calibration values are not finite"):
        fitted_softmax(scores_layer((3, 4)), scores, scores, torch.float64)


class Small(nn.Module):
    """A vision transformer of one block for bars: a class token, positions, two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.token = nn.Conv2d(1, 8, 2, 2), nn.Parameter(torch.zeros(1, 1, 8))
        self.positions = nn.Parameter(torch.randn(1, 5, 8) * 0.1)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu", batch_first=True, norm_first=True)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.token.expand(x.shape[0], -1, -1), tokens), dim=1) + self.positions
        return self.head(self.norm(self.block(tokens))[:, 0])


def bars(count: int = 400) -> Dataset:
    """4x4 images with a bright row or a bright column, under noise."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, count)
    x = rng.random((count, 1, 4, 4)).astype(np.float32) * 0.5
    for image, label, place in zip(x, labels, rng.integers(0, 4, count), strict=True):
        (image[0, place] if label == 0 else image[0, :, place])[...] += 0.5
    half = count // 2
    return Dataset("bars", x[:half], labels[:half], x[half:], labels[half:])


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    module, data = Small(), bars()
    optimizer = torch.optim.Adam(module.parameters(), 5e-3)
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    for _ in range(100):
        optimizer.zero_grad()
        F.cross_entropy(module(x), y).backward()
        optimizer.step()
    return module.eval(), data


@pytest.fixture(scope="module")
def quadratic(small):
    module, data = small
    return convert(module, Dataset("bars", data.x_train, None, data.x_test, None), Conversion(epochs=25))


def test_a_transformer_is_converted_from_its_answers_alone(small, quadratic):
    (module, data), network = small, quadratic
    replaced = "\n".join(network.about["replaced"])
    assert "softmax -> linear in its scores" in replaced and "block.norm1: LayerNorm -> trained factors" in replaced
    with torch.no_grad():
        given = module(torch.from_numpy(data.x_test)).argmax(1).numpy()
    agree = float(np.mean(network_outputs(network, data.x_test).argmax(axis=1) == given))
    assert network.about["labels_used"] is False and agree > 0.8


@pytest.mark.slow
def test_encrypted_answers_of_a_transformer_are_the_clear_ones_within_the_bound(small, quadratic):
    data = small[1]
    bundle = cp.compile(quadratic, Dataset("bars", data.x_train, None, data.x_test, None), cp.Limits(max_error=1.0))
    client, server = cp.Client(bundle.client), cp.Server(bundle.server)
    server.register(client.evaluation_key)
    for image, clear in zip(data.x_test[:3], quadratic.run(data.x_test[:3]), strict=True):
        answer = client.decrypt(server.run(client.encrypt(image)))
        assert np.abs(answer - clear).max() <= bundle.client.predicted_logit_error < 1.0


def test_nothing_is_pruned_or_rounded_in_transformers_where_nothing_is_asked_for():
    data = bars()
    assert usual_setting(Small().eval(), data) == Setting(sparsity=0.0, bits=None, finetune_epochs=0)
    deep = Small()
    deep.block = nn.TransformerEncoder(encoder_of_eight(), 3, enable_nested_tensor=False)
    layers = imported_layers(deep.eval(), data)
    assert is_deep(layers) and attends(layers)
    assert deep_conversion(deep, data, Conversion()) == Conversion()
    assert not attends(imported_layers(nn.Sequential(nn.Flatten(), nn.Linear(16, 2), nn.Softmax(1)), data))


def encoder_of_eight() -> nn.Module:
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)


def test_every_feature_of_tokens_has_its_own_quadratic():
    """Tokens have their features last; a value of several axes after a convolution has its channels first."""
    x = np.random.default_rng(0).normal(size=(200, 3, 4))
    layer = nn.Linear(4, 6).double()
    dense = import_model(nn.Sequential(layer, nn.GELU()).eval(), (3, 4))
    student, _ = replace_operations(dense, torch.from_numpy(x), fit=partial(fitted_activation, per_channel=True))
    network = export_network(student, (3, 4), x)
    (quadratic,) = (node for node in network.nodes if isinstance(node, Polynomial))
    assert quadratic.shape == (6, 3) and quadratic.coefficients.shape == (3, 6)
    with torch.no_grad():
        assert np.allclose(network.run(x), student(torch.from_numpy(x)).numpy(), atol=1e-12)
        assert np.allclose(network.run(x), F.gelu(layer(torch.from_numpy(x))).numpy(), atol=0.3)
    convolved = import_model(nn.Sequential(nn.Conv1d(3, 5, 1), nn.GELU()).double().eval(), (3, 4))
    student, _ = replace_operations(convolved, torch.from_numpy(x), fit=partial(fitted_activation, per_channel=True))
    (quadratic,) = (n for n in export_network(student, (3, 4), x).nodes if isinstance(n, Polynomial))
    assert quadratic.shape == (5, 4) and quadratic.coefficients.shape == (3, 5)


def test_a_fitted_softmax_is_a_line_of_each_score():
    module = FittedSoftmax(torch.tensor([[[2.0]], [[3.0]]]), torch.arange(8.0).reshape(2, 2, 2))
    found = module(torch.ones(1, 2, 2, 2))
    assert found[0].tolist() == [[[2, 3], [4, 5]], [[7, 8], [9, 10]]]
