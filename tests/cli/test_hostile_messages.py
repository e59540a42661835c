"""Messages that no client sends: cut within 1 s, + 8 MiB at most, no traceback, and nobody else misses a change."""

import contextlib
import gzip
import json
import random
import threading
import zlib
from collections.abc import Callable, Iterator

import pytest

from tests.hostile import (
    BINARY,
    MIB,
    MORE,
    QUICK,
    TEXT,
    Plain,
    Poller,
    Raw,
    Stopwatch,
    Witness,
    forget_peak,
    frame,
    peak,
)
from tests.servers import PATIENCE, Server

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
RSV1 = 0x40
MOST = 8 * MIB
TIMEOUT = 5.0


def _bomb(wbits: int) -> bytes:
    """64 KB that become 64 MiB."""
    deflate = zlib.compressobj(9, wbits=wbits)
    return deflate.compress(b'42/queue,["x"]' + bytes(64 * MIB)) + deflate.flush(zlib.Z_SYNC_FLUSH)


DEFLATED = _bomb(-15)
GZIPPED = gzip.compress(bytes(64 * MIB))


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    env = {"WEBQUEUE_PING_INTERVAL": "1", "WEBQUEUE_PING_TIMEOUT": str(TIMEOUT), "WEBQUEUE_KEEP_FINISHED": "100"}
    with Server(tmp_path_factory.mktemp("server"), "--store", "memory:", **env) as running:
        yield running


# -- each sends its own, and returns the seconds until the server has had enough


def _sent(server: Server, *frames: bytes) -> float:
    """Seconds from the first byte on. It reads beside that, for a send hangs where nobody takes it any more."""
    client = Raw(server)
    thread = threading.Thread(target=_send, args=(client, frames))
    thread.start()
    seconds = client.seconds_until_cut()
    thread.join(PATIENCE)
    client.close()
    return seconds


def _send(client: Raw, frames: tuple[bytes, ...]) -> None:
    with contextlib.suppress(OSError):
        client.send(*frames)


def _websocket(*frames: bytes) -> Callable[[Server], float]:
    return lambda server: _sent(server, *frames)


def _deflate_bomb(server: Server) -> float:
    offered = Raw(server, DEFLATE)
    assert b"extensions" not in offered.head().lower(), "compression was agreed on"
    offered.send(frame(TEXT, DEFLATED, flags=RSV1))
    seconds = offered.seconds_until_cut()
    offered.close()
    return seconds


def _gzip_bomb(server: Server) -> float:
    headers, watch = ("Content-Type: application/json", "Content-Encoding: gzip"), Stopwatch()
    for path in ("/push-job", "/push-jobs"):
        assert 400 == Plain(server, "POST", path, GZIPPED, *headers).status()
    return watch.seconds()


def _polled(body: bytes, *headers: str) -> Callable[[Server], float]:
    def attack(server: Server) -> float:
        client, watch = Poller(server), Stopwatch()
        assert (400, 400) == (client.post(body, *headers).status(), client.poll().status())
        return watch.seconds()

    return attack


def _fragments(payload: bytes, number: int) -> Callable[[Server], float]:
    return _websocket(*(frame(MORE if one else TEXT, payload, last=False) for one in range(number)))


def _garbage(opcode: int | None, made: Callable[[bytes], bytes] = bytes) -> Callable[[Server], float]:
    """2,000 frames of it, or as many times what is no frame."""
    chance = random.Random(2_000)
    pieces = [made(chance.randbytes(chance.randrange(1, 300))) for _ in range(2_000)]
    return _websocket(*(pieces if opcode is None else (frame(opcode, piece) for piece in pieces)))


def _hex(data: bytes) -> bytes:
    return data.hex().encode()


