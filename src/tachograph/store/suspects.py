"""Of what is new: the traces, answers and requests of which one call may be seen twice now.

In: batches of calls and links between spans, as they come. Out: the traces, answers and requests for which the store
must be asked. It may err by naming too many, never by leaving one out, as far as it remembers.
What it must never know: what is stored, a clock.

Why by spans: most calls are seen once, also those of one agent's trace. A trace is suspect only where a way leads up
from a call to another: so the spans, and the spans above them, are remembered, in a few bits each (`recent`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tachograph.sightings import DEPTH_MAX, SKEW_US
from tachograph.store.recent import Recent, mixed, of_bytes, of_texts


@dataclass(frozen=True, slots=True)
class SpanLinks:
    """Spans that are no calls, as matrices of bytes: a row of `parents` is the span above that of `spans`."""

    traces: Any = field(default_factory=lambda: np.zeros((0, 16), np.uint8))
    spans: Any = field(default_factory=lambda: np.zeros((0, 8), np.uint8))
    parents: Any = field(default_factory=lambda: np.zeros((0, 8), np.uint8))

    def __len__(self) -> int:
        return len(self.traces)


class Suspects:
    """Remembers what was stored, and finds what may belong to it. One writer uses it at a time."""

    def __init__(self) -> None:
        self._spans, self._parents, self._answers = Recent(), Recent(), Recent()
        # What began before is not remembered, and always suspect; None: others write too, and all is suspect.
        self.since_ms: int | None = None
        self._latest: tuple[pa.Array, _Keys] | None = None

    def remember(self, batch: pa.RecordBatch) -> None:
        """These calls are stored now."""
        at, keys = newest(batch), self._keys(batch)
        for recent, values in ((self._spans, keys.spans), (self._parents, keys.parents), (self._answers, keys.answers)):
            recent.add(values[values != 0], at)

    def remember_links(self, links: SpanLinks) -> None:
        """These spans that are no calls are stored now."""
        self._spans.add(_span_keys(links.traces, links.spans), 0)
        self._parents.add(_span_keys(links.traces, links.parents), 0)

    def of(self, batch: pa.RecordBatch, links: SpanLinks) -> tuple[set[bytes], set[str], set[str], bool]:
        """(traces, answers, requests of calls without an answer, whether a link alone made a trace suspect)."""
        keys, unknown = self._keys(batch), self._not_remembered(batch)
        link_spans, link_parents = _span_keys(links.traces, links.spans), _span_keys(links.traces, links.parents)
        joining = np.flatnonzero(self._parents.perhaps(link_spans) | (self.since_ms is None))
        starts = np.concatenate([keys.parents, link_parents[joining]])
        leading = self._lead_up(starts, keys.spans, link_spans, link_parents) | (self.since_ms is None)
        below, joining = leading[: batch.num_rows], joining[leading[batch.num_rows :]]
        above = self._parents.perhaps(keys.spans)
        told_twice = repeated(keys.spans) | self._spans.perhaps(keys.spans)
        by_span = (keys.spans != 0) & (below | above | told_twice | unknown)
        by_answer = (keys.answers != 0) & (repeated(keys.answers) | self._answers.perhaps(keys.answers) | unknown)
        traces = _chosen(batch, "trace_id", by_span) | {links.traces[row].tobytes() for row in joining}
        no_answer = np.asarray(without_answer(batch))
        answers = _chosen(batch, "response_id", by_answer & ~no_answer)
        return traces, answers, _chosen(batch, "request_id", by_answer & no_answer), bool(len(joining))

    def _keys(self, batch: pa.RecordBatch) -> _Keys:
        """What is asked about is remembered next: its keys are made once."""
        ids = batch.column("call_id")
        if self._latest is None or not self._latest[0].equals(ids):
            self._latest = ids, _Keys.of(batch)
        return self._latest[1]

    def _lead_up(self, at: Any, spans: Any, link_spans: Any, link_parents: Any) -> Any:
        """For each span: whether it, or one above it over the links of this batch, is a call of it or was stored."""
        order = np.argsort(link_spans)
        link_spans, link_parents = link_spans[order], link_parents[order]
        found, spans = np.zeros(len(at), bool), np.sort(spans)
        left = np.flatnonzero(at != 0)
        at = at[left]
        for _ in range(DEPTH_MAX):
            met = among(at, spans) | self._spans.perhaps(at)
            found[left[met]] = True
            going = ~met & among(at, link_spans)
            left, at = left[going], at[going]
            if not len(left):
                break
            at = link_parents[np.searchsorted(link_spans, at)]
        return found

    def _not_remembered(self, batch: pa.RecordBatch) -> Any:
        """Calls so old that what they belong to may be forgotten, and calls whose clocks are wrong."""
        if self.since_ms is None:
            return np.ones(batch.num_rows, bool)
        forgotten = max(recent.forgotten_until for recent in (self._spans, self._parents, self._answers))
        since = max(self.since_ms, forgotten + SKEW_US // 1000 if forgotten else 0)
        return (milliseconds(batch, "started_at") <= since) | ahead(batch)


def milliseconds(batch: pa.RecordBatch, name: str) -> Any:
    """A column of times, in milliseconds since 1970."""
    return np.asarray(batch.column(name).cast(pa.int64())) // 1000


def ahead(batch: pa.RecordBatch) -> Any:
    """Calls that began after they were received: their clocks are wrong."""
    return milliseconds(batch, "started_at") > milliseconds(batch, "received_at") + SKEW_US // 1000


def newest(batch: pa.RecordBatch) -> int:
    """When the last of the calls began whose clocks can be right, in milliseconds; 0 of none."""
    return int(milliseconds(batch, "started_at")[~ahead(batch)].max(initial=0))


@dataclass(frozen=True, slots=True)
class _Keys:
    """A key for the span, for the span above, and for the answer of each call, which is that of its request where it
    knows of no answer; 0 where there is none.
    """

    spans: Any
    parents: Any
    answers: Any

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> _Keys:
        traces = of_bytes(batch.column("trace_id"), 16)
        return cls(
            _both(traces, of_bytes(batch.column("span_id"), 8)),
            _both(traces, of_bytes(batch.column("parent_span_id"), 8)),
            of_texts(pc.if_else(without_answer(batch), batch.column("request_id"), batch.column("response_id"))),
        )


def without_answer(batch: pa.RecordBatch) -> pa.Array:
    """Which calls know of no answer by its id: those that failed, most of all."""
    return pc.equal(batch.column("response_id").fill_null(""), "")


def _both(traces: Any, spans: Any) -> Any:
    return np.where((traces == 0) | (spans == 0), np.uint64(0), mixed(traces ^ (spans << np.uint64(1))))


def _span_keys(traces: Any, spans: Any) -> Any:
    return _both(*(of_bytes(fixed(matrix), matrix.shape[1]) for matrix in (traces, spans)))


def fixed(matrix: Any) -> pa.Array:
    """Rows of bytes as an Arrow column."""
    buffer = pa.py_buffer(np.ascontiguousarray(matrix))
    return pa.Array.from_buffers(pa.binary(matrix.shape[1]), len(matrix), [None, buffer])


def repeated(keys: Any) -> Any:
    """Which of the keys are there more than once."""
    order = np.sort(keys)
    return among(keys, order[1:][order[1:] == order[:-1]])


def among(keys: Any, known: Any) -> Any:
    """Which of the keys are among `known`, which is sorted."""
    if not len(known):
        return np.zeros(len(keys), bool)
    return known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys


def _chosen(batch: pa.RecordBatch, name: str, rows: Any) -> set[Any]:
    return set(batch.column(name).filter(pa.array(rows)).to_pylist()) - {None}
