"""POST /push-job beside a handler that computes in pure Python: it may hold the interpreter, but not for long."""

from common import latencies, percentile, server

NUMBER = 1_000


def main() -> None:
    """Print the figures."""
    body = {"kind": "noop", "payload": {}}
    with server(WEBQUEUE_QUEUES="default=1,heavy=1") as running:
        latencies(running.port, "/queue/push-job", body, 100)
        alone = latencies(running.port, "/queue/push-job", body, NUMBER)
        heavy = {"kind": "compute", "queue": "heavy", "payload": {"seconds": 60}}
        running.call("POST", "/queue/push-job", heavy)
        beside = latencies(running.port, "/queue/push-job", body, NUMBER)
    for name, values in (("alone", alone), ("beside a computing handler", beside)):
        middle, worst = percentile(values, 0.5) * 1e3, percentile(values, 0.99) * 1e3
        print(f"  {name:<40} median {middle:7.2f} ms   p99 {worst:7.2f} ms")
    print(f"  p99 beside / alone {percentile(beside, 0.99) / percentile(alone, 0.99):.1f} × (p99 at most 20 ms)")


if __name__ == "__main__":
    main()
