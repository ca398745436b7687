"""Imports: batches that count once, an interruption that is continued, one impossible call among many."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tachograph.call import to_json
from tachograph.flow import Busy, Refused
from tachograph.health import Health
from tachograph.importing import BATCH_CALLS_MAX, Importer
from tachograph.pricing import PriceBook, price_book
from tachograph.testing import MemorySink, generated_day

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CALLS = list(generated_day(date(2026, 11, 1), 2 * BATCH_CALLS_MAX + 100))


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return price_book()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "calls.jsonl"
    path.write_text("\n".join(map(to_json, CALLS)))
    return path


def importer(book: PriceBook, sink: MemorySink, positions: Path | None = None) -> Importer:
    return Importer(book, sink, Health(), {"team": "default"}, NOW, lambda *_: None, positions)


def test_an_interrupted_import_continues_where_it_stopped(book: PriceBook, file: Path, tmp_path: Path) -> None:
    positions = tmp_path / "positions"
    broken = MemorySink(busy_after=1)
    with pytest.raises(Busy):
        importer(book, broken, positions).run([file])
    assert len(broken.calls) == BATCH_CALLS_MAX

    whole = MemorySink()
    result = importer(book, whole, positions).run([file])
    assert (result.skipped, result.stored) == (BATCH_CALLS_MAX, BATCH_CALLS_MAX + 100)
    assert {**broken.calls, **whole.calls}.keys() == {call.call_id for call in CALLS}

    with file.open("a") as grown:  # a log that goes on is read from where it was left
        grown.write("\n" + to_json(next(generated_day(date(2026, 11, 2), 1))))
    assert importer(book, whole, positions).run([file]).stored == 1
    file.write_text(to_json(CALLS[3]))  # another file under the same name begins anew
    assert importer(book, whole, positions).run([file]).skipped == 0


def test_damaged_positions_only_cost_time(book: PriceBook, file: Path, tmp_path: Path) -> None:
    positions, sink = tmp_path / "positions", MemorySink()
    positions.write_text("{")
    assert importer(book, sink, positions).run([file]).stored == len(CALLS)
    positions.write_text("[]")
    again = importer(book, sink, positions).run([file])
    assert (again.accepted, again.stored) == (len(CALLS), 0)


def test_one_impossible_call_does_not_hold_up_the_others(book: PriceBook, file: Path) -> None:
    sink = MemorySink(impossible=[CALLS[7].call_id, CALLS[4321].call_id])
    part = importer(book, sink)
    result = part.run([file])
    assert result.stored == len(CALLS) - 2
    assert [reason.split(":")[1] for reason in result.bad] == ["8", "4322"]
    counts = part.health.snapshot()
    assert counts["items_accepted_total"] == {"import": len(CALLS)}
    assert counts["items_refused_total"] == {"out_of_range": 2}


def test_defaults_fill_only_what_is_missing(book: PriceBook, file: Path) -> None:
    sink = MemorySink()
    importer(book, sink).run([file])
    teams = {call.call_id: call.team for call in CALLS}
    assert all(call.team == (teams[call.call_id] or "default") for call in sink.calls.values())
    assert all(call.price_status != "unknown_usage" or call.outcome == "error" for call in sink.calls.values())


def test_folders_are_read_whole_and_empty_ones_are_named(book: PriceBook, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"no \.json, \.jsonl or \.csv file below this folder"):
        importer(book, MemorySink()).run([tmp_path])
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "calls.jsonl").write_text(to_json(CALLS[0]))
    (tmp_path / "not.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("notes")
    result = importer(book, MemorySink()).run([tmp_path])
    assert (result.files, result.stored, result.refused) == (2, 1, 1)
