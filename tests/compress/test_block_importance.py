"""Second-order Taylor scores: worked examples, per-sample gradients of every kind of layer, cancellation."""

import numpy as np
import pytest
import torch
from torch import nn

from compress.blocks.importance import block_responses, joint_score, sample_gradients, single_scores
from compress.blocks.patterns import block_groups, parse_pattern
from compress.errors import CalibrationError, ConfigError, DataError

W = np.array([[1, -1, 2, 0], [1, 1, 0, 2], [3, 0, 1, 1], [0, 3, 1, -1]], dtype=float)
G = np.array(
    [
        [[1, 1, 1, 0], [1, 1, 0, 1], [1, 0, 2, 1], [0, 1, 1, 1]],
        [[-1, -1, 1, 0], [-1, -1, 0, 1], [-1, 0, 1, 1], [0, -1, 1, 2]],
    ],
    dtype=float,
)
TILES = block_groups(parse_pattern("tile:2x2"), (4, 4), modulus=4)


def fisher_responses(gradients, weight, groups):
    """sqrt(1 / 2 samples) g_n . w_B by definition, (blocks, samples)."""
    products = gradients * weight
    sums = [products[:, groups == block].sum(axis=1) for block in range(groups.max() + 1)]
    return np.stack(sums) * np.sqrt(0.5 / len(gradients))


def test_scores_of_four_blocks_by_hand():
    """The mean gradient would give the third block, the most important one, a score of zero."""
    responses = fisher_responses(G, W, TILES)
    assert single_scores(responses) == pytest.approx([2, 8, 18, 2.5])


def test_samples_that_disagree_do_not_cancel():
    gradients = np.array([[[1.0, -1.0]], [[-1.0, 1.0]]])
    responses = fisher_responses(gradients, np.array([[1.0, -1.0]]), np.zeros((1, 2), dtype=np.int32))
    assert single_scores(responses).tolist() == pytest.approx([2.0])


def test_blocks_that_err_in_one_direction_cost_more_together():
    """First and third block: g.w is (2, -2) and (6, -6), so half the mean of squares is 1/4 (64 + 64), not 2 + 18."""
    responses = fisher_responses(G, W, TILES)
    assert joint_score(responses, np.array([True, False, True, False])) == pytest.approx(32.0)
    assert joint_score(responses, np.zeros(4, dtype=bool)) == 0.0


def _by_autograd(layer, x, run):
    found = []
    for sample in x:
        layer.zero_grad()
        run(layer(sample[None])).backward()
        found.append(layer.weight.grad.clone())
    return torch.stack(found)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(5, 3), (5,)),
        (nn.Linear(5, 3), (7, 5)),
        (nn.Conv2d(2, 4, 3, stride=2, padding=1), (2, 6, 6)),
        (nn.Conv2d(4, 4, 3, groups=2, padding_mode="circular", padding=1), (4, 5, 5)),
        (nn.Conv2d(2, 3, 3, padding="same", dilation=2), (2, 6, 6)),
        (nn.Conv1d(2, 3, 2), (2, 6)),
    ],
)
def test_gradients_of_samples_equal_those_of_single_runs(layer, shape):
    torch.manual_seed(0)
    layer = layer.double()
    x = torch.randn(4, *shape, dtype=torch.float64)

    def run(y):
        return (y**2).sum() + y.sum()

    outputs = layer(x)
    (delta,) = torch.autograd.grad(run(outputs), outputs)
    found = sample_gradients(layer, x, delta)
    assert torch.allclose(found, _by_autograd(layer, x, run))


class Twice(nn.Module):
    """One layer that runs twice: its two responses are added before they are squared."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x):
        return self.inner(torch.tanh(self.inner(x)))


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(150, 4)).astype(np.float32)


def _groups(name="inner"):
    return {name: block_groups(parse_pattern("outputs:1"), (4, 4), modulus=4)}


def test_responses_of_a_network_equal_autograd_over_several_batches(images):
    torch.manual_seed(1)
    net = Twice()
    labels = np.arange(150) % 4
    found = block_responses(net, images, labels, _groups(), gradient="labels")["inner"]
    assert found.shape == (4, 150)
    for sample in (0, 70, 149):
        net.zero_grad()
        nn.functional.cross_entropy(net(torch.from_numpy(images[[sample]])), torch.tensor(labels[[sample]])).backward()
        expected = (net.inner.weight.grad * net.inner.weight).sum(dim=1).detach().numpy()
        assert found[:, sample] * np.sqrt(2 * 150) == pytest.approx(expected, abs=1e-5)


def test_signs_on_the_outputs_measure_their_squared_change(images):
    """One linear layer: removing an output changes that output by its value and no other."""
    net = nn.Sequential(nn.Linear(4, 4, bias=False))
    scores = single_scores(block_responses(net, images, np.zeros(150, int), _groups("0"), gradient="outputs")["0"])
    outputs = net(torch.from_numpy(images)).detach().numpy()
    assert scores == pytest.approx((outputs**2).mean(axis=0), rel=1e-4)


def test_drawn_labels_follow_the_seed_and_leave_the_module_alone(images):
    net = Twice()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    first, second, other = (
        block_responses(net, images, np.zeros(150, int), _groups(), seed=seed)["inner"] for seed in (1, 1, 2)
    )
    assert (first == second).all() and (first != other).any()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert net.inner.weight.grad is None


def test_an_unknown_gradient_is_refused(images):
    with pytest.raises(ConfigError, match="gradient: got 'mean'; allowed: one of sampled, labels, outputs"):
        block_responses(Twice(), images, np.zeros(150, int), _groups(), gradient="mean")


def test_labels_without_an_output_are_refused(images):
    with pytest.raises(DataError, match=r"the largest label is 12, but the network has outputs for the labels 0 to 3"):
        block_responses(Twice(), images, np.full(150, 12), _groups(), gradient="labels")


def test_a_layer_that_never_runs_is_refused(images):
    net = Twice()
    net.spare = nn.Linear(4, 4)
    with pytest.raises(CalibrationError, match="layer 'spare': does not run on the calibration images; leave it out"):
        block_responses(net, images, np.zeros(150, int), _groups("spare"))


def test_gradients_that_are_not_finite_are_refused(images):
    with pytest.raises(CalibrationError, match="layer 'inner': has gradients that are not finite"):
        block_responses(Twice(), images * np.float32(np.nan), np.zeros(150, int), _groups(), gradient="labels")
