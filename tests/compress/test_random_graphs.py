"""Random small graphs composed from the spellings: the Network, its stages and its torch twin equal the module."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from compress.conversion.exporting import export_network
from compress.network_file import network_bytes, network_from_bytes
from compress.squares.module import NetworkModule
from secure.stages.stages import network_stages, run_stages

#: At most so many squares and products in a row.
DEEPEST = 2


class Program(nn.Module):
    """Steps over a growing list of values; every step reads some of them and makes one more. The last one is returned.

    steps: (function of the module and the values read, which values). A step's own layer is layers[number].
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()
        self.steps: list[tuple[Any, tuple[int, ...]]] = []
        self.values = [torch.randn(2, channels, size, size)]
        self.depths = [0]

    def layer(self, module: nn.Module) -> str:
        name = f"layer{len(self.layers)}"
        self.layers[name] = module
        return name

    def add(self, function: Any, *sources: int, deeper: int = 0) -> None:
        with torch.no_grad():
            value = function(self, *(self.values[source] for source in sources))
        self.steps.append((function, sources))
        self.values.append(value)
        self.depths.append(max(self.depths[source] for source in sources) + deeper)

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for function, sources in self.steps:
            values.append(function(self, *(values[source] for source in sources)))
        return values[-1]


@st.composite
def programs(draw: Any) -> Program:
    torch.manual_seed(draw(st.integers(0, 2**20), label="weights"))
    program = Program(draw(st.integers(1, 3)), draw(st.integers(3, 6)))
    for _ in range(draw(st.integers(1, 7), label="steps")):
        draw(st.sampled_from([_layer, _pool, _edge, _slice, _resample, _join, _combine, _curve]))(draw, program)
    end = draw(st.sampled_from([_flat, _summed, _matrix]), label="end")
    end(program)
    return program


def _source(draw: Any, program: Program) -> int:
    return int(draw(st.integers(max(0, len(program.values) - 3), len(program.values) - 1), label="source"))


def _layer(draw: Any, program: Program) -> None:
    source = _source(draw, program)
    channels, out = program.values[source].shape[1], draw(st.integers(1, 3))
    if min(program.values[source].shape[2:]) < 2:
        return
    kind = draw(st.sampled_from(["conv", "functional", "transposed", "norm"]))
    stride, padding = draw(st.integers(1, 2)), draw(st.integers(0, 1))
    if kind == "conv":
        mode = draw(st.sampled_from(["zeros", "reflect", "circular", "replicate"]))
        name = program.layer(nn.Conv2d(channels, out, draw(st.integers(1, 2)), stride, padding, padding_mode=mode))
    elif kind == "functional":
        name = program.layer(nn.ParameterList([torch.randn(out, channels, 2, 1), torch.randn(out)]))
        program.add(lambda m, x: F.conv2d(x, m.layers[name][0], m.layers[name][1], (1, stride), padding), source)
        return
    elif kind == "transposed":
        name = program.layer(nn.ConvTranspose2d(channels, out, 2, stride, output_padding=stride - 1))
    else:
        norm = nn.BatchNorm2d(channels)
        norm.running_mean.normal_(), norm.running_var.uniform_(0.5, 2.0)
        name = program.layer(norm.eval())
    program.add(lambda m, x: m.layers[name](x), source)


def _pool(draw: Any, program: Program) -> None:
    source = _source(draw, program)
    if min(program.values[source].shape[2:]) < 2:
        return
    options = {"ceil_mode": draw(st.booleans()), "count_include_pad": draw(st.booleans())}
    stride, padding = draw(st.integers(1, 2)), draw(st.integers(0, 1))
    divisor = draw(st.sampled_from([None, 3]))
    size = draw(st.integers(1, 4))
    if draw(st.booleans()):
        program.add(lambda m, x: F.adaptive_avg_pool2d(x, (size, 2)), source)
    else:
        program.add(lambda m, x: F.avg_pool2d(x, 2, stride, padding, divisor_override=divisor, **options), source)


def _edge(draw: Any, program: Program) -> None:
    sides = [draw(st.integers(0, 1)) for _ in range(4)]
    value = draw(st.sampled_from([0.0, 0.5]))
    program.add(lambda m, x: F.pad(x, sides, value=value), _source(draw, program))


