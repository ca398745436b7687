"""What recording adds to a call of the openai client: `python -m benchmarks.sdk` (`--quick` for a first look).

Ours and each peer have a process and an environment of their own, and take turns: some pairs of short blocks each,
recording off and on, the order changing from pair to pair. What is added is the median over the pairs of the difference
in CPU time a call (all threads, until everything recorded has left), with the quartiles of these differences; "nothing"
is a recorder that does nothing, so its row is the noise. The server is a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers import ROOT, CannotStart, installed
from benchmarks.sdk_peers import MEASURED, OURS, PEERS

CALLS = {"plain": 16, "stream": 6, "untouched": 32}  # in a block
PAIRS = {"plain": 8, "stream": 16, "untouched": 4}  # in a round
ROUNDS, QUICK_ROUNDS = 6, 3
ADDED_US_MAX = {"plain": 100.0, "stream": 250.0}
SHARE_MAX = 0.25  # of the fastest peer
KINDS = {"plain": "a plain call", "stream": "a stream of 50 chunks", "untouched": "a request that is no model's"}


@dataclass(slots=True)
class Figures:
    """Of one kind of call with one recorder: off and on by pair, in microseconds a call."""

    off: list[float] = field(default_factory=list)
    added: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    recorded: int = 0
    expected: int = 0

    def note(self, pair: dict[str, Any], calls: int) -> None:
        """One pair."""
        self.off.append(pair["off"])
        self.added.append(pair["added"])
        self.first.append(pair["first"])
        self.recorded, self.expected = self.recorded + pair["recorded"], self.expected + calls

    @property
    def median(self) -> float:
        """What is added."""
        return statistics.median(self.added)


class Worker:
    """One measured process."""

    def __init__(self, name: str, url: str) -> None:
        self.name, self.title = name, MEASURED[name].title
        self.figures = {kind: Figures() for kind in CALLS}
        python = installed(MEASURED[name].environment)
        source = [str(ROOT), str(ROOT / "src")] if name in OURS else [str(ROOT)]
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks.sdk_worker", name, url],
            cwd=ROOT,
            env={**environment, "PYTHONPATH": os.pathsep.join(source)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self) -> Any:
        """The next line that it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CannotStart(f"{self.title}: its process ended with {self._process.wait()}")
        return json.loads(line)

    def measure(self, kind: str) -> None:
        """Some pairs of blocks."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"kind": kind, "calls": CALLS[kind], "pairs": PAIRS[kind]}) + "\n")
        self._process.stdin.flush()
        for pair in self.answer():
            self.figures[kind].note(pair, CALLS[kind])

    def stop(self) -> None:
        """End its process."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: the noise is larger")
    parser.add_argument("--only", help=f"of {', '.join(MEASURED)}: a list with commas", default=",".join(MEASURED))
    wanted = parser.parse_args()
    count = QUICK_ROUNDS if wanted.quick else ROUNDS
    with server() as url:
        workers, absent = started(wanted.only.split(","), url)
        try:
            for worker, told in workers:
                print(f"{worker.title:26}{told}")
            for reason in absent:
                print(f"not measured: {reason}")
            rounds([worker for worker, _ in workers], count)
        finally:
            for worker, _ in workers:
                worker.stop()
    report([worker for worker, _ in workers])


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The canned model, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.sdk_server"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def started(names: list[str], url: str) -> tuple[list[tuple[Worker, str]], list[str]]:
    """The workers that run, each with its versions, and why others do not."""
    workers, absent = [], []
    for name in names:
        try:
            worker = Worker(name, url)
            try:
                workers.append((worker, str(worker.answer()["versions"])))
            except CannotStart:
                worker.stop()
                raise
        except CannotStart as reason:
            absent.append(str(reason))
    return workers, absent


def rounds(workers: list[Worker], count: int) -> None:
    """All take turns, so that a slow minute of the machine is a slow minute of all."""
    for at in range(count):
        print(f"round {at + 1} of {count}", file=sys.stderr)
        for kind in CALLS:
            for worker in workers:
                if kind != "untouched" or worker.name not in PEERS:
                    worker.measure(kind)


def report(workers: list[Worker]) -> None:
    print("\nCPU time added to a call, us: median of the pairs (quartiles); wall time added to the first chunk, us")
    for kind in CALLS:
        print(f"\n{KINDS[kind]:44}{'off':>8}{'added':>9}{'quartiles':>18}{'first':>9}{'pairs':>7}")
        for worker in workers:
            if (figures := worker.figures[kind]).added:
                print(f"  {worker.title:42}{row(figures)}{wrong(worker.name, kind, figures)}")
    by_name = {worker.name: worker for worker in workers}
    print()
    for kind in ADDED_US_MAX:
        for name in OURS:
            if name in by_name:
                judged(kind, by_name[name], [by_name[peer] for peer in PEERS if peer in by_name])


def row(figures: Figures) -> str:
    low, _, high = statistics.quantiles(figures.added, n=4)
    off, first = statistics.median(figures.off), statistics.median(figures.first)
    return f"{off:8,.0f}{figures.median:+9,.0f}{f'{low:+,.0f} to {high:+,.0f}':>18}{first:+9,.0f}{len(figures.added):7}"


def wrong(name: str, kind: str, figures: Figures) -> str:
    """What makes the figures worthless: calls that were not recorded, or were where none should be."""
    expected = 0 if name == "nothing" or kind == "untouched" else figures.expected
    return "" if figures.recorded == expected else f"  WRONG: {figures.recorded} recorded, not {expected}"


def judged(kind: str, ours: Worker, peers: list[Worker]) -> None:
    """What was aimed at, and whether it is reached."""
    added, most = ours.figures[kind].median, ADDED_US_MAX[kind]
    print(f"{ours.title}, {KINDS[kind]}: {added:,.0f} us (target {most:,.0f}: {verdict(added < most)})")
    for peer in sorted(peers, key=lambda peer: peer.figures[kind].median)[:2]:
        share = added / peer.figures[kind].median
        print(f"  {share:.2f} of {peer.title} (target {SHARE_MAX}: {verdict(share <= SHARE_MAX)})")


def verdict(reached: bool) -> str:
    return "reached" if reached else "MISSED"


if __name__ == "__main__":
    main()
