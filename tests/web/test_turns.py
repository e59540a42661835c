"""Lists are made one at a time."""

import threading

import pytest
from werkzeug.exceptions import ServiceUnavailable

from tests.servers import PATIENCE
from webqueue.web.turns import Turns


def test_one_at_a_time() -> None:
    """Who comes meanwhile waits until the other is done."""
    turns, had = Turns(most=2), []

    def take() -> None:
        with turns.turn():
            had.append("second")

    with turns.turn():
        other = threading.Thread(target=take)
        other.start()
        had.append("first")
    other.join(PATIENCE)

    assert ["first", "second"] == had


def test_not_all_may_wait() -> None:
    """Who would be one too many is told to come back, and may once there is room."""
    turns = Turns(most=1)
    with turns.turn(), pytest.raises(ServiceUnavailable), turns.turn():
        pass

    with turns.turn():
        pass
