"""New calls and those stored before: which are sightings of the same call, and what changes in the store for it.

In: a batch of new calls and which span is below which. Out: what the new calls are other sightings of, and what stored
calls are linked to from now on.
What it must never know: which sighting counts (`sightings` decides), a clock.

The store is asked for the traces, answers and requests that are suspect (`suspects`), then for what is linked with
what was found there, until nothing more belongs to it. Sightings of one call overlap in time, all but the skew of
clocks: that bounds what is read, however long a trace goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tachograph.call import INPUT_PARTS, OUTPUT_PARTS
from tachograph.sightings import SHARED_MAX, SKEW_US, Sighting, resolve
from tachograph.store.engine import Engine
from tachograph.store.suspects import SpanLinks, Suspects, without_answer

__all__ = ["Changes", "Linker", "SpanLinks"]

_HOUR_MS = 3_600_000
TRACE_CALLS_MAX = 10_000  # of one trace and time that are looked at: the latest
_MORE_US = 600_000_000  # what is read more than is needed, so that most of the time nothing is asked again
_LATE_HOURS = 2  # how long after its calls a link may come
_LOOKUP_KEYS = 20_000
_ROUNDS_MAX = 8
_WHO = ("team", "project", "feature", "customer", "user_id", "conversation_id", "experiment")
_PARTS = (*INPUT_PARTS, *OUTPUT_PARTS)
_TOLD = (
    "call_id",
    "trace_id",
    "span_id",
    "parent_span_id",
    "response_id",
    "operation",
    "vantage",
    "source",
    "outcome",
)
_STARTED = "toUnixTimestamp64Micro(started_at)"
_ENDED = f"({_STARTED} + toInt64(ifNull(duration_ms, 0) * 1000))"
_KNOWN_PARTS = " + ".join(f"isNotNull({part})" for part in _PARTS)
_KNOWN_WHO = " + ".join(f"notEmpty(ifNull({name}, ''))" for name in _WHO)
_REQUEST = "if(empty(ifNull(response_id, '')), ifNull(request_id, ''), '')"  # as the index by_request has it
_SIGHTING = ", ".join(
    (
        *(name if name != "response_id" else "nullIf(response_id, '')" for name in _TOLD),
        _STARTED,
        _ENDED,
        f"toInt64({_KNOWN_PARTS})",
        "isNotNull(cost_usd)",
        f"toInt64({_KNOWN_WHO})",
        "request_id",
        "same_as",
    )
)


@dataclass(frozen=True, slots=True)
class Changes:
    """same_as: what new calls are other sightings of. relinked: stored call -> what it was linked to, and what it is
    linked to from now on. compared: the new calls that these were compared with.
    """

    same_as: Mapping[bytes, bytes] = field(default_factory=dict)
    relinked: Mapping[bytes, tuple[bytes | None, bytes | None]] = field(default_factory=dict)
    compared: frozenset[bytes] = frozenset()

    @property
    def counted(self) -> list[bytes]:
        """Stored calls that were counted until now."""
        return [call_id for call_id, (before, _) in self.relinked.items() if before is None]

    @property
    def took_over(self) -> set[bytes]:
        """New calls that are counted from now on in place of stored ones that were counted until now."""
        return {after for before, after in self.relinked.values() if before is None and after in self.compared}

    @property
    def freed(self) -> list[bytes]:
        """Stored calls that are counted from now on."""
        return [call_id for call_id, (_, after) in self.relinked.items() if after is None]


@dataclass(frozen=True, slots=True)
class _Window:
    """Which calls are looked at: their ids, which begin with the milliseconds of their start, and their time."""

    first: bytes
    last: bytes
    since_us: int
    until_us: int

    def covers(self, sightings: Iterable[Sighting]) -> bool:
        """Whether all that may overlap with them was looked at."""
        return all(
            self.since_us <= sighting.started_us - SKEW_US and sighting.ended_us + SKEW_US <= self.until_us
            for sighting in sightings
        )

    def parameters(self) -> dict[str, Any]:
        return {"first": self.first.hex(), "last": self.last.hex(), "since": self.since_us, "until": self.until_us}


_WITHIN = (
    "call_id >= toFixedString(unhex({first:String}), 16) AND call_id <= toFixedString(unhex({last:String}), 16)"
    f" AND {_ENDED} >= {{since:Int64}} AND {_STARTED} <= {{until:Int64}}"
)


class Linker:
    """Finds sightings. One writer uses it at a time."""

    def __init__(self, engine: Engine, suspects: Suspects) -> None:
        self._engine, self._suspects = engine, suspects

    def changes(self, batch: pa.RecordBatch, links: SpanLinks) -> Changes:
        """What the new calls of `batch` and the new `links` change."""
        traces, answers, requests, by_link = self._suspects.of(batch, links)
        wanted, asked = _Keys(traces, answers, requests), _Keys()
        if not wanted:
            return Changes()
        new = {sighting.call_id: sighting for sighting in _sightings(batch, wanted)}
        known: dict[bytes, Sighting] = {}
        resolved: dict[bytes, bytes | None] = {}
        window = self._around(new.values(), whole=by_link)
        for _ in range(_ROUNDS_MAX):
            found = self._ask(wanted, window)
            asked.add(wanted)
            known |= {sighting.call_id: sighting for sighting in found if sighting.call_id not in new}
            everything = [*new.values(), *known.values()]
            resolved = resolve(everything, self._links(everything, links)) if len(everything) > 1 else {}
            involved, times = _involved(new, known, resolved)
            wanted = involved.without(asked)
            wanted.ids.difference_update(known, new)
            if not window.covers(times):
                wanted, window = involved, self._around(times, whole=by_link)
            if not wanted:
                break
        return _difference(new, known, resolved)

    def _around(self, sightings: Iterable[Sighting], *, whole: bool) -> _Window:
        """An hour on both sides, and what overlaps; `whole`: a link does not say when its calls were."""
        times = [(sighting.started_us, sighting.ended_us) for sighting in sightings]
        if not times:
            ((now,),) = self._engine.query("SELECT toUnixTimestamp(now())")
            return _Window(_id_of((int(now) - _LATE_HOURS * 3600) * 1000), b"\xff" * 16, 0, 2**62)
        first, last = min(start for start, _ in times), max(end for _, end in times)
        since, until = (0, 2**62) if whole else (first - SKEW_US - _MORE_US, last + SKEW_US + _MORE_US)
        return _Window(_id_of(first // 1000 - _HOUR_MS), _id_of(last // 1000 + _HOUR_MS), since, until)

    def _ask(self, wanted: _Keys, window: _Window) -> list[Sighting]:
        trace = "trace_id IN (SELECT toFixedString(unhex(arrayJoin({keys:Array(String)})), 16))"
        answer = "response_id IN (SELECT arrayJoin({keys:Array(String)}))"
        found = []
        for keys in _pieces([one.hex() for one in sorted(wanted.traces)]):
            found += self._seen(f"{_WITHIN} AND {trace}", f"{TRACE_CALLS_MAX} BY trace_id", keys, window)
        for keys in _pieces(sorted(wanted.answers)):
            found += self._seen(f"{_WITHIN} AND {answer}", f"{SHARED_MAX + 1} BY response_id", keys, window)
        for keys in _pieces(sorted(wanted.requests)):
            request = f"{_REQUEST} IN (SELECT arrayJoin({{keys:Array(String)}}))"
            found += self._seen(f"{_WITHIN} AND {request}", f"{SHARED_MAX + 1} BY request_id", keys, window)
        for keys in _pieces([one.hex() for one in sorted(wanted.ids)]):
            which = "call_id IN (SELECT toFixedString(unhex(arrayJoin({keys:Array(String)})), 16))"
            found += self._seen(which, str(_LOOKUP_KEYS), keys, window)
        return found

    def _seen(self, condition: str, most: str, keys: Sequence[str], window: _Window) -> list[Sighting]:
        table = self._engine.arrow(
            f"SELECT {_SIGHTING} FROM calls WHERE {condition} ORDER BY call_id DESC LIMIT {most}",
            {"keys": keys, **window.parameters()},
        )
        return list(map(Sighting, *(column.to_pylist() for column in table.columns)))

    def _links(self, sightings: Sequence[Sighting], links: SpanLinks) -> dict[tuple[bytes, bytes], bytes]:
        """Which span is below which, in the traces that hold at least two sightings."""
        seen: dict[bytes, int] = {}
        for sighting in sightings:
            if sighting.trace_id is not None:
                seen[sighting.trace_id] = seen.get(sighting.trace_id, 0) + 1
        several = {trace for trace, count in seen.items() if count > 1}
        found: dict[tuple[bytes, bytes], bytes] = {}
        for keys in _pieces([trace.hex() for trace in sorted(several)]):
            rows = self._engine.arrow(
                "SELECT trace_id, span_id, parent_span_id FROM span_links"
                " WHERE trace_id IN (SELECT toFixedString(unhex(arrayJoin({keys:Array(String)})), 16))",
                {"keys": keys},
            )
            columns = (rows.column(name).to_pylist() for name in ("trace_id", "span_id", "parent_span_id"))
            found |= {(trace, span): parent for trace, span, parent in zip(*columns, strict=True)}
        if several:
            for trace, span, parent in zip(*map(_bytes_of, (links.traces, links.spans, links.parents)), strict=True):
                if trace in several:
                    found[trace, span] = parent
        return found


@dataclass(slots=True)
class _Keys:
    """By which calls are asked for."""

    traces: set[bytes] = field(default_factory=set)
    answers: set[str] = field(default_factory=set)
    requests: set[str] = field(default_factory=set)
    ids: set[bytes] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.traces or self.answers or self.requests or self.ids)

    def add(self, other: _Keys) -> None:
        self.traces |= other.traces
        self.answers |= other.answers
        self.requests |= other.requests
        self.ids |= other.ids

    def of(self, sighting: Sighting) -> None:
        """Ask for what may belong to it."""
        if sighting.trace_id is not None:
            self.traces.add(sighting.trace_id)
        if sighting.response_id:
            self.answers.add(sighting.response_id)
        if sighting.request:
            self.requests.add(sighting.request)
        if sighting.same_as is not None:
            self.ids.add(sighting.same_as)

    def without(self, other: _Keys) -> _Keys:
        return _Keys(
            self.traces - other.traces,
            self.answers - other.answers,
            self.requests - other.requests,
            self.ids - other.ids,
        )


def _involved(
    new: Mapping[bytes, Sighting], known: Mapping[bytes, Sighting], resolved: Mapping[bytes, bytes | None]
) -> tuple[_Keys, list[Sighting]]:
    """What is, or was, linked; and by what those calls are found that may belong to the stored ones among them."""
    targets = {target for target in resolved.values() if target is not None}
    keys = _Keys()
    involved = []
    for call_id, sighting in (*new.items(), *known.items()):
        if sighting.same_as is None and resolved.get(call_id) is None and call_id not in targets:
            continue
        involved.append(sighting)
        if call_id in known:
            keys.of(sighting)
    return keys, involved


def _difference(
    new: Mapping[bytes, Sighting], known: Mapping[bytes, Sighting], resolved: Mapping[bytes, bytes | None]
) -> Changes:
    same_as = {call_id: target for call_id in new if (target := resolved.get(call_id)) is not None}
    relinked = {}
    for call_id, sighting in known.items():
        before, after = sighting.same_as, resolved.get(call_id)
        # What it was linked to is out of sight (the far end of a window): nothing new is known about it.
        unseen = before is not None and before not in resolved
        if after != before and not (after is None and unseen):
            relinked[call_id] = before, after
    return Changes(same_as, relinked, frozenset(new))


def _pieces(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for place in range(0, len(keys), _LOOKUP_KEYS):
        yield keys[place : place + _LOOKUP_KEYS]


def _bytes_of(matrix: Any) -> list[bytes]:
    return [row.tobytes() for row in matrix]


def _id_of(ms: int) -> bytes:
    return max(0, ms).to_bytes(6, "big") + b"\0" * 10


def _sightings(batch: pa.RecordBatch, wanted: _Keys) -> list[Sighting]:
    """Those of these traces, answers and requests; a call that was told which one it is needs no other."""
    of_traces = pc.is_in(batch.column("trace_id"), pa.array(sorted(wanted.traces), pa.binary(16)))
    of_answers = pc.is_in(batch.column("response_id"), pa.array(sorted(wanted.answers), pa.string()))
    of_requests = pc.is_in(batch.column("request_id"), pa.array(sorted(wanted.requests), pa.string()))
    of_words = pc.or_(of_answers, pc.and_(of_requests, without_answer(batch)))
    of_these = pc.and_(pc.or_(of_traces, of_words), pc.is_null(batch.column("same_as")))
    named = [*_TOLD, "started_at", "duration_ms", "cost_usd", *_PARTS, *_WHO, "request_id"]
    batch = batch.select(named).filter(of_these)
    started = np.asarray(batch.column("started_at").cast(pa.int64()))
    length = np.nan_to_num(np.asarray(batch.column("duration_ms").cast(pa.float64())))
    ended = started + np.rint(length * 1000).astype(np.int64)
    parts = np.sum([np.asarray(batch.column(name).is_valid()) for name in _PARTS], axis=0)
    priced = np.asarray(batch.column("cost_usd").is_valid())
    who = np.sum([np.asarray(pc.not_equal(batch.column(name).fill_null(""), "")) for name in _WHO], axis=0)
    told = (batch.column(name).to_pylist() for name in _TOLD)
    counted = (column.tolist() for column in (started, ended, parts, priced, who))
    return list(map(Sighting, *told, *counted, batch.column("request_id").to_pylist()))
