"""The list of supported layers in the documentation equals the table that the importer uses."""

import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from compress.graph.importing import RULES
from compress.graph.spellings import spelled
from compress.graph.supported import BEGIN, END, layers_table, with_layers_table

ROOT = Path(__file__).parents[2]
PAGES = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if BEGIN in path.read_text()]


def test_a_page_lists_the_layers():
    assert ROOT / "docs/layers.md" in PAGES


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_list_is_up_to_date(path):
    """To write it again: `PYTHONPATH=. python tests/compress/test_supported.py docs/layers.md README.md`."""
    assert with_layers_table(path.read_text()) == path.read_text()


def test_a_page_gets_the_table_between_its_markers():
    assert (
        with_layers_table(f"before\n{BEGIN}\nold\n{END}\nafter") == f"before\n{BEGIN}\n{layers_table()}\n{END}\nafter"
    )


def test_every_rule_that_users_can_meet_is_listed_once():
    table = layers_table()
    for rule in RULES:
        for one in rule.spellings:
            assert table.count(f"`{spelled(one)}`") == bool(rule.becomes), spelled(one)


@pytest.mark.parametrize(
    ("spelling", "written"),
    [
        (nn.ReLU, "nn.ReLU"),
        (F.leaky_relu, "F.leaky_relu"),
        (F.logsigmoid, "F.logsigmoid"),
        (torch.flatten, "torch.flatten"),
        ("view", "x.view()"),
    ],
)
def test_spellings_are_written_as_in_a_model(spelling, written):
    assert spelled(spelling) == written


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        page.write_text(with_layers_table(page.read_text()))
