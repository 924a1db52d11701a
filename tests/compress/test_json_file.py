"""JSON from outside is bounded in size, nesting and numbers, and means one thing only."""

import json
import os

import pytest

from compress import json_file
from compress.artifact import json_bytes
from compress.artifact_kinds import folder_kind
from compress.errors import LONGEST_SHOWN, FormatError, shown
from compress.json_file import parse_object, read_object

REFUSED = [
    (b'{"a": NaN}', "NaN is no number of JSON"),
    (b'{"a": -Infinity}', "-Infinity is no number of JSON"),
    (b'{"a": 1e999}', "the number 1e999 is beyond what float64 holds"),
    (b'{"a": 9223372036854775808}', "the whole number 9223372036854775808... is beyond 64 bits"),
    (b'{"a": ' + b"9" * 10_000 + b"}", "the whole number 99999999999999999999... is beyond 64 bits"),
    (b'{"a": 1, "b": 2, "a": 1}', "an object has the name 'a' twice"),
    (b'{"a": ' + b"[" * 33 + b"]" * 33 + b"}", "nested deeper than 32 levels"),
    (b'{"a": ' + b"[" * 100_000, "nested deeper than 32 levels"),
    (b'{"a": ' * 100_000, "nested deeper than 32 levels"),
    (b'{"a": "\\ud800"}', "surrogates not allowed"),
    (b'{"a": "\\u001b[2J"}', "holds a control character"),
    ('{"a": "\x9b2J"}'.encode(), "holds a control character"),
    (b'{"a": "paid\\rdue"}', "holds a control character"),
    (b'{"a": "\\\\\\b"}', "holds a control character"),
    (b'{"a": "\\f"}', "holds a control character"),
    (b'{"a": "\xff"}', "can't decode byte 0xff"),
    (b'{"a": 1', "Expecting"),
    (b"[1]", "holds list where an object is expected"),
]


@pytest.mark.parametrize(("content", "message"), REFUSED, ids=range(len(REFUSED)))
def test_json_with_a_second_meaning_or_no_bound_is_refused(content, message):
    with pytest.raises(FormatError, match=f"^x.json: .*{message}"):
        parse_object(content, "x.json")


def test_what_artifacts_hold_is_read_as_it_was_written():
    value = {
        "a": [1, -1.5, 2**63 - 1, -(2**63) + 1, None, True],
        "text": "caf\u00e9 \n \U0001f600",
        "deep": [[[[[[[[[[]]]]]]]]]],
    }
    assert parse_object(json_bytes(value), "x") == value
    assert parse_object(json.dumps(value, ensure_ascii=False).encode(), "x") == value
    assert parse_object(b'{"a": ' + b"[" * 31 + b"]" * 31 + b"}", "x")["a"] != []


def test_numbers_that_json_does_not_have_are_never_written():
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        json_bytes({"a": float("nan")})


def test_too_many_values_are_counted_before_they_are_made(monkeypatch):
    monkeypatch.setattr(json_file, "MAX_JSON_VALUES", 10)
    with pytest.raises(FormatError, match="about 12 values; such a file has at most 10"):
        parse_object(b'{"a": [' + b"1," * 10 + b"1]}", "x.json")


def test_too_many_objects_are_counted_before_they_are_made(monkeypatch):
    monkeypatch.setattr(json_file, "MAX_JSON_OBJECTS", 3)
    assert parse_object(b'{"a": [{}, {}]}', "x.json") == {"a": [{}, {}]}
    with pytest.raises(FormatError, match="x.json: about 4 objects; such a file has at most 3"):
        parse_object(b'{"a": [{}, {}, {}]}', "x.json")


def test_a_path_without_an_end_or_a_name_is_refused(tmp_path):
    os.mkfifo(tmp_path / "model.json")
    for path in (tmp_path / "model.json", tmp_path, tmp_path / "none", tmp_path / "a\0b"):
        with pytest.raises(FormatError, match="file not found|cannot be read"):
            read_object(path)
    assert folder_kind(tmp_path) is None


def test_a_value_in_a_message_is_short():
    for value in ("x" * 10**6, [[["y" * 10**6] * 10**4] * 10], {"k": list(range(10**6))}, 7, None):
        assert len(shown(value)) <= LONGEST_SHOWN + 3
    assert shown("abc") == "'abc'"
