"""Requests that schemathesis draws from the OpenAPI description get answers that the description names."""

from __future__ import annotations

import httpx
import pytest

from tests.service.conftest import Party
from tests.service.running import Running
from tests.service.test_faults import infer, upload


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_server_answers_as_it_is_described(served: Running, party: Party) -> None:
    import schemathesis
    from hypothesis import HealthCheck, given, settings
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        def conforms(case: schemathesis.Case) -> None:
            nonlocal tried
            tried += 1
            # a body of random bytes fits the description, and is no request
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        conforms()
    assert tried > 400
    with httpx.Client(base_url=served.url, timeout=60) as http:
        upload(http, party)
        assert infer(http, party) == party.reply
