"""Handlers: kind → function, schema, checks and defaults."""

import difflib
import inspect
from collections.abc import Callable, Iterator, KeysView, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Generic, ParamSpec, Protocol, TypeVar

from marshmallow import INCLUDE, RAISE, Schema, fields

from webqueue.backoff import Backoff
from webqueue.errors import SettingsError
from webqueue.job import Rejection
from webqueue.limits import Limit
from webqueue.rules import Rule

P = ParamSpec("P")
R = TypeVar("R")

MAX_NAME: Final = 200
"""Characters of a kind or a queue."""


class Push(Protocol):
    """Takes push bodies; for each a job or a rejection. With *alone* (it is one) a rejection is raised as Rejected."""

    def __call__(self, bodies: Sequence[Mapping[str, Any]], *, alone: bool = False) -> list[Any]:
        """Push them in one flush."""
        ...


_FIELDS: Final[Mapping[Any, Callable[..., fields.Field[Any]]]] = {
    int: lambda **more: fields.Integer(strict=True, **more),
    float: fields.Float,
    str: fields.String,
    bool: fields.Boolean,
    list: lambda **more: fields.List(fields.Raw(allow_none=True), **more),
    dict: fields.Dict,
}


@dataclass(frozen=True)
class Options:
    """A push to one kind, with what differs from the kind's defaults: ``resize.options(delay=60).push(url=...)``."""

    kind: str
    more: Mapping[str, Any]
    push_bodies: Push

    def push(self, **payload: Any) -> Any:
        """Push one job. Durable when it returns it; raises Rejected."""
        return self.push_bodies([self._body(payload)], alone=True)[0]

    def push_many(self, payloads: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Push many in one flush: a Job or a Rejection for each, in order."""
        return self.push_bodies([self._body(payload) for payload in payloads])

    def after(self, *jobs: Any) -> "Options":
        """It runs once all of *jobs* (or their ids) are done. When one of them fails or is cancelled, so is it."""
        return replace(self, more={**self.more, "after": [_id(job) for job in jobs]})

    def _body(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        return {"kind": self.kind, "payload": dict(payload), **self.more}


@dataclass(eq=False)
class Handler(Generic[P, R]):
    """One registered kind. Called, it is still the plain function."""

    kind: str
    function: Callable[P, R]
    schema: Schema | None
    doc: str
    push_bodies: Push = field(repr=False)
    queue: str = "default"
    priority: int = 0
    max_attempts: int = 3
    timeout: float | None = None
    backoff: Backoff = field(default_factory=Backoff)
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    give_up_on: tuple[type[BaseException], ...] = ()
    process: bool = False
    limit: Limit | None = None
    checks: list[Callable[..., object]] = field(default_factory=list)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def fit(self, check: Callable[..., object]) -> Callable[..., object]:
        """Register a check at the door: it gets the payload as keywords and raises Unfit where it does not like it."""
        self.checks.append(check)
        return check

    def push(self, *args: P.args, **payload: P.kwargs) -> Any:
        """Push one job. Durable when it returns it; raises Rejected."""
        if args:
            raise TypeError(f"{self.kind}.push takes its payload by keyword, as the JSON will have it.")
        return self.options().push(**payload)

    def push_many(self, payloads: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Push many in one flush: a Job or a Rejection for each, in order."""
        return self.options().push_many(payloads)

    def options(self, **more: Any) -> Options:
        """The same kind, pushed with other values than its own.

        They are ``queue``, ``priority``, ``delay``, ``run_at``, ``max_attempts``, ``timeout``, ``unique_key`` and
        ``after`` (ids).
        """
        return Options(self.kind, more, self.push_bodies)

    def after(self, *jobs: Any) -> Options:
        """The same kind, pushed to run once all of *jobs* are done: ``notify.after(*resized).push(to="me")``."""
        return self.options().after(*jobs)

    @cached_property
    def secret(self) -> frozenset[str]:
        """The names of payload fields that must not be shown, at any depth."""
        return frozenset(_secret(self.schema, set())) if self.schema is not None else frozenset()

    def may_retry(self, error: BaseException) -> bool:
        """Whether a failure with *error* is worth another attempt."""
        return isinstance(error, self.retry_on) and not isinstance(error, self.give_up_on)


class Handlers:
    """The registry: exact names only. Filled while modules are imported, read ever after."""

    def __init__(self, push_bodies: Push | None = None) -> None:
        self._by_kind: dict[str, Handler[..., Any]] = {}
        self.rules: list[Rule] = []
        """What recurs by itself."""
        self._limits: dict[str, Limit] = {}
        self.push_bodies = push_bodies or _nowhere

    def __iter__(self) -> Iterator[Handler[..., Any]]:
        return iter(self._by_kind.values())

    def __len__(self) -> int:
        return len(self._by_kind)

    def __contains__(self, kind: object) -> bool:
        return kind in self._by_kind

    def get(self, kind: str) -> Handler[..., Any] | None:
        """The handler of exactly this kind."""
        return self._by_kind.get(kind)

    @property
    def kinds(self) -> KeysView[str]:
        """All names; whoever keeps it sees those that are registered later, too."""
        return self._by_kind.keys()

    def nearest(self, kind: str) -> str | None:
        """A kind that *kind* may have meant."""
        return next(iter(difflib.get_close_matches(kind, self._by_kind, n=1)), None)

    @property
    def limits(self) -> Mapping[str, Limit]:
        """The limits of those kinds that have one; likewise."""
        return self._limits

    def every(self, kind: str, every: str | float, **more: Any) -> None:
        """Push *kind* when the cron expression *every* says so, or every so many seconds. See Rule; SettingsError."""
        rule = Rule(kind, every, **more)
        if rule.name in (other.name for other in self.rules):
            raise SettingsError(f"{kind!r} recurs at {every!r} already.")
        self.rules.append(rule)

    def register(
        self,
        function: Callable[P, R],
        *,
        kind: str | None = None,
        schema: type[Schema] | Schema | None = None,
        concurrency: int | None = None,
        concurrency_key: str | None = None,
        rate: str | None = None,
        **options: Any,
    ) -> Handler[P, R]:
        """*function* does the work of *kind* (its name unless given). Raises SettingsError for what makes no sense."""
        name = kind or function.__name__
        if name in self._by_kind:
            raise SettingsError(f"Two handlers are named {name!r}: give one of them another kind.")
        if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
            raise SettingsError(f"A kind has 1 to {MAX_NAME} printable characters, {name[:40]!r} has not.")
        if options.get("process") and "<" in function.__qualname__:
            raise SettingsError(f"process=True needs a function at a module's top, {function.__qualname__} is not.")
        handler = Handler(
            name,
            function,
            _schema(function, schema),
            inspect.cleandoc(function.__doc__ or "").partition("\n")[0],
            lambda bodies, *, alone=False: self.push_bodies(bodies, alone=alone),
            limit=Limit.parse(concurrency, rate, concurrency_key),
            **_checked(name, options),
        )
        if handler.limit is not None:
            self._limits[name] = handler.limit
        self._by_kind[name] = handler
        return handler


def _id(job: Any) -> Any:
    """The id of what a push gave. Raises TypeError for a Rejection: it has an id, but never ends."""
    if isinstance(job, Rejection):
        raise TypeError(f"{job} is no job: nothing can come after it.")
    return getattr(job, "id", job)


def _secret(schema: Schema, seen: set[type[Schema]]) -> Iterator[str]:
    """The names that *schema*, or one inside it, marks ``secret=True``; each schema once, for some hold themselves."""
    seen.add(type(schema))
    for name, one in schema.fields.items():
        if one.metadata.get("secret"):
            yield one.data_key or name
        inner = one.inner if isinstance(one, fields.List) else one
        if isinstance(inner, fields.Nested) and type(inner.schema) not in seen:
            yield from _secret(inner.schema, seen)


def _nowhere(bodies: Sequence[Mapping[str, Any]], *, alone: bool = False) -> list[Any]:
    raise RuntimeError("There is no queue to push to yet: call init_app(app) or create_app() first.")


_KNOWN: Final = ("queue", "priority", "max_attempts", "timeout", "backoff", "retry_on", "give_up_on", "process")


def _checked(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    for name in options:
        if name not in _KNOWN:
            raise SettingsError(f"The handler of {kind!r} has no option {name!r}; there are: {', '.join(_KNOWN)}.")
    attempts, timeout = options.get("max_attempts", 1), options.get("timeout")
    if not isinstance(attempts, int) or not 1 <= attempts <= 1_000:
        raise SettingsError(f"max_attempts of {kind!r} is 1 to 1,000, not {attempts!r}.")
    if timeout is not None and not 0 < timeout <= 10**6:
        raise SettingsError(f"timeout of {kind!r} is above 0 and at most 10^6 s, not {timeout!r}.")
    _check_place(kind, options.get("queue", "default"), options.get("priority", 0))
    backoff = options.get("backoff")
    if backoff is not None and not isinstance(backoff, Backoff):
        raise SettingsError(f"backoff of {kind!r} is a webqueue.Backoff, not {backoff!r}.")
    for name in ("retry_on", "give_up_on"):
        if isinstance(options.get(name), type):
            options[name] = (options[name],)
    return options


def _check_place(kind: str, queue: Any, priority: Any) -> None:
    if not isinstance(queue, str) or not 1 <= len(queue) <= MAX_NAME or not queue.isprintable():
        raise SettingsError(f"queue of {kind!r} is a name of 1 to {MAX_NAME} printable characters, not {queue!r}.")
    if type(priority) is not int or not -(2**31) <= priority < 2**31:
        raise SettingsError(f"priority of {kind!r} is a whole number of 32 bits, not {priority!r}.")


def _schema(function: Callable[..., Any], schema: type[Schema] | Schema | None) -> Schema | None:
    if isinstance(schema, Schema):
        return schema
    return schema() if schema is not None else _schema_of_signature(function)


def _schema_of_signature(function: Callable[..., Any]) -> Schema | None:
    """The schema that *function*'s parameters mean; None where it takes any keywords and names none."""
    parameters = _signature(function).parameters.values()
    if any(one.kind is one.POSITIONAL_ONLY for one in parameters):
        raise SettingsError(f"{function.__name__} has positional-only parameters: a payload is given by name.")
    named = [one for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters)
    if takes_any and not named:
        return None
    declared = {one.name: _field(one) for one in named}
    return Schema.from_dict(declared, name=f"{function.__name__}Payload")(unknown=INCLUDE if takes_any else RAISE)


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)  # annotations are texts under `from __future__`
    except (NameError, AttributeError, SyntaxError, TypeError):  # of a name that is only imported for type checkers
        return inspect.signature(function)


def _field(parameter: inspect.Parameter) -> fields.Field[Any]:
    make = _FIELDS.get(parameter.annotation, fields.Raw)
    if parameter.default is parameter.empty:
        return make(required=True, allow_none=make is fields.Raw)
    return make(allow_none=parameter.default is None or make is fields.Raw)
