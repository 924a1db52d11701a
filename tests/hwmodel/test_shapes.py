"""Networks given by their shapes: their published sizes, and prices without a run."""

from __future__ import annotations

import time

import pytest

from compress.errors import CostModelError
from hwmodel.architecture import PLAIN
from hwmodel.architecture_file import list_architectures, load_architecture
from hwmodel.report import compare
from hwmodel.shapes import SHAPES, shape_workload


#: Published millions of parameters, and GMACs.
#: Embeddings and normalizations are below 2 % of the parameters and no layers here.
@pytest.mark.parametrize(
    ("name", "parameters_m", "gmacs"),
    [("vgg16", 138.4, 15.5), ("resnet20", 0.27, 0.041), ("deit-b", 86.6, 17.6), ("deit-s", 22.1, 4.6)],
)
def test_shapes_have_the_published_sizes(name: str, parameters_m: float, gmacs: float) -> None:
    work = shape_workload(name)
    assert (work.total("weights") + work.total("biases")) / 1e6 == pytest.approx(parameters_m, rel=0.02)
    assert work.total("macs") / 1e9 == pytest.approx(gmacs, rel=0.02)


@pytest.mark.parametrize("name", SHAPES)
def test_every_machine_in_clear_prices_a_shape_at_once(name: str) -> None:
    machines = [machine for machine in list_architectures() if PLAIN in load_architecture(machine).modes]
    started = time.process_time()  # other processes on the machine do not count
    comparison = compare(shape_workload(name), machines)
    assert time.process_time() - started < 5
    assert all(report.latency_ms > 0 and report.energy_mj > 0 for report in comparison.reports)


def test_an_unknown_shape_is_refused_with_the_list_of_shapes() -> None:
    with pytest.raises(CostModelError, match="shape 'lenet' is unknown; use one of alexnet, deit-b"):
        shape_workload("lenet")
