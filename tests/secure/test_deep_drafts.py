"""What keeps the search fast for deep networks: work that drafts share, and drafts that are given up early."""

from dataclasses import replace
from sys import modules

import numpy as np
import pytest

from secure.bounds import met_power, propagate
from secure.bounds.assessment import Assessment
from secure.bounds.met_power import MEASURED_DIAGONALS, measured_keys
from secure.bounds.propagate import noise_model
from secure.drafting.draft import HYBRID_LEVELS, Choice, Draft, Rescaling, gather_evidence
from secure.params import MOST_DIGIT_PRIMES, make_params
from secure.passes import run_passes
from secure.passes.choose_parameters import FAR_TOO_LARGE, FEW_ROWS, FIRST_ROWS, _assessed, choose_parameters
from secure.stages.stages import network_stages
from tests.secure.random_networks import network, rows

CHOOSING = modules["secure.passes.choose_parameters"]
INPUTS = rows("correlated", 40, 20, 0)


def arranged(sizes, degree, rescaling, base_primes=1):
    """A draft before its parameters are chosen."""
    stages = network_stages(network(sizes, INPUTS, 3))
    choice = Choice(degree=degree, rescaling=rescaling, base_primes=base_primes, rotate_input=True)
    draft = Draft(stages=stages, evidence=gather_evidence(stages, INPUTS), choice=choice, allowed_error=1e3)
    return run_passes(draft, stop=choose_parameters)


@pytest.fixture(scope="module")
def shallow():
    return arranged((20, 64, 48, 10), 16384, Rescaling.EVERY)


@pytest.fixture(scope="module")
def deep():
    return arranged((20, *[4] * HYBRID_LEVELS, 3), 16384, Rescaling.BEFORE, base_primes=2)


@pytest.mark.parametrize("digits", [(), (1, 2, 2), (3, 2), (2, 3)])
def test_switch_ratios_are_the_sums_over_the_digits_of_every_level(digits):
    params = replace(make_params(16384, (50.0, 33.0, 34.0, 35.0, 36.0), 50.0), digits=digits)
    expected = [
        sum((params.digit_modulus(digit) / params.special_modulus) ** 2 for digit in params.digits_at(level))
        for level in range(6)
    ]
    assert list(params.switch_ratios) == expected
    assert expected == sorted(expected) and expected[0] == 0 < expected[1]


def test_few_diagonals_stand_for_those_of_a_network_of_many_stages(shallow, monkeypatch):
    counts = [len(table.diagonals) for table in shallow.tables]
    assert 6 < max(counts) <= MEASURED_DIAGONALS
    assert [len(measured_keys(shallow, stage)) for stage in range(3)] == counts
    monkeypatch.setattr(met_power, "FEWEST_DIAGONALS", 2)
    for most, numbers in ((6, 3 * 6 * 8192), (2, 1)):  # three stages of 8,192 slots
        monkeypatch.setattr(met_power, "MEASURED_NUMBERS", numbers)
        few = [measured_keys(shallow, stage) for stage in range(3)]
        assert max(map(len, few)) == most
        for keys, table in zip(few, shallow.tables, strict=True):
            assert keys == sorted(set(keys)) and set(keys) <= set(table.diagonals)


def test_errors_that_few_diagonals_tell_are_near_those_of_all(shallow, monkeypatch):
    draft = choose_parameters(shallow)

    def sigmas():
        model = noise_model(draft, 8).measured(draft.input_scale, draft.scales)
        return model.output_sigmas(draft.params, draft.input_scale, draft.scales)

    every = sigmas()
    monkeypatch.setattr(met_power, "FEWEST_DIAGONALS", 3)
    monkeypatch.setattr(met_power, "MEASURED_NUMBERS", 1)
    np.testing.assert_allclose(sigmas(), every, rtol=0.5)


def test_drafts_of_one_layout_share_what_its_slots_say(shallow, monkeypatch):
    own = choose_parameters(shallow)
    assert own.shares.shape[2] == 1 and not np.allclose(own.shares, 1.0)
    monkeypatch.setattr(propagate, "slot_weights", None)  # not computed again
    again = choose_parameters(replace(shallow, shares=own.shares))
    assert again.params == own.params and again.scales == own.scales
    np.testing.assert_array_equal(again.output_sigmas, own.output_sigmas)
    assert again.assessment == own.assessment


@pytest.mark.parametrize(("first", "asked"), [(1.01 * FAR_TOO_LARGE, [8]), (0.99 * FAR_TOO_LARGE, [8, 64])])
def test_a_very_large_layout_is_given_up_after_few_rows(shallow, monkeypatch, first, asked):
    def assess(draft, most_rows):
        found.append(most_rows)
        error = draft.allowed_error * (first if most_rows == FIRST_ROWS else 0.5)
        return Assessment(0.0, 0.0, error, 0.0, 0.0, most_rows, most_rows, error)

    found = []
    monkeypatch.setattr(CHOOSING, "assess", assess)
    monkeypatch.setattr(CHOOSING, "row_count", lambda draft: FEW_ROWS)
    result = _assessed(shallow)
    assert found == asked
    assert result.assessment.rows == asked[-1]


@pytest.mark.parametrize("binds", [False, True])
def test_room_that_takes_no_bits_is_not_given_up_for_precision(deep, monkeypatch, binds):
    """An imprecise draft is searched again without the room for hybrid key switches only where the room costs bits."""
    assert deep.levels >= HYBRID_LEVELS
    tried = []

    def chosen(model, rough):
        tried.append(model.draft.digit_room)
        return rough.draft

    monkeypatch.setattr(CHOOSING, "_chosen", chosen)
    if not binds:
        monkeypatch.setattr(CHOOSING, "room_bits", lambda size, bits: 0.0)
    assert choose_parameters(replace(deep, allowed_error=1e-9)).allowed_error == 1e-9  # wants all bits that there are
    assert tried == ([MOST_DIGIT_PRIMES, 1] if binds else [MOST_DIGIT_PRIMES])
