"""Joint power-of-two quantization: examples by hand, integers equal to the simulation, and what is kept or refused."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from compress.conversion.convert import convert
from compress.conversion.options import Conversion
from compress.dataset import Dataset
from compress.errors import CompressError, ConfigError
from compress.joint.codes import ModuleCodes, TermCodes
from compress.joint.executable import JointNetwork, joint_network
from compress.joint.fixed_point import Grid, best_grid
from compress.joint.quantize import joint_quantize
from compress.joint.regroup import unify
from compress.joint.search import search
from compress.model.saved import load_model_folder, save_model
from compress.opq.opq import opq
from compress.training.finetune import finetune


def linear(weights, bias):
    layer = nn.Linear(len(weights[0]), len(weights))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weights))
        layer.bias.copy_(torch.tensor(bias))
    return layer


class Residual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.inner(x) + x)


def dataset(shape=(6,), classes=3, count=200, low=0.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(low, 1, size=(count, *shape)).astype(np.float32)
    y = rng.integers(0, classes, count)
    return Dataset(name="random", x_train=x, y_train=y, x_test=x[:50], y_test=y[:50])


def one_module(module, codes, input_grid, shape):
    program = unify(module, shape)
    return JointNetwork(program, input_grid, {program.output: codes})


def test_a_linear_module_by_hand():
    network = one_module(
        nn.Sequential(nn.Linear(2, 2), nn.ReLU()),
        ModuleCodes((TermCodes(np.array([[24, -16], [10, 29]]), 5),), np.array([6, -13]), 6, Grid(4, 8, False)),
        Grid(4, 8, False),
        (2,),
    )
    x = np.array([[0.5, 1.25]])
    assert network.run_integer(x).tolist() == [[0.0, 1.0625]]
    assert network.run_fake(x).tolist() == [[0.0, 1.0625]]


def test_a_residual_module_by_hand():
    """The sum of a module with 9 fraction bits and a residual with 3."""
    acc = np.array([[-128 + 48, 660 - 104]])  # 9 fraction bits, bias included
    residual = np.array([[9, -4]])  # 3 fraction bits
    from compress.joint.fixed_point import aligned_sum, requantized

    total = aligned_sum([(acc, 9), (residual, 3)], 9)
    assert total.tolist() == [[496, 300]]
    assert requantized(np.maximum(total, 0), 9, Grid(4, 8, False)).tolist() == [[16, 9]]


def test_two_convolutions_share_one_accumulator():
    from compress.joint.fixed_point import aligned_sum, requantized

    total = aligned_sum([(np.array([100, -37]), 7), (np.array([13, 50]), 5)], 7)
    assert total.tolist() == [152, 163]
    assert requantized(total, 7, Grid(3, 8, True)).tolist() == [10, 10]  # requantizing each first gives 9, 11


def test_joint_grids_have_a_smaller_error_than_independent_ones():
    """The best separate choice (2, 4, 4) gives 0.00923125; a weight that feeds only a dead output may be clipped."""
    module = nn.Sequential(linear([[0.25, -0.45], [-0.05, -0.8]], [0.45, 0.2]), nn.ReLU()).double()
    x = np.array([[1.2, 0.5], [1.9, 1.85], [0.1, 0.35], [0.35, 0.35]])
    grid = best_grid(x, 4, signed=False)
    assert grid.fraction_bits == 3 and grid.codes(x).tolist() == [[10, 4], [15, 15], [1, 3], [3, 3]]
    wanted = module(torch.from_numpy(x)).detach().numpy()
    step = unify(module, (2,)).modules[0]
    found = search(step, {"input": grid.rounded(x)}, {"input": grid}, wanted, 4, requantize=True)
    assert (found.weights, found.bias, found.output.fraction_bits) == ((4,), 4, 4)
    assert found.error == pytest.approx(0.00235625)


def test_the_search_uses_quantized_inputs():
    """With a coarse input grid the best weights differ from those for float inputs."""
    module = nn.Sequential(linear([[0.3, 0.6]], [0.1]))
    x = np.array([[0.3, 0.2], [0.9, 0.4], [0.6, 0.7]])
    step = unify(module, (2,)).modules[0]
    coarse = Grid(1, 8, False)
    wanted = module(torch.from_numpy(x).float()).detach().double().numpy()
    errors = [
        search(step, {"input": values}, {"input": grid}, wanted, 8, requantize=False).error
        for values, grid in ((x, Grid(20, 24, False)), (coarse.rounded(x), coarse))
    ]
    assert errors[1] > 10 * errors[0]


def test_averages_do_not_commute_with_rounding_and_are_rounded_once():
    pool = nn.Sequential(nn.AvgPool2d(2))
    network = one_module(
        pool, ModuleCodes((None,), np.zeros(1, np.int64), 0, Grid(2, 8, False)), Grid(10, 12, False), (1, 2, 2)
    )
    x = np.array([[[[0.13, 0.13], [0.0, 0.0]]]])
    assert network.run_integer(x).ravel().tolist() == [0.0]  # rounding at two bits first would give 0.25


NETWORKS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), (6,)),
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1, stride=2), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Conv2d(4, 4, 2, groups=2, dilation=2),
            nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 3),
        ), (2, 9, 9),
    ),
    "maxpool before relu": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 3, 3, bias=False), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(27, 3)
        ),
        (1, 8, 8),
    ),
    "residual": (lambda: nn.Sequential(Residual(nn.Linear(6, 6)), Residual(nn.Linear(6, 6)), nn.Linear(6, 3)), (6,)),
    "one dimension": (lambda: nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3)), (2, 8)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("low", [0.0, -1.0])
def test_integers_equal_the_simulation_bit_for_bit(name, low):
    torch.manual_seed(1)
    make, shape = NETWORKS[name]
    data = dataset(shape, low=low)
    model = joint_quantize(make().eval(), data, bits=8)
    network = joint_network(model)
    fake = network.run_fake(data.x_test)
    assert np.array_equal(fake, network.run_integer(data.x_test))
    wanted = make().eval()  # another network, to show that the comparison can fail
    assert fake.shape == (50, 3) and not np.allclose(
        fake, wanted(torch.from_numpy(data.x_test)).detach().numpy(), atol=1e-3
    )


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**16), st.integers(3, 10))
def test_more_bits_come_closer(seed, bits):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    data = dataset(seed=seed)
    wanted = module(torch.from_numpy(data.x_test)).detach().numpy()
    errors = [
        np.abs(joint_network(joint_quantize(module, data, bits=n)).run_fake(data.x_test) - wanted).mean()
        for n in (bits, bits + 4)
    ]
    assert errors[1] < errors[0]


def test_doubling_all_weights_moves_their_step_and_no_code():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    double = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    with torch.no_grad():
        for target, source in zip(double.parameters(), module.parameters(), strict=True):
            target.copy_(source)
        double[2].weight.mul_(2)
        double[2].bias.mul_(2)
    before, after = (joint_quantize(m, dataset()).layers()["2"] for m in (module, double))
    assert np.array_equal(before.codes, after.codes)
    assert int(after.log2_step) == int(before.log2_step) + 1


def test_codebooks_and_masks_of_opq_are_kept_and_a_joint_model_is_saved_and_loaded(tmp_path):
    torch.manual_seed(0)
    data = dataset()
    module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    small = opq(module, sparsity=0.3, bits=4)
    model = joint_quantize(small, data, bits=8)
    for name, codes in small.layers().items():
        assert np.array_equal(codes.codes, model.layers()[name].codes)
        assert np.array_equal(codes.mask, model.layers()[name].mask)
    assert [step["method"] for step in model.history] == ["opq", "joint"]
    save_model(model, tmp_path / "m")
    loaded = load_model_folder(tmp_path / "m", nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)))
    assert np.array_equal(joint_network(loaded).run_integer(data.x_test), joint_network(model).run_fake(data.x_test))


def test_fine_tuning_and_conversion_keep_the_grids():
    torch.manual_seed(0)
    data = dataset()
    module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    model = joint_quantize(module, data, bits=6)
    tuned = finetune(model, data, epochs=1)
    assert all(tuned.layers()[name].log2_step == codes.log2_step for name, codes in model.layers().items())
    network = joint_network(tuned)
    assert np.array_equal(network.run_fake(data.x_test), network.run_integer(data.x_test))
    weights = {
        node.name: node.weights for node in convert(tuned, data, Conversion(epochs=1)).nodes if hasattr(node, "weights")
    }
    assert all(value.bits == 6 for value in weights.values())


def test_methods_in_a_wrong_order_are_refused():
    data = dataset()
    module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    model = joint_quantize(module, data)
    with pytest.raises(
        CompressError, match="^model .*: it is jointly quantized already; start from the model before that"
    ):
        joint_quantize(model, data)
    with pytest.raises(CompressError, match="is quantized already; run opq on the uncompressed model"):
        opq(model)
    with pytest.raises(CompressError, match="model .*: it is not jointly quantized; run joint_quantize first"):
        joint_network(opq(module, sparsity=0.3))


def test_bad_options_and_weights_are_named():
    data = dataset()
    module = nn.Sequential(nn.Linear(6, 3))
    with pytest.raises(ConfigError, match="bits: got 1; allowed: a whole number from 2 to 16"):
        joint_quantize(module, data, bits=1)
    with pytest.raises(ConfigError, match="images: got 0; allowed: a whole number, 1 or more"):
        joint_quantize(module, data, images=0)
    with torch.no_grad():
        module[0].weight[0, 0] = float("nan")
    with pytest.raises(CompressError, match="layer '0': has weights that are not finite"):
        joint_quantize(module, data)


def test_biases_may_have_fewer_bits_than_the_rest():
    torch.manual_seed(0)
    small = opq(nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 3)).eval(), sparsity=0.3, bits=6)
    wide, narrow = (joint_quantize(small, dataset(), bits=8, bias_bits=width) for width in (None, 3))
    assert [model.history[-1]["options"]["bias_bits"] for model in (wide, narrow)] == [8, 3]
    for row, layer in zip(narrow.history[-1]["modules"], (narrow.module[0], narrow.module[2]), strict=True):
        codes = np.ldexp(layer.bias.detach().double().numpy(), row["bias_fraction_bits"])
        assert (codes == np.round(codes)).all() and -4 <= codes.min() and codes.max() <= 3
    assert len(np.unique(wide.module[0].bias.detach().numpy())) > 8
    network, x = joint_network(narrow), dataset().x_test.astype(np.float64)
    assert (network.run_integer(x) == network.run_fake(x)).all()
    with pytest.raises(ConfigError, match="bias_bits: got 1; allowed: a whole number from 2 to 16"):
        joint_quantize(small, dataset(), bias_bits=1)
