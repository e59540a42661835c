"""POST /push-job on 8 connections beside an empty view of the same server, and POST /push-jobs with arrays of 1,000."""

from common import blast, in_turn, ratio, request, server

SECONDS = 1.5
ROUNDS = 7


def main() -> None:
    """Print the figures."""
    push = request("POST", "/queue/push-job", {"kind": "noop", "payload": {"number": 1, "text": "hello"}})
    many = request("POST", "/queue/push-jobs", [{"kind": "noop", "payload": {"number": 1}}] * 1000)
    with server() as running:
        port = running.port
        blast(port, push, 0.5)
        taken = in_turn(
            {
                "an empty view": lambda: blast(port, request("GET", "/empty"), SECONDS),
                "POST /push-job": lambda: blast(port, push, SECONDS),
            },
            ROUNDS,
        )
        bulk = sorted(1000 * blast(port, many, 2.0, connections=2) for _ in range(3))[1]
    for name, values in taken.items():
        print(f"  {name:<48}{sorted(values)[len(values) // 2]:>12,.0f} /s")
    print(f"  {'push / empty':<48}{ratio(taken, 'POST /push-job', 'an empty view'):>12.2f} × (at least 0.60)")
    print(f"  {'POST /push-jobs, arrays of 1,000':<48}{bulk:>12,.0f} jobs/s (at least 25,000)")


if __name__ == "__main__":
    main()
