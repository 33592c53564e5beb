"""Whatever is asked, the server refuses in words or answers; it never fails. Questions: schemathesis, from OpenAPI."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from attnscope.testing.made_traces import made_trace
from attnscope.viewer.aggregates import Source
from attnscope.viewer.app import create_app
from viewer.conftest import picture

pytestmark = pytest.mark.filterwarnings("ignore")  # of the fuzzer's own libraries


def described():
    """The server of a small trace by its own description, with one aggregate on its way."""
    trace = made_trace(grids=((4, 6), (2, 3)), steps=2, heads=2)
    trace.run.pictures = [picture(32, 48)]
    app = create_app([trace], hosts=["testserver"])
    app.state.answers.aggregates.start(0, trace, Source())
    return schemathesis.openapi.from_asgi("/api/openapi.json", app, headers={"host": "testserver"})


OPERATIONS = {operation.ok().label: operation.ok() for operation in described().get_all_operations()}
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


def test_every_question_is_described():
    assert len(OPERATIONS) == 31


@pytest.mark.parametrize("label", OPERATIONS)
def test_no_question_makes_the_server_fail(label):
    operation = OPERATIONS[label]
    cases = st.one_of([operation.as_strategy(generation_mode=mode) for mode in MODES])

    @given(cases, st.booleans())
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def ask(case, of_the_trace):
        if of_the_trace and "number" in (case.path_parameters or {}):
            case.path_parameters["number"] = 0
        answer = case.call(headers={"host": "testserver"})
        assert answer.status_code < 500, (case.as_curl_command(), answer.text)
        if answer.status_code >= 400:
            assert answer.json()["error"]

    ask()
