"""Every spelling that is exact: the Network equals the torch module, and its stages equal the Network."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from compress.conversion.exporting import export_network
from secure.stages.stages import network_stages, run_stages


class Vectors(nn.Module):
    """forward applies a function of the module and x, (batch, 6), after a linear layer."""

    def __init__(self, call):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.other = nn.Linear(6, 6), nn.Linear(6, 6)
        self.weight = nn.Parameter(torch.randn(4, 6))
        self.bias = nn.Parameter(torch.randn(4))
        self.gate = nn.Parameter(torch.randn(6))
        self.register_buffer("order", torch.tensor([5, 0, 3]))
        self.register_buffer("mask", torch.tensor([True, False, True, True, False, True]))
        self.call = call

    def forward(self, x):
        return self.call(self, self.first(x))


class Images(nn.Module):
    """The same on images (batch, 2, 6, 5) after a convolution."""

    def __init__(self, call):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.other = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 1)
        self.weight = nn.Parameter(torch.randn(4, 2, 3, 3))
        self.back = nn.Parameter(torch.randn(2, 3, 2, 2))
        self.bias = nn.Parameter(torch.randn(4))
        self.token = nn.Parameter(torch.randn(1, 2, 6, 1))
        self.call = call

    def forward(self, x):
        return self.call(self, self.first(x))


def asserted(m, x):
    assert x.shape[1] == 6 and x.dim() == 2 and x.ndim == 2 and isinstance(x.dtype, torch.dtype)
    if x.shape[0] == 1 or len(x.shape) != 2:
        return x
    b, features = x.size()
    assert tuple(x.shape[1:]) == (6,)
    return x.view(b, features // 2, 2).reshape(x.size(0), -1) * features


def in_turns(m, x):
    total = 0
    for part in x.split(2, dim=1):
        total = total + part
    for column in range(x.shape[1]):
        total = total + x[:, column : column + 1]
    return total


VECTORS = {
    "cat": lambda m, x: torch.cat([x, m.other(x)], 1),
    "cat dim=-1": lambda m, x: torch.cat((x, m.other(x), x), dim=-1),
    "concat axis": lambda m, x: torch.concat([x, x], axis=1),
    "cat with a constant": lambda m, x: torch.cat([x, m.bias.expand(x.shape[0], -1)], 1),
    "hstack": lambda m, x: torch.hstack([m.other(x), x]),
    "stack": lambda m, x: torch.stack([x, m.other(x)], 1),
    "stack last": lambda m, x: torch.stack([x, m.other(x)], -1),
    "chunk": lambda m, x: x.chunk(2, 1)[1],
    "chunk unpacked": lambda m, x: (lambda a, b: a - 2 * b)(*torch.chunk(x, 2, dim=1)),
    "split": lambda m, x: torch.split(x, [1, 2, 3], 1)[2],
    "x.split": lambda m, x: torch.cat(x.split(4, dim=-1)[::-1], 1),
    "tensor_split": lambda m, x: torch.cat(torch.tensor_split(x, 4, 1)[1:3], 1),
    "unbind": lambda m, x: sum(x.view(-1, 2, 3).unbind(1)),
    "index": lambda m, x: x[:, 2:5],
    "index step": lambda m, x: x[:, ::2],
    "index last": lambda m, x: x[..., -2:],
    "index list": lambda m, x: x[:, [4, 1, 1]],
    "index buffer": lambda m, x: x[:, m.order],
    "index mask": lambda m, x: x[:, m.mask],
    "index none": lambda m, x: x[:, None],
    "one column": lambda m, x: m.bias[None] * x[:, 3].unsqueeze(1),
    "index_select": lambda m, x: torch.index_select(x, 1, m.order),
    "narrow": lambda m, x: x.narrow(1, 1, 3),
    "roll": lambda m, x: torch.roll(x, 2, 1),
    "repeat": lambda m, x: x.repeat(1, 3),
    "repeat_interleave": lambda m, x: x.repeat_interleave(2, dim=1),
    "expand": lambda m, x: x.unsqueeze(1).expand(-1, 3, -1),
    "where": lambda m, x: torch.where(m.mask, x, 0.5),
    "masked_fill": lambda m, x: x.masked_fill(m.mask, -1.0),
    "pad": lambda m, x: F.pad(x, (1, 2)),
    "pad value": lambda m, x: F.pad(x, (0, 2), value=1.5),
    "product": lambda m, x: x * m.other(x),
    "torch.mul of three": lambda m, x: torch.mul(x, m.other(x)) * (x + 1),
    "product broadcast": lambda m, x: x.unsqueeze(1) * m.other(x).unsqueeze(2),
    "sum broadcast": lambda m, x: x.unsqueeze(1) + m.other(x).unsqueeze(2),
    "sum alpha": lambda m, x: torch.add(x, m.other(x), alpha=2.5),
    "difference alpha": lambda m, x: torch.sub(x, m.other(x), alpha=0.5),
    "sum alpha constant": lambda m, x: torch.add(x, m.gate, alpha=3),
    "constant larger than the value": lambda m, x: x.unsqueeze(1) * m.weight,
    "F.linear": lambda m, x: F.linear(x, m.weight, m.bias),
    "F.linear computed": lambda m, x: F.linear(x, m.weight * torch.sigmoid(m.gate)),
    "x @ W": lambda m, x: x @ m.weight.t() + m.bias,
    "torch.matmul": lambda m, x: torch.matmul(x, m.weight.T),
    "mm": lambda m, x: x.mm(m.weight.transpose(0, 1)),
    "addmm": lambda m, x: torch.addmm(m.bias, x, m.weight.t()),
    "addmm scaled": lambda m, x: torch.addmm(m.bias, x, m.weight.t(), beta=0.5, alpha=2),
    "einsum": lambda m, x: torch.einsum("bi,oi->bo", x, m.weight),
    "einsum outer": lambda m, x: torch.einsum("bi,oi->boi", x, m.weight),
    "W @ x": lambda m, x: m.weight[:, :3] @ x.view(-1, 3, 2),
    "x @ W of tokens": lambda m, x: x.view(-1, 3, 2) @ m.weight[:2, :3],
    "bmm": lambda m, x: torch.bmm(x.view(-1, 3, 2), m.weight[:2, :3].unsqueeze(0).expand(x.shape[0], 2, 3)),
    "matrix times vector": lambda m, x: (x @ m.gate).unsqueeze(1),
    "matmul of two values": lambda m, x: x.view(-1, 2, 3) @ m.other(x).view(-1, 3, 2),
    "attention without softmax": lambda m, x: (lambda t: torch.bmm(torch.bmm(t, t.transpose(1, 2)), t))(
        x.view(-1, 3, 2)
    ),
    "einsum of two values": lambda m, x: torch.einsum("bi,bi->b", x, m.other(x)),
    "einsum outer of two values": lambda m, x: torch.einsum(
        "bij,bkj->bik", x.view(-1, 2, 3), m.other(x).view(-1, 2, 3)
    ),
    "einsum in another order": lambda m, x: torch.einsum("bi, bj -> bji", x, m.other(x)[:, :2]),
    "cumsum": lambda m, x: x.cumsum(1),
    "diff": lambda m, x: torch.diff(x, dim=1),
    "bilinear": lambda m, x: F.bilinear(x, m.other(x), m.weight[:, :, None] * m.gate, m.bias),
    "sum": lambda m, x: x.sum(1, keepdim=True),
    "sum of tokens": lambda m, x: torch.sum(x.view(-1, 2, 3), dim=(1,)),
    "sum over all": lambda m, x: x.view(-1, 2, 3).sum((1, 2)).unsqueeze(1),
    "mean": lambda m, x: x.mean(dim=1, keepdim=True) * 2,
    "one number for each input": lambda m, x: x.sum(1) * 2 + m.other(x)[:, 0],
    "squeezed": lambda m, x: x[:, 2:3].squeeze(1) ** 2,
    "mean axis": lambda m, x: x.view(-1, 2, 3).mean(1),
    "pow by name": lambda m, x: torch.pow(x, exponent=2) + x**2.0 + x.pow(exponent=2.0),
    "casts": lambda m, x: x.float().to(x.dtype).type_as(m.weight).cpu(),
    "asserted": asserted,
    "loops": in_turns,
    "shape of a parameter": lambda m, x: x[:, : m.weight.shape[0]] * m.weight.size(1),
    "squeeze": lambda m, x: x.unsqueeze(-1).squeeze(2),
    "dropout": lambda m, x: F.alpha_dropout(F.dropout(x, 0.5, m.training), training=False),
}

IMAGES = {
    "cat channels": lambda m, x: torch.cat([x, m.other(x)], 1),
    "cat rows": lambda m, x: torch.cat([x, m.other(x)], 2),
    "cat with a token": lambda m, x: torch.cat([m.token.expand(x.shape[0], -1, -1, -1), x], 3),
    "channel": lambda m, x: x[:, 0],
    "channels": lambda m, x: x[:, 1:],
    "crop": lambda m, x: x[:, :, 1:-1, 2:],
    "space to depth by slices": lambda m, x: torch.cat([x[..., ::2, :], x[..., 1::2, :]], 1),
    "pixel_shuffle": lambda m, x: F.pixel_shuffle(torch.cat([x, x], 1), 2),
    "unfold": lambda m, x: F.unfold(x, 3, padding=1),
    "pad reflect": lambda m, x: F.pad(x, (1, 2, 3, 0), mode="reflect"),
    "pad replicate": lambda m, x: F.pad(x, (2, 0, 1, 1), mode="replicate"),
    "pad circular": lambda m, x: F.pad(x, (1, 1, 1, 1), mode="circular"),
    "nearest": lambda m, x: F.interpolate(x, scale_factor=2),
    "nearest to a size": lambda m, x: F.interpolate(x, size=(4, 9)),
    "nearest-exact": lambda m, x: F.interpolate(x, size=(4, 9), mode="nearest-exact"),
    "bilinear": lambda m, x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "bilinear aligned": lambda m, x: F.interpolate(x, size=(9, 4), mode="bilinear", align_corners=True),
    "bicubic": lambda m, x: F.interpolate(x, size=(9, 7), mode="bicubic"),
    "area": lambda m, x: F.interpolate(x, size=(4, 3), mode="area"),
    "avg_pool ceil": lambda m, x: F.avg_pool2d(x, 2, ceil_mode=True),
    "avg_pool not counting padding": lambda m, x: F.avg_pool2d(x, 3, 2, padding=1, count_include_pad=False),
    "avg_pool divisor": lambda m, x: F.avg_pool2d(x, (2, 3), 1, divisor_override=5),
    "adaptive uneven": lambda m, x: F.adaptive_avg_pool2d(x, (4, 3)),
    "F.conv2d": lambda m, x: F.conv2d(x, m.weight, m.bias, stride=2, padding=1),
    "F.conv2d computed": lambda m, x: F.conv2d(x, m.weight * m.weight, padding="same"),
    "F.conv_transpose2d": lambda m, x: F.conv_transpose2d(x, m.back, None, 2, 1, 1),
    "sum of channels": lambda m, x: x.sum(1),
    "sum of positions": lambda m, x: x.sum(dim=[2, 3], keepdim=True),
    "mean of rows": lambda m, x: x.mean(-1),
    "einsum": lambda m, x: torch.einsum("bchw,oc->bohw", x, m.weight[:, :, 0, 0]),
    "weights per channel and position": lambda m, x: x * m.token + m.token,
    "gate of channels": lambda m, x: x * m.other(x).mean((2, 3), keepdim=True),
    "movedim": lambda m, x: torch.movedim(x, 1, -1),
    "mT": lambda m, x: x.mT,
    "product": lambda m, x: x * m.other(x),
}

MODULES = {
    "ConvTranspose2d": (nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2), (4, 5, 4)),
    "ConvTranspose2d dilated": (nn.ConvTranspose2d(2, 3, (2, 3), (1, 2), (0, 1), dilation=2, bias=False), (2, 4, 5)),
    "ConvTranspose1d": (nn.ConvTranspose1d(2, 3, 4, 3, 1, 2), (2, 5)),
    "Upsample": (nn.Upsample(scale_factor=2), (2, 3, 4)),
    "Upsample bilinear": (nn.Upsample(scale_factor=(2, 3), mode="bilinear", align_corners=False), (2, 3, 4)),
    "Upsample linear": (nn.Upsample(size=7, mode="linear"), (2, 4)),
    "UpsamplingBilinear2d": (nn.UpsamplingBilinear2d(scale_factor=2), (2, 3, 4)),
    "ZeroPad2d": (nn.ZeroPad2d((1, 2, 3, 0)), (2, 3, 4)),
    "ConstantPad1d": (nn.ConstantPad1d(2, 0.7), (2, 3)),
    "ReflectionPad2d": (nn.ReflectionPad2d(2), (2, 3, 4)),
    "ReplicationPad1d": (nn.ReplicationPad1d((3, 1)), (2, 3)),
    "CircularPad2d": (nn.CircularPad2d(1), (2, 3, 4)),
    "Conv2d reflect": (nn.Conv2d(2, 3, 3, padding=(1, 2), padding_mode="reflect"), (2, 5, 6)),
    "Conv2d circular, strided": (nn.Conv2d(2, 3, 3, 2, padding=1, padding_mode="circular"), (2, 5, 6)),
    "Conv1d replicate": (nn.Conv1d(2, 3, 5, padding=2, padding_mode="replicate"), (2, 7)),
    "Conv2d same, even kernel": (nn.Conv2d(2, 3, (2, 4), padding="same"), (2, 5, 6)),
    "AvgPool2d ceil, padded": (nn.AvgPool2d(3, 2, 1, ceil_mode=True), (2, 6, 8)),
    "AvgPool2d ceil, not counting": (nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), (2, 6, 7)),
    "AvgPool1d ceil": (nn.AvgPool1d(3, 2, ceil_mode=True), (2, 8)),
    "AdaptiveAvgPool1d uneven": (nn.AdaptiveAvgPool1d(3), (2, 8)),
    "PixelShuffle": (nn.PixelShuffle(2), (8, 2, 3)),
    "ChannelShuffle": (nn.ChannelShuffle(2), (4, 2, 3)),
    "Dropout3d": (nn.Sequential(nn.Linear(3, 3), nn.Dropout3d(), nn.FeatureAlphaDropout()), (2, 2, 2, 3)),
}  # fmt: skip


def close(module, shape):
    module = module.double().eval()
    images = np.random.default_rng(0).standard_normal((5, *shape))
    with torch.no_grad():
        wanted = module(torch.from_numpy(images)).numpy()
    network = export_network(module, shape, images)
    assert network.output_shape == (wanted.shape[1:] or (1,))
    np.testing.assert_allclose(network.run(images), wanted.reshape(5, *network.output_shape), atol=1e-10)
    _, values = run_stages(network_stages(network), images)
    np.testing.assert_allclose(values[-1].T, wanted.reshape(5, -1), atol=1e-8)
    return network


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_equal_torch(name):
    close(Vectors(VECTORS[name]), (6,))


@pytest.mark.parametrize("name", IMAGES)
def test_images_equal_torch(name):
    close(Images(IMAGES[name]), (2, 6, 5))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", MODULES)
def test_modules_equal_torch(name):
    module, shape = MODULES[name]
    torch.manual_seed(0)
    close(module, shape)
