"""Joint quantization of attention: integers equal to the simulation, parameters on grids, what is kept or refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cipherpress.zoo.datasets import load_data
from cipherpress.zoo.loading import load_model
from cipherpress.zoo.transformers import TransformerShape, VisionTransformer
from compress.account.accounting import account, bias_bits
from compress.dataset import Dataset
from compress.errors import CompressError
from compress.joint.executable import joint_network
from compress.joint.fixed_point import Grid
from compress.joint.norm import NormCodes, float_norm
from compress.joint.quantize import float_values, joint_quantize
from compress.joint.regroup import unify
from compress.joint.search import search_norm
from compress.model.compressed import prunable_layers
from compress.model.saved import load_model_folder, save_model
from compress.opq.opq import opq
from compress.training.finetune import finetune
from compress.training.loop import predict

#: Heads of width 4, whose scores are shifted, and of width 3, whose factor is not a power of two.
SHAPES = {
    "heads of 4": TransformerShape(image=8, channels=1, patch=4, width=8, depth=2, heads=2, hidden=12, classes=3),
    "heads of 3": TransformerShape(image=8, channels=1, patch=2, width=6, depth=1, heads=2, hidden=7, classes=3),
}


def transformer(name: str = "heads of 4", seed: int = 0) -> nn.Module:
    """A transformer with random weights that make attention uneven and gains differ."""
    torch.manual_seed(seed)
    module = VisionTransformer(SHAPES[name])
    with torch.no_grad():
        for path, parameter in module.named_parameters():
            if "norm" in path:
                parameter.add_(0.3 * torch.randn_like(parameter))
            elif path.endswith("weight") or "positions" in path:
                parameter.mul_(2.5)
    return module.eval()


def dataset(low: float = 0.0, shape=(1, 8, 8), count: int = 120) -> Dataset:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(low, 1, (count, *shape)).astype(np.float32), rng.integers(0, 3, count)
    return Dataset(name="random", x_train=x, y_train=y, x_test=x[:60], y_test=y[:60])


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("bits", "low"), [(8, 0.0), (8, -1.0), (6, 0.0), (4, 0.0), (11, 0.0)])
def test_integers_equal_the_simulation_bit_for_bit(name, bits, low):
    data = dataset(low)
    model = joint_quantize(transformer(name), data, bits=bits)
    network = joint_network(model)
    fake = network.run_fake(data.x_test)
    assert np.array_equal(fake, network.run_integer(data.x_test))
    other = joint_network(joint_quantize(transformer(name, seed=1), data, bits=bits))  # to show that the test can fail
    assert not np.array_equal(fake, other.run_integer(data.x_test))


def test_every_value_between_modules_is_the_same_integer():
    """All values are compared, not only the output: a later rounding could hide a difference."""
    data = dataset()
    network = joint_network(joint_quantize(transformer(), data, bits=8))
    for step in network.program.steps[:-1]:
        part = replace(network, program=replace(network.program, output=step.name))
        assert np.array_equal(part.run_fake(data.x_test), part.run_integer(data.x_test)), step.name


def test_the_float_program_is_torchs_forward():
    module, data = transformer("heads of 3"), dataset()
    program = unify(module, (1, 8, 8))
    wanted = predict(module.double(), data.x_test.astype(np.float64))
    found = float_values(program, data.x_test.astype(np.float64))[program.output]
    np.testing.assert_allclose(found, wanted, atol=1e-6)  # constants and weights are float32 numbers


def test_more_bits_come_closer_and_eight_are_close():
    module, data = transformer(), dataset()
    wanted = predict(module, data.x_test)
    errors = [
        np.abs(joint_network(joint_quantize(module, data, bits=bits)).run_fake(data.x_test) - wanted).mean()
        for bits in (4, 6, 8, 10)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 0.03 * np.abs(wanted).mean() and errors[3] < errors[0] / 20


def test_gains_shifts_and_positions_lie_on_their_grids():
    data = dataset()
    model = joint_quantize(transformer(), data, bits=6)
    rows = {row["module"]: row for row in model.history[-1]["modules"]}
    norm = model.module.blocks[0].attention_norm
    row = rows["blocks.0.attention_norm"]
    for values, fraction in ((norm.weight, row["gain_fraction_bits"]), (norm.bias, row["shift_fraction_bits"])):
        grid = Grid(fraction, 6, True)
        assert np.array_equal(grid.rounded(values.detach().double().numpy()), values.detach().double().numpy())
    assert row["on_grids"] == ["blocks.0.attention_norm.weight", "blocks.0.attention_norm.bias"]
    embedding = rows["add"]
    positions = model.module.embedding.positions.detach().double().numpy()
    assert embedding["on_grids"] == ["embedding.positions"]
    assert np.array_equal(Grid(embedding["constant_fraction_bits"], 6, True).rounded(positions), positions)
    # every parameter is counted with its bits, none stays float
    assert account(model)["uncompressed_layers"] == []
    biases = {f"{name}.bias": layer for name, layer in prunable_layers(model.module) if layer.bias is not None}
    wanted = 0
    for path, tensor in model.module.named_parameters():
        if path in biases:  # zero biases may be coded apart from the others
            fed = (biases[path].weight != 0).flatten(1).any(dim=1).numpy()
            wanted += bias_bits((tensor != 0).numpy(), fed, 6) + 8
        elif "original" not in path:
            wanted += 6 * tensor.numel() + 8
    counted, layers = account(model), account(model)["layers"]
    assert counted["total_bits"] == sum(layer["total_bits"] for layer in layers) + wanted


def test_it_is_saved_and_loaded_and_finetuning_keeps_the_grids(tmp_path):
    data = dataset()
    model = joint_quantize(transformer(), data, bits=8)
    save_model(model, tmp_path / "m")
    loaded = load_model_folder(tmp_path / "m", transformer(seed=3))
    assert np.array_equal(joint_network(loaded).run_integer(data.x_test), joint_network(model).run_fake(data.x_test))
    tuned = finetune(loaded, data, epochs=3, learning_rate=3e-2)
    assert all(tuned.layers()[name].log2_step == codes.log2_step for name, codes in model.layers().items())
    before, after = joint_network(model), joint_network(tuned)
    assert np.array_equal(after.run_fake(data.x_test), after.run_integer(data.x_test))
    for name, codes in before.modules.items():
        moved = after.modules[name]
        assert codes.output == moved.output
        if isinstance(codes, NormCodes):
            assert codes.gain_fraction_bits == moved.gain_fraction_bits
            assert np.abs(moved.gain).max() <= 128
    assert not np.array_equal(before.run_fake(data.x_test), after.run_fake(data.x_test))


def test_codebooks_of_opq_are_kept_and_methods_in_a_wrong_order_refused():
    data = dataset()
    small = opq(transformer(), sparsity=0.3, bits=5)
    model = joint_quantize(small, data, bits=8)
    for name, codes in small.layers().items():
        assert np.array_equal(codes.codes, model.layers()[name].codes)
    network = joint_network(model)
    assert np.array_equal(network.run_fake(data.x_test), network.run_integer(data.x_test))
    with pytest.raises(CompressError, match="is jointly quantized already"):
        joint_quantize(model, data)
    with pytest.raises(CompressError, match="is quantized already; run opq on the uncompressed model"):
        opq(model)


def test_a_bias_over_tokens_runs_along_the_last_axis():
    """There are as many tokens as outputs, so a bias along the wrong axis would broadcast too."""
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Flatten(), nn.Linear(16, 3)).eval()
    data = dataset(shape=(4, 4))
    network = joint_network(joint_quantize(module, data, bits=10))
    fake = network.run_fake(data.x_test)
    assert np.array_equal(fake, network.run_integer(data.x_test))
    np.testing.assert_allclose(fake, predict(module, data.x_test), atol=0.02)


@pytest.mark.parametrize(
    ("gain", "shift"), [(1.0, 1e-5), (1e-5, 1.0), (1e-5, 1e-5), (100.0, 1e-3), (0.0, 0.5), (0.0, 0.0)]
)
def test_gains_and_shifts_of_any_size_fit(gain, shift):
    """Fine grids for small numbers would make the numerator of the division too wide.

    Bits that the output cannot show are left out.
    """
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 64), nn.LayerNorm(64), nn.Linear(64, 3)).eval()
    with torch.no_grad():
        module[1].weight.copy_(gain * torch.linspace(0.5, 1.5, 64))
        module[1].bias.copy_(shift * torch.linspace(-1, 1, 64))
    data = dataset(shape=(6,))
    network = joint_network(joint_quantize(module, data, bits=8))
    fake, wanted = network.run_fake(data.x_test), predict(module, data.x_test)
    assert np.array_equal(fake, network.run_integer(data.x_test))
    assert np.abs(fake - wanted).max() <= 0.06 * np.abs(wanted).max()


def test_the_search_passes_over_what_does_not_fit(monkeypatch):
    module = nn.Sequential(nn.LayerNorm(6))
    step = unify(module, (6,)).modules[0]
    grids, values = {"input": Grid(5, 8, True)}, np.random.default_rng(0).integers(-60, 60, (50, 6)) / 32
    wanted = float_norm(values, np.ones(6), np.zeros(6), 1e-5)
    free = search_norm(step, {"input": values}, grids, wanted, 8)
    monkeypatch.setattr(NormCodes, "fits", property(lambda self: self.output.fraction_bits < free.output.fraction_bits))
    found = search_norm(step, {"input": values}, grids, wanted, 8)
    assert found.output.fraction_bits < free.output.fraction_bits and found.error > free.error


class Parts(nn.Module):
    """A softmax over a linear layer, a sigmoid, a normalization without gains, and literals, but no transformer."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.norm = nn.LayerNorm(6, elementwise_affine=False)
        self.register_buffer("offset", torch.linspace(-1, 1, 6))

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.softmax(self.first(x + self.offset) * 3, dim=-1)
        y = self.norm(torch.sigmoid(self.second(x) * 0.5 - 0.25) + gate)
        return F.relu(self.last(y) * 4)


