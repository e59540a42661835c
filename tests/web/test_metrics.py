"""GET /metrics: what is told is right and bounded, and is what the dashboard and the alerts are made of."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import webqueue
from webqueue import WebQueue
from webqueue.demo import register_demo
from webqueue.meters import MOST_LABELS, OTHER, REASONS

FOLDER = Path(webqueue.__file__).parent / "monitoring"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
ALERTS = (FOLDER / "alerts.yml").read_text()
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def families(server):
    """What a scrape finds."""
    answer = server.get("/metrics")
    assert (200, True) == (answer.status_code, answer.headers["Content-Type"].startswith("text/plain; version=0.0.4"))
    return list(text_string_to_metric_families(answer.text))


def samples(server, name):
    """[(labels, value)] of one metric, by the name that stands in the text."""
    return [(one.labels, one.value) for family in families(server) for one in family.samples if one.name == name]


def by_label(server, name, label):
    """{value of *label*: the sum of the samples that have it}"""
    found = Counter()
    for labels, value in samples(server, name):
        found[labels[label]] += value
    return dict(found)


def names(*texts):
    """The names of metrics that stand in *texts*."""
    return {name for text in texts for name in re.findall(r"\bwebqueue_\w+", text)}


@pytest.fixture
def busy(server):
    """A server of which every metric has a sample."""
    server.push(wait=5)
    return server


@pytest.mark.parametrize("text", ["\n".join([*EXPRESSIONS, json.dumps(DASHBOARD["templating"])]), ALERTS])
def test_what_is_watched_is_there(busy, text):
    """Each name in the dashboard and in the alerts is one of the scrape, ``_bucket`` and ``_total`` included."""
    told = {one.name for family in families(busy) for one in family.samples}

    assert names(text)
    assert set() == names(text) - told


def test_the_dashboard_shows_everything(busy):
    """No metric is exported that nobody sees."""
    shown = names(*EXPRESSIONS)

    assert [] == [family.name for family in families(busy) if shown.isdisjoint(one.name for one in family.samples)]


def test_the_dashboard_groups_by_labels_that_are_there(busy):
    """Each label in a ``by (...)`` and in a legend is one of the metric in question."""
    labels = {one.name: {*one.labels} for family in families(busy) for one in family.samples}
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            lists = ",".join(re.findall(r"\bby \(([^)]*)\)", target["expr"]))
            grouped = {*re.findall(r"\w+", lists)}
            assert grouped <= set().union(*(labels[name] for name in names(target["expr"]))), target["expr"]
            assert {*re.findall(r"{{(\w+)}}", target["legendFormat"])} == grouped - {"le"}, target["expr"]


def test_the_dashboard_works_with_any_data_source():
    """Panels and queries ask the one that is chosen above them, and no two panels share a number or a place."""
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    cells = Counter()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells.update((at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"]))
        assert [chosen] * (1 + len(panel["targets"])) == [one["datasource"] for one in (panel, *panel["targets"])]

    assert ("datasource", "prometheus") == tuple(DASHBOARD["templating"]["list"][0][key] for key in ("type", "query"))
    assert {1} == set(cells.values())
    assert 24 > max(x for x, _ in cells)
    assert len(DASHBOARD["panels"]) == len({panel["id"] for panel in DASHBOARD["panels"]})


def test_every_alert_says_what_to_do():
    """Each has a summary and a description, a severity, and a name of its own."""
    _, *alerts = ALERTS.split("- alert: ")

    assert len(alerts) == len({alert.split()[0] for alert in alerts})
    for alert in alerts:
        for key in ("expr", "for", "severity", "summary", "description"):
            assert re.search(rf"^ +{key}: \S", alert, re.MULTILINE), (key, alert)


def test_any_number_of_queues_makes_few_labels(serve):
    """Queues that are configured keep their label, then the biggest; the rest is one, and no job is lost."""
    server = serve(queues="default=1,mail=1")
    invented = [f"queue {number % 300}" for number in range(600)]
    pushes = [{"kind": "echo", "queue": queue} for queue in [*invented, "vast", "vast", "vast", "mail"]]
    server.post("/push-jobs", pushes)
    sizes = by_label(server, "webqueue_jobs", "queue")

    assert MOST_LABELS + 1 == len(sizes)
    assert (1, 3) == (sizes["mail"], sizes["vast"])
    assert 2 * (300 - (MOST_LABELS - 2)) == sizes[OTHER]
    assert len(pushes) == sum(sizes.values())


def test_a_queue_that_a_kind_names_is_known(jobs, serve):
    """It keeps its label among 300 that are bigger."""
    jobs.handlers.register(lambda: None, kind="send", queue="letters")
    server = serve()
    server.post("/push-jobs", [{"kind": "echo", "queue": f"queue {number % 300}"} for number in range(600)])
    server.push("send", wait=5)

    assert 1 == by_label(server, "webqueue_jobs", "queue")["letters"]


def test_any_number_of_kinds_makes_few_labels(jobs, serve):
    """The rest is summed, in the histograms too: no run is lost."""
    kinds = [f"kind{number}" for number in range(MOST_LABELS + 20)]
    for kind in kinds:
        jobs.handlers.register(lambda: None, kind=kind)
    server = serve()
    server.post("/push-jobs", [{"kind": kind} for kind in kinds[:-1]])
    server.push(kinds[-1], wait=5)

    for name in ("webqueue_jobs", "webqueue_wait_seconds_count", "webqueue_run_seconds_count"):
        counts = by_label(server, name, "kind")
        assert (MOST_LABELS + 1, 20, len(kinds)) == (len(counts), counts[OTHER], sum(counts.values()))


def test_kinds_without_a_handler_make_few_labels(serve, tmp_path):
    """Old jobs of kinds that are gone are counted behind those that are registered, however many there are."""
    settings = {"store": f"sqlite:///{tmp_path}/jobs.db", "consumers": 0}
    old, new = WebQueue(**settings), WebQueue(**settings)
    for number in range(300):
        old.handlers.register(lambda: None, kind=f"gone{number}")
    app = old.create_app()
    app.extensions["webqueue"].push_many([{"kind": f"gone{number % 300}"} for number in range(600)])
    app.extensions["webqueue.live"].close()
    app.extensions["webqueue"].stop(0)
    register_demo(new.handlers)
    server = serve(new.create_app())
    server.push("greet", name="Ada", email="ada@example.org")
    sizes = by_label(server, "webqueue_jobs", "kind")

    assert (1, 600 - 2 * (MOST_LABELS - 1)) == (sizes["greet"], sizes[OTHER])
    assert (MOST_LABELS + 1, 601) == (len(sizes), sum(sizes.values()))


def test_unknown_kinds_make_no_labels(server):
    """A push that is refused is counted by its reason; what it asked for stands nowhere."""
    server.post("/push-jobs", [{"kind": f"invented{number}", "queue": f"invented{number}"} for number in range(30)])

    assert dict.fromkeys(REASONS, 0) | {"unfit": 30} == by_label(server, "webqueue_refused_total", "reason")
    assert [({}, 30)] == samples(server, "webqueue_rejected_total")
    assert "invented" not in server.get("/metrics").text


def test_a_full_queue_is_told(serve):
    """How much there may be, and what was refused because of it."""
    server = serve(consumers=0, max_todo=2)
    answers = [server.post("/push-job", {"kind": "echo"}).status_code for _ in range(3)]

    assert [202, 202, 429] == answers
    assert [({}, 2)] == samples(server, "webqueue_max_todo")
    assert [({"queue": "default", "kind": "echo", "state": "todo"}, 2)] == samples(server, "webqueue_jobs")
    assert dict.fromkeys(REASONS, 0) | {"full": 1} == by_label(server, "webqueue_refused_total", "reason")


def test_time_waited_and_time_run_are_told_by_kind(server):
    """Each attempt is in both histograms, once, and under its own kind."""
    for _ in range(3):
        server.push(wait=5)
    server.push("sleep", wait=5, seconds=0.2)
    attempts = {"echo": 3, "sleep": 1}

    for name in ("webqueue_wait_seconds", "webqueue_run_seconds"):
        assert attempts == by_label(server, f"{name}_count", "kind")
        everything = [(labels, value) for labels, value in samples(server, f"{name}_bucket") if labels["le"] == "+Inf"]
        assert attempts == {labels["kind"]: value for labels, value in everything}
    run = {
        labels["le"]: value
        for labels, value in samples(server, "webqueue_run_seconds_bucket")
        if labels["kind"] == "sleep"
    }
    assert (0, 1) == (run["0.1"], run["2.5"])
    assert 0.2 <= by_label(server, "webqueue_run_seconds_sum", "kind")["sleep"] < 2.5


def test_a_store_that_can_be_written_is_told(server):
    """So that an alert can tell the moment when it can't."""
    assert [({}, 1)] == samples(server, "webqueue_store_writable")
