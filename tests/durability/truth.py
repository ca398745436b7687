"""What a store holds, held against what is true.

In: an open store, the traffic that was acknowledged. Out: assertions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta

from tests.durability.traffic import Request

from tachograph.call import EPOCH, INPUT_PARTS, OUTPUT_PARTS, Call
from tachograph.flow.batch import from_batch
from tachograph.sightings import Sighting, resolve
from tachograph.store import Store
from tachograph.store.rollups import ROLLUPS, SUMS, Rollup, filling, grouping

_WHO = ("team", "project", "feature", "customer", "user_id", "conversation_id", "experiment")


def calls_of(store: Store) -> list[Call]:
    return [call for batch in store.received_after(EPOCH) for call in from_batch(batch)]


def assert_every_call_is_there_once(store: Store, requests: Iterable[Request]) -> None:
    """Raw rows by span."""
    rows = Counter(f"{call.trace_id}{call.span_id}" for call in calls_of(store))
    wanted = {name for request in requests for name in request.calls}
    assert {name for name in wanted if name not in rows} == set(), "acknowledged, and not there"
    assert {name: count for name, count in rows.items() if count != 1} == {}, "there more than once"
    assert rows.keys() - wanted == set(), "there, and never acknowledged though everything was"


def assert_points_are_there_once(store: Store, requests: Iterable[Request]) -> int:
    wanted = sum(request.points for request in requests)
    ((rows, distinct),) = store.engine.query("SELECT count(), uniqExact(point_id) FROM metric_points")
    assert (rows, distinct) == (wanted, wanted)
    return wanted


def assert_linked_as_resolved(store: Store, links: Mapping[tuple[bytes, bytes], bytes]) -> int:
    """Every row is linked as it would be if all had come at once; how many count."""
    calls = calls_of(store)
    found = {bytes.fromhex(call.call_id): bytes.fromhex(call.same_as) if call.same_as else None for call in calls}
    wanted = resolve([sighting(call) for call in calls], links)
    wrong = {one.hex(): (found[one], wanted[one]) for one in found if found[one] != wanted[one]}
    assert wrong == {}
    return sum(target is None for target in found.values())


def sighting(call: Call) -> Sighting:
    def raw(text: str | None) -> bytes | None:
        return bytes.fromhex(text) if text else None

    started = (call.started_at - EPOCH) // timedelta(microseconds=1)
    return Sighting(
        call_id=bytes.fromhex(call.call_id),
        trace_id=raw(call.trace_id),
        span_id=raw(call.span_id),
        parent_span_id=raw(call.parent_span_id),
        response_id=call.response_id,
        request_id=call.request_id,
        operation=call.operation,
        vantage=call.vantage,
        source=call.source,
        outcome=call.outcome,
        started_us=started,
        ended_us=started + int((call.duration_ms or 0) * 1000),
        parts=sum(getattr(call, name) is not None for name in (*INPUT_PARTS, *OUTPUT_PARTS)),
        priced=call.cost_usd is not None,
        attributed=sum(bool(getattr(call, name)) for name in _WHO),
    )


def assert_rollups_equal_raw(store: Store) -> None:
    """Every sum of every cell of the three roll-ups is what the counted raw rows give."""
    for rollup in ROLLUPS:
        raw = f"{filling(rollup)} {grouping(rollup)}"
        kept = f"SELECT {_kept(rollup)} FROM {rollup.table} GROUP BY time, {', '.join(rollup.dimensions)}"
        plain = ", ".join(("time", *rollup.dimensions, *(_plain(name, kind) for name, (kind, _) in SUMS.items())))
        cells = {
            which: Counter(map(repr, store.engine.query(f"SELECT {plain} FROM ({sql}) WHERE calls != 0")))
            for which, sql in (("raw", raw), ("kept", kept))
        }
        assert cells["raw"] and cells["kept"] - cells["raw"] == cells["raw"] - cells["kept"] == Counter(), rollup.table


def _kept(rollup: Rollup) -> str:
    summed = (f"{_by(kind)}({rollup.table}.{name}) AS {name}" for name, (kind, _) in SUMS.items())
    return ", ".join(("time", *rollup.dimensions, *summed))


def _by(kind: str) -> str:
    return "sumMap" if "sumMap" in kind else "sum"


def _plain(name: str, kind: str) -> str:
    """A sum that was taken back is 0 where it never was is unknown: both say the same."""
    return f"mapSort(mapFilter((k, v) -> v != 0, {name}))" if "sumMap" in kind else f"ifNull({name}, 0)"
