"""New calls and those of the last hour: which are sightings of the same call, and what changes in the store for it.

In: a batch of new calls and which span is below which. Out: the batch with `same_as`, and the changes to what is
stored.
What it must never know: which sighting counts (`sightings` decides), a clock.

Most calls are seen once. What was stored lately is remembered in a few bits a key (`recent`), so that the store is
only asked about traces and answers that were perhaps there before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tachograph.call import INPUT_PARTS, OUTPUT_PARTS
from tachograph.sightings import DEPTH_MAX, Sighting, resolve
from tachograph.store.engine import Engine
from tachograph.store.recent import Recent, mixed, of_bytes, of_texts

HOUR_MS = 3_600_000
_LOOKUP_KEYS = 20_000
_ROUNDS = 2  # from a call to its sightings, and from those to theirs
_WHO = ("team", "project", "feature", "customer", "user_id", "conversation_id")
_PARTS = (*INPUT_PARTS, *OUTPUT_PARTS)
_FIELDS = (
    "call_id",
    "trace_id",
    "span_id",
    "parent_span_id",
    "response_id",
    "operation",
    "vantage",
    "source",
    "outcome",
    "same_as",
)


@dataclass(frozen=True, slots=True)
class SpanLinks:
    """Spans that are no calls, as matrices of bytes: a row of `parents` is the span above that of `spans`."""

    traces: Any = field(default_factory=lambda: np.zeros((0, 16), np.uint8))
    spans: Any = field(default_factory=lambda: np.zeros((0, 8), np.uint8))
    parents: Any = field(default_factory=lambda: np.zeros((0, 8), np.uint8))

    def __len__(self) -> int:
        return len(self.traces)


@dataclass(frozen=True, slots=True)
class Changes:
    """same_as: of new calls. linked: stored call -> the one it is another sighting of. counted: those of them that were
    counted until now. freed: stored calls that are counted from now on.
    """

    same_as: Mapping[bytes, bytes]
    linked: Mapping[bytes, bytes]
    counted: Sequence[bytes]
    freed: Sequence[bytes]


NOTHING = Changes({}, {}, (), ())


class Linker:
    """Finds sightings. One writer uses it at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._spans, self._parents, self._answers = Recent(), Recent(), Recent()

    def remember(self, batch: pa.RecordBatch) -> None:
        """These calls are stored now."""
        at = int(_started(batch).max(initial=0)) // 1000
        keys = _Keys.of(batch)
        for recent, values in ((self._spans, keys.spans), (self._parents, keys.parents), (self._answers, keys.answers)):
            recent.add(values[values != 0], at)

    def remember_links(self, links: SpanLinks) -> None:
        """These spans that are no calls are stored now."""
        self._spans.add(_span_keys(links.traces, links.spans), 0)
        self._parents.add(_span_keys(links.traces, links.parents), 0)

    def changes(self, batch: pa.RecordBatch, links: SpanLinks) -> Changes:
        """What the new calls of `batch` and the new `links` change."""
        traces, answers = self._suspects(batch, links)
        if not traces and not answers:
            return NOTHING
        rows = _rows_of(batch, traces, answers)
        new = _sightings(batch.take(pa.array(rows))) if len(rows) else []
        low, high = self._range(batch)
        known = self._stored(traces, answers, low, high)
        for sighting in new:
            known.pop(sighting.call_id, None)
        if len(known) + len(new) < 2:
            return NOTHING
        return _difference(new, known, resolve([*new, *known.values()], self._links(new, known, links)))

    def _suspects(self, batch: pa.RecordBatch, links: SpanLinks) -> tuple[set[bytes], set[str]]:
        """Traces and answers of which this batch may show one call twice.

        A call is suspect if a call stands above it (over links of this batch, or over what was stored), if something
        stands below it, or if its span or its answer was there before. A link is, if it may join what was stored.
        """
        keys = _Keys.of(batch)
        link_spans, link_parents = _span_keys(links.traces, links.spans), _span_keys(links.traces, links.parents)
        above = self._leads_to_call(keys, link_spans, link_parents)
        below = (
            np.isin(keys.spans, keys.parents) | np.isin(keys.spans, link_parents) | self._parents.perhaps(keys.spans)
        )
        known = _repeated(keys.spans) | self._spans.perhaps(keys.spans)
        by_span = np.flatnonzero((above | below | known) & (keys.spans != 0))
        by_answer = np.flatnonzero(
            (keys.answers != 0) & (_repeated(keys.answers) | self._answers.perhaps(keys.answers))
        )
        joining = np.flatnonzero(self._parents.perhaps(link_spans) & self._spans.perhaps(link_parents))
        traces = set(batch.column("trace_id").take(pa.array(by_span)).to_pylist())
        traces |= {links.traces[row].tobytes() for row in joining}
        return traces - {None}, set(batch.column("response_id").take(pa.array(by_answer)).to_pylist())

    def _leads_to_call(self, keys: _Keys, link_spans: Any, link_parents: Any) -> Any:
        """For each call: whether the way up from it meets a call, or leads to where the store must be asked."""
        order = np.argsort(link_spans)
        link_spans, link_parents = link_spans[order], link_parents[order]
        at, found = keys.parents.copy(), np.zeros(len(keys.parents), bool)
        for _ in range(DEPTH_MAX):
            found |= (at != 0) & (np.isin(at, keys.spans) | self._spans.perhaps(at))
            place = np.searchsorted(link_spans, at)
            place = np.minimum(place, max(len(link_spans) - 1, 0))
            going = (at != 0) & ~found & (link_spans[place] == at) if len(link_spans) else np.zeros(len(at), bool)
            if not going.any():
                return found
            at = np.where(going, link_parents[place], 0) if len(link_spans) else at
        return found

    def _range(self, batch: pa.RecordBatch) -> tuple[bytes, bytes]:
        """Ids begin with the milliseconds of their call: an hour on both sides of the batch."""
        if not batch.num_rows:
            return b"\0" * 16, b"\xff" * 16
        ms = _started(batch) // 1000
        return _id_of(int(ms.min()) - HOUR_MS), _id_of(int(ms.max()) + HOUR_MS)

    def _stored(self, traces: set[bytes], answers: set[str], low: bytes, high: bytes) -> dict[bytes, Sighting]:
        found: dict[bytes, Sighting] = {}
        asked_traces: set[bytes] = set()
        asked_answers: set[str] = set()
        for _ in range(_ROUNDS):
            traces, answers = traces - asked_traces, answers - asked_answers
            if not traces and not answers:
                break
            asked_traces |= traces
            asked_answers |= answers
            seen = self._ask(traces, answers, low, high)
            found |= {sighting.call_id: sighting for sighting in seen}
            traces = {sighting.trace_id for sighting in seen if sighting.trace_id is not None}
            answers = {sighting.response_id for sighting in seen if sighting.response_id}
        return found

    def _ask(self, traces: set[bytes], answers: set[str], low: bytes, high: bytes) -> list[Sighting]:
        parts = " + ".join(f"isNotNull({part})" for part in _PARTS)
        who = " + ".join(f"notEmpty(ifNull({name}, ''))" for name in _WHO)
        found = []
        for some_traces, some_answers in _pieces(sorted(traces), sorted(answers)):
            table = self._engine.arrow(
                f"SELECT {', '.join(_FIELDS)}, toUnixTimestamp64Micro(started_at) AS started_us,"
                " started_us + toInt64(ifNull(duration_ms, 0) * 1000) AS ended_us,"
                f" toInt64({parts}) AS parts, isNotNull(cost_usd) AS priced, toInt64({who}) AS attributed"
                " FROM calls WHERE call_id >= toFixedString(unhex({low:String}), 16)"
                " AND call_id <= toFixedString(unhex({high:String}), 16)"
                " AND (trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))"
                " OR response_id IN (SELECT arrayJoin({answers:Array(String)})))",
                {
                    "low": low.hex(),
                    "high": high.hex(),
                    "traces": [trace.hex() for trace in some_traces],
                    "answers": list(some_answers),
                },
            )
            found += [_sighting(row, stored=True) for row in table.to_pylist()]
        return found

    def _links(
        self, new: Sequence[Sighting], known: Mapping[bytes, Sighting], links: SpanLinks
    ) -> dict[tuple[bytes, bytes], bytes]:
        """Which span is below which, in the traces that hold at least two sightings."""
        seen: dict[bytes, int] = {}
        for sighting in (*new, *known.values()):
            if sighting.trace_id is not None:
                seen[sighting.trace_id] = seen.get(sighting.trace_id, 0) + 1
        wanted = sorted(trace for trace, count in seen.items() if count > 1)
        found: dict[tuple[bytes, bytes], bytes] = {}
        for place in range(0, len(wanted), _LOOKUP_KEYS):
            rows = self._engine.arrow(
                "SELECT trace_id, span_id, parent_span_id FROM span_links"
                " WHERE trace_id IN (SELECT toFixedString(unhex(arrayJoin({traces:Array(String)})), 16))",
                {"traces": [trace.hex() for trace in wanted[place : place + _LOOKUP_KEYS]]},
            )
            columns = (rows.column(name).to_pylist() for name in ("trace_id", "span_id", "parent_span_id"))
            found |= {(trace, span): parent for trace, span, parent in zip(*columns, strict=True)}
        several = set(wanted)
        for row in range(len(links)):
            trace = links.traces[row].tobytes()
            if trace in several:
                found[trace, links.spans[row].tobytes()] = links.parents[row].tobytes()
        return found


