"""How far a search goes is checked when it is said."""

from typing import Any

import pytest

import cipherpress as cp


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"families": "inputs:1"}, "families: got 'inputs:1'; allowed: a sequence of names"),
        ({"families": ()}, r"families: got \(\); allowed: one family or more"),
        ({"families": ("rings:3",)}, "block: got 'rings:3'"),
        ({"max_trials": 0}, "max_trials: got 0; allowed: a whole number, 1 or more"),
        ({"max_trials": 1.5}, "max_trials: got 1.5; allowed: a whole number, 1 or more"),
        ({"minutes": 0}, "minutes: got 0; allowed: a number above 0"),
        ({"minutes": "5"}, "minutes: got '5'; allowed: a number above 0"),
    ],
)
def test_a_bound_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(cp.ConfigError, match=message):
        cp.Search(**options)


def test_families_become_a_tuple() -> None:
    assert cp.Search(families=["inputs:1", "taps"]).families == ("inputs:1", "taps")  # type: ignore[arg-type]
