"""What the papers say is compared with the code."""

import re
import tomllib
from pathlib import Path

import pytest
from flask import Flask

from webqueue.job import TRANSITIONS, State
from webqueue.settings import Settings
from webqueue.web.app import create_app
from webqueue.web.live import EVENTS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def rows(first_cell: str) -> set[str]:
    """The first cells of all README rows that match, without the back-quotes."""
    return {match[1] for match in re.finditer(rf"^\| `({first_cell})` \|", README, re.MULTILINE)}


def settings_table() -> str:
    """The README's table of settings, as it should be."""
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for name, default, meaning in Settings.documented():
        lines.append(f"| `{name}` | {f'`{default}`' if default else ''} | {meaning} |")
    return "\n".join(lines)


@pytest.fixture(name="app", scope="module")
def _app() -> Flask:
    return create_app(store="memory:", start=False)


def test_every_setting_has_its_row() -> None:
    """Name, default and meaning, word for word."""
    assert settings_table() in README, f"The table of settings should be:\n\n{settings_table()}\n"


def test_every_route_has_its_row(app: Flask) -> None:
    """And every row has its route."""
    served = set()
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("webqueue.") and not rule.endpoint.endswith("static"):
            path = re.sub(r"<[^>]*>", "ID", rule.rule)
            served |= {f"{method} {path}" for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}

    assert served == rows("(?:GET|POST|DELETE|PUT|PATCH) /[^`]*")


def test_every_event_has_its_row() -> None:
    """What a client may send, and what it is sent."""
    sent = {"snapshot", "changes", "job_rejected", "job", "warnings"}

    assert sent | set(EVENTS) == rows("[a-z_]+") - {"kind"}


def test_the_diagram_is_the_state_machine() -> None:
    """Every step of job.TRANSITIONS is an arrow of the README's diagram, and there is no other."""
    diagram = README.partition("stateDiagram-v2")[2].partition("```")[0]
    drawn = set(re.findall(r"^\s*(\w+) --> (\w+): (\w+)$", diagram, re.MULTILINE))
    steps = {(str(start), str(end), verb) for verb, (starts, end) in TRANSITIONS.items() for start in starts}

    assert steps == drawn
    assert {str(state) for state in State} == {state for start, end, _ in drawn for state in (start, end)}


def test_the_changelog_knows_the_version() -> None:
    """Its newest version is the package's; [Unreleased] stands above it."""
    headings = re.findall(r"^## \[([^]]+)\]", CHANGELOG, re.MULTILINE)

    assert ["Unreleased", VERSION] == headings[:2]


def test_each_guarantee_names_a_test_that_exists() -> None:
    """A guarantee without a proof is none."""
    table = README.partition("## Guarantees")[2].partition("\n\n|")[2].partition("\n\n")[0]
    guarantees = table.splitlines()[2:]
    assert len(guarantees) >= 7
    for line in guarantees:
        tests = re.findall(r"\[?`(tests/[\w/]+\.py)(?:::(\w+))?`", line)
        assert tests, f"no test is named: {line}"
        for file, name in tests:
            assert (ROOT / file).is_file(), file
            assert not name or f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name}"


def test_links_between_the_papers_lead_somewhere() -> None:
    """Every relative link of README, CONTRIBUTING and SECURITY."""
    for paper in ("README.md", "CONTRIBUTING.md", "SECURITY.md"):
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / paper).read_text()):
            assert (ROOT / link).exists(), f"{paper}: {link}"


def test_contributing_is_short() -> None:
    """Nobody reads more."""
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 150


def test_each_guard_names_a_test_that_exists() -> None:
    """A guard without a proof is none; what SECURITY.md says lies where it says."""
    security = (ROOT / "SECURITY.md").read_text()
    guards = security.partition("## The guards")[2]
    for row in re.findall(r"^\| (?!guard \||---).*", guards, re.MULTILINE):
        tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert tests, row
        for file, name in tests:
            assert f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name}"
    for path in re.findall(r"`(webqueue/[\w/.]+)`", security):
        assert (ROOT / path).exists(), path
