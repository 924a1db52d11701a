"""Options are refused before anything else is read: the error needs neither a model nor data."""

import subprocess
import sys
from pathlib import Path

import pytest

from compress.blocks.options import BlockPruning, check_blocks
from compress.blocks.prune import prune_blocks
from compress.errors import ConfigError
from compress.joint.quantize import joint_quantize
from compress.opq.opq import opq
from compress.training.finetune import finetune
from compress.training.schedule import Schedule

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: prune_blocks(None, None, sparsity=2), "sparsity: got 2; allowed: a share in [0, 1)"),
        (
            lambda: prune_blocks(None, None, cost="time"),
            "cost: got 'time'; allowed: one of ckks-diagonals, plain-blocks, block-count, or an object with of_layer",
        ),
        (
            lambda: check_blocks(sparsity=0.5, block="tile:8", cost="block-count"),
            "block: got 'tile:8'; allowed: residue:128, band:16, tile:8x8, packed:32, inputs:4, outputs:4, taps, "
            "branch or whole, sizes at least 1",
        ),
        (
            lambda: BlockPruning(gradient="guessed"),
            "gradient: got 'guessed'; allowed: one of sampled, labels, outputs",
        ),
        (
            lambda: BlockPruning(power_term="true"),
            "power_term: got 'true'; allowed: one of corrected, released, none",
        ),
        (lambda: BlockPruning(power_weight=-1.0), "power_weight: got -1.0; allowed: a number at least 0"),
        (lambda: joint_quantize(None, None, bits=99), "bits: got 99; allowed: a whole number from 2 to 16"),
        (lambda: joint_quantize(None, None, bias_bits=1), "bias_bits: got 1; allowed: a whole number from 2 to 16"),
        (lambda: joint_quantize(None, None, images=0), "images: got 0; allowed: a whole number, 1 or more"),
        (lambda: finetune(None, None, epochs=-1), "epochs: got -1; allowed: a whole number, 0 or more"),
        (lambda: finetune(None, None, shrinkage=-1.0), "shrinkage: got -1.0; allowed: a number at least 0"),
        (
            lambda: Schedule(epochs=1, learning_rate=0.0),
            "learning_rate: got 0.0; allowed: a finite number above 0",
        ),
        (
            lambda: Schedule(epochs=1, learning_rate=0.1, batch_size=0),
            "batch_size: got 0; allowed: a whole number, 1 or more",
        ),
        (
            lambda: Schedule(epochs=1, learning_rate=0.1, weight_decay=-1.0),
            "weight_decay: got -1.0; allowed: a number at least 0",
        ),
        (
            lambda: Schedule(epochs=1, learning_rate=0.1, gradient_clip=0.0),
            "gradient_clip: got 0.0; allowed: a number above 0, or None",
        ),
        (
            lambda: Schedule(epochs=2.0, learning_rate=0.1),
            "epochs: got 2.0; allowed: a whole number, 0 or more",
        ),
        (
            lambda: Schedule(epochs=1, learning_rate="0.1"),
            "learning_rate: got '0.1'; allowed: a finite number above 0",
        ),
        (lambda: BlockPruning(rounds=1.5), "rounds: got 1.5; allowed: a whole number, 1 or more"),
        (lambda: BlockPruning(power_weight="1"), "power_weight: got '1'; allowed: a number at least 0"),
        (lambda: BlockPruning(slots=4096.0), "slots: got 4096.0; allowed: a power of two"),
        (lambda: BlockPruning(reconstruct="no"), "reconstruct: got 'no'; allowed: True or False"),
        (lambda: opq(None, sparsity="0.5"), "sparsity: got '0.5'; allowed: a share in [0, 1)"),
        (lambda: opq(None, cap=None), "cap: got None; allowed: a share between 0 and 1"),
        (lambda: joint_quantize(None, None, bits=8.0), "bits: got 8.0; allowed: a whole number from 2 to 16"),
    ],
)
def test_wrong_options_are_refused_at_once(call, message):
    with pytest.raises(ConfigError) as caught:
        call()
    assert str(caught.value) == message


def test_checks_load_no_torch():
    checks = "compress.press.setting, compress.joint.options, compress.opq.options, compress.blocks.options"
    code = f"import sys, {checks}\nprint('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"
