"""No polling: a server to which nothing happens does nothing."""

import threading
from pathlib import Path

import socketio

from tests.servers import PATIENCE, Server

WATCHED = 5.0
"""Seconds without anything to do."""


def wakeups(pid: int) -> dict[str, int]:
    """How often each thread of a process has gone to sleep so far."""
    found = {}
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        found[status.parent.name] = int(lines["voluntary_ctxt_switches"])
    return found


def test_an_idle_server_sleeps(tmp_path: Path) -> None:
    """With a page open and jobs behind it no thread of master and worker wakes up: consumer, journal, emitter, any."""
    connected = threading.Event()
    with Server(
        tmp_path, WEBQUEUE_QUEUES="default=2,mail=2", WEBQUEUE_PING_INTERVAL="300", WEBQUEUE_PING_TIMEOUT="1"
    ) as server:
        client = socketio.Client()
        client.on("snapshot", lambda _: connected.set(), namespace="/queue")
        client.connect(server.url, namespaces=["/queue"], transports=["websocket"])
        assert connected.wait(PATIENCE)
        for _ in range(20):
            server.finished(server.push("echo")["id"])
        threading.Event().wait(3.0)  # connections of this test that are over are being closed

        before = {pid: wakeups(pid) for pid in (server.process.pid, server.worker())}
        threading.Event().wait(WATCHED)
        after = {pid: wakeups(pid) for pid in before}
        client.disconnect()
        client.shutdown()

    assert before == after
