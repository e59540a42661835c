"""JSON that is none, or hardly: whatever comes is refused by its sender's fault, or kept exactly as it was sent."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webqueue import WebQueue, strictjson
from webqueue.demo import register_demo
from webqueue.strictjson import MAX_INTEGER, NotJSON

KIB: Final = 1024

# the payload's text, and the status of a push with it
PAYLOADS: Final[list[tuple[str, bytes, int]]] = [
    ("a key twice", b'{"a": 1, "a": 1}', 400),
    ("a key twice, once escaped", b'{"key": 1, "\\u006bey": 2}', 400),
    ("a key twice, far down", b'{"a": [{"b": {"c": 0, "c": 0}}]}', 400),
    ("the empty key twice", b'{"": 1, "": 2}', 400),
    ("keys that differ in case", b'{"a": 1, "A": 2}', 202),
    ("keys that look alike", '{"é": 1, "e\u0301": 2}'.encode(), 202),
    ("a key of Python's own", b'{"__proto__": {"__class__": "x"}, "self": 1}', 202),
    ("NaN", b'{"a": NaN}', 400),
    ("-NaN", b'{"a": -NaN}', 400),
    ("nan", b'{"a": nan}', 400),
    ("Infinity", b'{"a": [Infinity]}', 400),
    ("-Infinity", b'{"a": -Infinity}', 400),
    ("1e400", b'{"a": [1e400]}', 400),
    ("-1e400", b'{"a": -1e400}', 400),
    ("1e99999999", b'{"a": 1e99999999}', 400),
    ("the largest number", b'{"a": 1.7976931348623157e308}', 202),
    ("a number that is hardly any", b'{"a": 1e-400}', 202),
    ("the smallest number", b'{"a": 5e-324}', 202),
    ("many digits behind the point", b'{"a": 0.' + b"3" * 5000 + b"}", 202),
    ("many digits before the point", b'{"a": ' + b"9" * 5000 + b".0}", 400),
    ("an integer of 5,000 digits", b'{"a": ' + b"9" * 5000 + b"}", 400),
    ("2^53-1", b'{"a": 9007199254740991}', 202),
    ("2^53", b'{"a": 9007199254740992}', 400),
    ("-2^53", b'{"a": -9007199254740992}', 400),
    ("2^63", b'{"a": 9223372036854775808}', 400),
    ("-0", b'{"a": -0}', 202),
    ("-0.0", b'{"a": -0.0}', 202),
    ("a leading zero", b'{"a": 007}', 400),
    ("a hexadecimal number", b'{"a": 0x10}', 400),
    ("digits of another script", '{"a": \u0661\u0662}'.encode(), 400),
    ("an underscore among digits", b'{"a": 1_000}', 400),
    ("the first half of a pair", b'{"a": "\\ud800"}', 400),
    ("the second half of a pair", b'{"a": "x\\udc00x"}', 400),
    ("a pair the wrong way round", b'{"a": "\\udc00\\ud800"}', 400),
    ("half a pair as a key", b'{"\\uD83C": 1}', 400),
    ("a whole pair", b'{"a": "\\uD83C\\uDF88"}', 202),
    ("no character, yet a code point", b'{"a": "\\uffff\\ufffe"}', 202),
    ("an escape of NUL", b'{"a\\u0000b": "\\u0000"}', 202),
    ("a NUL in a text", b'{"a": "\0"}', 400),
    ("a NUL between tokens", b'{"a":\0 1}', 400),
    ("a line break in a text", b'{"a": "x\ty"}', 400),
    ("line separators in a text", '{"a": "\u2028\u2029\u0085"}'.encode(), 202),
    ("white space of another kind", '{"a":\u00a01}'.encode(), 400),
    ("bytes that are no UTF-8", b'{"a": "\xff"}', 400),
    ("UTF-8 cut short", b'{"a": "\xf0\x9f\x8e"}', 400),
    ("UTF-8 longer than need be", b'{"a": "\xc0\xaf"}', 400),
    ("a surrogate in UTF-8", b'{"a": "\xed\xa0\xbc\xed\xbe\x88"}', 400),
    ("beyond Unicode", b'{"a": "\xf4\x90\x80\x80"}', 400),
    ("nested 32 deep with the push", b'{"a":' + b"[" * 30 + b"]" * 30 + b"}", 202),
    ("nested 33 deep with the push", b'{"a":' + b"[" * 31 + b"]" * 31 + b"}", 400),
    ("nested 33 deep, by objects", b'{"a":' * 32 + b"1" + b"}" * 32, 400),
    ("arrays 100,000 deep", b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
    ("arrays 100,000 deep and never closed", b'{"a":' + b"[" * 100_000, 400),
    ("brackets in a text", b'{"a": "' + b"[{" * 1000 + b'\\""}', 202),
    ("20,000 keys", json.dumps({str(number): 0 for number in range(20_000)}).encode(), 202),
    ("20,000 arrays side by side", b'{"a": [' + b"[]," * 20_000 + b"[]]}", 202),
    ("a comma too many", b'{"a": 1,}', 400),
    ("a comment", b'{"a": 1 /* one */}', 400),
    ("single quotes", b"{'a': 1}", 400),
    ("what is Python and no JSON", b'{"a": None}', 400),
    ("text behind the end", b'{"a": 1}}', 400),
]

PUSH: Final = b'{"kind": "echo", "payload": {"a": 1}}'
# the whole body, and its status on /push-job and on /push-jobs
BODIES: Final[list[tuple[str, bytes, int, int]]] = [
    ("nothing", b"", 400, 400),
    ("white space", b" \r\n\t", 400, 400),
    ("NUL", b"\0", 400, 400),
    ("a BOM before it", b"\xef\xbb\xbf" + PUSH, 400, 400),
    ("a BOM behind it", PUSH + b"\xef\xbb\xbf", 400, 400),
    ("a NUL behind it", PUSH + b"\0", 400, 400),
    ("UTF-16", PUSH.decode().encode("utf-16"), 400, 400),
    ("UTF-16 without a BOM", PUSH.decode().encode("utf-16-le"), 400, 400),
    ("UTF-32", PUSH.decode().encode("utf-32"), 400, 400),
    ("two of them", PUSH + PUSH, 400, 400),
    ("the kind twice", b'{"kind": "echo", "kind": "echo"}', 400, 400),
    ("a text of one", json.dumps(PUSH.decode()).encode(), 422, 400),
    ("an array in an array", b"[[]]", 422, 202),
    ("300 KiB", b'{"kind": "echo", "payload": {"a": "' + b"x" * 300 * KIB + b'"}}', 413, 400),
    ("300 KiB in an array", b'[{"kind": "echo", "payload": {"a": "' + b"x" * 300 * KIB + b'"}}]', 413, 202),
    ("300 KiB of white space", b" " * 300 * KIB + PUSH, 413, 400),
]


@pytest.fixture(name="client", scope="module")
def _client() -> Iterator[FlaskClient]:
    """A client within the process, of an application on which nothing runs."""
    jobs = WebQueue(store="memory:")
    register_demo(jobs.handlers)
    app = jobs.create_app()
    engine = app.extensions["webqueue"]
    engine.pause()
    yield app.test_client()
    app.extensions["webqueue.live"].close()
    engine.stop(0)


def _push(client: FlaskClient, path: str, body: bytes) -> tuple[int, Any]:
    answer = client.post(path, data=body, content_type="application/json")
    return answer.status_code, json.loads(answer.data)


def _kept(client: FlaskClient, id: int) -> str:
    """The payload of a job, in a form that tells 0 from 0.0 and -0.0."""
    return repr(json.loads(client.get(f"/jobs/{id}").data)["payload"])


@pytest.mark.parametrize(("payload", "status"), [row[1:] for row in PAYLOADS], ids=[row[0] for row in PAYLOADS])
def test_a_payload(client: FlaskClient, payload: bytes, status: int) -> None:
    """On both calls the same status; what is taken is kept exactly as it was sent."""
    push = b'{"kind": "echo", "payload": ' + payload + b"}"
    one, told = _push(client, "/push-job", push)
    many, all_told = _push(client, "/push-jobs", b"[" + push + b"]")

    assert (status, status) == (one, many)
    if status == 202:
        sent = repr(json.loads(payload))
        assert [sent, sent] == [_kept(client, told["id"]), _kept(client, all_told["accepted"][0]["id"])]


@pytest.mark.parametrize(("body", "one", "many"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES])
def test_a_body(client: FlaskClient, body: bytes, one: int, many: int) -> None:
    """Its status on both calls."""
    assert (one, many) == (_push(client, "/push-job", body)[0], _push(client, "/push-jobs", body)[0])


_ODD: Final = st.sampled_from(
    [b"NaN", b"-Infinity", b"1e400", b"-0", b"-0.0", b"9007199254740993", b"1" * 400, b'"\\ud800"', b'"\\ud83c\\udf88"',
     b'"\xff"', b'"\0"', b'"\\u0000"', b"\xef\xbb\xbf", b'{"a":1,"a":2}', b"[" * 40 + b"]" * 40, b"[" * 900, b"]", b"}",
     b"", b",", b'"', b"\\", "\u2028".encode()]
)  # fmt: skip
_VALUE: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER - 2, MAX_INTEGER + 2) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode())
_FIELD: Final = st.sampled_from(
    ["kind", "queue", "priority", "delay", "run_at", "max_attempts", "timeout", "unique_key", "after", "nonsense"]
)


@st.composite
def _pushes(draw: st.DrawFn) -> bytes:
    """A push that is nearly one: with a field that is odd, and now and then cut or with bytes put in."""
    body = b'{"kind": "echo", "payload": {"a": %s}' % draw(_VALUE | _ODD)
    if draw(st.booleans()):
        body += b', "%s": %s' % (draw(_FIELD).encode(), draw(_VALUE | _ODD))
    body += b"}"
    at = draw(st.integers(0, len(body)))
    return draw(st.sampled_from([body, body, body[:at], body[:at] + draw(st.binary(max_size=3) | _ODD) + body[at:]]))


@given(st.binary(max_size=100) | _VALUE | _pushes() | _pushes(), st.booleans())
@settings(max_examples=500, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_bodies(client: FlaskClient, body: bytes, many: bool) -> None:
    """Never 500 or above; what is taken can be read strictly, and reads back as the same."""
    text = b"[" + body + b"]" if many else body
    status, told = _push(client, "/push-jobs" if many else "/push-job", text)

    assert status < 500, told
    accepted = told.get("accepted", []) if many else [{"index": 0} | told] * (status in (200, 202))
    sent = _read(text, many)
    assert len(accepted) <= len(sent)
    for one in accepted:
        if "duplicate" in one:  # of a unique_key: that is the job which was there
            continue
        assert repr(sent[one["index"]].get("payload", {})) == _kept(client, one["id"])


def _read(text: bytes, many: bool) -> list[Any]:
    """The pushes that *text* strictly holds; none where it is not JSON."""
    try:
        read = strictjson.read(text, strictjson.MAX_DEPTH + many)
    except NotJSON:
        return []
    return list(read) if many else [read]
