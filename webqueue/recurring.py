"""Recurring jobs: a rule says when, a timer pushes, and a mark in the store says up to when that was done."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from webqueue.errors import SettingsError, Unavailable, Unfit
from webqueue.fitness import Fitness
from webqueue.job import Job
from webqueue.rules import Rule
from webqueue.stores.local import LocalStore
from webqueue.timers import LONGEST_SLEEP, Timers
from webqueue.troubles import BEHIND
from webqueue.views import iso

log = logging.getLogger("webqueue")


class Recurring:
    """Pushes what recurs. Lives as long as its engine runs; its fields are touched by the timers' thread."""

    def __init__(
        self, rules: Iterable[Rule], store: LocalStore, fitness: Fitness, timers: Timers, clock: Callable[[], int]
    ) -> None:
        self._rules = rules
        self._store = store
        self._fitness = fitness
        self._timers = timers
        self._clock = clock
        self._next: dict[str, tuple[Rule, int]] = {}
        self._failed: set[str] = set()
        """Names of the rules whose last push failed."""

    def start(self) -> None:
        """Set the alarms, and make up for what was missed. Raises SettingsError where a payload is unfit."""
        self._next.clear()
        self._failed.clear()
        for rule in self._rules:
            self._draft(rule)
            now = self._clock()
            last = self._store.mark(rule.name, now)
            if last is not None and rule.missed == "once" and rule.after(last) <= now:
                self._push(rule, now)
            self._await(rule, rule.after(now))

    def overview(self) -> list[dict[str, Any]]:
        """For ``GET /queue``: ``kind``, ``every``, ``next``."""
        return [{"kind": rule.kind, "every": rule.every, "next": iso(at)} for rule, at in list(self._next.values())]

    def unpushed(self) -> list[str]:
        """Kinds that were due and were not pushed: the store could not take them, or no alarm rang."""
        late = self._clock() - round(BEHIND * 1e6)
        return [rule.kind for name, (rule, due) in list(self._next.items()) if due < late or name in self._failed]

    def _await(self, rule: Rule, due: int) -> None:
        self._next[rule.name] = (rule, due)
        wait = min((due - self._clock()) / 1e6, LONGEST_SLEEP)
        self._timers.after(wait, lambda: self._ring(rule, due))

    def _ring(self, rule: Rule, due: int) -> None:
        now = self._clock()
        if now >= due:
            self._push(rule, due)
            due = rule.after(now)
        self._await(rule, due)

    def _push(self, rule: Rule, due: int) -> None:
        try:
            self._store.push_marked(self._draft(rule), rule.name, due)
            self._failed.discard(rule.name)
        except Unavailable as error:
            self._failed.add(rule.name)
            log.warning("%s was due and could not be pushed: %s", rule.kind, error)

    def _draft(self, rule: Rule) -> Job:
        try:
            return self._fitness.check({"kind": rule.kind, "payload": dict(rule.payload)})
        except Unfit as unfit:
            raise SettingsError(f"{rule.kind!r} can't recur with this payload: {unfit.errors}.") from None
