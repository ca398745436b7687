"""The collector's figures: durable spans per CPU-second, beside Phoenix, MLflow and a Python row loop, in one run.

    python -m benchmarks.collector [--seconds 60] [--soak-minutes 30] [--peers phoenix,mlflow,loop]

Each collector is one process on loopback and takes the same kind of requests over OTLP/HTTP: 500 spans, 20 attributes a
span, protobuf, not compressed (benchmarks/collector_load.py makes them in another process).
  stored     spans that the collector says it has for good; ours with their price, and none twice
  CPU        user and system time of the collector and its children, from before the load until all is stored
  ack        from the first byte sent to the acknowledgement; a sender waits for it before it sends again
  visible    from the acknowledgement until the spans are in an answer: ours asked through `ask`, a peer's counted
  RSS        resident memory of the collector and its children: peak, and slope of a line through the samples
Ours is measured in windows; the median counts, the slowest and the fastest are shown. The first window warms up and is
not counted. A peer has at most 2,000 spans that are acknowledged and not yet stored, so that no queue grows, and is
given time to store them. The soak is one run of its own, the slope of its RSS taken after the first fifth.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.client
import json
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.collector_load import SPANS, Bodies, Sender
from benchmarks.peers import CannotStart, Collector, asked
from benchmarks.processes import Memory, cpu_seconds

TARGETS = {"spans per CPU-second": 30_000, "times a peer": 20, "visible s": 2.0, "RSS MB": 800, "slope MB/min": 1.0}
BACKLOG_SPANS_MAX = 2000
SETTLE_SECONDS_MAX = 90.0
POLL_SECONDS = 0.05
SKIPPED_SHARE = 0.2


@dataclass
class Figures:
    """What was measured of one collector. per_cpu: one figure a window."""

    name: str
    stored: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    per_cpu: list[float] = field(default_factory=list)
    acks_ms: list[float] = field(default_factory=list)
    visible_seconds: list[float] = field(default_factory=list)
    peak_mb: float = 0.0
    slope_mb: float | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Stored spans per CPU-second, the median of the windows."""
        return statistics.median(self.per_cpu) if self.per_cpu else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long ours is measured, in windows of 10 s")
    parser.add_argument("--connections", type=int, default=64, help="how many services send to ours at a time")
    parser.add_argument("--peers", default="phoenix,mlflow,loop", help="any of these, or nothing")
    parser.add_argument("--peer-seconds", type=float, default=20.0, help="how long each peer is sent to")
    parser.add_argument("--soak-minutes", type=float, default=0.0, help="sustained load to watch the memory under")
    parser.add_argument("--soak-spans-per-second", type=float, default=0.0, help="0: as fast as they are taken")
    parser.add_argument("--without-ours", action="store_true", help="only the peers")
    told = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    if unknown := {name for name in told.peers.split(",") if name} - set(peers.PEERS):
        parser.error(f"unknown peer {unknown.pop()!r}: known are {', '.join(peers.PEERS)}")
    ours: Figures | None = None
    found: list[Figures] = []
    absent: list[str] = []
    if not told.without_ours:
        ours = attempted(lambda: measured(told.seconds, told.connections), "tachograph", absent)
    for name in filter(None, told.peers.split(",")):
        peer = attempted(functools.partial(compared, name, told.peer_seconds), name, absent)
        found += [peer] if peer else []
    report(ours, found, absent)
    if told.soak_minutes and not told.without_ours:
        soak(told.soak_minutes, told.soak_spans_per_second, told.connections)