def _slice(draw: Any, program: Program) -> None:
    source = _source(draw, program)
    step = draw(st.integers(1, 2))
    how = draw(st.sampled_from(["rows", "channel", "chunk", "flipped channels"]))
    if how == "rows":
        program.add(lambda m, x: x[:, :, ::step, : x.shape[3] - 1] if x.shape[3] > 1 else x * 1.5, source)
    elif how == "channel":
        program.add(lambda m, x: x[:, -1:], source)
    elif how == "chunk":
        program.add(lambda m, x: x.chunk(2, 2)[-1], source)
    else:
        program.add(lambda m, x: x[:, list(range(x.size(1)))[::-1]], source)


def _resample(draw: Any, program: Program) -> None:
    size, mode = draw(st.integers(1, 7)), draw(st.sampled_from(["nearest", "bilinear", "bicubic", "area"]))
    program.add(lambda m, x: F.interpolate(x, size=(size, 4), mode=mode), _source(draw, program))


def _fitted(program: Program, left: int, right: int) -> Any:
    """The right value brought to the positions of the left one."""
    size = program.values[left].shape[2:]
    return lambda x: F.interpolate(x, size=size) if x.shape[2:] != size else x


def _join(draw: Any, program: Program) -> None:
    left, right = _source(draw, program), _source(draw, program)
    fit = _fitted(program, left, right)
    if draw(st.booleans()):
        program.add(lambda m, x, y: torch.cat([x, fit(y)], dim=1), left, right)
    else:
        program.add(lambda m, x, y: torch.stack([x[:, 0], fit(y)[:, -1]], 1), left, right)


def _combine(draw: Any, program: Program) -> None:
    """A sum, difference or product; one channel broadcasts to all, and the mean of the positions to each of them."""
    left, right = _source(draw, program), _source(draw, program)
    fit = _fitted(program, left, right)
    part = draw(st.sampled_from([lambda y: y[:, :1], lambda y: y[:, :1].mean((2, 3), keepdim=True)]))
    kind = draw(st.sampled_from(["add", "sub", "mul"]))
    if kind == "mul" and max(program.depths[left], program.depths[right]) >= DEEPEST:
        return
    if kind == "mul":
        program.add(lambda m, x, y: x * part(fit(y)), left, right, deeper=1)
    elif kind == "sub":
        program.add(lambda m, x, y: 1.5 * part(fit(y)) - x, left, right)
    else:
        program.add(lambda m, x, y: torch.add(x, part(fit(y)), alpha=-0.5), left, right)


def _curve(draw: Any, program: Program) -> None:
    source = _source(draw, program)
    if program.depths[source] < DEEPEST:
        exponent = draw(st.sampled_from([2, 2.0]))
        program.add(lambda m, x: 0.1 * torch.pow(x, exponent=exponent) + x, source, deeper=1)


def _flat(program: Program) -> None:
    name = program.layer(nn.Linear(program.values[-1][0].numel(), 3))
    program.add(lambda m, x: m.layers[name](x.reshape(x.size(0), -1)), len(program.values) - 1)


def _summed(program: Program) -> None:
    program.add(lambda m, x: x.sum(dim=(1, 3)), len(program.values) - 1)


def _matrix(program: Program) -> None:
    columns = program.values[-1].shape[-1]
    name = program.layer(nn.ParameterList([torch.randn(columns, 2)]))
    program.add(lambda m, x: torch.einsum("bchw,wo->bcho", x, m.layers[name][0]).flatten(1), len(program.values) - 1)


@settings(max_examples=60, deadline=None)
@given(programs())
def test_random_graphs_equal_torch(program: Program) -> None:
    module = program.double().eval()
    shape = tuple(program.values[0].shape[1:])
    images = np.random.default_rng(0).standard_normal((4, *shape))
    with torch.no_grad():
        wanted = module(torch.from_numpy(images)).numpy()
    network = export_network(module, shape, images)
    size = max(1.0, np.abs(wanted).max())
    np.testing.assert_allclose(network.run(images), wanted, rtol=0, atol=1e-9 * size)
    again = network_from_bytes(*network_bytes(network))
    np.testing.assert_array_equal(again.run(images), network.run(images))
    with torch.no_grad():
        trained = NetworkModule(network, torch.float64)(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(trained, network.run(images), rtol=0, atol=1e-9 * size)
    _, values = run_stages(network_stages(network), images)
    np.testing.assert_allclose(values[-1].T, wanted.reshape(4, -1), rtol=0, atol=1e-7 * size)
