"""The interface in client.json: only what is unusual is written, and nothing of another type or size is believed."""

import json

import numpy as np
import pytest

from compress.errors import FormatError
from compress.front import Front
from compress.parts import Part
from secure.bundle.fields import Fields
from secure.bundle.interface import Interface, interface_of, read_interface

FULL = Interface(
    input_parts=(Part("image", (1, 2, 2)), Part("age", (1,))),
    output_parts=(Part("0", (2,)), Part("1", (1, 3))),
    task="binary",
    threshold=0.5,
    class_names=("no", "yes"),
)
FRONT = Front((1, 4, 4), (0, 4, 1, 5, 8), (1.0, 0.5, 2.0, 1.0, 3.0))


def read(**values):
    return read_interface(Fields("client.json", {"interface": values}), (5,), (5,))


def test_the_usual_interface_takes_no_room_and_any_other_comes_back():
    assert Interface().as_json() == {}
    assert read_interface(Fields("client.json", {}), (5,), (5,)) == Interface()
    assert read(**json.loads(json.dumps(FULL.as_json()))) == FULL
    assert read(front=json.loads(json.dumps(FRONT.as_json()))) == Interface(front=FRONT)


def test_it_comes_from_the_networks_record():
    about = {
        "inputs": [{"name": "image", "shape": [1, 2, 2]}, {"name": "age", "shape": [1]}],
        "outputs": [{"name": "0", "shape": [2]}, {"name": "1", "shape": [1, 3]}],
        "task": "binary",
        "threshold": 0.5,
        "class_names": ["no", "yes"],
    }
    assert interface_of(about) == FULL
    assert interface_of({}) == Interface()
    hostile = Interface(class_names=("no\n\u202eyes", "caf\u00e9 \U0001f600"))
    assert (hostile.name_of(0), hostile.name_of(1)) == ("no\\n\\u202eyes", "caf\u00e9 \U0001f600")
    assert FULL.name_of(1) == "yes" and Interface().name_of(7) == "7"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"task": "guess"}, "field 'task' is 'guess'; allowed: one of classes, binary, regression, none"),
        ({"task": 3}, "field 'task' is 3; allowed: a text"),
        ({"threshold": float("inf")}, "field 'threshold' is inf; allowed: a number"),
        ({"class_names": "ab"}, "field 'class_names' is 'ab'; allowed: at most 65536 texts of at most 200 characters"),
        ({"class_names": ["a" * 201]}, "allowed: at most 65536 texts of at most 200 characters"),
        ({"class_names": ["a"] * 6}, "allowed: at most 5 names"),
        ({"input_parts": [{"name": "a", "shape": [2]}]}, "objects with a name and a shape, whose sizes add up to 5"),
        ({"input_parts": {}}, "1 to 256 objects with a name and a shape"),
        ({"input_parts": [{"name": "a", "shape": [-5]}]}, "field 'shape' is [-5]; allowed: a list of 0 to 8 whole"),
        ({"input_parts": [{"name": 5, "shape": [5]}]}, "field 'name' is 5; allowed: a text"),
        ({"front": {**FRONT.as_json(), "kind": "dft"}}, "field 'kind' is 'dft'; allowed: a front end that this"),
        ({"front": {**FRONT.as_json(), "shape": [4, 4]}}, "allowed: a list of 3 to 3 whole numbers from 1"),
        ({"front": {**FRONT.as_json(), "indices": [0, 1]}}, "allowed: a list of 5 to 5 whole numbers from 0 to 15"),
        ({"front": {**FRONT.as_json(), "indices": [0, 1, 2, 3, 16]}}, "whole numbers from 0 to 15"),
        ({"front": {**FRONT.as_json(), "gains": [1, 1, 1, 1, 0]}}, "allowed: numbers from 1e-06 to 1e+06"),
        ({"front": {**FRONT.as_json(), "shape": [1, 2**20, 2**20]}}, "sizes whose product is at most 16777216"),
        ({"output_parts": [{"name": "a", "shape": [2]}, {"name": "a", "shape": [3]}]}, "each with a name of its own"),
    ],
)  # fmt: skip
def test_other_values_are_refused(values, message):
    with pytest.raises(FormatError) as caught:
        read(**values)
    assert message in str(caught.value)


def test_the_front_end_makes_features_of_images_alone():
    images = np.random.default_rng(0).normal(size=(3, 1, 4, 4))
    interface = Interface(front=FRONT)
    np.testing.assert_allclose(interface.features(images), FRONT.apply(images))
    np.testing.assert_allclose(interface.features(images[1]), FRONT.apply(images)[1])
    features = np.zeros((2, 5))
    assert interface.features(features) is features and Interface().features(images) is images
