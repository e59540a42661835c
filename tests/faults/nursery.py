"""A process that has imported webqueue and forks a child a round: a round costs milliseconds, and may be killed.

The nursery has one thread and no engine, so its children are as good as processes of their own. Some of them fork in
their turn, under threads: so neither is traced by coverage.
"""

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn

from tests.servers import ROOT, untraced

PATIENCE: Final = 30
"""Seconds that a child lives at most."""
Ready = Callable[[], None]
"""What a round calls when it is under way: from then on it may be killed."""


class Nursery:
    """Asks for children, one at a time; leaving the context ends it."""

    def __init__(self, errors: Path) -> None:
        self._errors = errors.open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"],
            cwd=ROOT,
            env=untraced(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def __enter__(self) -> "Nursery":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=PATIENCE * 2)
        self._errors.close()

    def run(self, what: Callable[..., None], *arguments: Any, kill_after: float | None = None) -> int:
        """Run ``what(ready, *arguments)`` in a child; kill it so many seconds after it was ready, or let it end.

        Returns its exit code, negative for the signal that ended it.
        """
        order = {"module": what.__module__, "name": what.__name__, "with": arguments, "kill_after": kill_after}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order, default=str) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self.errors()
        return int(answer)

    def errors(self) -> str:
        """What the children wrote to stderr."""
        self._errors.seek(0)
        return self._errors.read()


def main() -> None:
    """The nursery's side: a child for each order."""
    importlib.import_module("tests.faults.rounds")
    for line in sys.stdin:
        sys.stdout.write(f"{_raise(json.loads(line))}\n")
        sys.stdout.flush()


def _raise(order: dict[str, Any]) -> int:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _live(order, writer)
    os.close(writer)
    with os.fdopen(reader, "rb", buffering=0) as ready:
        if ready.read(1) and order["kill_after"] is not None:
            select.select([], [], [], order["kill_after"])
            os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _live(order: dict[str, Any], writer: int) -> NoReturn:
    signal.alarm(PATIENCE)
    os.dup2(2, 1)
    code = 1
    try:
        what = getattr(importlib.import_module(order["module"]), order["name"])
        what(lambda: os.write(writer, b"."), *order["with"])
        code = 0
    except BaseException:  # noqa: BLE001 - told, and then the child ends
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
