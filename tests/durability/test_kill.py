"""SIGKILL at random moments under load: what clients were told is what is stored.

Three kinds of moment: at any time under load; in a write, at once or some milliseconds after the engine began to write
a part (of the links, the note, the rows or a roll-up); and while the process starts and puts right what the kill before
left.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.durability import truth
from tests.durability.process import Up, command, counters, ledger_of_page, summed, totals
from tests.durability.sending import Senders
from tests.durability.traffic import Traffic

from tachograph.store import open_store

KILLS = {"under load": 14, "in a write": 34, "at the start": 12}
WRITE_SECONDS = 0.06  # a batch is some parts, one after the other
UNFINISHED = "tmp_insert_"  # how the name of a part begins that is not all there
SEED = 20260801


@pytest.mark.long
def test_kill_9_loses_no_acknowledged_call_and_counts_none_twice(tmp_path: Path) -> None:
    run = _Run(tmp_path, SEED)
    try:
        run.kills()
        run.restarts_gracefully()
        run.ends()
    finally:
        run.abandon()
    run.compares()


class _Run:
    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.folder = folder / "data"
        self.up = Up(str(self.folder), log=folder / "log")
        self.traffic = Traffic(seed)
        self.senders = Senders(self.up, seed)
        self.made = 0
        self.hits: Counter[str] = Counter()
        self.start_seconds: list[float] = []
        self.page: dict[str, float] = {}

    def kills(self) -> None:
        order = [kind for kind, count in KILLS.items() for _ in range(count)]
        self.chance.shuffle(order)
        self.senders.start()
        self._start()
        for kind in order:
            if kind == "at the start":
                self._killed_at_the_start()
            else:
                self._killed_under_load(kind)
        self._load_for(0.5)

    def _start(self) -> None:
        """Start, and see what the kill before had left: rows that nobody was told of were killed between the two."""
        self.start_seconds.append(self.up.start())
        told = {name for request in self.senders.acknowledged for name in request.calls}
        rows = self.up.rows()
        assert rows >= len(told), "acknowledged, and not there after a restart"
        self.hits["stored, not acknowledged"] += rows > len(told)
        self.senders.open.set()

    def _killed_under_load(self, kind: str) -> None:
        self._load_for(self.chance.uniform(0.2, 1.6))
        if kind == "in a write":
            self._await_write()
            time.sleep(self.chance.choice((0.0, self.chance.uniform(0.0, WRITE_SECONDS))))
        self._killed(kind)
        self._start()

    def _await_write(self) -> None:
        until = time.monotonic() + 10
        folders = [folder for folder in self.folder.glob("store/*/*") if folder.is_dir()]
        while not any(part.name.startswith(UNFINISHED) for folder in folders for part in folder.iterdir()):
            assert time.monotonic() < until, "nothing was written under load"
            self._feed()
            time.sleep(0.001)

    def _killed(self, kind: str) -> None:
        self.hits["with requests under way"] += self.senders.under_way > 0
        self.senders.open.clear()
        self.up.kill()
        self.hits[kind] += 1
        self.hits["with a part half written"] += any(self.folder.glob(f"store/*/*/{UNFINISHED}*"))

    def _killed_at_the_start(self) -> None:
        self._load_for(self.chance.uniform(0.1, 0.4))
        self._killed("before a start")
        self.up.begin()
        time.sleep(self.chance.uniform(0.3, 1.2) * sum(self.start_seconds) / len(self.start_seconds))
        self.up.kill()
        self.hits["at the start"] += 1
        self._start()

    def _load_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._feed()
            time.sleep(0.02)

    def _feed(self) -> None:
        while len(self.senders.queue) < 8:
            made = self.traffic.wave()
            self.made += len(made)
            self.senders.queue.extend(made)

    def restarts_gracefully(self) -> None:
        """At a quiet moment: no counter goes back over it."""
        self._quiet()
        before = self.up.page()
        assert self.up.stop()[0] == 0
        self.senders.open.clear()
        self._start()
        after = self.up.page()
        assert {
            name: (value, after.get(name)) for name, value in counters(before).items() if after.get(name, -1) < value
        } == {}

    def _quiet(self) -> None:
        until = time.monotonic() + 60
        while self.senders.queue or self.senders.under_way or len(set(map(id, self.senders.acknowledged))) < self.made:
            assert time.monotonic() < until and not self.senders.wrong, self.senders.wrong
            time.sleep(0.05)

    def ends(self) -> None:
        self._load_for(0.5)
        self._quiet()
        self.page = self.up.page()
        assert totals(self.up.ledger()) == ledger_of_page(self.page)
        self.senders.stop()
        assert self.up.stop()[0] == 0

    def abandon(self) -> None:
        self.up.end()
        self.senders.abandon()

    def compares(self) -> None:
        assert self.senders.wrong == []
        requests = {id(request): request for request in self.senders.acknowledged}.values()
        assert len(requests) == self.made
        ledger = command("ledger", store=str(self.folder))
        with open_store(f"chdb://{self.folder}") as store:
            truth.assert_every_call_is_there_once(store, requests)
            points = truth.assert_points_are_there_once(store, requests)
            counted = truth.assert_linked_as_resolved(store, self.traffic.truth.links)
            assert counted == self.traffic.truth.calls
            truth.assert_rollups_equal_raw(store)
            rows = sum(len(request.calls) for request in requests)
        assert ledger["balanced"] and ledger["in_flight"] == 0
        assert ledger["stored"] == rows + points
        assert totals(ledger) == ledger_of_page(self.page)
        shown = summed(self.page, "tachograph_calls_total")
        assert counted <= shown <= rows
        self._report(rows, counted, int(shown))

    def _report(self, rows: int, counted: int, shown: int) -> None:
        starts = sorted(self.start_seconds)
        print(  # noqa: T201
            f"\n{sum(KILLS.values())} kills + those before a start: {dict(self.hits)}; {len(self.senders.acknowledged)}"
            f" acknowledgements of {self.made} requests, {self.senders.lost} without an answer,"
            f" {self.senders.busy} busy; {rows} sightings of {counted} calls, {shown} on the page;"
            f" start {starts[len(starts) // 2]:.2f} s (median), {starts[-1]:.2f} s (longest)"
        )
        assert self.hits["with requests under way"] >= sum(KILLS.values()) * 0.8
        assert self.hits["with a part half written"] >= 3  # how many is the disk's speed
        assert self.hits["stored, not acknowledged"] >= 3
