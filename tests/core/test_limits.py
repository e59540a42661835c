"""Limits of a kind: how many at once, how many within a time."""

from typing import Any

import pytest

from webqueue.errors import SettingsError
from webqueue.limits import Limit, Rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/m", Rate(10, 60)),
        ("5/30s", Rate(5, 30)),
        ("1 / s", Rate(1, 1)),
        ("100/h", Rate(100, 3600)),
        ("2/d", Rate(2, 86400)),
    ],
)
def test_rates_are_read(text: str, rate: Rate) -> None:
    """So many within a unit, or within several."""
    assert rate == Rate.parse(text)


@pytest.mark.parametrize("text", ["", "10", "m", "10/", "/m", "0/m", "10/0s", "10/w", "-1/m", "1.5/s", "10/m/s"])
def test_other_texts_are_refused(text: str) -> None:
    """Anything else is refused, and the form is shown."""
    with pytest.raises(SettingsError, match="10/m"):
        Rate.parse(text)


def test_the_window_slides() -> None:
    """Within any span of the rate's length no more start than it allows, and no fewer may."""
    limit = Limit(None, Rate(3, 10))
    starts: list[float] = []
    now = 0.0
    for _ in range(400):
        if limit.wait(now) == 0:
            limit.started(now)
            starts.append(now)
        assert sum(now - 10 < start for start in starts) <= 3
        now += 0.25
    assert 30 == len(starts), "three in each ten of a hundred seconds"
    assert 3 == len(limit._starts)


def test_wait_is_exact() -> None:
    """The next may start exactly when the oldest of the last ones leaves the window."""
    limit = Limit(None, Rate(2, 10))
    for now in (100.0, 103.0):
        assert 0 == limit.wait(now)
        limit.started(now)

    assert (6.0, 0.0) == (limit.wait(104.0), limit.wait(110.0))
    limit.started(110.0)
    assert 3.0 == limit.wait(110.0)


def test_concurrency() -> None:
    """As many as may run at once, and the reason in words where no more may."""
    limit = Limit(2, None)
    assert [False, False, True, True] == [limit.full(running) for running in range(4)]
    assert None is limit.reason(1, 0.0)
    assert "2 of its kind run already, 2 may" == limit.reason(2, 0.0)
    assert "1 of its kind started within 60 s, no more may" == _used(Limit(None, Rate(1, 60))).reason(0, 0.5)


def _used(limit: Limit) -> Limit:
    limit.started(0.0)
    return limit


@pytest.mark.parametrize(
    ("payload", "key"),
    [
        (b'{"id":7}', "customer:7 in "),
        (b'{"id":"a","to":[1,null]}', "customer:a in [1, None]"),
        (b"{}", "customer: in "),
        (b'{"id":{"__class__":1}}', "customer:{'__class__': 1} in "),
    ],
)
def test_a_key_is_made_of_the_payload(payload: bytes, key: str) -> None:
    """Whatever JSON it holds; what it has not is empty."""
    limit = Limit.parse(None, None, "customer:{id} in {to}")
    assert limit is not None
    assert (1, key) == (limit.concurrency, limit.key_of(payload))
    assert f"1 of {key} run already, 1 may" == limit.reason(1, 0.0, key)


@pytest.mark.parametrize("key", ["{", "{}", "{0}", "{id.real}", "{id[0]}", "{id:5}", "{id!r}", "a}"])
def test_a_key_names_fields_and_nothing_else(key: str) -> None:
    """What could fail later is refused when the handler is registered."""
    with pytest.raises(SettingsError, match="concurrency_key"):
        Limit.parse(2, None, key)


@pytest.mark.parametrize("concurrency", [0, -1, "2", True, 1.5])
def test_a_concurrency_is_a_whole_number(concurrency: Any) -> None:
    """Of 1 or more."""
    with pytest.raises(SettingsError, match="concurrency"):
        Limit.parse(concurrency, None, None)
