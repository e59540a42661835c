"""The command line. Errors are one clear line on stderr; the exit code is 0 only on success."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import Any, Final

import click

from webqueue import floors, strictjson
from webqueue.client import CallFailed, Client
from webqueue.errors import SettingsError, WebqueueError
from webqueue.job import State
from webqueue.printing import (
    Screen,
    bar,
    cut,
    in_one_line,
    job_sheet,
    jobs_table,
    note,
    queue_sheet,
    safe,
    size_of,
    to_json,
)
from webqueue.version import VERSION
from webqueue.watch import Watch

SHAPES: Final = {
    State.SCHEDULED: ("◔", "cyan"),
    State.TODO: ("○", None),
    State.RUNNING: ("◐", "blue"),
    State.DONE: ("●", "green"),
    State.FAILED: ("✕", "red"),
    State.CANCELLED: ("⊘", "yellow"),
}
"""How a state looks, here and on the page."""

Job = dict[str, Any]


def main() -> None:
    """What the ``webqueue`` script runs."""
    try:
        commands(prog_name="webqueue")
    except WebqueueError as error:
        fail(error)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; nothing is wrong


def fail(error: object) -> None:
    """End with one line on stderr and exit code 1."""
    complain(error)
    sys.exit(1)


def complain(error: object) -> None:
    """One line on stderr."""
    click.echo(f"webqueue: {in_one_line(str(error))}", err=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, prog_name="webqueue")
def commands() -> None:
    """A job queue with a page of its own: push jobs, see them live, lose nothing."""


def talks(command: Any) -> Any:
    """*command* talks to a running server: it takes --server and --token, and is given a Client."""
    server = click.option("--server", envvar="WEBQUEUE_SERVER", default="http://127.0.0.1:8000", show_default=True,
                          help="Base URL of the server, or WEBQUEUE_SERVER.")  # fmt: skip
    token = click.option("--token", envvar="WEBQUEUE_TOKEN", help="Its token, or WEBQUEUE_TOKEN.")
    return server(token(command))


def picks(command: Any) -> Any:
    """*command* is given jobs: by their IDs, or by what they have in common."""
    for option in (
        click.option("--limit", type=click.IntRange(1, 10_000), help="Of all that match so many, oldest first  [1000]"),
        click.option("--error", metavar="TYPE", help="Jobs with this error, such as ValueError."),
        click.option("--queue", help="Jobs of this queue."),
        click.option("--kind", help="Jobs of this kind."),
        click.option("--state", type=STATES, help="Jobs in this state."),
        click.argument("ids", type=int, nargs=-1, metavar="[ID]..."),
    ):
        command = option(command)
    return command


STATES: Final = click.Choice([str(state) for state in State])
json_too = click.option("--json", "as_json", is_flag=True, help="What the API answered, as JSON.")


# -- serving


@commands.command()
@click.argument("target", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="Off loopback it needs a token.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: any free one.")
@click.option("--store", help="sqlite:///FILE, sqlite:///FILE?sync=normal, or memory:")
@click.option("--consumers", type=click.IntRange(0), help="Consumer threads of the default queue.")
def run(target: str | None, host: str, port: int, store: str | None, consumers: int | None) -> None:
    """Serve the API, the page and the consumers.

    TARGET is module:attr, module or path/to/file.py that holds a WebQueue; without it, demo kinds are served.
    """
    floors.check()
    from webqueue.web.server import serve  # the clients need no Flask

    serve(target, host, port, given({"store": store, "consumers": consumers}))


@commands.command()
@click.argument("target")
@click.option("--store", required=True, help="postgresql://...")
def work(target: str, store: str) -> None:
    """Run consumers only, beside those of other machines. Needs a store that many machines share."""
    if not store.startswith(("postgresql:", "postgres:")):
        raise SettingsError(
            f"{store} has one owner, `webqueue run {target} --store {store}` serves it; `webqueue work` needs postgresql://..."
        )
    raise SettingsError("This version of webqueue has no PostgreSQL store yet.")


@commands.command()
def bench() -> None:
    """Measure this machine, within 30 s, in a temporary folder."""
    from webqueue.bench import measure  # starts engines of its own

    measure(click.echo)


# -- talking to a server


@commands.command()
@talks
@click.argument("kind")
@click.argument("payload", default="{}", metavar="[JSON]")
@click.option("--wait", is_flag=True, help="Wait for its end and print the whole job as JSON.")
@click.option("--queue", help="Named queue.")
@click.option("--priority", type=int, help="Higher ones start first.")
@click.option("--delay", type=float, help="Seconds from now.")
@click.option("--run-at", help="Time in ISO 8601, with its zone.")
@click.option("--max-attempts", type=int)
@click.option("--timeout", type=float, help="Seconds for each attempt.")
@click.option("--unique-key", help="No second active job with the same key.")
@click.option("--idempotency-key", help="Makes a repetition safe.")
def push(
    server: str, token: str | None, kind: str, payload: str, wait: bool, idempotency_key: str | None, **fields: Any
) -> None:
    """Push a job of KIND; JSON is its payload ("-": from stdin). On a terminal --wait shows how far it is."""
    client = Client(server, token)
    body = {"kind": kind, "payload": parsed(payload)} | given(fields)
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    drawn = wait and size_of(sys.stderr) is not None
    # Who is to see it run needs its id before it has finished.
    job = client.post("/push-job", body, headers | ({"Prefer": "wait=60"} if wait and not drawn else {})).body
    if not wait:
        click.echo(line(job))
        return
    with bar_of(client, job) if drawn else nullcontext():
        job = client.finished(job)
    click.echo(to_json(job))
    sys.exit(0 if job["state"] == State.DONE else 1)


@commands.command()
@talks
@click.option("--state", type=STATES)
@click.option("--kind")
@click.option("--queue")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 200))
@json_too
def jobs(server: str, token: str | None, as_json: bool, **query: Any) -> None:
    """List jobs, newest first."""
    found = Client(server, token).get("/jobs", **query)
    put([to_json(found)] if as_json else jobs_table(found["jobs"], now(), columns()))


@commands.command()
@talks
@click.argument("id", type=int)
@json_too
def show(server: str, token: str | None, id: int, as_json: bool) -> None:
    """Show one job: payload, result or error, attempts and log."""
    client = Client(server, token)
    job = client.get(f"/jobs/{id}")
    put([to_json(job)] if as_json else [line(job), "", *job_sheet(job, client.log(id), now())])


@commands.command()
@talks
@picks
@json_too
def cancel(**options: Any) -> None:
    """Cancel jobs: at once while they wait; running ones are asked to stop."""
    steer("cancel", "cancelled", **options)


@commands.command()
@talks
@picks
@json_too
def retry(**options: Any) -> None:
    """Put failed or cancelled jobs at the end of todo."""
    steer("retry", "retried", **options)


@commands.command()
@talks
@click.argument("ids", type=int, nargs=-1, required=True, metavar="ID...")
def delete(server: str, token: str | None, ids: tuple[int, ...]) -> None:
    """Forget finished jobs."""
    client = Client(server, token)

    def forget(id: int) -> str:
        client.delete(f"/jobs/{id}")
        return f"{id} deleted"

    each(ids, forget)


@commands.command()
@talks
@json_too
def queue(server: str, token: str | None, as_json: bool) -> None:
    """Show how it stands: counts, queues, what is paused, consumers, what recurs."""
    overview = Client(server, token).get("/queue")
    put([to_json(overview)] if as_json else queue_sheet(overview, columns()))


@commands.command()
@talks
@click.argument("queue", required=False)
@click.option("--why", help="Shown beside the queue until it is resumed.")
@click.option("--who", envvar="USER", help="Likewise; your user name unless given.")
@json_too
def pause(server: str, token: str | None, as_json: bool, **wishes: str | None) -> None:
    """Start no more jobs, of QUEUE or of all; pushes are still accepted."""
    overview = Client(server, token).post("/queue/pause", given(wishes)).body
    put([to_json(overview) if as_json else f"paused {safe(wishes['queue'] or 'all queues')}"])


@commands.command()
@talks
@click.argument("queue", required=False)
@json_too
def resume(server: str, token: str | None, queue: str | None, as_json: bool) -> None:
    """Start jobs again."""
    overview = Client(server, token).post("/queue/resume", given({"queue": queue})).body
    put([to_json(overview) if as_json else f"resumed {safe(queue or 'all queues')}"])


@commands.command()
@talks
@click.option("--json", "as_json", is_flag=True, help="As JSON, a line a step.")
def watch(server: str, token: str | None, as_json: bool) -> None:
    """Print each step of each job as it happens, until Ctrl-C; on a terminal, how far those are that run."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    client = Client(server, token)
    try:
        if as_json or size_of(sys.stdout) is None:
            for job in Watch(client, complain, awake).steps():
                put([to_json(job, indent=None) if as_json else line(job)])
                sys.stdout.flush()
        else:
            watch_live(client, awake)
    except KeyboardInterrupt:
        sys.exit(0)


