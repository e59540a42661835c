"""The command line. Errors are one clear line on stderr; the exit code is 0 only on success."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import click

from webqueue import strictjson
from webqueue.client import CallFailed, Client
from webqueue.errors import SettingsError, WebqueueError
from webqueue.job import FINISHED, State
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
    click.echo(f"webqueue: {error}", err=True)
    sys.exit(1)


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
    """Push a job of KIND; JSON is its payload ("-": from stdin)."""
    client = Client(server, token)
    body = {"kind": kind, "payload": parsed(payload)} | given(fields)
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    job = client.post("/push-job", body, headers | ({"Prefer": "wait=60"} if wait else {})).body
    if not wait:
        click.echo(line(job))
        return
    job = until_finished(client, job)
    click.echo(pretty(job))
    sys.exit(0 if job["state"] == State.DONE else 1)


@commands.command()
@talks
@click.option("--state", type=click.Choice([str(state) for state in State]))
@click.option("--kind")
@click.option("--queue")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 200))
@click.option("--json", "as_json", is_flag=True, help="As JSON, a job a line.")
def jobs(server: str, token: str | None, as_json: bool, **query: Any) -> None:
    """List jobs, newest first."""
    found = Client(server, token).get("/jobs", **query)["jobs"]
    for text in [json.dumps(job, ensure_ascii=False) for job in found] if as_json else table(found):
        click.echo(text)


@commands.command()
@talks
@click.argument("id", type=int)
def show(server: str, token: str | None, id: int) -> None:
    """Print one job as JSON."""
    click.echo(pretty(Client(server, token).get(f"/jobs/{id}")))


@commands.command()
@talks
@click.argument("id", type=int)
def cancel(server: str, token: str | None, id: int) -> None:
    """Cancel a job: at once while it waits; a running one is asked to stop."""
    click.echo(line(Client(server, token).post(f"/jobs/{id}/cancel").body))


@commands.command()
@talks
@click.argument("id", type=int)
def retry(server: str, token: str | None, id: int) -> None:
    """Put a failed or cancelled job at the end of todo."""
    click.echo(line(Client(server, token).post(f"/jobs/{id}/retry").body))


@commands.command()
@talks
@click.argument("queue", required=False)
@click.option("--why", help="Shown beside the queue until it is resumed.")
def pause(server: str, token: str | None, queue: str | None, why: str | None) -> None:
    """Start no more jobs, of QUEUE or of all; pushes are still accepted."""
    Client(server, token).post("/queue/pause", given({"queue": queue, "why": why}))
    click.echo(f"paused {queue or 'all queues'}")


@commands.command()
@talks
@click.argument("queue", required=False)
def resume(server: str, token: str | None, queue: str | None) -> None:
    """Start jobs again."""
    Client(server, token).post("/queue/resume", given({"queue": queue}))
    click.echo(f"resumed {queue or 'all queues'}")


@commands.command()
@talks
def watch(server: str, token: str | None) -> None:
    """Print each step of each job as it happens, until Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        for job in Watch(Client(server, token), lambda text: click.echo(f"webqueue: {text}", err=True), awake).steps():
            click.echo(line(job))
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(0)


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


def until_finished(client: Client, job: Job) -> Job:
    """*job* once it has finished. The server holds each request; where it is too busy to, a second passes between."""
    id = job["id"]
    while job["state"] not in FINISHED:
        began = time.monotonic()
        try:
            job = client.get(f"/jobs/{id}", wait=60)
        except CallFailed as error:
            raise CallFailed(f"Job {id} was accepted, its end is not known: {error}", error.status) from None
        if job["state"] not in FINISHED and time.monotonic() - began < 1:
            threading.Event().wait(1)
    return job


def pretty(job: Job) -> str:
    """A job as JSON for people and programs."""
    return json.dumps(job, indent=2, ensure_ascii=False)


def line(job: Job) -> str:
    """``ID KIND STATE``; with the state's shape and colour where a person reads it."""
    text = f"{job['id']} {safe(job['kind'])} {job['state']}"
    if not sys.stdout.isatty():
        return text
    shape, colour = SHAPES[State(job["state"])]
    return click.style(f"{shape} ", fg=colour) + text


def table(found: Iterable[Job]) -> list[str]:
    """Jobs as lines with a head, columns as wide as they must be."""
    rows = [["ID", "KIND", "STATE", "QUEUE", "ATTEMPT", "CREATED"]]
    rows += [
        [
            str(job["id"]),
            safe(job["kind"]),
            job["state"],
            safe(job["queue"]),
            f"{job['attempt']}/{job['max_attempts']}",
            job["created_at"],
        ]
        for job in found
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def safe(text: str) -> str:
    """*text* without what could move a terminal's cursor or forge a line."""
    return "".join(one if one.isprintable() else "�" for one in text)
