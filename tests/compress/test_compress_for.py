"""Small networks are searched on real data: the rate is reached, test rows are not looked at, and it repeats."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import cipherpress as cp
from compress.account.accounting import account
from compress.dataset import Dataset
from compress.errors import BudgetError, CompressError, ConfigError, ModelError
from compress.joint.executable import joint_network
from compress.model.codebook import LayerCodes
from compress.rate.finish import finished, rate_when_finished
from compress.rate.recipe import RateRecipe
from compress.rate.searching import compress_for
from compress.rate.target import RateTarget
from compress.training.held_out import hold_out
from compress.training.loop import fit_
from compress.training.schedule import Schedule

#: Far fewer epochs than the defaults, so that a search takes a second or two.
QUICK = RateRecipe(shots=2, epochs=25, epochs_between=8, epochs_further=10, epochs_reference=8, max_trials=6)


@pytest.fixture(scope="module")
def data():
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    x, y = (images[order] / 16).astype(np.float32), labels[order]
    return Dataset(name="digits", x_train=x[:1400], y_train=y[:1400], x_test=x[1400:], y_test=y[1400:])


def trained(net, data, epochs=40):
    fit_(
        net, torch.from_numpy(data.x_train), torch.from_numpy(data.y_train),
        Schedule(epochs=epochs, learning_rate=1e-2, batch_size=64),
        loss=lambda outputs, targets, inputs: nn.functional.cross_entropy(outputs, targets),
    )  # fmt: skip
    return net


@pytest.fixture(scope="module")
def net(data):
    torch.manual_seed(0)
    return trained(nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10)), data)


@pytest.fixture(scope="module")
def small(net, data):
    return compress_for(net, data, RateTarget(rate=20, max_loss_points=5.0), QUICK, seed=3)


def same(a: dict[str, LayerCodes], b: dict[str, LayerCodes]) -> bool:
    return all((a[name].codes == b[name].codes).all() for name in a | b)


def test_the_rate_is_reached_with_everything_counted_within_the_loss(small, net, data):
    record = small.history[-1]
    assert record["method"] == "rate-search"
    assert 20 <= account(small)["compression_rate"] < 25
    assert record["loss_points_held_out"] <= 5.0
    assert record["images"] == len(data.x_test) and record["held_out"] == 350
    answers = joint_network(small).run_fake(data.x_test)
    assert record["accuracy_after"] == pytest.approx(np.mean(answers.argmax(axis=1) == data.y_test))
    with torch.no_grad():
        plain = net(torch.from_numpy(data.x_test)).argmax(dim=1).numpy()
    assert record["accuracy_before"] == pytest.approx(np.mean(plain == data.y_test))
    assert record["accuracy_before"] - record["accuracy_after"] < 0.08


def test_the_share_of_a_network_is_what_its_integers_do_on_held_out_rows(small, data):
    held = hold_out(data, images=QUICK.held_out, seed=3)
    answers = joint_network(small).run_fake(held.x_test)
    rates = {trial["rate"]: trial["share"] for trial in small.history[-1]["trials"]}
    assert rates[account(small)["compression_rate"]] == pytest.approx(np.mean(answers.argmax(axis=1) == held.y_test))


def test_further_networks_aim_by_what_finishing_cleared_before(small):
    trials = small.history[-1]["trials"]
    assert len(trials) >= 2 and trials[0]["aim"] == pytest.approx(20 / 1.3)
    assert trials[-1]["rate"] == pytest.approx(trials[-1]["aim"], rel=0.04)


def test_one_shot_stands_beside_and_is_worse(small):
    shot = small.history[-1]["one_shot"]
    assert shot["rate"] == pytest.approx(20, rel=0.1) and shot["epochs"] == 8
    assert shot["share_untrained"] < shot["share"] < small.history[-1]["accuracy_after"]


def test_test_rows_have_no_influence(small, net, data):
    garbage = replace(data, x_test=np.zeros_like(data.x_test), y_test=np.zeros_like(data.y_test))
    other = compress_for(net, garbage, RateTarget(rate=20, max_loss_points=5.0), QUICK, seed=3)
    assert same(small.layers(), other.layers())  # which also shows that a seed repeats
    assert small.history[-1]["trials"] == other.history[-1]["trials"]
    assert small.history[-1]["accuracy_after"] != other.history[-1]["accuracy_after"]


def test_another_seed_makes_another_network(small, net, data):
    other = compress_for(net, data, RateTarget(rate=20), QUICK, seed=4)
    assert not same(small.layers(), other.layers())


@pytest.mark.slow
def test_a_loss_alone_finds_more_than_a_smaller_loss(net, data):
    recipe = replace(QUICK, max_trials=3)
    strict, loose = (
        account(compress_for(net, data, RateTarget(max_loss_points=points), recipe))["compression_rate"]
        for points in (2.0, 12.0)
    )
    assert strict < loose


def test_a_loss_that_the_rate_exceeds_is_refused_with_what_was_reached(net, data):
    pattern = (
        r"60 times smaller with at most 0.1 points lost asked; on held-out training rows \d trained networks reach "
        r".*\d+\.\d times at \+\d+\.\d\d points; ask for less, or give more epochs, shots or trials"
    )
    with pytest.raises(BudgetError, match=pattern):
        compress_for(net, data, RateTarget(rate=60, max_loss_points=0.1), replace(QUICK, max_trials=3))


def test_a_rate_beyond_the_caps_is_refused_before_any_training(net, data):
    seen = []
    with pytest.raises(BudgetError, match=r"target-rate: 5000 asked, these options reach \d+\.\d at sparsity 0\.\d+"):
        compress_for(net, data, RateTarget(rate=5000), QUICK, progress=lambda step, share: seen.append(step))
    assert seen == []


def test_progress_names_each_training(net, data):
    seen = []
    compress_for(
        net, data, RateTarget(rate=12), replace(QUICK, shots=2), progress=lambda step, share: seen.append((step, share))
    )
    steps = list(dict.fromkeys(step for step, _ in seen))
    assert steps[0] == "reference" and steps[-1] == "one shot"
    assert steps[1].startswith("shots towards 9.23 times smaller")
    assert all(0 <= share <= 1 for _, share in seen)


class Scaled(nn.Module):
    """A factor that is no power of two has no form in integers."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x)) * 0.3)


