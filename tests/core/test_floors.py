"""What webqueue stands on must not be too old: told at start, in one line with the way out."""

import re
import sqlite3
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from flask import Flask

from tests.servers import PATIENCE, ROOT, environment
from webqueue import WebQueue, floors
from webqueue.engine import Engine
from webqueue.errors import Outdated, StoreUnfit
from webqueue.handlers import Handlers
from webqueue.settings import Settings

DEPENDENCIES = dict(
    line.split(">=") for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
)
OUTDATED = """
import sys
from importlib import metadata
real = metadata.version
metadata.version = lambda name: {"gunicorn": "21.2.0"}.get(name) or real(name)
from webqueue.cli import main
main()
"""


@pytest.fixture(name="installed")
def _installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What seems to be installed, beside what is."""
    versions: dict[str, str] = {}
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: versions.get(name) or real(name))
    return versions


def test_the_floors_are_those_that_pip_is_told() -> None:
    """The same numbers as in pyproject.toml, and a reason for each."""
    assert {name: DEPENDENCIES[name] for name in floors.FLOORS} == {
        name: floor for name, (floor, _) in floors.FLOORS.items()
    }
    assert all(reason for _, reason in floors.FLOORS.values())


def test_what_is_installed_is_fine() -> None:
    """Nothing is said of what the tests run on."""
    floors.check()


@pytest.mark.parametrize("name", floors.FLOORS)
def test_one_that_is_too_old_is_named(installed: dict[str, str], name: str) -> None:
    """With what it does, its floor, and the command that helps; a floor itself is fine."""
    floor, reason = floors.FLOORS[name]
    installed[name] = floor
    floors.check()
    installed[name] = "1.0"
    with pytest.raises(Outdated) as refusal:
        floors.check()

    (line,) = str(refusal.value).splitlines()
    assert f"{name} 1.0 {reason}" in line
    assert line.endswith(f"Run: pip install --upgrade '{name}>={floor}'")


def test_all_that_are_too_old_are_named_at_once(installed: dict[str, str]) -> None:
    """One command for all of them."""
    installed.update({"werkzeug": "3.0.5", "marshmallow": "4.1.1"})
    with pytest.raises(Outdated) as refusal:
        floors.check()

    assert str(refusal.value).endswith("pip install --upgrade 'marshmallow>=4.1.2' 'werkzeug>=3.0.6'")


def test_what_cannot_be_told_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen program has no metadata."""

    def unknown(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", unknown)
    floors.check()


@pytest.mark.parametrize(
    ("version", "expected"),
    [("26", (26, 0, 0)), ("26.0rc1", (26, 0, 0)), ("4.1.10", (4, 1, 10)), ("1!3.0.6+deb", (3, 0, 6)),
     ("3.0.5.post2", (3, 0, 5)), ("4.13.2.1", (4, 13, 2, 1)), ("unknown", (0, 0, 0))],
)  # fmt: skip
def test_versions_are_compared_as_numbers(version: str, expected: tuple[int, ...]) -> None:
    """Not as texts: 4.1.10 is newer than 4.1.2."""
    assert expected == floors.numbers(version)


def test_no_application_is_made(installed: dict[str, str]) -> None:
    """Neither one of ours nor in one of the user's; nothing has been registered by then."""
    installed["python-socketio"] = "5.13.0"
    app = Flask("shop")
    with pytest.raises(Outdated):
        WebQueue(store="memory:").create_app()
    with pytest.raises(Outdated):
        WebQueue(store="memory:").init_app(app)

    assert {} == app.extensions


def test_webqueue_run_refuses_in_one_line(tmp_path: Path) -> None:
    """Exit code 1, before anything of an old gunicorn is used."""
    command = [sys.executable, "-c", OUTDATED, "run", "--port", "0"]
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )

    (line,) = ended.stderr.splitlines()
    assert (1, "") == (ended.returncode, ended.stdout)
    assert re.fullmatch(
        r"webqueue: Too old to be safe: gunicorn 21\.2\.0 .* pip install --upgrade 'gunicorn>=26'", line
    )


def test_an_old_sqlite_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words, before a file is made; without a file it is not needed."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")
    engine = Engine(Settings.read({"store": f"sqlite:///{tmp_path}/jobs.db"}, {}, {}), Handlers())
    with pytest.raises(StoreUnfit, match=r"SQLite 3\.34\.1, and 3\.35\.0 is needed"):
        engine.start()
    assert not (tmp_path / "jobs.db").exists()

    engine = Engine(Settings.read({"store": "memory:"}, {}, {}), Handlers())
    engine.start()
    engine.stop()