def attempted(measure: Callable[[], Figures], name: str, absent: list[str]) -> Figures | None:
    """The figures; None, with the reason in `absent`, where it cannot be started or breaks."""
    try:
        return measure()
    except CannotStart as reason:
        absent.append(str(reason))
    except (OSError, http.client.HTTPException, sqlite3.Error) as broken:
        absent.append(f"{name}: broke while it was measured: {type(broken).__name__}: {broken}")
    return None


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """An empty folder on the disk that holds the benchmarks' data, gone afterwards."""
    peers.DATA.mkdir(exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="collector-", dir=peers.DATA))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def measured(seconds: float, connections: int) -> Figures:
    """Ours: a window that nobody counts, the windows that count, one under load in which `ask` is watched."""
    figures = Figures("tachograph")
    with folder() as place, peers.tachograph(place) as collector:
        window(Figures(""), collector, 5.0, connections)
        memory = Memory(collector.pid)
        for _ in range(max(1, round(seconds / 10))):
            window(figures, collector, 10.0, connections)
        memory.stop()
        figures.peak_mb, figures.slope_mb = memory.peak_mb(), memory.slope_mb_per_minute()
        watched(figures, collector, connections)
        once(figures, collector)
        unpriced = asked(f"{collector.api}/ask?measure=unpriced_share")["rows"][0]["unpriced_share"]
        figures.notes.append(f"{100 * unpriced:.1f} % of the calls have no price (3 % failed and have no usage)")
        with contextlib.suppress(OSError):
            figures.notes.append("ledger: " + json.dumps(asked(f"{collector.api}/ledger")))
    return figures


def window(figures: Figures, collector: Collector, seconds: float, connections: int) -> None:
    """Load for so long, then wait until everything is stored; CPU counted over both."""
    before, cpu = collector.stored(), cpu_seconds(collector.pid)
    load = Generator(collector, seconds, connections)
    found = load.result()
    stored = settled(collector, before + found["acknowledged"]) - before
    used = cpu_seconds(collector.pid) - cpu
    figures.stored += stored
    figures.seconds += found["seconds"]
    figures.cpu += used
    figures.per_cpu.append(stored / max(used, 0.01))
    figures.acks_ms += found["latencies_ms"]
    if stored != found["acknowledged"]:
        figures.notes.append(f"WRONG: {found['acknowledged']:,} acknowledged, {stored:,} stored")
    if found["errors"]:
        figures.notes.append(f"WRONG: the load ended early: {found['errors'][0]}")
    if found["busy"]:
        figures.notes.append(f"{found['busy']} requests were told to come again")
    if found["lost"]:
        figures.notes.append(f"{found['lost']} connections were lost and opened again")


class Generator:
    """The load in a process of its own."""

    def __init__(self, collector: Collector, seconds: float, connections: int, spans_per_second: float = 0.0) -> None:
        command = [sys.executable, "-m", "benchmarks.collector_load", collector.url, "--seconds", str(seconds)]
        command += ["--connections", str(connections), "--spans-per-second-max", str(spans_per_second)]
        # Not a pipe: nobody reads it meanwhile, and a full one would hold the process up at its end.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(command, cwd=peers.ROOT, stdout=self._said)

    def running(self) -> bool:
        """It has not ended."""
        return self._process.poll() is None

    def result(self) -> dict[str, Any]:
        """What it saw, once it has ended."""
        self._process.wait()
        with self._said as said:
            if self._process.returncode:
                raise CannotStart(f"the generator ended with {self._process.returncode}")
            said.seek(0)
            return dict(json.load(said))


def settled(collector: Collector, expected: int) -> int:
    """How many are stored once all that is expected is there, or once it is not going to be."""
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    stored = collector.stored()
    while stored < expected and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        stored = collector.stored()
    return stored


def watched(figures: Figures, collector: Collector, connections: int, probes: int = 10) -> None:
    """From acknowledged to visible in `ask` under load: each probe is a request of one user, asked for by that user."""
    load = Generator(collector, probes * 1.5, connections)
    sender = Sender(collector.url, collector.headers)
    while load.running() and len(figures.visible_seconds) < probes:
        user = f"probe-{len(figures.visible_seconds)}"
        body = Bodies(len(figures.visible_seconds), user).next()
        status, wait = sender.send(body)
        acknowledged = time.monotonic()
        if status != 200:
            time.sleep(min(wait, 1.0))
            continue
        question = f"{collector.api}/ask?measure=calls&since=1h&where=user_id={user}"
        while sum(row["calls"] for row in asked(question)["rows"]) < SPANS:
            if time.monotonic() - acknowledged > SETTLE_SECONDS_MAX:
                raise CannotStart(f"tachograph: {user} was acknowledged and is not in `ask`")
            time.sleep(POLL_SECONDS)
        figures.visible_seconds.append(time.monotonic() - acknowledged)
        time.sleep(0.5)
    sender.close()
    load.result()


