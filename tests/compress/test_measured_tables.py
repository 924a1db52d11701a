"""What the compression benchmarks make of measured rows: rates compared where OPQ is, diagonals and rotations counted by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.blocks import packing
from benchmarks.compression import comparison_table
from compress.block_cost import LayerPlace


def row(method, rate, reached, accuracy):
    return {
        "network": "net", "method": method, "target_rate": rate, "compression_rate": reached, "accuracy_compressed": accuracy,
    }  # fmt: skip


def test_uniform_is_interpolated_at_the_rate_that_opq_reaches():
    rows = [row("opq", 20, 25.0, 0.97), row("magnitude", 20, 20.0, 0.98), row("magnitude", 40, 40.0, 0.90)]
    rows += [row("opq", 40, 45.0, 0.96)]
    machine = {"cpu": "one", "date": "today"}
    lines = comparison_table({"rows": rows, "machine": machine, "test_images": 10}).splitlines()
    assert lines[2] == "| net | 20 | 25.0 | 97.00% | 20.0 | 98.00% | 96.00% | +1.00 | 1 |"
    assert (
        lines[3] == "| net | 40 | 45.0 | 96.00% | 40.0 | 90.00% | - | - | 1 |"
    )  # beyond uniform's rows nothing is claimed


@pytest.mark.parametrize(
    ("kept", "diagonals"),
    [
        (lambda row, column: (column - row) % 8 < 2, 2),  # two diagonals
        (lambda row, column: (row < 4) & (column < 4), 7),  # a tile of a quarter touches all but one
        (lambda row, column: row >= 0, 8),
    ],
)
def test_diagonals_left_are_those_with_a_weight(kept, diagonals):
    mask = kept(*np.indices((8, 8)))
    small = SimpleNamespace(masks=lambda: {"layer": mask})
    found = packing(small, [LayerPlace(name="layer", shape=(8, 8), positions=4)])["layer"]
    assert (found["diagonals"], found["diagonals_dense"]) == (diagonals, 8)
    assert found["rotations"] <= found["rotations_dense"]
