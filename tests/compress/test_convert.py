"""Conversion fits and trains polynomials and keeps the codebook; numpy computes the same function."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from compress.conversion.convert import convert
from compress.conversion.exporting import export_network, layer_weights
from compress.conversion.friendly import reimported, replace_operations
from compress.conversion.options import Conversion
from compress.dataset import Dataset
from compress.errors import CalibrationError, ConfigError, DataError, InputShapeError, UnsupportedLayerError
from compress.graph.importing import import_model
from compress.graph.modules import PolynomialActivation, polynomial_activations
from compress.graph.polynomial import LEAST_CURVATURE
from compress.model.codebook import bits_levels
from compress.model.quantizer import quantize_layer_
from compress.network import Add, AvgPool, Polynomial
from compress.training.loop import fit_
from compress.training.schedule import Schedule


def blobs(size=8):
    """Images of four classes: the class is the bright quarter of the picture."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 1200)
    images = rng.uniform(0, 0.6, (1200, 1, size, size)).astype(np.float32)
    half = size // 2
    for image, label in zip(images, labels, strict=True):
        row, column = half * (label // 2), half * (label % 2)
        image[0, row : row + half, column : column + half] += rng.uniform(0, 0.35)
    return Dataset("blobs", images[:1000], labels[:1000], images[1000:], labels[1000:])


DATA = blobs()


def mlp(activation=None):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), activation or nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 4)
    )