def once(figures: Figures, collector: Collector) -> None:
    """One request sent three times counts once."""
    time.sleep(1.0)
    before, sender = collector.stored(), Sender(collector.url, collector.headers)
    body = Bodies(1).next()
    for _ in range(3):
        sender.send(body)
    sender.close()
    time.sleep(1.0)
    counted = collector.stored() - before
    figures.notes.append(f"{'' if counted == SPANS else 'WRONG: '}a request sent three times was stored as {counted}")


def compared(name: str, seconds: float) -> Figures:
    """A peer: one request that nobody counts, then requests for so long, then time to store what it has taken."""
    with folder() as place, peers.PEERS[name](place) as collector:
        print(f"measuring {collector.name}", file=sys.stderr)
        figures = Figures(collector.name)
        sender, bodies = Sender(collector.url, collector.headers), Bodies(1)
        status, _ = sender.send(bodies.next())
        if status != 200 or settled(collector, SPANS) < SPANS:
            raise CannotStart(f"{collector.name}: its first request was answered {status} and not stored whole")
        memory, cpu, began = Memory(collector.pid), cpu_seconds(collector.pid), time.monotonic()
        driven(figures, collector, sender, bodies, began + seconds)
        figures.seconds = time.monotonic() - began
        figures.cpu = cpu_seconds(collector.pid) - cpu
        figures.per_cpu = [figures.stored / max(figures.cpu, 0.01)]
        memory.stop()
        figures.peak_mb, figures.slope_mb = memory.peak_mb(), memory.slope_mb_per_minute()
        return figures


def driven(figures: Figures, collector: Collector, sender: Sender, bodies: Bodies, until: float) -> None:
    """Send while the time lasts and the backlog allows; then wait for what is acknowledged and not stored."""
    before = collector.stored()
    acknowledged = 0
    waiting: list[tuple[int, float]] = []  # how many are to be stored, when that was acknowledged
    while time.monotonic() < until or waiting:
        if time.monotonic() > until + SETTLE_SECONDS_MAX:
            figures.notes.append(f"{acknowledged - figures.stored} of {acknowledged} acknowledged were never stored")
            break
        if time.monotonic() < until and acknowledged - figures.stored < BACKLOG_SPANS_MAX:
            began = time.monotonic()
            status, _ = sender.send(bodies.next())
            if status == 200:
                acknowledged += SPANS
                figures.acks_ms.append((time.monotonic() - began) * 1000)
                waiting.append((acknowledged, time.monotonic()))
            elif status not in (429, 503):
                raise CannotStart(f"{collector.name}: a request was answered {status}")
        else:
            time.sleep(POLL_SECONDS)
        figures.stored = collector.stored() - before
        while waiting and figures.stored >= waiting[0][0]:
            figures.visible_seconds.append(time.monotonic() - waiting.pop(0)[1])


