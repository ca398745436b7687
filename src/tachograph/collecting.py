"""The collector's one path: bodies of OTLP requests in, durable calls out, and every item accounted for.

In: the bodies of many requests of one signal (`capture.otlp.Intake`). Out: what became of each, once the store has it.
read -> judge -> complete and price -> store -> count -> show: each step is told what it needs, none waits for another.
What it must never know: an attribute, a field path, SQL text of its own.

A body that cannot be read refuses its request, not its neighbours. The ledger takes an item up when it is read, and
closes it when the store, a refusal or a reason to ignore it has decided; where nothing could be decided (Busy), it is
refused as `busy`: its sender was told to send it again.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa

from tachograph.capture.otlp import Taken
from tachograph.dialects.reading import SpanReader, Unreadable
from tachograph.dialects.requests import TooMany
from tachograph.dialects.rules import Spans
from tachograph.flow import Busy, Refused
from tachograph.health import Health
from tachograph.keeping import Keeping
from tachograph.normalise import Circumstances
from tachograph.normalise.spans import from_spans
from tachograph.pricing import PriceBook
from tachograph.reported import Points, read_points
from tachograph.store import SpanLinks
from tachograph.store.errors import StoreError

_SOURCE = "otlp"
RETRY_SECONDS = 5.0


class Collector:
    """An `Intake`. One thread at a time, as the doors promise."""

    def __init__(
        self,
        reader: SpanReader,
        store: Keeping,
        book: PriceBook,
        health: Health,
        attribution: dict[str, str],
        now: Callable[[], datetime],
        publish: Callable[[pa.RecordBatch], None],
    ) -> None:
        self._reader, self._store, self._book, self._health = reader, store, book, health
        self._attribution, self._now, self._publish = attribution, now, publish

    def take(self, signal: str, bodies: Sequence[bytes]) -> Sequence[Taken | Refused]:
        """See `Intake.take`."""
        started = time.perf_counter()
        try:
            return self._metrics(bodies) if signal == "metrics" else self._spans(signal, bodies)
        except StoreError as failure:
            logging.getLogger("tachograph").error("%s", failure)
            raise Busy(str(failure), RETRY_SECONDS) from failure
        finally:
            self._health.change(("batches_total", 1, ""), ("batch_seconds_total", time.perf_counter() - started, ""))

    def _spans(self, signal: str, bodies: Sequence[bytes]) -> list[Taken | Refused]:
        try:
            spans = self._reader.read(signal, bodies)
        except Unreadable as unreadable:
            return self._without(signal, bodies, unreadable.reasons)
        except TooMany:
            return self._halves(signal, bodies)
        return self._keep(signal, spans, len(bodies))

    def _without(self, signal: str, bodies: Sequence[bytes], reasons: Mapping[int, str]) -> list[Taken | Refused]:
        """The others, and these refused."""
        good = [place for place in range(len(bodies)) if place not in reasons]
        taken = iter(self._spans(signal, [bodies[place] for place in good]) if good else [])
        most = self._reader.limits.entries_max
        refused = {
            place: Refused(reason, _UNREADABLE[reason].format(signal=signal, most=most))
            for place, reason in reasons.items()
        }
        return [refused[place] if place in refused else next(taken) for place in range(len(bodies))]

    def _halves(self, signal: str, bodies: Sequence[bytes]) -> list[Taken | Refused]:
        middle = len(bodies) // 2
        return [*self._spans(signal, bodies[:middle]), *self._spans(signal, bodies[middle:])]

    def _keep(self, signal: str, spans: Spans, requests: int) -> list[Taken | Refused]:
        """Store the calls, close the ledger, answer each request."""
        items = len(spans.verdict)
        self._health.change(("items_accepted_total", items, signal), ("items_in_flight", items, ""))
        counts = np.bincount(spans.verdict, minlength=len(spans.verdicts))
        decided = [
            _closing(word, int(count)) for word, count in zip(spans.verdicts, counts, strict=True) if word and count
        ]

        def told(new: pa.RecordBatch) -> None:
            self._health.change(
                ("items_in_flight", -items, ""),
                ("items_stored_total", new.num_rows, ""),
                ("items_deduplicated_total", len(spans.calls) - new.num_rows, ""),
                *decided,
                *_odd(new),
            )

        with self._undecided(items):
            batch = from_spans(spans, self._book, Circumstances(self._now(), _SOURCE, attribution=self._attribution))
            links = _links(spans) if signal == "traces" else None
            try:
                new = self._store.write_batch(batch, secrets.token_hex(8), links, told)
            except Refused as refused:
                self._health.change(("items_in_flight", -items, ""), ("items_refused_total", items, refused.reason))
                return [refused] * requests
        if new.num_rows:
            self._publish(new)
        return _answers(spans, requests)

    @contextlib.contextmanager
    def _undecided(self, items: int) -> Iterator[None]:
        """Items in flight; where nothing could be decided about them, their senders keep them."""
        try:
            yield
        except BaseException:
            self._health.change(("items_in_flight", -items, ""), ("items_refused_total", items, "busy"))
            raise

    def _metrics(self, bodies: Sequence[bytes]) -> list[Taken | Refused]:
        answers: list[Taken | Refused] = []
        read: list[Points] = []
        for body in bodies:
            try:
                points = read_points(body, self._now())
            except Refused as refused:
                answers.append(refused)
                continue
            read.append(points)
            answers.append(Taken(points.items))
        items = sum(points.items for points in read)
        rows = [row for points in read for row in points.rows]
        self._health.change(("items_accepted_total", items, "metrics"), ("items_in_flight", items, ""))

        def told(new: int) -> None:
            self._health.change(
                ("items_in_flight", -items, ""),
                ("items_stored_total", new, ""),
                ("items_deduplicated_total", len(rows) - new, ""),
                ("items_ignored_total", items - len(rows), "not_a_model_metric"),
            )

        with self._undecided(items):
            self._store.write_points(rows, told)
        return answers


_UNREADABLE = {
    "malformed": "the body is no {signal} request of OTLP: it breaks off or is damaged",
    "batch_too_large": "there is too much in one request of {signal}: send at most {most:,} items at a time",
}


def _links(spans: Spans) -> SpanLinks:
    """The spans that are no calls and have one above them."""
    others = np.ones(len(spans.verdict), bool)
    others[spans.calls] = False
    others &= spans.parent_ids.any(axis=1) & spans.span_ids.any(axis=1) & spans.trace_ids.any(axis=1)
    return SpanLinks(spans.trace_ids[others], spans.span_ids[others], spans.parent_ids[others])


def _closing(verdict: str, count: int) -> tuple[str, int, str]:
    kind, _, reason = verdict.partition(":")
    return f"items_{kind}_total", count, reason


def _odd(batch: pa.RecordBatch) -> list[tuple[str, int, str]]:
    flags = batch.column("flags").flatten().value_counts()
    found = [("calls_flagged_total", entry["counts"].as_py(), entry["values"].as_py()) for entry in flags]
    unpriced = sum(status == "unpriced_model" for status in batch.column("price_status").to_pylist())
    return [*found, ("calls_unpriced_total", unpriced, "")] if unpriced else found


def _answers(spans: Spans, requests: int) -> list[Taken | Refused]:
    items = np.bincount(spans.request, minlength=requests)
    refused = np.array([word.startswith("refused:") for word in spans.verdicts], bool)[spans.verdict]
    rejected = np.bincount(spans.request[refused], minlength=requests)
    messages: dict[int, str] = {}
    for row in np.flatnonzero(refused).tolist():
        messages.setdefault(int(spans.request[row]), _MEANINGS[spans.verdicts[spans.verdict[row]].partition(":")[2]])
    return [Taken(int(items[place]), int(rejected[place]), messages.get(place, "")) for place in range(requests)]


_MEANINGS = {
    "too_many_attributes": "spans with too many attributes were refused: keep prompts and answers out of attributes",
    "bad_ids": "spans without a trace id of 16 bytes and a span id of 8 bytes were refused: they cannot be told apart",
    "bad_time": "spans whose start is no time from 1970 to 2106 were refused: set start_time_unix_nano",
}