@dataclass(frozen=True, slots=True)
class _Keys:
    """A key for the span, for the span above, and for the answer of each call; 0 where there is none."""

    spans: Any
    parents: Any
    answers: Any

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> _Keys:
        traces = of_bytes(batch.column("trace_id"), 16)
        return cls(
            _both(traces, of_bytes(batch.column("span_id"), 8)),
            _both(traces, of_bytes(batch.column("parent_span_id"), 8)),
            of_texts(batch.column("response_id")),
        )


def _both(traces: Any, spans: Any) -> Any:
    return np.where((traces == 0) | (spans == 0), np.uint64(0), mixed(traces ^ (spans << np.uint64(1))))


def _span_keys(traces: Any, spans: Any) -> Any:
    columns = []
    for matrix, width in ((traces, 16), (spans, 8)):
        buffer = pa.py_buffer(np.ascontiguousarray(matrix))
        columns.append(of_bytes(pa.Array.from_buffers(pa.binary(width), len(matrix), [None, buffer]), width))
    return _both(*columns)


def _repeated(keys: Any) -> Any:
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return counts[inverse] > 1


def _rows_of(batch: pa.RecordBatch, traces: set[bytes], answers: set[str]) -> Any:
    """The rows of those traces and answers."""
    of_traces = pc.is_in(batch.column("trace_id"), pa.array(sorted(traces), pa.binary(16)))
    of_answers = pc.is_in(batch.column("response_id"), pa.array(sorted(answers), pa.string()))
    return np.flatnonzero(np.asarray(of_traces) | np.asarray(of_answers))