def soak(minutes: float, spans_per_second: float, connections: int) -> None:
    """Sustained load in one run: what it used, and whether its memory grows."""
    with folder() as place, peers.tachograph(place) as collector:
        memory, cpu = Memory(collector.pid), cpu_seconds(collector.pid)
        load = Generator(collector, minutes * 60, connections, spans_per_second)
        while load.running():
            time.sleep(min(60.0, minutes * 6))
            print(f"soak: {collector.stored():>12,} stored, RSS {memory.samples[-1][1] / 1e6:.0f} MB", file=sys.stderr)
        found = load.result()
        stored, used = settled(collector, found["acknowledged"]), cpu_seconds(collector.pid) - cpu
        memory.stop()
    slope = memory.slope_mb_per_minute(SKIPPED_SHARE)
    print(
        f"\nsoak of {found['seconds'] / 60:.1f} minutes: {stored:,} stored of {found['acknowledged']:,} acknowledged,"
    )
    print(f"  {stored / found['seconds']:,.0f} spans per second, {stored / used:,.0f} per CPU-second")
    print(f"  RSS peak {memory.peak_mb():.0f} MB {verdict(memory.peak_mb() < TARGETS['RSS MB'])}", end="")
    if slope is not None:
        print(f", slope {slope:+.2f} MB per minute {verdict(slope < TARGETS['slope MB/min'])}", end="")
    print(f"\n  every 2 minutes: {' '.join(f'{size / 1e6:.0f}' for _, size in memory.samples[::120])} MB")
    for wrong in found["errors"]:
        print(f"  WRONG: the load ended early: {wrong}")


def report(ours: Figures | None, found: list[Figures], absent: list[str]) -> None:
    print(f"requests of {SPANS} spans with 20 attributes over OTLP/HTTP; CPU-seconds with all children\n")
    heads = ("stored", "s", "CPU s", "per CPU-s", "ours is", "ack p50 ms", "p99 ms", "visible s", "RSS MB", "MB/min")
    print(f"{'':22}" + "".join(f"{head:>12}" for head in heads))
    for figures in [ours, *found] if ours else found:
        times = ours.rate / figures.rate if ours and ours is not figures and figures.rate else None
        print(f"{figures.name:22}" + "".join(f"{cell:>12}" for cell in cells(figures, times)))
    for figures in [ours, *found] if ours else found:
        for note in dict.fromkeys(figures.notes):
            print(f"  {figures.name}: {note}")
    for reason in absent:
        print(f"  not measured: {reason}")
    if ours:
        judged(ours, found)


def cells(figures: Figures, times: float | None) -> list[str]:
    acks = sorted(figures.acks_ms) or [float("nan")]
    visible = max(figures.visible_seconds, default=float("nan"))
    return [
        f"{figures.stored:,}",
        f"{figures.seconds:.1f}",
        f"{figures.cpu:.1f}",
        f"{figures.rate:,.0f}",
        f"{times:,.1f} x" if times else "",
        f"{acks[len(acks) // 2]:,.0f}",
        f"{acks[len(acks) * 99 // 100]:,.0f}",
        f"{visible:.2f}",
        f"{figures.peak_mb:.0f}",
        "" if figures.slope_mb is None else f"{figures.slope_mb:+.0f}",
    ]


def judged(ours: Figures, found: list[Figures]) -> None:
    """What was aimed at, and whether it is reached."""
    windows = f"{len(ours.per_cpu)} windows from {min(ours.per_cpu):,.0f} to {max(ours.per_cpu):,.0f}"
    print(f"\ntachograph, {windows}; the median is {ours.rate:,.0f} per CPU-second", end=" ")
    print(f"(target {TARGETS['spans per CPU-second']:,}: {verdict(ours.rate >= TARGETS['spans per CPU-second'])})")
    for peer in found:
        if peer.rate and "loop" not in peer.name:
            times = ours.rate / peer.rate
            print(f"  {times:,.0f} times {peer.name} (target {TARGETS['times a peer']}: ", end="")
            print(f"{verdict(times >= TARGETS['times a peer'])})")
    if ours.visible_seconds:
        latest = max(ours.visible_seconds)
        print(
            f"  visible in `ask` after {statistics.median(ours.visible_seconds):.2f} s, at the latest {latest:.2f} s",
            end="",
        )
        print(f" (target {TARGETS['visible s']}: {verdict(latest < TARGETS['visible s'])})")
    print(f"  RSS {ours.peak_mb:.0f} MB (target {TARGETS['RSS MB']}: {verdict(ours.peak_mb < TARGETS['RSS MB'])})")


def verdict(reached: bool) -> str:
    return "reached" if reached else "MISSED"


if __name__ == "__main__":
    main()
