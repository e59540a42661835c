"""Recurring jobs, on a clock and timers moved by hand."""

from pathlib import Path
from typing import Any

import pytest

from tests.stores.kit import Bench
from webqueue.errors import SettingsError
from webqueue.fitness import Fitness
from webqueue.handlers import Handlers
from webqueue.recurring import Recurring
from webqueue.rules import Rule

HOUR = 3_600
DAY = 86_400


class Stand:
    """A store on a file, and what recurs in it; it may be stopped for a while."""

    def __init__(self, folder: Path, *rules: Rule) -> None:
        self.bench, self.rules = Bench(folder), rules
        self.bench.clock.now -= self.bench.clock.now % (DAY * 1_000_000)
        handlers = Handlers()
        handlers.register(lambda **_: None, kind="echo")
        handlers.register(_strict, kind="strict")
        self.fitness = Fitness(handlers, self.bench.clock)
        self.start()

    def start(self) -> None:
        """The next life of the process."""
        bench = self.bench
        self.recurring = Recurring(self.rules, bench.store, self.fitness, bench.timers, bench.clock)
        self.recurring.start()

    def away(self, seconds: float) -> None:
        """Nobody runs webqueue for so long."""
        self.bench.store.close()
        self.bench.clock.advance(seconds)
        self.bench.open()
        self.start()

    def pushed(self) -> int:
        """How many jobs came of it since the last call."""
        return len(self.bench.drain())


def _strict(name: str) -> None:
    """Takes a name."""


@pytest.fixture(name="stand")
def _stand(tmp_path: Path) -> Any:
    made: list[Stand] = []

    def make(*rules: Rule) -> Stand:
        made.append(Stand(tmp_path, *rules))
        return made[-1]

    yield make
    for stand in made:
        stand.bench.close()


def test_it_is_pushed_at_each_time_and_not_before(stand: Any) -> None:
    """Nothing at the start; then once an hour."""
    one = stand(Rule("echo", "0 * * * *"))
    assert 0 == one.pushed()
    one.bench.pass_time(HOUR - 1)
    assert 0 == one.pushed()
    one.bench.pass_time(1)
    assert 1 == one.pushed()
    for _ in range(5):
        one.bench.pass_time(HOUR)
        assert 1 == one.pushed()


def test_the_next_time_is_told(stand: Any) -> None:
    """As GET /queue has it."""
    one = stand(Rule("echo", "0 6 * * *"), Rule("echo", 60))
    assert [("0 6 * * *", "06:00:00.000Z"), (60, "00:01:00.000Z")] == [
        (rule["every"], rule["next"][11:]) for rule in one.recurring.overview()
    ]


def test_a_restart_neither_doubles_nor_moves_it(stand: Any) -> None:
    """Also where it comes right after a push, or just before the next time."""
    one = stand(Rule("echo", "0 * * * *"))
    one.bench.pass_time(HOUR)
    one.away(0)
    one.away(1)
    assert 1 == one.pushed()
    one.bench.pass_time(HOUR - 2)
    one.away(0)
    assert 0 == one.pushed()
    one.bench.pass_time(1)
    assert 1 == one.pushed()


@pytest.mark.parametrize(("missed", "made_up"), [("skip", 0), ("once", 1)])
def test_what_was_missed_is_skipped_or_made_up_for_once(stand: Any, missed: Any, made_up: int) -> None:
    """However many times it was; and not again at the next start."""
    one = stand(Rule("echo", "0 * * * *", missed=missed))
    one.away(DAY + 60)
    assert made_up == one.pushed()
    one.away(60)
    assert 0 == one.pushed()
    one.bench.pass_time(HOUR)
    assert 1 == one.pushed()


def test_a_clock_that_was_set_back_pushes_nothing_twice(stand: Any) -> None:
    """The same hour comes again, and is over already; the next new one counts."""
    one = stand(Rule("echo", "0 * * * *"))
    one.bench.pass_time(HOUR)
    assert 1 == one.pushed()
    one.bench.clock.advance(-HOUR / 2)
    one.away(0)
    one.bench.pass_time(HOUR / 2)
    assert 0 == one.pushed()
    one.bench.pass_time(HOUR)
    assert 1 == one.pushed()


def test_a_clock_that_was_set_forward_pushes_once(stand: Any) -> None:
    """As soon as it is looked at, which is within the hour."""
    one = stand(Rule("echo", "0 6 * * *"))
    one.bench.pass_time(10 * DAY)
    assert 1 == one.pushed()


def test_a_payload_that_its_schema_refuses_stops_the_start(stand: Any) -> None:
    """With the reason; not each hour in the log."""
    one = stand()
    one.rules = (Rule("strict", 60),)
    with pytest.raises(SettingsError, match=r"strict.*name"):
        one.start()
    one.rules = (Rule("strict", 60, payload={"name": "Ada"}),)
    one.start()
    one.bench.pass_time(60)
    assert 1 == len(one.bench.store.snapshot().todo)
