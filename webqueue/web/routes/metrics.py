"""GET /metrics: everything that is counted and measured, in Prometheus' text format."""

from collections.abc import Iterable, Iterator

from flask import Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from webqueue.engine import Engine
from webqueue.meters import Histogram
from webqueue.web.current import current_engine, current_live

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def show_metrics() -> Response:
    """A scrape reads what is kept; it scans nothing."""
    registry = CollectorRegistry()
    registry.register(_Collector(current_engine(), current_live().taken()))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE)


class _Collector:
    """One scrape of one engine."""

    def __init__(self, engine: Engine, sockets: int) -> None:
        self._engine = engine
        self._sockets = sockets

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        seen = self._engine.metrics()
        jobs = GaugeMetricFamily("webqueue_jobs", "Jobs that are stored.", labels=("queue", "kind", "state"))
        for labels, number in seen.jobs.items():
            jobs.add_metric(labels, number)
        yield jobs
        for name, number in seen.totals.items():
            meaning = f"Jobs or pushes {name} since the store was made."
            yield CounterMetricFamily(f"webqueue_{name}", meaning, value=number)
        refused = CounterMetricFamily("webqueue_refused", "Pushes refused since the start.", labels=("reason",))
        for reason, number in seen.meters.refused.items():
            refused.add_metric((reason,), number)
        yield refused
        yield from _histograms("webqueue_wait_seconds", "Time a job waited for its start.", seen.meters.waited)
        yield from _histograms("webqueue_run_seconds", "Time an attempt took.", seen.meters.ran)
        yield _histogram("webqueue_flush_seconds", "Time a batch took to be written.", seen.meters.flush)
        yield _histogram("webqueue_batch_changes", "Changes written in one batch.", seen.meters.batch)
        for name, text, value in (*seen.gauges, ("sockets", "Open sockets.", self._sockets)):
            yield GaugeMetricFamily(f"webqueue_{name}", text, value=value)
        yield CounterMetricFamily("webqueue_late_reports", "Reports of claims that no longer stood.", value=seen.late)


def _histograms(name: str, text: str, by_kind: dict[str, Histogram]) -> Iterable[Metric]:
    family = HistogramMetricFamily(name, text, labels=("kind",))
    for kind, histogram in list(by_kind.items()):
        family.add_metric((kind,), histogram.cumulative(), histogram.sum)
    yield family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(name, text, buckets=histogram.cumulative(), sum_value=histogram.sum)


ROUTES = [("GET", "/metrics", show_metrics)]
