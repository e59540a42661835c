"""Who may import whom: calls go down, nothing goes round in a circle, and frameworks stay in their rooms."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "webqueue"

# Part: (its modules, the parts that it may import beside itself). A new module is a word in this table.
PARTS: dict[str, tuple[str, str]] = {
    "words": (
        "errors job limits rules backoff strictjson timers version signals redaction views jsonschema meters settings"
        " floors troubles timeline",
        "",
    ),
    "handlers": ("handlers fitness", "words"),
    "stores": ("stores stores.* queues feed", "words"),
    "running": ("context attempt child processes executor consumer estimate", "words handlers stores"),
    "engine": ("engine look rings recurring demo testing", "words handlers stores running"),
    "web": ("web web.*", "words handlers stores engine"),
    "server": (
        "web.server web.worker web.connection web.unreadable web.sending web.target web.sockets web.polling",
        "words handlers web",
    ),
    "clients": ("client watch socket_client", "words"),
    "command line": ("cli bench printing __main__", "words handlers engine server clients"),
    "package": ("", "words running web"),
}
EXCEPTIONS = {
    ("web.live", "web.sockets"): "the socket classes belong to the server, and work under others too",
    ("web.live", "web.polling"): "likewise",
}

# What may be imported from outside, where it may not be imported everywhere.
CONFINED = {
    "flask": "web.*",
    "flask_socketio": "web.*",
    "socketio": "web.*",
    "engineio": "web.*",
    "werkzeug": "web.*",
    "jinja2": "web.*",
    "gunicorn": "web.server web.worker web.connection web.unreadable",
    "sqlite3": "stores.sqlite",
    "click": "cli web.hosting",
    "wsproto": "web.sockets socket_client",
}


def modules() -> dict[str, Path]:
    """Every module of the package by its name without ``webqueue.``; the package itself is the empty name."""
    found = {}
    for path in ROOT.rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix("__init__").removesuffix(".")] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """What a module imports, hidden in functions and under TYPE_CHECKING too, by full names."""
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner.removeprefix("webqueue.") in MODULES else str(node.module)


def ours(name: str) -> set[str]:
    """The modules of the package that a module imports."""
    found = {one.removeprefix("webqueue").removeprefix(".") for one in imports(name) if _top(one) == "webqueue"}
    return found - {name}


def _top(module: str) -> str:
    return module.partition(".")[0]


def _fits(name: str, patterns: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns.split())


def part(name: str) -> str:
    """The part that a module belongs to: the most exact entry counts."""
    exact = [one for one, (names, _) in PARTS.items() if name in names.split() or (name, names) == ("", "")]
    wide = [one for one, (names, _) in PARTS.items() if _fits(name, names)]
    assert exact or wide, f"webqueue.{name} is in no part of the table"
    return (exact or wide)[0]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_down(name: str) -> None:
    """A module imports its own part and those that the table allows."""
    mine = part(name)
    allowed = {mine, *PARTS[mine][1].split(), *(["command line"] if name == "__main__" else [])}
    wrong = {one for one in ours(name) if part(one) not in allowed and (name, one) not in EXCEPTIONS}

    assert set() == wrong


@pytest.mark.parametrize("name", sorted(MODULES))
def test_frameworks_stay_in_their_rooms(name: str) -> None:
    """Flask is known under web/ alone, SQLite to one module, and so on."""
    wrong = {one for one in map(_top, imports(name)) if one in CONFINED and not _fits(name, CONFINED[one])}

    assert set() == wrong


def test_no_circle() -> None:
    """No module imports itself over others, hidden imports included."""
    seen: dict[str, bool] = {}  # False: on the way

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert seen.get(name, True), f"a circle: {' -> '.join((*way[way.index(name) :], name))}"
        if name not in seen:
            seen[name] = False
            for one in ours(name):
                visit(one, (*way, name))
            seen[name] = True

    for name in MODULES:
        visit(name, ())


def test_the_core_works_without_flask() -> None:
    """Nothing that the engine needs, at any remove, is under web/."""
    needed, more = set(), {"engine"}
    while more:
        needed |= more
        more = set().union(*(ours(name) for name in more)) - needed

    assert not [name for name in needed if name.startswith("web")]


def test_nobody_sleeps() -> None:
    """Waiting is waiting for something: there is no time.sleep in the package."""
    assert [] == [name for name, path in MODULES.items() if "time.sleep" in path.read_text()]