def test_parts_of_attention_are_quantized_outside_attention_too():
    torch.manual_seed(0)
    module, data = Parts().eval(), dataset(shape=(6,))
    model = joint_quantize(module, data, bits=10)
    network = joint_network(model)
    fake = network.run_fake(data.x_test)
    assert np.array_equal(fake, network.run_integer(data.x_test))
    np.testing.assert_allclose(fake, predict(module, data.x_test), atol=0.05)
    assert [row["on_grids"] for row in model.history[-1]["modules"]][0] == ["offset"]
    assert account(model)["uncompressed_layers"] == []


class Gram(nn.Module):
    """Products of the input with itself."""

    def forward(self, x: Tensor) -> Tensor:
        return (x @ x.transpose(1, 2)).flatten(1)


def test_products_beyond_32_bits_are_refused():
    data = dataset(shape=(4, 6))
    network = joint_network(joint_quantize(Gram(), data, bits=8))
    assert np.array_equal(network.run_fake(data.x_test), network.run_integer(data.x_test))
    wide = joint_network(joint_quantize(Gram(), data, bits=16))
    with pytest.raises(CompressError, match=f"layer 'matmul': its sums may reach {6 * 65535**2}, more than 32 bits"):
        wide.run_integer(data.x_test)


@pytest.mark.parametrize("path", ["blocks.0.dense_norm.weight", "embedding.positions"])
def test_parameters_that_are_not_finite_are_named(path):
    module = transformer()
    with torch.no_grad():
        module.get_parameter(path).view(-1)[0] = float("inf")
    layer = {"blocks.0.dense_norm.weight": "blocks.0.dense_norm", "embedding.positions": "add"}[path]
    with pytest.raises(CompressError, match=f"layer '{layer}': has weights that are not finite"):
        joint_quantize(module, dataset())


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "points"), [(8, 0.2), (6, 1.0)])
def test_the_zoos_transformer_in_integers_equals_its_simulation(bits, points):
    data = load_data("mnist")
    model = joint_quantize(load_model("vit"), data, bits=bits)
    last, network = model.history[-1], joint_network(model)
    assert 100 * (last["accuracy_before"] - last["accuracy_after"]) <= points
    assert (last["quantization_points_before"], last["quantization_points_after"]) == (47, 33)
    images = np.asarray(data.x_test[:1000], dtype=np.float64)
    assert np.array_equal(network.run_fake(images), network.run_integer(images))
