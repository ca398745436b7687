"""Sightings of calls for the tests of the store, and what must hold of it whatever came in whichever order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from tachograph.call import Call, derive_id
from tachograph.flow.batch import to_batch
from tachograph.sightings import Sighting, resolve
from tachograph.store import SpanLinks, Store
from tachograph.store.rollups import ROLLUPS, SUMS, Rollup, filling, grouping

Link = tuple[str, str, str]  # trace, span, parent: names
_HISTOGRAMS = [name for name, (kind, _) in SUMS.items() if "sumMap" in kind]
_WHO = ("team", "project", "feature", "customer", "user_id", "conversation_id", "experiment")


def octets(name: str, width: int) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:width]


def seen(name: str, started: datetime, seconds: float = 2.0, **fields: Any) -> Call:
    """A call whose ids come from names: `trace`, `span`, `parent`."""
    trace, own, parent = (fields.pop(word, None) for word in ("trace", "span", "parent"))
    tokens, out = fields.pop("tokens", 100), fields.pop("out", 10)
    counted = {"input_uncached": tokens, "input_tokens": tokens, "output_visible": out, "output_tokens": out}
    told = {
        "call_id": derive_id(started, name.encode()),
        "trace_id": octets(trace, 16).hex() if trace else None,
        "span_id": octets(own, 8).hex() if own else None,
        "parent_span_id": octets(parent, 8).hex() if parent else None,
        "started_at": started,
        "received_at": started + timedelta(seconds=seconds),
        "duration_ms": seconds * 1000,
        "operation": "chat",
        "model": "m",
        "source": "sdk",
        **(counted | {"total_tokens": tokens + out} if tokens is not None else {}),
    }
    return Call(**{**told, **fields})


def linked(links: Iterable[Link]) -> SpanLinks:
    rows = [(octets(trace, 16), octets(span, 8), octets(parent, 8)) for trace, span, parent in links]
    if not rows:
        return SpanLinks()
    columns = (np.frombuffer(b"".join(column), np.uint8).reshape(len(rows), -1) for column in zip(*rows, strict=True))
    return SpanLinks(*columns)


def put(store: Store, calls: Sequence[Call], links: Iterable[Link] = (), token: str = "") -> int:
    """Write one batch; how many calls were new."""
    batch = to_batch(calls)
    token = token or hashlib.sha256(repr(sorted(call.call_id for call in calls)).encode()).hexdigest()
    return int(store.write_batch(batch, token, linked(links)).num_rows)


def expected(calls: Iterable[Call], links: Iterable[Link]) -> dict[str, str | None]:
    """Of all calls at once: what each is another sighting of."""
    known = {(octets(trace, 16), octets(span, 8)): octets(parent, 8) for trace, span, parent in links}
    found = resolve([_sighting(call) for call in calls], known)
    return {call_id.hex(): target.hex() if target else None for call_id, target in found.items()}


def kept(store: Store) -> dict[str, str | None]:
    """What the store says that each call is another sighting of."""
    rows = store.engine.query("SELECT lower(hex(call_id)), lower(hex(same_as)), count() FROM calls GROUP BY 1, 2")
    assert len({call_id for call_id, _, _ in rows}) == len(rows), "a call has two rows"
    assert all(count == 1 for _, _, count in rows), "a call has two rows"
    return {call_id: target or None for call_id, target, _ in rows}


def _sighting(call: Call) -> Sighting:
    started = round(call.started_at.timestamp() * 10**6)
    parts = sum(value is not None for value in (call.input_uncached, call.output_visible, call.cache_read))
    return Sighting(
        call_id=bytes.fromhex(call.call_id),
        trace_id=bytes.fromhex(call.trace_id) if call.trace_id else None,
        span_id=bytes.fromhex(call.span_id) if call.span_id else None,
        parent_span_id=bytes.fromhex(call.parent_span_id) if call.parent_span_id else None,
        response_id=call.response_id,
        request_id=call.request_id,
        operation=call.operation,
        vantage=call.vantage,
        source=call.source,
        outcome=call.outcome,
        started_us=started,
        ended_us=started + round((call.duration_ms or 0) * 1000),
        parts=parts,
        priced=call.cost_usd is not None,
        attributed=sum(bool(getattr(call, name)) for name in _WHO),
    )


def assert_rolled(store: Store) -> None:
    """Every roll-up holds what it would hold if it were made from the raw rows now."""
    for rollup in ROLLUPS:
        assert rolled(store, rollup) == from_raw(store, rollup), rollup.name


def rolled(store: Store, rollup: Rollup) -> dict[Any, Any]:
    """The cells of a roll-up. One whose calls were all taken back is none."""
    keys = ", ".join(("time", *rollup.dimensions))
    sums = ", ".join(f"{'sumMap' if name in _HISTOGRAMS else 'sum'}({name}) AS {name}_" for name in SUMS)
    sql = f"SELECT {keys}, {sums} FROM {rollup.table} GROUP BY {keys} HAVING calls_ != 0"
    return _cells(store.engine.query(sql), rollup)


def from_raw(store: Store, rollup: Rollup) -> dict[Any, Any]:
    """The same cells, made from the raw rows."""
    return _cells(store.engine.query(f"{filling(rollup)} {grouping(rollup)}"), rollup)


def _cells(rows: Sequence[Sequence[Any]], rollup: Rollup) -> dict[Any, Any]:
    width = 1 + len(rollup.dimensions)
    return {tuple(row[:width]): dict(zip(SUMS, map(_plain, row[width:]), strict=True)) for row in rows}


def _plain(value: Any) -> Any:
    """What was taken back leaves a sum of nothing known at 0."""
    if isinstance(value, dict):
        return {key: count for key, count in value.items() if count}
    return value or 0


def cents(number: int) -> Decimal:
    return Decimal(number) / 100