# -- what they share


def steer(
    verb: str, past: str, server: str, token: str | None, ids: tuple[int, ...], as_json: bool, **wanted: Any
) -> None:
    """Cancel or retry jobs by their *ids* or by what is *wanted*, and say what came of it."""
    client, body = Client(server, token), given(wanted)
    if bool(ids) == bool(body.keys() - {"limit"}):
        raise SettingsError(f"Say which jobs to {verb}: by ID, or by --state, --kind, --queue, --error.")

    def one(id: int) -> str:
        job = client.post(f"/jobs/{id}/{verb}").body
        asked = ", asked to stop" if verb == "cancel" and job["state"] == State.RUNNING else ""
        return to_json(job) if as_json else line(job) + asked

    if ids:
        each(ids, one)
    else:
        answer = client.post(f"/jobs/{verb}", body).body
        put([to_json(answer) if as_json else f"{past} {answer['done']} of {answer['matched']} jobs that match"])


def each(ids: Iterable[int], act: Callable[[int], str]) -> None:
    """Do it to each and print what came of it. A job that refuses is a line on stderr; the exit code is 1 then."""
    refused = False
    for id in ids:
        try:
            put([act(id)])
        except CallFailed as error:
            if error.status not in {404, 409}:
                raise
            complain(error)
            refused = True
    if refused:
        sys.exit(1)


