"""Recordings of OTLP -> calls, on the collector's own path: the door's decoder, the reader, the rules, the prices.

In: files of the corpus, `{signal, requests: [OTLP JSON]}`. Out: the calls of each, which of them count, and the words
of what was not a call.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tachograph.call import INPUT_PARTS, OUTPUT_PARTS, Call
from tachograph.capture.otlp.transcode import Transcoder
from tachograph.dialects.reading import SpanReader
from tachograph.dialects.rules import Spans
from tachograph.flow.batch import from_batch
from tachograph.normalise import Circumstances
from tachograph.normalise.spans import from_spans
from tachograph.pricing import PriceBook
from tachograph.sightings import Sighting, resolve

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CORPUS = Path(__file__).parents[1] / "corpus" / "otlp"
_TRANSCODE = Transcoder()
_PARTS = (*INPUT_PARTS, *OUTPUT_PARTS)
_WHO = ("team", "project", "feature", "customer", "user_id", "conversation_id", "experiment")


@dataclass(frozen=True, slots=True)
class Read:
    """calls: in the order of the spans. same_as: call_id -> the sighting that counts instead, or None. verdicts: of
    every span, '' for a call.
    """

    calls: list[Call]
    same_as: dict[str, str | None]
    verdicts: list[str]

    @property
    def counted(self) -> list[Call]:
        return [call for call in self.calls if self.same_as[call.call_id] is None]

    def sightings(self, call: Call) -> list[Call]:
        return [one for one in self.calls if (self.same_as[one.call_id] or one.call_id) == call.call_id]


class Desk:
    """Reads bodies."""

    def __init__(self, reader: SpanReader, book: PriceBook) -> None:
        self.reader, self.book = reader, book

    def spans(self, signal: str, bodies: Sequence[bytes]) -> Spans:
        return self.reader.read(signal, bodies)

    def calls(self, signal: str, bodies: Sequence[bytes]) -> list[Call]:
        return self.completed(self.spans(signal, bodies))

    def completed(self, spans: Spans) -> list[Call]:
        return from_batch(from_spans(spans, self.book, Circumstances(NOW, "otlp")))

    def each(self, signal: str, cases: Sequence[Sequence[bytes]]) -> list[Read]:
        """What is in each of many cases, all read as one batch."""
        bodies = [body for case in cases for body in case]
        spans = self.spans(signal, bodies)
        calls = self.completed(spans)
        case_of = np.repeat(np.arange(len(cases)), [len(case) for case in cases])[spans.request]
        found = []
        for place in range(len(cases)):
            rows = np.flatnonzero(case_of == place)
            own = [calls[index] for index in np.flatnonzero(case_of[spans.calls] == place)]
            links = {
                (spans.trace_ids[row].tobytes(), spans.span_ids[row].tobytes()): spans.parent_ids[row].tobytes()
                for row in rows
                if spans.parent_ids[row].any()
            }
            verdicts = [spans.verdicts[code] for code in spans.verdict[rows]]
            found.append(Read(own, linked(own, links), verdicts))
        return found


def linked(calls: Sequence[Call], links: dict[tuple[bytes, bytes], bytes]) -> dict[str, str | None]:
    found = resolve([_sighting(call) for call in calls], links)
    return {mine.hex(): other and other.hex() for mine, other in found.items()}


def _sighting(call: Call) -> Sighting:
    started = round(call.started_at.timestamp() * 1e6)
    return Sighting(
        call_id=bytes.fromhex(call.call_id),
        trace_id=_bytes(call.trace_id),
        span_id=_bytes(call.span_id),
        parent_span_id=_bytes(call.parent_span_id),
        response_id=call.response_id,
        request_id=call.request_id,
        operation=call.operation,
        vantage=call.vantage,
        source=call.source,
        outcome=call.outcome,
        started_us=started,
        ended_us=started + int((call.duration_ms or 0) * 1000),
        parts=sum(getattr(call, part) is not None for part in _PARTS),
        priced=call.cost_usd is not None,
        attributed=sum(bool(getattr(call, name)) for name in _WHO),
    )


def _bytes(digits: str | None) -> bytes | None:
    return None if digits is None else bytes.fromhex(digits)


def fact(call: Call, name: str) -> Any:
    """A field of a call; `cache_write` is what was written to caches of any lifetime."""
    if name != "cache_write":
        return getattr(call, name)
    parts = [call.cache_write_5m, call.cache_write_1h, call.cache_write_other]
    return sum(filter(None, parts)) if any(part is not None for part in parts) else None


def recordings(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.json") if not path.name.endswith(".expected.json"))


def expectation(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.with_name(path.stem + ".expected.json").read_text("utf-8"))
    return found


def bodies(content: dict[str, Any]) -> list[bytes]:
    """The requests of a recording, as a door hands them on."""
    return [_TRANSCODE(content["signal"], json.dumps(request).encode()) for request in content["requests"]]


def written(calls: Sequence[Call]) -> str:
    """Calls in short, for the message of a failed comparison."""
    return "\n".join(
        f"{call.api} {call.operation} {call.request_model} {call.outcome} {call.vantage} {call.usage_raw}"
        for call in calls
    )
