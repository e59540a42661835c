"""Whatever the OpenAPI document allows, or just not, is answered as the document says: schemathesis asks."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from webqueue import WebQueue
from webqueue.demo import register_demo
from webqueue.web.openapi import CALLS

EXAMPLES: Final = 25
"""Requests by operation."""
DONE, FAILED, SCHEDULED = 1, 2, 3
"""Ids of the jobs that are there."""


@pytest.fixture(name="document")
def _document() -> Iterator[Any]:
    """The document of an application with three jobs and a rejection."""
    jobs = WebQueue(store="memory:")
    register_demo(jobs.handlers)
    app = jobs.create_app()
    client = app.test_client()
    for push in (
        {"kind": "echo"},
        {"kind": "fail", "max_attempts": 1},
        {"kind": "echo", "delay": 3600},
        {"kind": "nope"},
    ):
        client.post("/push-job", json=push, headers={} if "delay" in push else {"Prefer": "wait=10"})
    document = schemathesis.openapi.from_wsgi("/openapi.json", app)
    # What is too large is refused as such, which schemathesis does not expect.
    rejection = document.config.checks.negative_data_rejection
    rejection.expected_statuses = [*rejection.expected_statuses, "413"]
    yield document
    app.extensions["webqueue.live"].close()
    app.extensions["webqueue"].stop(0)


def _cases(operation: Any) -> st.SearchStrategy[Any]:
    """Requests that the document does not allow, such that it does, and of these some that meet what is there."""
    allowed = operation.as_strategy()
    meeting = st.builds(_meeting, allowed, st.sampled_from([DONE, FAILED, SCHEDULED]))
    return st.one_of(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE), allowed, meeting)


def _meeting(case: Any, id: int) -> Any:
    """*case*, of that job or of a kind that there is."""
    if "id" in case.path_parameters:
        case.path_parameters["id"] = id
    if isinstance(case.body, dict) and "kind" in case.body:
        case.body["kind"] = "echo"
    return case


@pytest.mark.parametrize("name", CALLS)
def test_the_document_is_kept(document: Any, name: str) -> None:
    """Statuses, media types, headers and bodies are those of the document, and nothing is a 500; some are accepted."""
    seen = set()

    @given(_cases(document.find_operation_by_id(name)))
    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    def ask(case: Any) -> None:
        case.query.pop("wait", None)  # it would only take its time
        # A document can't say which kinds there are, nor that of delay and run_at one is enough.
        seen.add(case.call_and_validate(excluded_checks=[positive_data_acceptance]).status_code)

    ask()
    assert seen & set(CALLS[name].answers), seen