class Residual(nn.Module):
    """Two convolutions, max pooling, a residual sum and functional activations, which conversion has to handle."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(16, 4)

    def forward(self, x):
        x = self.pool(torch.relu(self.norm(self.conv1(x))))
        x = torch.relu(self.conv2(x) + x)
        return self.fc(self.pool(x).flatten(1))


def trained(module, epochs=8):
    torch.manual_seed(0)
    for part in module.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    loss = lambda outputs, targets, _: nn.functional.cross_entropy(outputs, targets)  # noqa: E731
    fit_(
        module,
        torch.from_numpy(DATA.x_train),
        torch.from_numpy(DATA.y_train),
        Schedule(epochs=epochs, learning_rate=1e-2, batch_size=64),
        loss=loss,
    )
    return module.eval()


@pytest.fixture(scope="module")
def plain():
    return trained(mlp())


@pytest.mark.parametrize(
    "activation", [nn.ReLU(), nn.GELU(), nn.SiLU(), nn.LeakyReLU(), nn.Tanh(), nn.Sigmoid()], ids=repr
)
def test_a_converted_mlp_keeps_its_accuracy(activation):
    network = convert(trained(mlp(activation)), DATA, Conversion(epochs=15))
    assert network.about["accuracy_before"] > 0.75
    assert network.about["accuracy_after"] > network.about["accuracy_before"] - 0.03
    assert [type(node).__name__ for node in network.nodes] == ["Input", "Reshape", "Dense", "Polynomial", "Dense"]


def test_a_residual_cnn_with_max_pooling_keeps_its_accuracy():
    network = convert(trained(Residual()), DATA, Conversion(epochs=15))
    assert network.about["accuracy_after"] > network.about["accuracy_before"] - 0.05
    assert sum(isinstance(node, AvgPool) for node in network.nodes) == 2
    assert sum(isinstance(node, Polynomial) for node in network.nodes) == 2
    assert sum(isinstance(node, Add) for node in network.nodes) == 1
    assert network.about["replaced"] == [
        "relu: relu -> polynomial of degree 2",
        "pool: max pooling -> average pooling 2x2",
        "relu_1: relu -> polynomial of degree 2",
        "pool#2: max pooling -> average pooling 2x2",
    ]


def test_the_model_given_is_not_changed(plain):
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    convert(plain, DATA, Conversion(epochs=1))
    assert all(torch.equal(before[name], value) for name, value in plain.state_dict().items())
    assert isinstance(plain[3], nn.ReLU)


def test_the_same_seed_gives_the_same_network(plain):
    first, second = (convert(plain, DATA, Conversion(epochs=1), seed=5) for _ in range(2))
    images = DATA.x_test[:5]
    np.testing.assert_array_equal(first.run(images), second.run(images))


def test_the_codebook_is_kept_and_only_latents_move():
    module = trained(nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4)))
    rng = np.random.default_rng(0)
    masks = {}
    for index, bits in ((1, 4), (3, 5)):
        masks[index] = rng.random(module[index].weight.shape) < 0.6
        quantize_layer_(module[index], masks[index], np.array(-4), bits_levels(bits))
    before = layer_weights(module[1])
    network = convert(module, DATA, Conversion(epochs=4, learning_rate=1e-2))
    for index, bits in ((1, 4), (3, 5)):
        weights = network.node(str(index)).weights
        assert weights.bits == bits
        assert weights.codes.dtype == np.int8
        assert np.abs(weights.codes).max() <= bits_levels(bits)
        assert weights.step == 2.0**-4
        np.testing.assert_array_equal(weights.mask, masks[index])
        assert not weights.codes[~masks[index]].any()
    assert (network.node("1").weights.codes != before.codes).any()


def test_a_normalization_after_a_quantized_layer_goes_into_the_steps():
    module = trained(mlp(), epochs=2)
    quantize_layer_(module[1], np.ones((16, 64), dtype=bool), np.array(-5), bits_levels(6))
    with torch.no_grad():
        module[2].weight[0] = -0.5
    network = convert(module, DATA, Conversion(epochs=0))
    weights = network.node("1").weights
    assert weights.codes.dtype == np.int8
    assert weights.step.shape == (16,)
    assert (weights.step > 0).all()
    factor = (module[2].weight / torch.sqrt(module[2].running_var + module[2].eps)).detach().double().numpy()
    np.testing.assert_allclose(
        weights.values(), module[1].weight.detach().double().numpy() * factor[:, None], rtol=1e-6
    )


def test_the_frozen_network_is_the_rewritten_module():
    imported = import_model(trained(Residual(), epochs=1), (1, 8, 8))
    student, _ = replace_operations(imported, torch.from_numpy(DATA.x_train[:100]))
    again = reimported(student.eval(), imported)
    assert {layer.kind for layer in again.layers} <= {
        "linear",
        "conv",
        "norm",
        "polynomial",
        "avgpool",
        "add",
        "reshape",
    }
    images = torch.from_numpy(DATA.x_test[:20])
    with torch.no_grad():
        wanted = student.double()(images.double()).numpy()
    got = export_network(student, (1, 8, 8), DATA.x_train[:50]).run(DATA.x_test[:20])
    np.testing.assert_allclose(got, wanted, atol=1e-9 * np.abs(wanted).max())


def test_later_polynomials_are_fitted_on_what_the_earlier_ones_make():
    module = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 2))
    for layer in (module[0], module[2]):
        layer.weight.data.fill_(1.0)
        layer.bias.data.zero_()
    images = torch.linspace(-1, 1, 201)[:, None]
    student, _ = replace_operations(import_model(module.eval(), (1,)), images)
    first, second = polynomial_activations(student)
    low, high = (float(value) for value in first(images).detach().aminmax())
    assert float(second.centre) == pytest.approx((low + high) / 2, abs=1e-5)


def test_a_fitted_polynomial_is_near_its_function_on_the_data():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 4), nn.Softplus()).eval()
    images = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    student, _ = replace_operations(import_model(module, (4,)), images)
    with torch.no_grad():
        assert float((student(images) - module(images)).abs().max()) < 0.05


def test_an_even_leading_coefficient_never_vanishes():
    module = nn.Sequential(nn.Linear(1, 1), nn.Tanh()).eval()  # odd: its quadratic part is zero on even data
    student, _ = replace_operations(import_model(module, (1,)), torch.linspace(-3, 3, 100)[:, None])
    (polynomial,) = polynomial_activations(student)
    c = polynomial.coefficients.detach()
    assert abs(c[2]) >= 0.99 * LEAST_CURVATURE * abs(c[1])
    with torch.no_grad():
        polynomial.coefficients[2] = 0.0
    polynomial.guard()
    assert float(polynomial.coefficients.detach()[2]) == pytest.approx(LEAST_CURVATURE * abs(float(c[1])), rel=1e-5)


def test_inputs_outside_the_fitted_range_are_penalized_in_training_only():
    polynomial = PolynomialActivation(np.array([0.0, 1.0, 1.0]), centre=1.0, width=2.0)
    x = torch.tensor([[0.0, 3.0, 5.0]])
    polynomial.train()(x)
    assert float(polynomial.excess) == pytest.approx((1.0**2) / 3)  # z = -1/2, 1, 2
    assert PolynomialActivation(np.array([0.0, 1.0, 1.0])).eval()(x) is not None


def test_one_activation_module_used_twice_gets_two_polynomials():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.act = nn.Linear(4, 4), nn.Linear(4, 4), nn.ReLU()

        def forward(self, x):
            return self.act(self.b(self.act(self.a(x))))

    student, _ = replace_operations(import_model(Net().eval(), (4,)), torch.randn(50, 4))
    assert len(list(polynomial_activations(student))) == 2


def test_what_was_done_is_recorded(plain):
    said = []
    about = convert(plain, DATA, Conversion(epochs=1), seed=3, progress=lambda label, share: said.append(share)).about
    assert about["source"]["name"] == "Sequential"
    assert (about["data"], about["seed"], about["epochs"], about["degree"], about["test_images"]) == (
        "blobs",
        3,
        1,
        2,
        200,
    )
    assert 0 < about["accuracy_after"] <= 1
    assert said == sorted(said) and said[-1] == 1.0


def test_another_teacher_may_be_given(plain):
    ruined = nn.Sequential(*plain[:-1], nn.Linear(16, 4)).eval()
    network = convert(ruined, DATA, Conversion(epochs=10), teacher=plain)
    assert network.about["accuracy_after"] > network.about["accuracy_before"] + 0.2


def test_augmented_training_asks_the_teacher_about_the_distorted_images(plain):
    network = convert(plain, DATA, Conversion(epochs=2), augment=True)
    assert network.about["augment"] is True
    assert network.about["accuracy_after"] > 0.5


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"degree": 5}, "^degree: got 5; allowed: one of 2, 3, 4$"),
        ({"degree": 2.0}, "^degree: got 2.0; allowed: one of 2, 3, 4$"),
        ({"per_channel": "no"}, "^per_channel: got 'no'; allowed: True or False$"),
        ({"straight": "abc"}, r"^straight: got 'abc'; allowed: a sequence of names, such as \('2', '5'\)$"),
        ({"epochs": 1.5}, "^epochs: got 1.5; allowed: a whole number, 0 or more$"),
        ({"epochs": -1}, "^epochs: got -1; allowed: a whole number, 0 or more$"),
        ({"learning_rate": 0.0}, "^learning_rate: got 0.0; allowed: a finite number above 0$"),
        ({"batch_size": 0}, "^batch_size: got 0; allowed: a whole number, 1 or more$"),
        ({"distortion": 3.0}, "^distortion: got 3.0; allowed: a factor from 0 to 2$"),
    ],
)
def test_options_out_of_range_are_refused(options, text):
    with pytest.raises(ConfigError, match=text):
        Conversion(**options)


def test_a_model_for_other_data_is_refused():
    with pytest.raises(InputShapeError, match=r"layer '0': fails on a batch of 3 inputs of shape \(1, 8, 8\)"):
        convert(nn.Sequential(nn.Linear(10, 4)), DATA)


def test_labels_without_an_output_are_refused_before_training():
    started = []
    wrong = replace(DATA, y_train=np.where(DATA.y_train == 3, 12, DATA.y_train))
    with pytest.raises(DataError) as caught:
        convert(mlp(), wrong, progress=lambda label, share: started.append(label))
    assert str(caught.value) == (
        "data 'blobs': the largest label is 12, but the network has outputs for the labels 0 to 3 only (outputs: 4); "
        "number the labels from 0, or take a network with at least 13 outputs"
    )
    assert started == []


def test_class_labels_are_left_aside_for_outputs_that_are_images():
    network = convert(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1)), DATA)
    assert network.about["task"] == "none" and not network.about["labels_used"]
    assert network.about["score"] == "r2" and network.about["score_after"] > 0.999


def test_an_activation_that_sees_one_value_is_refused():
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, 4))
    nn.init.zeros_(module[1].weight)
    nn.init.zeros_(module[1].bias)
    with pytest.raises(CalibrationError, match="layer '2': every calibration value is 0"):
        convert(module, DATA)


def test_a_function_that_is_not_finite_on_the_data_is_refused():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(64, 4)

        def forward(self, x):
            return torch.clamp(self.fc(x.flatten(1)), min=float("nan"))

    with pytest.raises(CalibrationError, match="data 'blobs': the network's answers are not finite"):
        convert(Net(), DATA)


def test_an_unsupported_layer_stops_before_anything_is_trained():
    with pytest.raises(UnsupportedLayerError, match="layer '2': Softmax"):
        convert(nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Softmax(1), nn.Linear(4, 4)), DATA)
