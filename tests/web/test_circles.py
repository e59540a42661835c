"""A refusal leaves no circle of objects behind: each would hold its request until circles are collected."""

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask, request, request_started

GREET = {"kind": "greet", "payload": {"name": ""}}


@contextmanager
def no_collection() -> Iterator[None]:
    """Meanwhile an object goes when nobody holds it, or not at all."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.fixture(name="app")
def _app(jobs: Any, closing: Any) -> Flask:
    app = jobs.create_app()
    closing.callback(app.extensions["webqueue"].stop, 0)
    closing.callback(app.extensions["webqueue.live"].close)
    return app


@pytest.mark.parametrize(
    ("status", "method", "path", "body"),
    [
        (422, "POST", "/push-job", GREET),
        (422, "POST", "/push-job", {"kind": "greet", "queue": 3}),
        (422, "POST", "/push-job", {"kind": "nobody"}),
        (422, "POST", "/push-job", []),
        (202, "POST", "/push-jobs", [GREET, {"kind": "echo"}, {"kind": "nobody"}]),
        (422, "GET", "/jobs?limit=5000", None),
        (404, "GET", "/jobs/7", None),
        (404, "POST", "/jobs/7/cancel", None),
    ],
)
def test_a_refusal_lets_go_of_its_request(app: Flask, status: int, method: str, path: str, body: Any) -> None:
    """Once it is answered, nothing holds the request any more."""
    held: list[weakref.ref[Any]] = []

    def note(_app: Flask, **_: Any) -> None:
        held.append(weakref.ref(request._get_current_object()))

    def ask() -> int:
        return app.test_client().open(path, method=method, json=body).status_code

    with request_started.connected_to(note, app), no_collection():
        assert status == ask()
        assert [None] == [one() for one in held]


def test_a_mismatch_lets_go_of_its_request(app: Flask) -> None:
    """So does an Idempotency-Key that comes with another body."""
    held: list[weakref.ref[Any]] = []
    key = {"Idempotency-Key": "k"}

    def note(_app: Flask, **_: Any) -> None:
        held.append(weakref.ref(request._get_current_object()))

    def push(n: int) -> int:
        body = {"kind": "echo", "payload": {"n": n}}
        return app.test_client().post("/push-job", json=body, headers=key).status_code

    with request_started.connected_to(note, app), no_collection():
        assert [202, 422] == [push(1), push(2)]
        assert [None, None] == [one() for one in held]
