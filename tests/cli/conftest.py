"""One server for the tests that only talk to it."""

from collections.abc import Iterator

import pytest

from tests.servers import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """``webqueue run`` with the demo kinds."""
    with Server(tmp_path_factory.mktemp("server"), "--store", "memory:") as running:
        yield running
