"""Limits are checked when they are made, and importing them loads no numpy."""

from __future__ import annotations

import dataclasses
import math
import os
import subprocess
import sys

import pytest
from arch.rooms import ROOT

from compress.errors import ConfigError
from secure.limits import ACCEPTABLE_DISAGREEMENT, Limits


def test_limits_allow_every_size_and_the_accepted_disagreement_unless_told_otherwise():
    assert Limits() == Limits(
        max_error=None, max_disagreement=ACCEPTABLE_DISAGREEMENT, keys_bytes=math.inf, upload_bytes=math.inf
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_error": 0}, "max_error: got 0; allowed: above 0, or None to limit only the share of changed classes"),
        (
            {"max_error": -1.0},
            "max_error: got -1.0; allowed: above 0, or None to limit only the share of changed classes",
        ),
        ({"max_disagreement": 0}, "max_disagreement: got 0; allowed: above 0, at most 1"),
        ({"max_disagreement": 1.5}, "max_disagreement: got 1.5; allowed: above 0, at most 1"),
        ({"max_disagreement": math.nan}, "max_disagreement: got nan; allowed: above 0, at most 1"),
        ({"keys_bytes": 0}, "keys_bytes: got 0; allowed: above 0; infinity sets no limit"),
        ({"backends": "seal"}, "backends: got 'seal'; allowed: fastest, both"),
        ({"upload_bytes": math.nan}, "upload_bytes: got nan; allowed: above 0; infinity sets no limit"),
    ],
)
def test_limits_that_no_plan_can_keep_are_refused(options, message):
    with pytest.raises(ConfigError) as caught:
        Limits(**options)
    assert str(caught.value) == message


def test_limits_are_frozen_and_named():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().max_error = 1.0
    with pytest.raises(TypeError, match="positional"):
        Limits(1.0)


def test_limits_load_no_numpy():
    code = "import secure.limits, sys; print('numpy' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr
