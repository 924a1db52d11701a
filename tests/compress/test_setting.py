"""A Setting is checked when it is made, and gives the options of conversion and the start of a search."""

import inspect

import pytest

from cipherpress.commands.compressing import compress_command
from compress.blocks.cost import COSTS
from compress.blocks.options import COST_NAMES
from compress.conversion.options import Conversion
from compress.errors import ConfigError
from compress.opq.opq import opq
from compress.press.setting import Setting


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 1.0}, r"share: got 1.0; allowed: a share in [0, 1)"),
        ({"share": 0.5}, "share: got 0.5; allowed: above 0 with a block, 0 without one; give both"),
        ({"block": "inputs:1"}, "share: got 0.0; allowed: above 0 with a block, 0 without one; give both"),
        (
            {"block": "rows", "share": 0.5},
            "block: got 'rows'; allowed: residue:128, band:16, tile:8x8, packed:32, inputs:4, outputs:4, taps, "
            "branch or whole, sizes at least 1",
        ),
        ({"cost": "time"}, "cost: got 'time'; allowed: one of ckks-diagonals, plain-blocks, block-count"),
        ({"sparsity": 2}, "sparsity: got 2; allowed: a share in [0, 1)"),
        ({"bits": 9}, "bits: got 9; allowed: a number from 2 to 8 per surviving weight"),
        ({"bits": None}, "sparsity: got 0.5; allowed: 0 when bits is None, because then OPQ does not run"),
        ({"shots": 0}, "shots: got 0; allowed: a whole number, 1 or more, with bits; or None"),
        ({"shots": 1.5}, "shots: got 1.5; allowed: a whole number, 1 or more, with bits; or None"),
        (
            {"shots": 2, "bits": None, "sparsity": 0.0},
            "shots: got 2; allowed: a whole number, 1 or more, with bits; or None",
        ),
        ({"finetune_epochs": -1}, "finetune_epochs: got -1; allowed: a whole number, 0 or more"),
        ({"convert_epochs": -1}, "convert_epochs: got -1; allowed: a whole number, 0 or more"),
        ({"convert_learning_rate": -1.0}, "convert_learning_rate: got -1.0; allowed: a finite number above 0"),
        ({"convert_batch_size": 0}, "convert_batch_size: got 0; allowed: a whole number, 1 or more"),
        ({"share": "0.5"}, "share: got '0.5'; allowed: a share in [0, 1)"),
        (
            {"block": 5, "share": 0.5},
            "block: got 5; allowed: residue:128, band:16, tile:8x8, packed:32, inputs:4, "
            "outputs:4, taps, branch or whole, sizes at least 1",
        ),
        ({"straight": "abc"}, "straight: got 'abc'; allowed: a sequence of names, such as ('2', '5')"),
        ({"straight": (2,)}, "straight: got (2,); allowed: a sequence of names, such as ('2', '5')"),
        ({"straight": None}, "straight: got None; allowed: a sequence of names, such as ('2', '5')"),
        ({"bits": "5"}, "bits: got '5'; allowed: a number from 2 to 8 per surviving weight"),
        ({"sparsity": True}, "sparsity: got True; allowed: a share in [0, 1)"),
        ({"finetune_epochs": 1.5}, "finetune_epochs: got 1.5; allowed: a whole number, 0 or more"),
        ({"convert_epochs": "8"}, "convert_epochs: got '8'; allowed: a whole number, 0 or more"),
        ({"convert_learning_rate": None}, "convert_learning_rate: got None; allowed: a finite number above 0"),
        ({"convert_batch_size": 2.0}, "convert_batch_size: got 2.0; allowed: a whole number, 1 or more"),
        ({"convert_distortion": "1"}, "convert_distortion: got '1'; allowed: a factor from 0 to 2"),
        ({"convert_distortion": 2.5}, "convert_distortion: got 2.5; allowed: a factor from 0 to 2"),
    ],
)
def test_wrong_options_are_refused_by_name(options, message):
    with pytest.raises(ConfigError) as caught:
        Setting(**options)
    assert str(caught.value) == message


def test_a_setting_gives_the_options_of_its_conversion():
    setting = Setting(
        straight=("3",), convert_epochs=2, convert_learning_rate=1e-3, convert_batch_size=8, convert_distortion=0.5
    )
    assert setting.conversion == Conversion(straight=("3",), epochs=2, learning_rate=1e-3, batch_size=8, distortion=0.5)


def test_a_search_starts_without_compression_and_with_the_same_training():
    setting = Setting(block="taps", share=0.2, cost="block-count", straight=("3",), convert_epochs=2)
    assert setting.uncompressed() == Setting(bits=None, sparsity=0.0, finetune_epochs=0, convert_epochs=2)


def test_a_list_of_names_becomes_a_tuple():
    assert Setting(straight=["3"]) == Setting(straight=("3",)) and hash(Setting(straight=["3"]))


def test_opq_and_a_setting_and_the_command_have_the_same_defaults():
    given, setting = inspect.signature(opq).parameters, Setting()
    options = {option.name: option for option in compress_command.params}
    assert given["sparsity"].default == setting.sparsity == 0.5
    assert given["bits"].default == setting.bits == 5.0
    assert "[default: 5; by rate in a search]" in options["bits"].help
    assert options["sparsity"].help.endswith("[default: 0.5]")


def test_cost_models_are_named_once():
    assert tuple(COSTS) == COST_NAMES
