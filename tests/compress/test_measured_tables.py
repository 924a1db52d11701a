"""Tables from measured compression rows: rates are compared at OPQ's, diagonals and rotations counted by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.blocks import packing
from benchmarks.compression import comparison_table, converted_table, targets_table
from benchmarks.compression_rates import table as rates_table
from compress.blocks.cost import LayerPlace


def row(method, rate, reached, accuracy):
    return {
        "network": "net", "method": method, "target_rate": rate, "compression_rate": reached,
        "accuracy_compressed": accuracy,
    }  # fmt: skip


def test_uniform_is_interpolated_at_the_rate_that_opq_reaches():
    rows = [row("opq", 20, 25.0, 0.97), row("magnitude", 20, 20.0, 0.98), row("magnitude", 40, 40.0, 0.90)]
    rows += [row("opq", 40, 45.0, 0.96)]
    machine = {"cpu": "one", "date": "today"}
    lines = comparison_table({"rows": rows, "machine": machine, "test_images": 10}).splitlines()
    assert lines[2] == "| net | 20 | 25.0 | 97.00% | 20.0 | 98.00% | 96.00% | +1.00 | 1 |"
    assert (
        lines[3] == "| net | 40 | 45.0 | 96.00% | 40.0 | 90.00% | - | - | 1 |"
    )  # beyond the rows of uniform pruning there is no comparison


def test_the_table_of_targets_has_the_loss_and_the_training():
    found = {
        "network": "net", "compression_rate": 151.26, "bytes": 1632.4, "compression_rate_paper": 310.0,
        "zero_share": 0.9712, "bits": 3.5, "shots": 5, "epochs_between": 3, "epochs": 15,
        "accuracy_plain": 0.9951, "accuracy_compressed": 0.9921, "seconds": 200.4,
    }  # fmt: skip
    less = found | {"compression_rate": 30.0, "accuracy_compressed": 0.9953}
    machine = {"cpu": "one", "date": "today"}
    lines = targets_table({"rows": [less, found], "machine": machine, "test_images": 10}).splitlines()
    assert lines[2] == "| net | 151.3 | 1632 | 310 | 97.1% | 3.5 | 5, 27 | 99.51% | 99.21% | +0.30 | 200 |"
    assert "| 99.53% | -0.02 |" in lines[3]


def test_the_table_of_searches_has_every_network_and_one_shot():
    found = {
        "network": "net", "target_rate": 60.0, "max_loss_points": 0.3, "compression_rate": 61.26, "bytes": 1632.4,
        "trials": [{"rate": 50.04, "loss_points": -0.021}, {"rate": 61.26, "loss_points": 0.1}],
        "accuracy_plain": 0.9921, "accuracy_compressed": 0.9911, "seconds": 99.6,
        "one_shot": {"share_untrained": 0.4, "share": 0.95},
    }  # fmt: skip
    machine = {"cpu": "one", "date": "today", "load_average": 1.0}
    lines = rates_table({"rows": [found | {"one_shot": None}, found], "machine": machine, "test_images": 10})
    cells = "| net | 60 within 0.3 | 61.3 | 1632 | 50.0 at -0.02, 61.3 at +0.10 | 99.21% | 99.11% | +0.10 |"
    assert lines.splitlines()[2:4] == [f"{cells} - | - | 100 |", f"{cells} 40.00% | 95.00% | 100 |"]
    missed = {key: found[key] for key in ("network", "target_rate", "max_loss_points", "seconds")} | {"not_met": "no"}
    lines = rates_table({"rows": [missed], "machine": machine, "test_images": 10})
    assert lines.splitlines()[2] == "| net | 60 within 0.3 | - | - | no | - | - | - | - | - | - | 100 |"


def test_the_loss_of_conversion_is_measured_against_the_uncompressed_network():
    found = {
        "network": "net",
        "bits": 5,
        "accuracy_plain": 0.9855,
        "accuracy_compressed": 0.985,
        "accuracy_converted": 0.984,
        "seconds": 30.0,
    }
    lines = converted_table(
        {"rows": [found], "machine": {"cpu": "one", "date": "today"}, "test_images": 10}
    ).splitlines()
    assert lines[2] == "| net | 5 | 98.55% | 98.50% | 98.40% | +0.15 | 30 |"


@pytest.mark.parametrize(
    ("kept", "diagonals"),
    [
        (lambda row, column: (column - row) % 8 < 2, 2),  # two diagonals
        (lambda row, column: (row < 4) & (column < 4), 7),  # a tile of a quarter touches all but one diagonal
        (lambda row, column: row >= 0, 8),
    ],
)
def test_diagonals_left_are_those_with_a_weight(kept, diagonals):
    mask = kept(*np.indices((8, 8)))
    small = SimpleNamespace(masks=lambda: {"layer": mask})
    found = packing(small, [LayerPlace(name="layer", shape=(8, 8), positions=4)])["layer"]
    assert (found["diagonals"], found["diagonals_dense"]) == (diagonals, 8)
    assert found["rotations"] <= found["rotations_dense"]
