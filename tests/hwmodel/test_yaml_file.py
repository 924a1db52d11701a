"""YAML from outside is plain: no aliases, no tags, no dates that fail in ways of their own, bounded in size."""

import pytest

from compress.errors import CostModelError
from hwmodel.yaml_file import read_yaml

REFUSED = [
    ("a: &x [1]\nb: *x", "anchors and aliases are not allowed"),
    ("a: &x [*x]", "anchors and aliases are not allowed"),
    ("a: !!python/object/apply:os.system [ls]", "tags such as .*os.system are not allowed"),
    ("a: !!int ''", "tags such as .* are not allowed"),
    ("a: 2024-99-99", "not a readable YAML file: month must be in 1..12"),
    ("a: " + "9" * 5000, "not a readable YAML file: Exceeds the limit"),
    ("[" * 17, "nested deeper than 16 levels"),
    ("[" * 30_000, "nested deeper than 16 levels|exceeded maximum nesting depth"),
    ("a: [", "not a readable YAML file"),
    ("--- 1\n--- 2", "not a readable YAML file: expected a single document"),
    ("a: " + "x" * 70_000, "such a file has at most 65536 bytes"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_architectures_do_not_use_is_refused(tmp_path, text, message):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(CostModelError, match=f"a.yaml: .*{message}"):
        read_yaml(path)


def test_plain_values_are_read(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: [1, 2.5e+8, x, true, null]\nb:\n  c: >-\n    two\n    words")
    assert read_yaml(path)["a"] == [1, 2.5e8, "x", True, None]
    with pytest.raises(CostModelError, match="such a file has at most"):
        read_yaml(tmp_path)
