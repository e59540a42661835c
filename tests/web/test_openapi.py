"""GET /openapi.json tells the truth about the routes."""

import json
import re

import pytest

PAGES = {"/", "/jobs/actions", "/login", "/logout", "/metrics", "/static/{filename}"}


@pytest.fixture
def document(plain):
    """The document as it is served."""
    return plain.get("/openapi.json").json()


def test_every_route_is_in_it(plain, document):
    """But those that answer browsers, and /metrics."""
    rules = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule) for rule in plain.app.url_map.iter_rules()}
    assert rules - PAGES == set(document["paths"])


def test_every_reference_leads_somewhere(document):
    """To a component."""
    names = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document))
    assert set(names) <= set(document["components"]["schemas"])


def test_a_job_has_the_fields_that_it_says(plain, document):
    """All of them, and no other."""
    job = plain.push(wait=5)
    assert set(document["components"]["schemas"]["Job"]["required"]) == set(job)


def test_requests_are_described_by_the_schemas_that_check_them(document):
    """Limits included."""
    push = document["paths"]["/push-job"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert (["kind"], 200, False) == (
        push["required"],
        push["properties"]["kind"]["maxLength"],
        push["additionalProperties"],
    )
    query = {one["name"]: one["schema"] for one in document["paths"]["/jobs"]["get"]["parameters"]}
    assert {"cursor", "limit", "state", "kind", "queue", "q"} == set(query)
    assert (1, 200) == (query["limit"]["minimum"], query["limit"]["maximum"])


def test_under_a_prefix_the_server_has_it(serve, jobs):
    """And the paths have not."""
    from flask import Flask

    app = Flask("shop")
    jobs.init_app(app, "/queue", token="all")
    document = serve(app, prefix="/queue").get("/openapi.json", headers={"Authorization": "Bearer all"}).json()
    assert ("/queue", True) == (document["servers"][0]["url"], "/push-job" in document["paths"])
    assert [{"token": []}] == document["security"]
