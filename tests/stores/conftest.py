"""A bench for each kind of store."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stores.kit import Bench

MakeBench = Callable[..., Bench]


@pytest.fixture(name="make_bench", params=["memory", "sqlite"])
def _make_bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeBench]:
    """Makes benches on each kind of store in turn; all are closed at the end."""
    yield from _making(tmp_path if request.param == "sqlite" else None)


@pytest.fixture(name="make_sqlite")
def _make_sqlite(tmp_path: Path) -> Iterator[MakeBench]:
    """Makes benches on an SQLite file only."""
    yield from _making(tmp_path)


def _making(folder: Path | None) -> Iterator[MakeBench]:
    made: list[Bench] = []

    def make(**options: Any) -> Bench:
        made.append(Bench(folder, **options))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.fixture(name="bench")
def _bench(make_bench: MakeBench) -> Bench:
    """A store with small windows, so that jobs beyond them are read in again and again."""
    return make_bench()


@pytest.fixture(name="sqlite")
def _sqlite(make_sqlite: MakeBench) -> Bench:
    """The same on SQLite only."""
    return make_sqlite()