PLACES = [{"_placeholder": True, "num": number} for number in range(1_001)]
ATTACHED = frame(TEXT, b"451001-/queue," + json.dumps(["push_job", *PLACES]).encode())
ATTACKS: dict[str, Callable[[Server], float]] = {
    "deflate bomb": _deflate_bomb,
    "deflate bomb, compression not offered": _websocket(frame(TEXT, DEFLATED, flags=RSV1)),
    "gzip bomb": _gzip_bomb,
    "gzip bomb, polled": _polled(GZIPPED, "Content-Encoding: gzip"),
    "4 MiB announced": _websocket(frame(TEXT, b"42" + b"x" * 1_000, size=4 * MIB)),
    "4 MiB announced, after 64 KiB": _websocket(
        frame(TEXT, b"42" * 32_768, last=False), frame(MORE, b"x" * 1_000, size=4 * MIB)
    ),
    "2^63 - 1 bytes announced": _websocket(frame(BINARY, b"", size=2**63 - 1)),
    "8 MiB in one frame": _websocket(frame(TEXT, b"42" * 4 * MIB)),
    "4 MiB in 64 frames, unfinished": _fragments(b"42" * 32_768, 64),
    "10,000 fragments": _fragments(b"4", 10_000),
    "10,000 empty fragments": _fragments(b"", 10_000),
    "1,001 attachments announced": _websocket(ATTACHED),
    "1,001 attachments sent": _websocket(ATTACHED, *[frame(BINARY, bytes(4_096))] * 1_001),
    "2,000 frames of garbage": _garbage(TEXT, _hex),
    "2,000 frames of no UTF-8": _garbage(TEXT),
    "2,000 binary frames of garbage": _garbage(BINARY),
    "2,000 times what is no frame": _garbage(None),
    "2,000 packets of garbage, polled": _polled(b"\x1e".join([b"deadbeef" * 20] * 2_000)),
    "200 packets of no type, polled": _polled(b"\x1e".join([b"6"] * 200)),
    "a push that is no UTF-8, polled": _polled(b'40/queue,\x1e42/queue,["push_job",{"kind":"\xff"}]'),
    "JSON that grows forty times, polled": _polled(b"4[" + b"[]," * 160_000 + b"0]"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_no_client_sends_costs_nobody_else_anything(server: Server, name: str) -> None:
    """The sender is cut within 1 s, memory never grows by more than 8 MiB, nothing is logged, no change is missed."""
    logged = len(server.stderr.all())
    with Witness(server) as witness:
        before = forget_peak(server)
        seconds = max(ATTACKS[name](server) for _ in range(3))
        grown = peak(server) - before

    assert seconds < QUICK
    assert grown <= MOST
    assert [] == server.stderr.all()[logged:]
    assert [] == witness.missed
    assert {202} == witness.statuses


@pytest.mark.parametrize(
    "sent",
    ["", "9", "hello", "4[" + "[" * 5_000, "b4AAA", "42/queue,[[[[", "45999-/queue,[]", "2" + "[" * 5_000, "4"],
)
def test_what_no_client_sends_hurts_only_the_sender(server: Server, sent: str) -> None:
    """It is cut or ignored; nothing is logged, and everybody else is served."""
    logged = len(server.stderr.all())
    client = Raw(server)
    client.text(sent)

    assert client.seconds_until_cut() < 1 + TIMEOUT + 3
    client.close()
    assert 200 == server.call("GET", "/healthz")[0]
    assert [] == server.stderr.all()[logged:]


def test_a_body_of_many_packets_is_read(server: Server) -> None:
    """A browser that polls sends all that it has at once; engine.io read 16 and lost the rest."""
    client, before = Poller(server), server.call("GET", "/queue")[1]["totals"]["accepted"]
    packets = ["40/queue,"] + ['42/queue,["push_job",{"kind":"echo"}]'] * 100

    assert 200 == client.post("\x1e".join(packets).encode()).status()
    assert before + 100 == server.call("GET", "/queue")[1]["totals"]["accepted"]
    assert 200 == client.post(b"1").status()
