"""A report from a file has the types that text and pages need, or is refused; whatever else it holds gives text."""

from dataclasses import replace

import pytest

from compress.errors import FormatError
from secure.bundle.files import load_bundle, save_bundle
from secure.bundle.report_checks import report_fault
from tests.secure.plans import small_bundle

FAULTS = [
    ({"about": []}, r"field 'about' is \[\]"),
    ({"layers": [1]}, r"field 'layers' is \[1\]"),
    ({"weighed": {}}, "field 'weighed' is {}"),
    ({"predicted_server_ms": "3"}, "field 'predicted_server_ms' is '3'"),
    ({"predicted_disagreement": True}, "field 'predicted_disagreement' is True"),
    ({"about": {"source": "mlp"}}, "field 'about.source' is 'mlp'"),
    ({"about": {"history": [3]}}, r"field 'about.history' is \[3\]"),
    ({"about": {"accuracy_after": [0.5]}}, r"field 'about.accuracy_after' is \[0.5\]"),
]


@pytest.mark.parametrize(("report", "message"), FAULTS)
def test_fields_of_another_type_are_named(tmp_path, report, message):
    save_bundle(replace(small_bundle(), report=report), tmp_path / "b")
    with pytest.raises(FormatError, match=f"report.json: {message}, which is of the wrong type; the file is altered"):
        load_bundle(tmp_path / "b")


def test_fields_that_no_code_reads_may_hold_anything():
    assert report_fault({"note": [1, "x", None], "about": {"note": {}, "score_after": None}}) is None


def test_values_that_cannot_be_shown_are_a_typed_error():
    bundle = replace(small_bundle(), report={"layouts": [{"layer": "fc", "offers": [3]}]})
    with pytest.raises(FormatError, match="report: it holds a value that cannot be shown .AttributeError"):
        bundle.explain()
