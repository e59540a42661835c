"""Every setting, its default and one line of meaning: nowhere else."""

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, get_args

from webqueue.errors import SettingsError

PREFIX = "WEBQUEUE_"


def _setting(default: Any, doc: str, *, at_least: float | None = None) -> Any:
    return field(default=default, metadata={"doc": doc, "at_least": at_least})


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one webqueue, checked. Made by :meth:`read`; lives as long as its engine."""

    store: str = _setting(
        "sqlite:///webqueue.db", "where jobs are kept: `sqlite:///FILE`, `sqlite:///FILE?sync=normal`, `memory:`"
    )
    consumers: int = _setting(
        1, "consumer threads of the `default` queue; 1 is strictly first in, first out", at_least=0
    )
    queues: str = _setting(
        "", "consumers by queue, `default=1,mail=4`; wins over `WEBQUEUE_CONSUMERS` (default `default=1`)"
    )
    grace: float = _setting(25.0, "seconds that running jobs get to end at shutdown", at_least=0)
    max_todo: int = _setting(1_000_000, "so many jobs may wait in todo, further pushes get `429`", at_least=1)
    keep_finished: int = _setting(100_000, "so many finished jobs are kept, the oldest are forgotten", at_least=0)
    keep_days: float = _setting(7.0, "finished jobs older than so many days are forgotten", at_least=0)
    token: str | None = _setting(None, "who has it may do everything; needed to serve off loopback")
    view_token: str | None = _setting(None, "who has it may read everything and change nothing; needs `WEBQUEUE_TOKEN`")
    allowed_hosts: str | None = _setting(
        None, "host names, by comma, that the `Host` header may carry (loopback names; any where a token is set)"
    )
    allowed_origins: str = _setting(
        "", "foreign origins, by comma, that may change state and join the socket (none but its own)"
    )
    max_sockets: int = _setting(100, "sockets at a time; a further handshake gets `503`", at_least=1)
    http_threads: int = _setting(
        32, "threads of `webqueue run` that answer requests, beside those of sockets and of lists that wait", at_least=4
    )
    ping_interval: float = _setting(25.0, "seconds between two pings to a Socket.IO client", at_least=0.1)
    ping_timeout: float = _setting(
        20.0, "seconds after which a Socket.IO client that does not answer a ping is cut", at_least=0.1
    )
    start: bool = _setting(
        True, "whether `create_app` and `init_app` start the consumers; off where gunicorn's `post_fork` does it"
    )

    def __post_init__(self) -> None:
        if self.view_token and not self.token:
            raise SettingsError("WEBQUEUE_VIEW_TOKEN needs WEBQUEUE_TOKEN: set both, or neither.")
        if self.token and self.token == self.view_token:
            raise SettingsError("WEBQUEUE_VIEW_TOKEN must differ from WEBQUEUE_TOKEN.")
        self.consumers_by_queue()

    def consumers_by_queue(self) -> dict[str, int]:
        """How many consumers each listed queue has; ``default`` is always among them."""
        counts = {"default": self.consumers}
        for part in filter(None, (part.strip() for part in self.queues.split(","))):
            name, _, number = part.rpartition("=")
            if not name.strip() or not number.strip().isdecimal():
                raise SettingsError(f"WEBQUEUE_QUEUES is written default=1,mail=4; {part!r} is not NAME=NUMBER.")
            counts[name.strip()] = int(number)
        return counts

    @classmethod
    def read(
        cls,
        arguments: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> "Settings":
        """The settings that count: an argument beats Flask's *config*, that beats the *environment*.

        Raises SettingsError for a name that is not a setting or a value that makes no sense, naming both.
        """
        arguments, config = arguments or {}, config or {}
        environment = os.environ if environment is None else environment
        known = {setting.name: setting for setting in fields(cls)}
        for name in arguments:
            if name not in known:
                raise SettingsError(f"{name!r} is not a setting; there are: {', '.join(known)}.")
        values = {}
        for name in known:
            key = PREFIX + name.upper()
            for source, label in ((arguments, name), (config, key), (environment, key)):
                value = source.get(label)
                if value is not None:
                    values[name] = _converted(key, value, known[name])
                    break
        return cls(**values)

    @classmethod
    def documented(cls) -> list[tuple[str, str, str]]:
        """Rows of the README's table: (environment name, default as text, meaning)."""
        return [
            (PREFIX + one.name.upper(), _shown(one.default), one.metadata["doc"])
            for one in fields(cls)
            if one.default is not MISSING
        ]


def _shown(default: Any) -> str:
    return "" if default in (None, "") else f"{default:g}" if isinstance(default, float) else str(default)


def _converted(key: str, value: Any, setting: Any) -> Any:
    kind = next((part for part in get_args(setting.type) if part is not type(None)), setting.type)
    try:
        result = _boolean(value) if kind is bool else kind(value)
    except (TypeError, ValueError):
        raise SettingsError(f"{key}={value!r} is not {_ARTICLES[kind]}.") from None
    at_least = setting.metadata["at_least"]
    if at_least is not None and not result >= at_least:
        raise SettingsError(f"{key}={value!r} is too small: {at_least} at least.")
    return result


def _boolean(value: Any) -> bool:
    text = str(value).strip().lower()
    if text not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
        raise ValueError(text)
    return text in {"1", "true", "yes", "on"}


_ARTICLES = {int: "a whole number", float: "a number", str: "a text", bool: "yes or no"}
