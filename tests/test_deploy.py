"""The systemd unit and the container file: without privileges, without secrets, and in step with what they start."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import webqueue
from tests.servers import PATIENCE, ROOT, Server
from webqueue.cli import commands
from webqueue.settings import Settings
from webqueue.version import VERSION
from webqueue.web.worker import LAST_ANSWERS, LAST_RESORT

FOLDER = Path(webqueue.__file__).parent / "deploy"
UNIT = (FOLDER / "webqueue.service").read_text()
CONTAINER = (FOLDER / "Containerfile").read_text()
README = (ROOT / "README.md").read_text()
NEEDED = Settings().grace + LAST_RESORT + LAST_ANSWERS
"""Seconds from SIGTERM until a worker has ended, whatever holds it."""
DATA = "/var/lib/webqueue"


def unit() -> dict[str, list[str]]:
    """The values of each key of the unit, in order."""
    found: dict[str, list[str]] = defaultdict(list)
    for key, value in re.findall(r"^(\w+)=(.*)$", UNIT, re.MULTILINE):
        found[key].append(value)
    return found


def instructions() -> dict[str, list[str]]:
    """What each instruction of the container file says, in order, continued lines put together."""
    found: dict[str, list[str]] = defaultdict(list)
    whole = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", CONTAINER, flags=re.MULTILINE))
    for name, rest in re.findall(r"^([A-Z]+) (.*)$", whole, re.MULTILINE):
        found[name].append(rest)
    return found


def settings(pairs: list[str]) -> dict[str, str]:
    """The settings among ``NAME=value`` words."""
    words = [word.partition("=") for pair in pairs for word in pair.split()]
    return {name: value for name, _, value in words if name.startswith("WEBQUEUE_")}


def port_of(command: list[str]) -> int:
    """The port that ``webqueue run`` would listen at; fails where the command line does not understand *command*."""
    run = commands.commands["run"]
    return int(run.make_context("run", [*command]).params["port"])


def test_both_start_what_the_command_line_knows() -> None:
    """At the port that the README, the health check and the proxy in front expect."""
    name, verb, *options = shlex.split(unit()["ExecStart"][0])
    assert ("webqueue", "run") == (Path(name).name, verb)
    inside = json.loads(instructions()["CMD"][0])
    assert ["webqueue"] == json.loads(instructions()["ENTRYPOINT"][0])
    exposed = int(instructions()["EXPOSE"][0])
    health = int(re.search(r"'127\.0\.0\.1', (\d+)", instructions()["HEALTHCHECK"][0])[1])

    assert {port_of([])} == {port_of(options), port_of(inside[1:]), exposed, health}
    assert "127.0.0.1" == options[options.index("--host") + 1], "a unit serves loopback until its owner says otherwise"


def test_both_give_jobs_their_grace() -> None:
    """Nobody kills before the grace period, the last answers and the last resort are over."""
    stop_timeout = re.search(r"--stop-timeout=(\d+)", CONTAINER)
    assert stop_timeout is not None
    assert NEEDED <= int(unit()["TimeoutStopSec"][0]) == int(stop_timeout[1])
    assert ["mixed"] == unit()["KillMode"], "the master alone is told; it tells its worker"
    assert ["SIGTERM"] == instructions()["STOPSIGNAL"]
    for said in (settings(unit()["Environment"]), settings(instructions()["ENV"])):
        assert Settings().grace == float(said["WEBQUEUE_GRACE"])


def test_both_keep_the_jobs() -> None:
    """The store lies in the one folder that may be written, and that outlives the service and the container."""
    store = f"sqlite:///{DATA}/webqueue.db"
    assert DATA == f"/var/lib/{unit()['StateDirectory'][0]}" == unit()["WorkingDirectory"][0]
    assert [DATA] == instructions()["VOLUME"] == instructions()["WORKDIR"]
    assert store == settings(unit()["Environment"])["WEBQUEUE_STORE"]
    assert store == settings(instructions()["ENV"])["WEBQUEUE_STORE"]


def test_neither_is_root() -> None:
    """A user without rights, and no way to get some."""
    keys = unit()
    for key in ("DynamicUser", "NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "RestrictSUIDSGID"):
        assert ["yes"] == keys[key], key
    assert ["strict"] == keys["ProtectSystem"]
    assert [""] == keys["CapabilityBoundingSet"] == keys["AmbientCapabilities"]
    assert not {"User", "Group", "ReadWritePaths"} & set(keys)
    (user,) = instructions()["USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "a number, and not 0"
    after = CONTAINER.partition("\nUSER ")[2]
    assert not re.search(r"^(USER|RUN|ADD|COPY) ", after, re.MULTILINE), "nothing is done as root afterwards"


def test_neither_holds_a_secret() -> None:
    """Tokens come from a file of the machine, or from the environment of who starts it."""
    given = settings(unit()["Environment"]) | settings(instructions()["ENV"])
    assert not [name for name in given if "TOKEN" in name]
    assert not [one for one in instructions()["ARG"] if "TOKEN" in one]
    assert ["-/etc/webqueue.env"] == unit()["EnvironmentFile"]


def test_the_image_has_this_version() -> None:
    """The file in a wheel installs that wheel's version, and Python is one that it takes."""
    (base,) = instructions()["FROM"]
    version = re.search(r"python:3\.(\d+)-slim$", base)
    assert version is not None
    assert int(version[1]) >= 11
    assert [f"VERSION={VERSION}"] == instructions()["ARG"]


def test_the_health_check_tells_alive_from_dead(tmp_path: Path) -> None:
    """0 while it answers, even by a name that it is not served under; 1 when it is gone."""
    _, code = shlex.split(instructions()["HEALTHCHECK"][0].partition("CMD ")[2].strip("[]").replace(", ", " ", 1))[-2:]
    with Server(tmp_path, "--store", "memory:", WEBQUEUE_ALLOWED_HOSTS="queue.example.org") as server:
        check = [sys.executable, "-c", code.replace("8000", str(server.port))]
        assert 0 == subprocess.run(check, timeout=PATIENCE, check=False).returncode
    assert 0 != subprocess.run(check, timeout=PATIENCE, capture_output=True, check=False).returncode


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    """It has nothing to say about it, and finds it little exposed (0 is best, 10 worst)."""
    copy = tmp_path / "webqueue.service"
    copy.write_text(UNIT.replace("/opt/webqueue/bin/webqueue", shutil.which("true") or "/bin/true"))
    verdict = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (0, "") == (verdict.returncode, verdict.stdout + verdict.stderr)
    exposed = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=15", str(copy)],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert 0 == exposed.returncode, exposed.stdout


def test_the_readme_names_both() -> None:
    """Nobody looks for files in a package."""
    for path in FOLDER.iterdir():
        assert f"`webqueue/deploy/{path.name}`" in README
