"""After a fork the child's copy is inert, and the parent's is as it was."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT, untraced

SCRIPT = """
import faulthandler, gc, os, signal, sys, threading
from pathlib import Path
from webqueue.engine import Engine
from webqueue.errors import NotRunning, StoreBusy
from webqueue.handlers import Handlers
from webqueue.settings import Settings
from webqueue.stores.owner import Owner

faulthandler.register(signal.SIGALRM, all_threads=True, chain=True)  # a child that hangs says where
url, folder = sys.argv[1], Path(sys.argv[2])
handlers = Handlers()
handlers.register(lambda **payload: payload, kind="echo")
engine = Engine(Settings.read({"store": url, "consumers": 2}, {}, {}), handlers)
engine.start()
ids = [engine.push({"kind": "echo"}).job.id for _ in range(5)]
engine.jobs()
stop = threading.Event()
def load():
    while not stop.is_set():
        ids.append(engine.push({"kind": "echo"}).job.id)
pushing = threading.Thread(target=load, daemon=True)
pushing.start()

def child():
    signal.alarm(20)
    body = {"kind": "echo"}
    for call in (lambda: engine.push(body), lambda: engine.push_many([body]), lambda: engine.job(1),
                 engine.snapshot, engine.pause):
        try:
            call()
        except NotRunning as error:
            assert "post_fork" in str(error), error
        else:
            raise AssertionError("it worked in the child")
    assert "post_fork" in engine.ready()[0]
    engine.stop()
    engine.drain()
    if url != "memory:":
        assert engine._store.tables._writer is None, "closing it here would meddle with the parent's"
        try:
            Owner(folder / "jobs.db").acquire(0)
        except StoreBusy:
            pass
        else:
            raise AssertionError("the child could take the store")
    globals().pop("engine")
    gc.collect()

for _ in range(8):
    pid = os.fork()
    if not pid:
        try:
            child()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0) if _ % 2 else sys.exit(0)
    assert 0 == os.waitpid(pid, 0)[1], "the child failed"
    ids.append(engine.push({"kind": "echo"}).job.id)
stop.set()
pushing.join()
for id in ids:
    assert engine.wait(id, 10).finished
if url != "memory:":
    try:
        Owner(folder / "jobs.db").acquire(0)
    except StoreBusy:
        pass
    else:
        raise AssertionError("the parent lost its lock")
total = engine.overview()["totals"]["done"]
engine.stop()
engine.start()
assert url == "memory:" or engine.overview()["totals"]["done"] == total == len(ids)
engine.stop()
print("fine")
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_fork(tmp_path: Path, store: str) -> None:
    """A push in a forked child names ``post_fork``; however it ends, the parent's store and lock stay its own."""
    url = "memory:" if store == "memory" else f"sqlite:///{tmp_path}/jobs.db"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, url, str(tmp_path)],
        cwd=ROOT,
        env=untraced(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ("fine\n", 0) == (done.stdout, done.returncode), done.stderr


REVIVED = """
import os, sys
from webqueue.engine import Engine
from webqueue.handlers import Handlers
from webqueue.settings import Settings

handlers = Handlers()
handlers.register(lambda **payload: payload, kind="echo")
engine = Engine(Settings.read({"store": sys.argv[1]}, {}, {}), handlers)
pid = os.fork()  # before the start, as gunicorn --preload with start=False does
if not pid:
    engine.start()
    os._exit(0 if engine.wait(engine.push({"kind": "echo"}).job.id, 10).finished and not engine.stop() else 1)
assert 0 == os.waitpid(pid, 0)[1]
print("fine")
"""


def test_start_in_the_child(tmp_path: Path) -> None:
    """An engine that was made before the fork and is started after it (in ``post_fork``) works."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", REVIVED, f"sqlite:///{tmp_path}/jobs.db"],
        cwd=ROOT,
        env=untraced(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ("fine\n", 0) == (done.stdout, done.returncode), done.stderr
