"""When a recurring job is due."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from webqueue.errors import SettingsError
from webqueue.rules import Rule


def _at(text: str, zone: str = "UTC") -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1e6)


def _times(rule: Rule, start: int, number: int) -> list[str]:
    found = []
    for _ in range(number):
        start = rule.after(start)
        found.append(datetime.fromtimestamp(start / 1e6, UTC).isoformat())
    return found


def test_a_cron_expression() -> None:
    """Strictly after the given moment."""
    rule = Rule("tick", "*/5 9 * * *")
    expected = ["2026-11-24T09:55:00+00:00", "2026-11-25T09:00:00+00:00"]
    assert expected == _times(rule, _at("2026-11-24T09:50:00"), 2)


def test_seconds_count_from_1970() -> None:
    """So that a restart moves nothing."""
    rule = Rule("tick", 90)
    assert 180_000_000 == rule.after(90_000_000)
    assert 90_000_000 == rule.after(89_999_999)
    assert 100_000 == Rule("tick", 0.1).after(0)


def test_each_day_at_its_hour_over_both_changes_of_the_clock() -> None:
    """Nine o'clock in Berlin is nine o'clock, in winter and in summer, once a day."""
    rule = Rule("report", "0 9 * * *", tz="Europe/Berlin")
    spring = _times(rule, _at("2026-03-28T00:00:00"), 3)
    assert ["2026-03-28T08:00:00+00:00", "2026-03-29T07:00:00+00:00", "2026-03-30T07:00:00+00:00"] == spring
    autumn = _times(rule, _at("2026-10-24T00:00:00"), 3)
    assert ["2026-10-24T07:00:00+00:00", "2026-10-25T08:00:00+00:00", "2026-10-26T08:00:00+00:00"] == autumn


def test_an_hour_that_is_skipped_is_made_up_for_and_one_that_comes_twice_counts_once() -> None:
    """Half past two in the nights when the clock is changed: once in each (https://pypi.org/project/cronsim/)."""
    rule = Rule("report", "30 2 * * *", tz="Europe/Berlin")
    spring = _times(rule, _at("2026-03-28T12:00:00"), 2)
    assert ["2026-03-29", "2026-03-30"] == [time[:10] for time in spring]
    autumn = _times(rule, _at("2026-10-24T12:00:00"), 2)
    assert ["2026-10-25", "2026-10-26"] == [time[:10] for time in autumn]


@pytest.mark.parametrize(
    "wrong",
    [
        {"every": "* * * *"}, {"every": "61 * * * *"}, {"every": ""}, {"every": 0}, {"every": -1}, {"every": 0.01},
        {"every": float("nan")}, {"every": 60, "missed": "twice"}, {"every": "* * * * *", "tz": "Mars/Olympus"},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_at_once(wrong: dict[str, Any]) -> None:
    """Not when it would first be due; the message names the kind."""
    with pytest.raises(SettingsError, match="tick"):
        Rule("tick", **wrong)
