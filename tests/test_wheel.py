"""The package as users get it: built, installed into a clean environment, started by its script."""

import re
import signal
import subprocess
import sys
import sysconfig
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import PATIENCE, ROOT, Lines, environment

BUILD = """
import sys
from hatchling.builders.wheel import WheelBuilder
from hatchling.builders.sdist import SdistBuilder
print(next(WheelBuilder(sys.argv[1]).build(directory=sys.argv[2])))
print(next(SdistBuilder(sys.argv[1]).build(directory=sys.argv[2])))
"""


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a command that must succeed."""
    env = environment()
    del env["PYTHONPATH"]  # the checkout must not help
    result = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert 0 == result.returncode, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(name="built", scope="module")
def _built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(wheel, sdist), built from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    wheel, sdist = run(sys.executable, "-c", BUILD, ROOT, folder, cwd=folder).split()
    return Path(wheel), Path(sdist)


@pytest.fixture(name="clean", scope="module")
def _clean(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment with the wheel in it; what it depends on is lent by this environment."""
    folder = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    binaries = folder / "venv" / "bin"
    run(binaries / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", built[0], cwd=folder)
    packages = Path(
        run(binaries / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    )
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return binaries


@pytest.fixture(name="url", scope="module")
def _url(clean: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``webqueue run`` of the installed wheel, in an empty folder."""
    folder = tmp_path_factory.mktemp("elsewhere")
    env = environment()
    del env["PYTHONPATH"]
    command = [str(clean / "webqueue"), "run", "--port", "0"]
    process = subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)
    lines = Lines(process.stderr)
    match = re.search(r" at (http://\S+),", lines.find(r"^webqueue \S+ at http"))
    assert match is not None
    yield match[1]
    process.send_signal(signal.SIGTERM)
    assert 0 == process.wait(PATIENCE)
    lines.rest()


def fetch(url: str) -> tuple[int, str, str]:
    """(status, type, text) of a GET."""
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


def test_the_wheel_holds_all_that_runs_and_nothing_else(built: tuple[Path, Path]) -> None:
    """Package, templates and assets; not the README's pictures."""
    names = {name for name in zipfile.ZipFile(built[0]).namelist() if ".dist-info/" not in name}
    files = [
        path for folder in ("webqueue", "templates", "static") for path in (ROOT / folder).rglob("*") if path.is_file()
    ]
    pictures = {"static/screenshot.png", "static/moving.gif"}
    wanted = {str(path.relative_to(ROOT)) for path in files if path.suffix != ".pyc"} - pictures

    assert {name if name.startswith("webqueue/") else f"webqueue/{name}" for name in wanted} == names


def test_the_page_and_its_assets_are_served(url: str) -> None:
    """``GET /`` answers, and each asset that the page names."""
    status, kind, page = fetch(url + "/")

    assert (200, True) == (status, kind.startswith("text/html"))
    assets = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page))
    assert any(one.endswith(".css") for one in assets)
    assert any(one.endswith(".js") for one in assets)
    for asset in assets:
        assert 200 == fetch(url + asset)[0]


def test_the_script_pushes(clean: Path, url: str, tmp_path: Path) -> None:
    """``webqueue push --wait`` of the installed script runs a job to its end."""
    output = run(clean / "webqueue", "push", "echo", '{"a": 1}', "--wait", "--server", url, cwd=tmp_path)

    assert '"state": "done"' in output


def test_it_is_the_wheel_that_runs(clean: Path, tmp_path: Path) -> None:
    """Not the checkout, by mistake."""
    where = run(clean / "python", "-c", "import webqueue; print(webqueue.__file__)", cwd=tmp_path)

    assert where.startswith(str(clean.parent))


def test_the_sdist_builds_the_same_wheel(built: tuple[Path, Path], tmp_path: Path) -> None:
    """Whoever builds from the sdist gets every file."""
    run("tar", "xzf", built[1], cwd=tmp_path)
    (unpacked,) = tmp_path.iterdir()
    (tmp_path / "again").mkdir()
    wheel = run(sys.executable, "-c", BUILD, unpacked, tmp_path / "again", cwd=tmp_path).split()[0]

    assert set(zipfile.ZipFile(built[0]).namelist()) == set(zipfile.ZipFile(wheel).namelist())
