"""What is wrong is in ``GET /queue`` and the snapshot, and told to every client when it changes."""

from typing import Any


def codes(body: Any) -> list[str]:
    """Of the warnings in *body*."""
    return [one["code"] for one in body["warnings"]]


def test_a_change_is_told_once_to_everybody(server: Any, connect: Any) -> None:
    """It comes, it goes; one event each, and GET /queue says the same."""
    clients = [connect(server), connect(server)]
    for client in clients:
        assert [] == codes(client.next("snapshot"))
    meters = server.engine._meters
    meters.commit = 100.0
    server.push()
    for client in clients:
        assert ["slow"] == codes(client.next("warnings"))
    assert ["slow"] == codes(server.get("/queue").json())
    assert ["slow"] == codes(connect(server).next("snapshot"))
    meters.commit = 0.0
    server.push()
    for client in clients:
        assert [] == codes(client.next("warnings"))


def test_who_comes_back_is_told_afresh(server: Any, connect: Any) -> None:
    """Its old picture may hold a warning that has gone."""
    first = connect(server)
    known = first.next("snapshot")
    first.close()
    again = connect(server, {"since": {"epoch": known["epoch"], "seq": known["seq"]}})

    assert {"warnings": [], "draining": None} == again.next("warnings")
