"""Lines of the gateway's log become calls that count once, whatever is busy, away, damaged or restarted meanwhile."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.capture.sdk.scripted import WHOLE

from tachograph import wire
from tachograph.call import Call
from tachograph.capture.gateway.following import LOG, LogLimits
from tachograph.capture.gateway.lines import Seen
from tachograph.capture.gateway.running import Run
from tachograph.flow import Busy, Refused
from tachograph.gating import Gating, Kept, Place, Sent, Told, calls_of
from tachograph.health import Health
from tachograph.keeping import Keeping
from tachograph.pricing import price_book
from tachograph.prometheus import Metrics
from tachograph.store import open_store

START = datetime(2026, 11, 26, 1, 2, 3, tzinfo=UTC)
OPENING = b'{"a":'
LIMITS = LogLimits(rotate_bytes=2000)


def made(number: int, **more: Any) -> str:
    told = {"a": number, "trace": secrets.token_hex(16), "span": secrets.token_hex(8), **more}
    return json.dumps(told, separators=(",", ":")) + "\n"


def seen(line: bytes) -> Seen | None:
    try:
        told = json.loads(line)
    except ValueError as error:
        raise Refused("line_damaged", f"not JSON: {error}") from error
    if told.get("wrong"):
        raise KeyError("a mistake of ours")
    if told.get("other"):
        return None
    exchange = wire.Exchange(
        wire.Request("https://api.openai.com/v1/chat/completions", members={"model": "gpt-5-mini"}),
        status=200,
        headers={"content-type": "application/json"},
        chunks=[(1000, WHOLE)],
        started_at=START + timedelta(seconds=told["a"]),
        end_us=2000,
    )
    who = {"team": "one", "tags": {"x": "y"}}
    return Seen(exchange, True, "openai", "providers", told["trace"], told["span"], attribution=who)


class Following:
    """A gating over a folder that a test writes into; its writer is gone when the test says so."""

    def __init__(self, folder: Path, place: Place, health: Health, limits: LogLimits = LIMITS) -> None:
        folder.mkdir(exist_ok=True)
        self.limits = limits
        self.run, self.place, self.health = Run(folder), place, health
        self.living = True
        self.run.alive = lambda: self.living  # type: ignore[method-assign]
        self.forgotten: list[Run] = []
        self.reopened = 0

    def write(self, *lines: str) -> None:
        with (self.run.folder / LOG).open("a") as file:
            file.write("".join(lines))

    def reopen(self, _run: Run) -> None:
        self.reopened += 1
        (self.run.folder / LOG).touch()

    def gating(self) -> Gating:
        runs = (self.run,)
        return Gating(
            lambda: () if self.forgotten else runs,
            self.reopen,
            self.forgotten.append,
            seen,
            OPENING,
            self.place,
            self.health,
            self.limits,
        )

    def follow_until(self, true: Callable[[], bool]) -> None:
        stopping = threading.Event()
        thread = threading.Thread(target=self.gating().follow, args=(stopping,))
        thread.start()
        try:
            until = time.monotonic() + 20
            while not true():
                assert time.monotonic() < until, self.health.snapshot()
                time.sleep(0.01)
        finally:
            stopping.set()
            thread.join()


@dataclass
class Taking:
    """A sink that is busy for so many tries, or refuses what it is told to."""

    busy: int = 0
    taken: list[Call] = field(default_factory=list)
    refuses: str = ""

    def write(self, calls: Sequence[Call], token: str) -> int:
        if self.busy:
            self.busy -= 1
            raise Busy("away", 0.01)
        if self.refuses:
            raise Refused(self.refuses, "no")
        self.taken += calls
        return len(calls)


def ledger(health: Health) -> dict[str, Any]:
    found = health.ledger()
    assert found["balanced"]
    return found


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[tuple[Keeping, Kept, Health]]:
    health = Health()
    with open_store(f"chdb://{tmp_path / 'store'}") as store:
        keeping = Keeping(store, Metrics(health), health, lambda: datetime.now(UTC))
        shown: list[Any] = []
        yield keeping, Kept(keeping, price_book(), health, {"service": "web"}, lambda: START, shown.append), health


def test_lines_become_calls_in_the_store_that_count_once(tmp_path: Path, kept: tuple[Keeping, Kept, Health]) -> None:
    keeping, place, health = kept
    following = Following(tmp_path / "1", place, health)
    lines = [made(number) for number in range(5)]
    following.write(*lines, "{}broken\n", made(9, wrong=True), made(8, other=True))
    following.follow_until(lambda: keeping.stats().calls == 5 and not ledger(health)["in_flight"])
    counts = ledger(health)
    assert counts["stored"] == 5 and counts["refused"] == {"line_damaged": 1, "internal_error": 1}
    assert counts["ignored"] == {"not_a_model_call": 1}
    (call,) = keeping.calls({"team": "one"}, since=START, until=START + timedelta(seconds=1))
    assert (call.vantage, call.source[:8], call.service, call.tags) == ("gateway", "gateway ", "web", {"x": "y"})
    assert call.cost_usd is not None and call.input_tokens == 9 and call.duration_ms == 2.0
    (following.run.folder / "position.json").unlink()  # as if the position had not been kept
    following.follow_until(lambda: ledger(health)["deduplicated"] == 5)
    assert keeping.stats().calls == 5 and keeping.stats().repeated_sightings == 0


def test_a_collector_that_is_away_is_tried_again_and_nothing_is_lost_or_counted_twice(tmp_path: Path) -> None:
    health, sink = Health(), Taking(busy=1)
    following = Following(tmp_path / "1", Sent(sink, health, {"service": "web"}), health)
    following.write(*(made(number) for number in range(700)))
    following.follow_until(lambda: len(sink.taken) == 700)
    assert {call.service for call in sink.taken} == {"web"}
    assert len({call.span_id for call in sink.taken}) == 700
    assert ledger(health)["stored"] == 700 and health.snapshot()["items_accepted_total"] == {"gateway": 700}


@pytest.mark.parametrize("reason", ["http_401", "http_404"])
def test_a_wrong_key_or_address_of_the_collector_loses_nothing(tmp_path: Path, reason: str) -> None:
    with pytest.raises(Busy):
        Sent(Taking(refuses=reason), Health(), {}).put(_told(made(1)))


def test_what_the_collector_refuses_is_counted(tmp_path: Path) -> None:
    health = Health()
    Sent(Taking(refuses="http_400"), health, {}).put(_told(made(1)))
    assert ledger(health)["refused"] == {"http_400": 1}


def _told(line: str) -> Told:
    read = seen(line.encode())
    assert read is not None
    return Told(calls_of(read))


def test_over_its_bound_the_oldest_of_the_log_is_given_up_and_counted(tmp_path: Path) -> None:
    health, sink = Health(), Taking(busy=10**6)
    following = Following(tmp_path / "1", Sent(sink, health, {}), health, replace(LIMITS, log_bytes_max=6000))
    written = 0

    def flooded() -> bool:
        nonlocal written
        following.write(*(made(written + number) for number in range(30)))
        written += 30
        time.sleep(0.2)
        return bool(health.snapshot()["gateway_lines_lost_total"])

    following.follow_until(flooded)
    sink.busy = 0
    following.living = False
    following.follow_until(lambda: bool(following.forgotten))
    (lost,) = health.snapshot()["gateway_lines_lost_total"].values()  # type: ignore[union-attr]
    assert len(sink.taken) + lost == written and lost > 0 and following.reopened > 0


def test_a_line_glued_to_half_of_another_is_read(tmp_path: Path) -> None:
    health, sink = Health(), Taking()
    following = Following(tmp_path / "1", Sent(sink, health, {}), health)
    following.write(made(1)[:40] + made(2), made(3))
    following.follow_until(lambda: len(sink.taken) == 2)
    assert [call.started_at.second for call in sink.taken] == [5, 6]


def test_the_run_is_forgotten_once_its_writer_is_gone_and_all_of_it_is_read(tmp_path: Path) -> None:
    health, sink = Health(), Taking()
    following = Following(tmp_path / "1", Sent(sink, health, {}), health)
    following.write(made(1), made(2), made(3)[:50])
    following.living = False
    following.follow_until(lambda: following.forgotten == [following.run])
    assert len(sink.taken) == 2 and ledger(health)["refused"] == {"line_cut_off": 1}


def test_a_bug_of_ours_stops_nothing_for_good(tmp_path: Path) -> None:
    class Broken(Taking):
        def write(self, calls: Sequence[Call], token: str) -> int:
            if self.busy:
                self.busy -= 1
                raise RuntimeError("a bug")
            return super().write(calls, token)

    health, sink = Health(), Broken(busy=1)
    gating = Following(tmp_path / "1", Sent(sink, health, {}), health)
    gating.write(made(1))
    stopping = threading.Event()
    stopping.set()
    gating.gating().follow(stopping)
    assert sink.taken == []
    gating.gating().follow(stopping)
    assert len(sink.taken) == 1