def _difference(
    new: Sequence[Sighting], known: Mapping[bytes, Sighting], resolved: Mapping[bytes, bytes | None]
) -> Changes:
    same_as: dict[bytes, bytes] = {}
    linked: dict[bytes, bytes] = {}
    counted, freed = [], []
    for sighting in new:
        target = resolved[sighting.call_id]
        if target is not None:
            same_as[sighting.call_id] = target
    for call_id, sighting in known.items():
        target = resolved[call_id]
        if target == sighting.same_as:
            continue
        if target is not None:
            linked[call_id] = target
            if sighting.same_as is None:
                counted.append(call_id)
        elif sighting.same_as in resolved:  # what it was linked to is in sight, and is another call
            freed.append(call_id)
    return Changes(same_as, linked, counted, freed)


def _pieces(traces: Sequence[bytes], answers: Sequence[str]) -> Iterable[tuple[Sequence[bytes], Sequence[str]]]:
    for place in range(0, max(len(traces), len(answers)), _LOOKUP_KEYS):
        yield traces[place : place + _LOOKUP_KEYS], answers[place : place + _LOOKUP_KEYS]


def _started(batch: pa.RecordBatch) -> Any:
    return np.asarray(batch.column("started_at").cast(pa.int64()))


def _id_of(ms: int) -> bytes:
    return max(0, ms).to_bytes(6, "big") + b"\0" * 10


def _sightings(batch: pa.RecordBatch) -> list[Sighting]:
    columns = [batch.column(name).to_pylist() for name in _FIELDS]
    started = _started(batch)
    length = np.nan_to_num(np.asarray(batch.column("duration_ms").cast(pa.float64())))
    parts = np.sum([np.asarray(batch.column(name).is_valid()) for name in _PARTS], axis=0)
    priced = np.asarray(batch.column("cost_usd").is_valid())
    who = np.sum([_said(batch.column(name)) for name in _WHO], axis=0)
    extra = (started, started + (length * 1000).astype(np.int64), parts, priced, who)
    names = (*_FIELDS, "started_us", "ended_us", "parts", "priced", "attributed")
    rows = zip(*columns, *(column.tolist() for column in extra), strict=True)
    return [_sighting(dict(zip(names, row, strict=True)), stored=False) for row in rows]


def _said(column: pa.Array) -> Any:
    return np.array([bool(value) for value in column.to_pylist()], bool)


def _sighting(row: Mapping[str, Any], *, stored: bool) -> Sighting:
    return Sighting(
        call_id=row["call_id"],
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        parent_span_id=row["parent_span_id"],
        response_id=row["response_id"] or None,
        operation=row["operation"],
        vantage=row["vantage"],
        source=row["source"],
        outcome=row["outcome"],
        started_us=row["started_us"],
        ended_us=row["ended_us"],
        parts=row["parts"],
        priced=bool(row["priced"]),
        attributed=row["attributed"],
        same_as=row["same_as"],
        stored=stored,
    )
