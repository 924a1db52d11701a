"""The list of passes is what runs: an added pass and its checker run in the product, at the place where they stand."""

from __future__ import annotations

import re

import numpy as np
import pytest

import cipherpress as cp
import secure.passes
from compress.errors import PlanError
from compress.network import Dense, Input, Network, Polynomial, Weights
from secure.limits import Limits

POSITIONS = range(len(secure.passes.PASSES) + 1)
#: Which fields of the draft each pass of the product fills in, in the order of the list.
FILLED = ("tables", "splits", "stage_levels", "params", "plan")


def small_network():
    rng = np.random.default_rng(0)

    def weights(*shape):
        return Weights(rng.normal(size=shape) / np.sqrt(shape[1]), np.array(1.0))

    return Network(
        nodes=(
            Input(name="x", inputs=(), shape=(12,)),
            Dense(name="first", inputs=("x",), shape=(6,), weights=weights(6, 12), bias=np.zeros(6)),
            Polynomial(name="act", inputs=("first",), shape=(6,), coefficients=np.array([[0.1], [0.5], [0.3]])),
            Dense(name="last", inputs=("act",), shape=(3,), weights=weights(3, 6), bias=np.zeros(3)),
        )
    )


def data():
    images, labels = np.random.default_rng(1).random((64, 12), dtype=np.float32), np.zeros(64, np.int64)
    return cp.Dataset("random", images, labels, images, labels)


def compiled():
    return cp.compile(small_network(), data(), Limits(max_error=0.1))


def added_at(position, run, check, monkeypatch):
    passes = list(secure.passes.PASSES)
    passes.insert(position, (run, check))
    monkeypatch.setattr(secure.passes, "PASSES", tuple(passes))


@pytest.mark.parametrize("position", POSITIONS)
def test_an_added_pass_and_its_checker_run_where_the_list_has_them(position, monkeypatch):
    expected = compiled()
    seen = []

    def passing(draft):
        seen.append(("pass", tuple(bool(getattr(draft, field)) for field in FILLED)))
        return draft

    def checking(draft):
        seen.append(("check", tuple(bool(getattr(draft, field)) for field in FILLED)))

    added_at(position, passing, checking, monkeypatch)
    assert compiled().client.bundle_id == expected.client.bundle_id
    filled = tuple(index < position for index in range(len(FILLED)))
    assert seen[:2] == [("pass", filled), ("check", filled)]
    assert seen[::2] == [("pass", filled)] * (len(seen) // 2)
    assert seen[1::2] == [("check", filled)] * (len(seen) // 2)


@pytest.mark.parametrize("position", POSITIONS)
def test_a_checker_that_raises_stops_the_compilation_and_names_the_layer(position, monkeypatch):
    def refusing(draft):
        raise PlanError(draft.stages[1].layer, "was changed by the added pass")

    added_at(position, lambda draft: draft, refusing, monkeypatch)
    with pytest.raises(PlanError) as caught:
        compiled()
    assert str(caught.value) == "layer 'last': was changed by the added pass"
    assert caught.value.layer == "last"


BEFORE, AFTER = (
    f"layer 'last': a pass gave up {when} parameters were chosen; this is a defect of it"
    for when in ("before", "after the")
)
#: What is said of a pass that gives up directly after the choice of parameters.
NO_PRIMES = (
    "layer 'last': the network needs 2 levels, which N=32768 carries, but no choice of primes fitted; passes that gave "
    r"up: giving_up \(\d+ of \d+ plans\), choose_parameters \(\d+ of \d+ plans\); "
    "use smaller weights and activation ranges, or mend a pass that was added"
)
GAVE_UP = (BEFORE, BEFORE, BEFORE, BEFORE, NO_PRIMES, AFTER)


#: Behind the choice of parameters a pass that gives up makes the search try every draft there is.
BY_TIME = [pytest.param(position, marks=pytest.mark.slow if position == 4 else ()) for position in POSITIONS]


@pytest.mark.parametrize("position", BY_TIME)
def test_a_pass_that_gives_up_ends_the_compilation_with_an_error(position, monkeypatch):
    def giving_up(draft):
        return None

    added_at(position, giving_up, lambda draft: None, monkeypatch)
    with pytest.raises(cp.CompileError) as caught:
        compiled()
    assert re.fullmatch(GAVE_UP[position], str(caught.value))
    assert type(caught.value) is (cp.PlanError if GAVE_UP[position] == BEFORE else cp.CompileError)


def test_every_pass_of_the_product_has_its_own_checker():
    assert [(run.__name__, check.__name__) for run, check in secure.passes.PASSES] == [
        ("arrange", "check_arranged"),
        ("choose_rotations", "check_rotations"),
        ("place_rescales", "check_levels"),
        ("choose_parameters", "check_parameters"),
        ("emit", "check_plan"),
    ]