def test_a_network_without_an_integer_form_is_searched_and_says_what_stays(data):
    torch.manual_seed(1)
    small = compress_for(trained(Scaled(), data, epochs=10), data, RateTarget(rate=6), QUICK)
    record = small.history[-1]
    assert account(small)["compression_rate"] >= 6
    assert "power of two" in record["unfinished"]
    assert [step["method"] for step in small.history][-2:] == ["finetune", "rate-search"]
    assert record["accuracy_after"] > 0.8


def test_a_regression_loses_hundredths_of_r2():
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (1200, 12)).astype(np.float32)
    y = (np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2])[:, None]
    rows = Dataset(name="waves", x_train=x[:1000], y_train=y[:1000], x_test=x[1000:], y_test=y[1000:])
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 1))
    fit_(
        net, torch.from_numpy(rows.x_train), torch.from_numpy(rows.y_train).float(),
        Schedule(epochs=150, learning_rate=1e-2, batch_size=64),
        loss=lambda outputs, targets, inputs: nn.functional.mse_loss(outputs, targets),
    )  # fmt: skip
    small = compress_for(net, rows, RateTarget(rate=8, max_loss_points=10.0), QUICK)
    record = small.history[-1]
    assert record["score"] == "r2" and account(small)["compression_rate"] >= 8
    assert record["loss_points_held_out"] <= 10.0 and record["score_after"] > record["score_before"] - 0.15


def test_the_rate_is_known_before_biases_are_on_grids(net, data):
    coded = cp.opq(net, sparsity=0.6, bits=4)
    after = finished(coded, data, bias_bits=6)
    assert rate_when_finished(coded, 6) == pytest.approx(account(after)["compression_rate"], rel=0.03)
    assert account(coded)["compression_rate"] < 0.9 * account(after)["compression_rate"]


def test_what_is_no_model_target_or_recipe_is_refused(net, data):
    with pytest.raises(ModelError, match="model: got str, not a torch module"):
        compress_for("mlp", data, RateTarget(rate=5))
    with pytest.raises(ConfigError, match="target: got 'int'; allowed: a RateTarget"):
        compress_for(net, data, 5)
    with pytest.raises(ConfigError, match="recipe: got 'dict'; allowed: None or a RateRecipe"):
        compress_for(net, data, RateTarget(rate=5), {})
    with pytest.raises(CompressError, match="quantized already"):
        compress_for(cp.opq(net), data, RateTarget(rate=5))


@pytest.mark.slow
def test_lenet300_becomes_60_times_smaller_within_0_3_points():
    data = cp.load_data("mnist")
    small = compress_for(cp.load_model("lenet300"), data, RateTarget(rate=60, max_loss_points=0.3))
    record = small.history[-1]
    assert account(small)["compression_rate"] >= 60
    assert record["accuracy_before"] - record["accuracy_after"] <= 0.003
