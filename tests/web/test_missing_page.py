"""An address that leads to no job says so: to a person in words, to a program as a problem."""

import pytest

PAGE = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
"""What browsers send."""


def test_a_person_is_told_that_a_job_is_gone(serve):
    """404 as a page: that it never was or has been forgotten, what is kept, and where the dashboard is."""
    answer = serve(keep_finished=2000, keep_days=1).get("/jobs/999", headers=PAGE)

    assert (404, "text/html; charset=utf-8") == (answer.status_code, answer.headers["Content-Type"])
    assert "There is no job 999" in answer.text
    assert "The last 2,000 finished jobs are kept, for 1 day." in answer.text
    assert '<a href="/">' in answer.text
    assert "Accept" == answer.headers["Vary"]


def test_no_days_are_promised_where_none_are_set(serve):
    """WEBQUEUE_KEEP_DAYS=0 means that age does not count."""
    answer = serve(keep_days=0).get("/jobs/999", headers=PAGE)

    assert "The last 100,000 finished jobs are kept.</p>" in answer.text


def test_a_job_that_was_deleted_has_that_page(plain):
    """The address of a job outlives it."""
    job = plain.push(wait=5)["id"]
    assert 200 == plain.get(f"/jobs/{job}", headers=PAGE).status_code
    plain.http.delete(f"{plain.url}/jobs/{job}", timeout=5)
    answer = plain.get(f"/jobs/{job}", headers=PAGE)

    assert (404, True) == (answer.status_code, f"There is no job {job}" in answer.text)


def test_an_address_is_shown_as_text(plain):
    """What is no number never was a job; it is cut, and no markup."""
    answer = plain.get("/jobs/<script>" + "x" * 100, headers=PAGE)

    assert 404 == answer.status_code
    assert "There is no job &lt;script&gt;" + "x" * 32 + "</h1>" in answer.text


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html;q=0.5, application/json"])
def test_a_program_gets_a_problem(plain, accept):
    """Whoever does not prefer HTML gets JSON, as for every refusal."""
    answer = plain.get("/jobs/999", headers={"Accept": accept})

    assert (404, "application/problem+json") == (answer.status_code, answer.headers["Content-Type"])
    assert "urn:webqueue:no-such-job" == answer.json()["type"]
