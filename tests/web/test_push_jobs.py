"""POST /push-jobs, over real HTTP."""

import json

import pytest

NDJSON = {"Content-Type": "application/x-ndjson"}


def test_each_item_stands_alone(server):
    """202 with what was accepted and what was rejected, by index."""
    server.post("/queue/pause")
    twin = {"kind": "echo", "unique_key": "u"}
    items = [{"kind": "echo"}, {"kind": "nope"}, 7, twin, twin]
    answer = server.post("/push-jobs", items)
    told = answer.json()
    assert 202 == answer.status_code
    assert [0, 3, 4] == [one["index"] for one in told["accepted"]]
    assert [1, 2] == [one["index"] for one in told["rejected"]]
    assert told["accepted"][1]["id"] == told["accepted"][2]["id"]
    assert [None, None, True] == [one.get("duplicate") for one in told["accepted"]]
    assert ["kind"] == list(told["rejected"][0]["errors"])


def test_lines_are_read_one_by_one(server):
    """A line that is not JSON is rejected by its index; blank lines don't count."""
    lines = b'{"kind": "echo"}\n\n{"kind": NaN}\r\n  \n\xff\n{"kind": "echo", "payload": {"a": 1}}'
    told = server.post("/push-jobs", data=lines, headers=NDJSON).json()
    assert [0, 3] == [one["index"] for one in told["accepted"]]
    assert [(1, "Not JSON"), (2, "Not JSON")] == [(one["index"], one["reason"]) for one in told["rejected"]]


def test_nothing_is_nothing(server):
    """An empty array, or no line, is answered as such."""
    empty = {"accepted": [], "rejected": []}
    assert empty == server.post("/push-jobs", []).json()
    assert empty == server.post("/push-jobs", data=b"\n", headers=NDJSON).json()


def test_an_object_is_no_array(server):
    """400."""
    assert 400 == server.post("/push-jobs", {"kind": "echo"}).status_code


@pytest.mark.parametrize(("number", "status"), [(10_000, 202), (10_001, 413)])
def test_so_many_items_and_no_more(server, number, status):
    """10,000 at most."""
    server.post("/queue/pause")
    assert status == server.post("/push-jobs", [{"kind": "echo"}] * number).status_code
    assert (number if status == 202 else 0) == server.get("/queue").json()["counts"]["todo"]


def test_a_body_over_the_limit_is_refused(server):
    """16 MiB."""
    line = json.dumps({"kind": "echo", "payload": {"a": "x" * (1 << 20)}}).encode() + b"\n"
    assert 202 == server.post("/push-jobs", data=line * 15, headers=NDJSON).status_code
    assert 413 == server.post("/push-jobs", data=line * 17, headers=NDJSON).status_code


def test_an_item_may_be_as_deep_as_a_push(server):
    """The array around the items does not count."""
    deep = json.loads('{"a":' * 31 + "1" + "}" * 31)
    assert 202 == server.post("/push-job", {"kind": "echo", "payload": deep}).status_code
    assert 1 == len(server.post("/push-jobs", [{"kind": "echo", "payload": deep}]).json()["accepted"])


def test_what_finds_no_room_is_rejected(serve):
    """A full queue takes what it can."""
    server = serve(max_todo=2)
    server.post("/queue/pause")
    told = server.post("/push-jobs", [{"kind": "echo"}] * 3).json()
    assert ([0, 1], [2]) == ([one["index"] for one in told["accepted"]], [one["index"] for one in told["rejected"]])
