"""``python -m tests.faults.pushing STORE LEDGER PUSHES BYTES``: an engine's life, to be recorded by strace."""

import sys
import threading
from pathlib import Path

from tests.faults.ledger import Ledger
from tests.faults.rounds import engine_on, noting, push, push_many
from webqueue.errors import WebqueueError


def main(store: str, ledger_path: str, pushes: str, size: str) -> None:
    """Push from three threads and in bulk beside a consumer, then stop; each push and its answer are noted."""
    ledger = Ledger(Path(ledger_path))
    engine = engine_on(store, noting(ledger))
    engine.start()
    filler = "x" * int(size)

    def pusher(thread: int) -> None:
        for number in range(int(pushes) // 3):
            push(engine, ledger, f"{thread}.{number}", filler=filler)

    threads = [threading.Thread(target=pusher, args=(thread,)) for thread in range(3)]
    for thread in threads:
        thread.start()
    for number in range(3):
        push_many(engine, ledger, [f"bulk.{number}.{one}" for one in range(10)])
    for thread in threads:
        thread.join()
    engine.stop()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except WebqueueError as error:
        sys.exit(f"webqueue: {error}")
