"""Fitted polynomials: higher degrees and channels are closer, and a degree that does not help is not taken."""

from functools import partial

import pytest
import torch
from torch import nn

from compress.conversion.friendly import fitted_activation, replace_operations
from compress.graph.importing import import_model


def test_degree_4_is_closer_than_degree_2_and_channels_closer_than_one_for_all():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU()).eval()
    module[0].bias.data = torch.linspace(-2, 2, 6)
    images = torch.randn(500, 4)

    def error(**options):
        student, _ = replace_operations(import_model(module, (4,)), images, fit=partial(fitted_activation, **options))
        with torch.no_grad():
            return float((student(images) - module(images)).square().mean())

    assert error(degree=4) < 0.5 * error(degree=2)
    assert error(per_channel=True) < error()


@pytest.mark.parametrize(
    ("activation", "largest", "taken"),
    [
        (nn.Tanh(), 4, 3),
        (nn.Tanh(), 3, 3),
        (nn.Sigmoid(), 4, 3),
        (nn.ReLU(), 3, 2),
        (nn.ReLU(), 4, 4),
        (nn.GELU(), 4, 4),
    ],
)
def test_the_smallest_degree_whose_fit_is_about_as_close_is_taken(activation, largest, taken):
    module = nn.Sequential(nn.Linear(1, 1), activation).eval()
    with torch.no_grad():
        module[0].weight.fill_(1.0)
        module[0].bias.zero_()
    images = torch.linspace(-3, 3, 400)[:, None]
    student, said = replace_operations(
        import_model(module, (1,)), images, fit=partial(fitted_activation, degree=largest)
    )
    assert said[0].endswith(f"polynomial of degree {taken}")
    with torch.no_grad():
        error = float((student(images) - module(images)).abs().max())
        quadratic, _ = replace_operations(import_model(nn.Sequential(*module), (1,)), images)
        assert error <= float((quadratic(images) - activation(images)).abs().max()) * (1.0 if taken == 2 else 0.8)