def watch_live(client: Client, awake: int) -> None:
    """Steps go past above the bars of the jobs that run and say how far they are."""
    screen = Screen(sys.stdout)

    def told(text: str) -> None:
        screen.show(())  # what was running when the connection was lost may have ended since
        complain(text)

    seen = Watch(client, told, awake)
    try:
        for news in seen.frames():
            steps = [f"{line(job)}  {cut(note(job, now()), 60)}".rstrip() for job in news]
            screen.show([bar(job) for job in seen.running.values() if job["progress"]], steps)
    finally:
        screen.close()


@contextmanager
def bar_of(client: Client, job: Job) -> Iterator[None]:
    """Meanwhile how far *job* is stands on stderr; nothing where that can't be learnt: nobody waits for it."""
    screen = Screen(sys.stderr)

    def draw() -> None:
        seen = Watch(client, lambda _: screen.show(()))
        with suppress(CallFailed):
            newest = job
            for news in seen.frames():
                known = {one["id"]: one for one in news} | seen.running
                newest = known.get(job["id"], newest)
                screen.show([bar(newest)])

    threading.Thread(target=draw, name="webqueue-bar", daemon=True).start()
    try:
        yield
    finally:
        screen.close()


# -- words


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def parsed(text: str) -> object:
    """The JSON of an argument. Raises SettingsError where it is none."""
    try:
        return strictjson.read((sys.stdin.read() if text == "-" else text).encode())
    except ValueError as error:
        raise SettingsError(f"The payload is not JSON: {error}") from None


def line(job: Job) -> str:
    """``ID KIND STATE``; with the state's shape and colour where a person reads it."""
    text = f"{job['id']} {safe(job['kind'])} {job['state']}"
    if not sys.stdout.isatty():
        return text
    shape, colour = SHAPES[State(job["state"])]
    return click.style(f"{shape} ", fg=colour) + text


def put(lines: Iterable[str]) -> None:
    """Print them."""
    for text in lines:
        click.echo(text)


def columns() -> int | None:
    """Those of the terminal; None where stdout is none."""
    size = size_of(sys.stdout)
    return size and size[0]


def now() -> datetime:
    """This moment."""
    return datetime.now(UTC)
