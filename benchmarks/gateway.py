"""What the gateway costs beside plain Envoy, bare aiohttp, Portkey and LiteLLM: `python -m benchmarks.gateway`.

All of them stand between the same client and the same upstream (processes of their own) in turns, round by round.
  request    CPU milliseconds a plain request: 64 connections, each asks again as soon as it is answered
  stream     the same a stream of 50 chunks, 2 ms apart: 16 connections
  added p50  at one connection: median of the time of a request, less that of one sent to the upstream itself
  added TTFT the same to the first piece of a stream
  RSS        resident memory after the load
CPU time is user and system time of the process and everything below it; of the gateway it is Envoy's, and what reading
its log costs is shown beside it. The median of the rounds counts; the lowest and the highest are shown.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks import peers
from benchmarks.collector import folder
from benchmarks.gateway_peers import STARTS, Between
from benchmarks.peers import CannotStart
from benchmarks.processes import MB, cpu_seconds, resident_bytes

CONNECTIONS = {"plain": 64, "stream": 16}
RATIOS_MAX = {"plain": 1.7, "stream": 2.0}


@dataclass
class Figures:
    """Of one of them: a value a round."""

    cpu_ms: dict[str, list[float]] = field(default_factory=lambda: {"plain": [], "stream": []})
    reading_ms: dict[str, list[float]] = field(default_factory=lambda: {"plain": [], "stream": []})
    alone_ms: dict[str, list[float]] = field(default_factory=lambda: {"plain": [], "stream": []})
    rss_mb: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each kind of load in a round")
    parser.add_argument("--names", default=",".join(STARTS), help="any of these; the upstream itself is always asked")
    told = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    names = [name for name in told.names.split(",") if name]
    if unknown := set(names) - set(STARTS):
        parser.error(f"unknown name {unknown.pop()!r}: known are {', '.join(STARTS)}")
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(upstream())
        running = [Between("the upstream itself", 0, f"127.0.0.1:{port}")]
        for name in names:
            try:
                running.append(stack.enter_context(STARTS[name](stack.enter_context(folder()), port)))
            except CannotStart as reason:
                print(f"not measured: {reason}", file=sys.stderr)
        found = {between.name: Figures() for between in running}
        for between in running:
            measured(between, Figures(), 1.0)  # warms up
        for turn in range(told.rounds):
            for between in running[turn % len(running) :] + running[: turn % len(running)]:
                measured(between, found[between.name], told.seconds)
        report(found)


@contextlib.contextmanager
def upstream() -> Iterator[int]:
    """The port of the model server."""
    command = [sys.executable, "-m", "benchmarks.gateway_upstream"]
    with subprocess.Popen(command, cwd=peers.ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def measured(between: Between, figures: Figures, seconds: float) -> None:
    """One round: both kinds under load, then both at one connection."""
    for kind, connections in CONNECTIONS.items():
        before, read = cpu_seconds(between.pid), cpu_seconds(between.reader)
        count = load(between, kind, connections, seconds)["requests"]
        if between.pid:
            figures.cpu_ms[kind].append((cpu_seconds(between.pid) - before) * 1000 / count)
        if between.reader:
            between.settle()
            figures.reading_ms[kind].append((cpu_seconds(between.reader) - read) * 1000 / count)
        alone = load(between, kind, 1, seconds / 3)
        figures.alone_ms[kind].append(alone["whole_ms" if kind == "plain" else "first_ms"])
    figures.rss_mb = resident_bytes(between.pid) / MB if between.pid else 0.0


def load(between: Between, kind: str, connections: int, seconds: float) -> dict[str, float]:
    """What a client process saw."""
    command = [sys.executable, "-m", "benchmarks.gateway_load", between.address, "--path", between.path]
    command += ["--kind", kind, "--connections", str(connections), "--seconds", str(seconds)]
    command += [word for header in between.headers for word in ("--header", header)]
    done = subprocess.run(command, cwd=peers.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{between.name}: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return dict(json.loads(done.stdout))


def report(found: dict[str, Figures]) -> None:
    direct, envoy = found["the upstream itself"], found.get("plain Envoy")
    print(f"{'':24}{'request ms CPU':>26}{'stream ms CPU':>26}{'added p50':>12}{'added TTFT':>12}{'RSS':>8}")
    for name, figures in found.items():
        if not figures.cpu_ms["plain"]:
            continue
        cells = [spread(figures.cpu_ms[kind]) for kind in CONNECTIONS]
        added = [
            statistics.median(figures.alone_ms[kind]) - statistics.median(direct.alone_ms[kind]) for kind in CONNECTIONS
        ]
        line = f"{name:24}{cells[0]:>26}{cells[1]:>26}{added[0]:>9.2f} ms{added[1]:>9.2f} ms{figures.rss_mb:>5.0f} MB"
        print(line)
        if figures.reading_ms["plain"]:
            reading = [spread(figures.reading_ms[kind]) for kind in CONNECTIONS]
            print(f"{'  reading its log':24}{reading[0]:>26}{reading[1]:>26}")
    ours = found.get("tachograph")
    for name, figures in found.items():
        if ours is None or figures is ours or not figures.cpu_ms["plain"]:
            continue
        ratios = [statistics.median(ours.cpu_ms[k]) / statistics.median(figures.cpu_ms[k]) for k in CONNECTIONS]
        target = f" (at most {RATIOS_MAX['plain']} and {RATIOS_MAX['stream']})" if figures is envoy else ""
        print(f"ours / {name}: request {ratios[0]:.3f}, stream {ratios[1]:.3f}{target}")


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
