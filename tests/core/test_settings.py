"""The settings: who beats whom, and what is refused."""

import math
from typing import Any

import pytest

from webqueue.errors import SettingsError
from webqueue.settings import Settings


def test_defaults() -> None:
    """Without a word from anyone, the contract's defaults count."""
    read = Settings.read({}, {}, {})

    assert ("sqlite:///webqueue.db", 1, 25.0, 1_000_000, 100_000, 7.0, 100, 25.0, 20.0, None) == (
        read.store, read.consumers, read.grace, read.max_todo, read.keep_finished, read.keep_days, read.max_sockets,
        read.ping_interval, read.ping_timeout, read.token,
    )  # fmt: skip
    assert {"default": 1} == read.consumers_by_queue()


def test_argument_beats_config_beats_environment() -> None:
    """The argument beats Flask's config beats the environment, each by its own name."""
    environment = {"WEBQUEUE_CONSUMERS": "2", "WEBQUEUE_MAX_TODO": "5", "WEBQUEUE_GRACE": "1.5", "CONSUMERS": "9"}
    config = {"WEBQUEUE_CONSUMERS": 3, "WEBQUEUE_MAX_TODO": "6", "consumers": 9}
    read = Settings.read({"consumers": 4}, config, environment)

    assert (4, 6, 1.5) == (read.consumers, read.max_todo, read.grace)


def test_environment_of_the_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless another one is given, the process's environment is read."""
    monkeypatch.setenv("WEBQUEUE_CONSUMERS", "7")

    assert 7 == Settings.read().consumers


def test_none_is_not_a_value() -> None:
    """An argument or config of None leaves the word to the next."""
    assert 3 == Settings.read({"consumers": None}, {"WEBQUEUE_CONSUMERS": None}, {"WEBQUEUE_CONSUMERS": "3"}).consumers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("consumers", "two"),
        ("consumers", "-1"),
        ("consumers", -1),
        ("consumers", "1.5"),
        ("consumers", ""),
        ("grace", "soon"),
        ("grace", "-1"),
        ("grace", "nan"),
        ("keep_days", math.nan),
        ("max_todo", "0"),
        ("max_sockets", 0),
        ("keep_finished", -1),
        ("start", "perhaps"),
        ("queues", "mail"),
        ("queues", "mail=x"),
        ("queues", "mail=-1"),
        ("queues", "=3"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, value: Any) -> None:
    """A value that makes no sense is refused in one line that names the setting and the value."""
    with pytest.raises(SettingsError) as raised:
        Settings.read({}, {"WEBQUEUE_" + name.upper(): value}, {})

    assert "WEBQUEUE_" + name.upper() in str(raised.value)
    assert "\n" not in str(raised.value)


def test_unknown_argument_is_refused() -> None:
    """A misspelt argument is refused, and what there is is listed."""
    with pytest.raises(SettingsError, match=r"'consumer' is not a setting; there are: store, consumers"):
        Settings.read({"consumer": 1}, {}, {})


@pytest.mark.parametrize(("text", "value"), [("1", True), ("yes", True), ("ON", True), ("0", False), ("false", False)])
def test_yes_or_no(text: str, value: bool) -> None:
    """Yes and no in the usual words."""
    assert value is Settings.read({}, {}, {"WEBQUEUE_START": text}).start


def test_queues_win_over_consumers() -> None:
    """``queues`` says who serves what; ``consumers`` is only the number of ``default`` where that is not listed."""
    unlisted = Settings.read({"consumers": 2, "queues": " mail=4 ,"}, {}, {})
    listed = Settings.read({"consumers": 2, "queues": "default=3,b c=0"}, {}, {})
    assert {"default": 2, "mail": 4} == unlisted.consumers_by_queue()
    assert {"default": 3, "b c": 0} == listed.consumers_by_queue()


def test_tokens() -> None:
    """A view token alone is refused, and so is one that is the same as the token."""
    with pytest.raises(SettingsError, match="WEBQUEUE_TOKEN"):
        Settings.read({"view_token": "v"}, {}, {})
    with pytest.raises(SettingsError, match="differ"):
        Settings.read({"view_token": "t", "token": "t"}, {}, {})
    assert "v" == Settings.read({"view_token": "v", "token": "t"}, {}, {}).view_token


def test_every_setting_is_documented() -> None:
    """Each setting has a line of meaning."""
    rows = Settings.documented()

    assert "WEBQUEUE_STORE" == rows[0][0]
    assert all(name.startswith("WEBQUEUE_") and meaning for name, _, meaning in rows)
