"""``python -m tests.faults.pushing STORE LEDGER THREADS PUSHES BYTES``: an engine's life, to be recorded by strace."""

import sys
import threading
import time
from pathlib import Path

from tests.faults.ledger import Ledger
from tests.faults.rounds import engine_on, noting, push, push_many
from webqueue.errors import WebqueueError


def main(store: str, ledger_path: str, threads: str, pushes: str, size: str) -> None:
    """Push from THREADS threads and in bulk beside a consumer, then stop; each push and its answer are noted.

    Without threads the main thread pushes, one by one.
    """
    ledger = Ledger(Path(ledger_path))
    engine = engine_on(store, noting(ledger))
    engine.start()

    def pusher(thread: int) -> None:
        for number in range(int(pushes)):
            began = time.monotonic()
            push(engine, ledger, f"{thread}.{number}", filler="x" * int(size))
            ledger.note("took", time.monotonic() - began)

    pushers = [threading.Thread(target=pusher, args=(thread,)) for thread in range(int(threads))]
    for thread in pushers:
        thread.start()
    if pushers:
        for number in range(3):
            push_many(engine, ledger, [f"bulk.{number}.{one}" for one in range(10)])
    else:
        pusher(0)
    for thread in pushers:
        thread.join()
    began = time.monotonic()
    engine.stop()
    ledger.note("took", time.monotonic() - began)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except WebqueueError as error:
        sys.exit(f"webqueue: {error}")
