"""SIGKILL of the reader, of Envoy, of both, at random under load: what Envoy flushed is stored, once; nothing else is.

The witness is the log itself: each of its files is kept by a second name.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.capture.gateway.envoys import binary, end_all, standing_in
from tests.durability import truth
from tests.durability.asking import Askers, Witness, counted, routes, trace_of
from tests.durability.process import Up, command, summed, totals
from tests.ports import free_port

from tachograph.store import open_store
from tachograph.testing.provider import Provider

KILLS = {"reader": 8, "reader in a write": 12, "envoy": 14, "both": 10}
SEED = 20261126
FLUSH_SECONDS = 0.6  # what was answered so long before its Envoy was killed is on the disk
WRITE_SECONDS = 0.1  # what a write takes where nobody else wants the cores
LOG_BYTES_MAX = 32 * 1024 * 1024  # small, so that it is rotated often


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(gap_seconds=0.004) as made:
        yield made


@pytest.mark.long
def test_kill_9_of_reader_and_envoy_loses_no_line_that_was_flushed_and_counts_none_twice(
    tmp_path: Path, provider: Provider
) -> None:
    binary()
    run = _Run(tmp_path, provider, SEED)
    try:
        run.kills()
        run.ends()
    finally:
        run.abandon()
    run.compares()


class _Run:
    def __init__(self, folder: Path, provider: Provider, seed: int) -> None:
        self.chance = random.Random(seed)
        self.store = folder / "data"
        self.gateway = self.store / "gateway"
        port = free_port()
        more = {
            "TACHOGRAPH_GATEWAY_FILE": str(routes(folder, provider.url)),
            "TACHOGRAPH_GATEWAY_LOG_BYTES_MAX": str(LOG_BYTES_MAX),
        }
        self.up = Up(str(self.store), gateway=f"127.0.0.1:{port}", more=more, log=folder / "log")
        # As fast as they can they ask for more than two busy cores read meanwhile, and the end waits for the rest.
        self.askers = Askers(port, seed, pause_seconds=0.01)
        self.witness = Witness(self.gateway, folder / "witness")
        self.envoy_kills: list[float] = []
        self.hits: Counter[str] = Counter()
        self.page: dict[str, float] = {}
        self.again = 0.0

    def kills(self) -> None:
        order = [kind for kind, count in KILLS.items() for _ in range(count)]
        self.chance.shuffle(order)
        self.up.start()
        self.askers.start()
        for kind in order:
            time.sleep(self.chance.uniform(0.2, 1.2))
            self._killed(kind)

    def _killed(self, kind: str) -> None:
        self.hits[kind] += 1
        if kind in ("envoy", "both"):
            for pid in standing_in(self.gateway):
                os.kill(pid, signal.SIGKILL)
                self.envoy_kills.append(time.monotonic())
        if kind == "envoy":
            return
        if kind == "reader in a write":
            self._await_write()
        else:
            self._count_again()
        self.up.kill()
        if kind != "both":
            answered = self._await_answer(len(self.askers.answered))
            self.hits["answered while nobody read" if answered else "neither Envoy nor reader"] += 1
        self.up.start()
        self.page = self.up.page()  # what it shows is saved, whatever comes

    def _count_again(self) -> None:
        """What was read twice since the last kill: it may be killed before it has saved what it counted."""
        self.page = self.up.page()
        self.again = max(self.again, self.page["tachograph_items_deduplicated_total"])

    def _await_answer(self, before: int) -> bool:
        """Whether something was answered while nobody reads: all Envoys that were killed are replaced by the reader."""
        time.sleep(self.chance.uniform(0.1, 0.5))
        until = time.monotonic() + 20
        while len(self.askers.answered) == before and standing_in(self.gateway):
            assert time.monotonic() < until, "an Envoy that nobody reads does not answer"
            time.sleep(0.01)
        return len(self.askers.answered) > before

    def _await_write(self) -> None:
        """Into the middle of one, or until the moment when it is done and nobody knows it yet."""
        self._await_writing(True)
        if self.hits["reader in a write"] % 2:
            self._await_writing(False)
        else:
            time.sleep(self.chance.uniform(0.0, WRITE_SECONDS))

    def _await_writing(self, wanted: bool) -> None:
        until = time.monotonic() + 10
        folders = [folder for folder in self.store.glob("store/*/*") if folder.is_dir()]
        while wanted != any(part.name.startswith("tmp_insert_") for folder in folders for part in folder.iterdir()):
            assert time.monotonic() < until, "nothing was written under load" if wanted else "a write does not end"
            time.sleep(0.001)

    def ends(self) -> None:
        time.sleep(1.0)
        self.askers.stop()
        time.sleep(1.0)
        self._count_again()
        assert self.up.stop()[0] == 0
        assert standing_in(self.gateway) == []

    def abandon(self) -> None:
        self.askers.stop()
        self.up.end()
        self.witness.stop()
        end_all(self.gateway)

    def compares(self) -> None:
        written = counted(trace_of(line) for line in self.witness.lines())
        with open_store(f"chdb://{self.store}") as store:
            stored = counted(call.trace_id for call in truth.calls_of(store))
        assert written.keys() - stored.keys() == set(), "flushed, and not stored"
        assert stored.keys() - written.keys() == set(), "stored, and never written"
        assert {trace: count for trace, count in stored.items() if count != 1} == {}, "stored more than once"
        missing = [one for one in self.askers.answered if one.trace not in stored]
        assert [one for one in missing if not self._explained(one.at)] == [], "answered, and not in the log"
        ledger = command("ledger", store=str(self.store))
        assert ledger["balanced"]
        assert totals(ledger)["stored"] == sum(stored.values())
        assert summed(self.page, "tachograph_gateway_lines_lost_total") == 0
        assert list(self.gateway.glob("*/calls*")) == []
        self._report(sum(stored.values()), len(missing))

    def _explained(self, at: float) -> bool:
        """Whether an Envoy was killed before it can have flushed what it answered then: where the machine let nobody
        run for a while, that much later.
        """
        for killed in self.envoy_kills:
            late = self.witness.stood_still(min(at, killed) - FLUSH_SECONDS, max(at, killed))
            if at <= killed + 0.05 + late and killed - at < FLUSH_SECONDS + late:
                return True
        return False

    def _report(self, stored: int, missing: int) -> None:
        print(  # noqa: T201
            f"\n{sum(KILLS.values())} kills: {dict(self.hits)}; {len(self.askers.answered)} of"
            f" {len(self.askers.asked)} requests answered; {stored} stored; {missing} answered just before their Envoy"
            f" was killed, and not flushed; at least {self.again:.0f} lines read again"
        )
        assert stored > 2_000 and self.again > 0
        assert self.hits["answered while nobody read"] >= (KILLS["reader"] + KILLS["reader in a write"]) / 2
