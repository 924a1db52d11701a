"""A bundle is frozen: nothing in it can be changed through it, at any depth."""

import dataclasses
import json

import numpy as np
import pytest

from secure.bundle.files import load_bundle, save_bundle
from secure.bundle.specs import Bundle
from secure.frozen import frozen, read_only, thawed
from secure.plan import Constant
from tests.secure.plans import small_bundle

REPORT = {"about": {"name": "small", "sizes": [1, 2]}, "layers": [{"layer": "fc", "ms": 0.5}], "times": "committed"}


def arrays_of(bundle):
    yield bundle.client.input_slots
    yield bundle.client.output_slots
    yield from (constant.slots for constant in bundle.server.plan.constants)


@pytest.fixture(params=["made", "loaded"])
def bundle(request, tmp_path):
    made = dataclasses.replace(small_bundle(), report=REPORT)
    if request.param == "made":
        return made
    save_bundle(made, tmp_path / "bundle")
    return load_bundle(tmp_path / "bundle")


def test_arrays_of_a_bundle_are_read_only(bundle):
    for array in arrays_of(bundle):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_arrays_are_guarded_against_accidents_and_not_against_intent():
    array = read_only(np.arange(3))
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 5
    array.setflags(write=True)
    array[0] = 5
    assert array[0] == 5


def test_the_report_is_read_only_at_every_depth(bundle):
    with pytest.raises(TypeError, match="does not support item assignment"):
        bundle.report["times"] = "mine"
    with pytest.raises(TypeError, match="does not support item assignment"):
        bundle.report["about"]["name"] = "mine"
    with pytest.raises(TypeError, match="does not support item assignment"):
        bundle.report["layers"][0]["ms"] = 0.0
    assert bundle.report["about"]["sizes"] == (1, 2)


def test_the_report_as_json_is_a_copy_of_dicts_and_lists(bundle):
    copy = bundle.report_json()
    assert copy == REPORT
    assert json.loads(json.dumps(copy)) == REPORT
    copy["layers"][0]["ms"] = 0.0
    assert bundle.report_json() == REPORT
    assert set(dict(bundle.report)) == set(REPORT)


def test_a_bundle_does_not_change_with_the_callers_values():
    slots, report = np.zeros(4, dtype=np.float32), {"layers": [1]}
    constant, bundle = Constant(slots, 1, 1.0), dataclasses.replace(small_bundle(), report=report)
    slots[0] = 1.0
    report["layers"].append(2)
    assert constant.slots[0] == 0.0
    assert bundle.report["layers"] == (1,)
    assert slots.flags.writeable


def test_a_read_only_array_is_not_copied():
    array = np.arange(3)
    array.setflags(write=False)
    assert read_only(array) is array


def test_freezing_twice_and_thawing_change_no_value():
    assert frozen(frozen(REPORT)) == frozen(REPORT)
    assert thawed(frozen(REPORT)) == REPORT
    assert Bundle(client=small_bundle().client, server=small_bundle().server).report_json() == {}


def test_a_plans_table_of_last_uses_is_read_only():
    with pytest.raises(TypeError, match="does not support item assignment"):
        small_bundle().server.plan.last_use[0] = 1
