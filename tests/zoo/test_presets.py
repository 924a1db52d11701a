"""Presets are settings that `press` takes, and mlp's preset saves the work that it promises."""

from dataclasses import replace

import numpy as np

import cipherpress as cp
from cipherpress.zoo.presets import DEFAULT, press_setting
from compress.press.setting import Setting


def test_a_network_without_a_preset_gets_the_defaults():
    assert press_setting("path/to/file.py:factory") == DEFAULT == Setting()


def test_the_mlp_preset_halves_the_inputs_and_their_products():
    setting = replace(press_setting("mlp"), finetune_epochs=0, convert_epochs=0)
    bundle = cp.press(cp.load_model("mlp"), cp.load_data("mnist"), setting, cp.Limits(max_error=2.0))
    slots = bundle.client.input_slots
    assert len(np.unique(slots[slots >= 0])) == 384
    first = bundle.report["layers"][0]["multiply_plain"]
    assert first <= 7  # all 784 inputs need 8 in the ring of 8192, 13 or more in that of 4096
