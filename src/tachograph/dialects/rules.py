"""Facts -> fields of Call: the rules that hold for every vocabulary, a column at a time.

In: the facts of a batch of spans. Out: `Spans`: a verdict for every span ('' for a call), what links spans, and the
columns of the calls, as far as a span can tell; `finish_word` and `error_word` still in the emitter's own words.
What it must never know: an attribute's name, a price, SQL, a clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tachograph.dialects.columns import Facts, fixed
from tachograph.dialects.counting import count, either, known, scoped, tokens
from tachograph.dialects.distinct import Coded, by_distinct, coded, cut
from tachograph.dialects.documents import first_token_ms, invocation_of, tags_of
from tachograph.dialects.facts import Dialect
from tachograph.dialects.providers import FRAMEWORKS, MAKERS, PROVIDERS, VENDORS
from tachograph.dialects.stated import stated_of

_TIME_MIN_NS = 10**9  # what has no time at all is not of 1970
_TIME_MAX_NS = 4291747200 * 10**9  # 2106-01-01: what every engine can cut into days
_NO_ERROR = frozenset((None, "false", "0", "none", "null"))
_YES, _NO = ("true", "1", "yes"), ("false", "0", "no")
_FAILED_EVENTS = ("claude_code.api_error", "api_error")
_DETAILS_EVENT = "gen_ai.client.inference.operation.details"
_TAIL = re.compile(r"\.(chat|responses|messages|completion|embedding|image)$")


@dataclass(frozen=True, slots=True)
class SpanLimits:
    """Over `attributes_max` a span is refused; over `entries_max` (spans, scopes, what resources say) a request, and so
    many are read in one go. Words over `word_chars_max` are cut, tags beyond `tags_max` left out.
    """

    attributes_max: int = 1024
    entries_max: int = 500_000
    word_chars_max: int = 256
    tags_max: int = 64


@dataclass(slots=True)
class Spans:
    """request: the number of the request of each span. verdict: '' for a call, else `ignored:<reason>` or
    `refused:<reason>`; verdicts: what its codes mean. trace_ids, span_ids, parent_ids: bytes as matrices, a parent of
    zeros is none. calls: the rows that are calls. columns: the fields of those, in their order: numpy floats with nan
    for unknown numbers, Arrow for words, `Coded` for the emitter's own two; beside them `flags`, and `stated`, what
    spans of our own state whole.
    """

    request: Any
    verdict: Any
    verdicts: list[str]
    trace_ids: Any
    span_ids: Any
    parent_ids: Any
    calls: Any
    columns: dict[str, Any]


def judge(facts: Facts, signal: str, dialects: Sequence[Dialect], limits: SpanLimits) -> Spans:
    """All rows judged, and the calls among them read."""
    facts.dialect = _dialect(facts, dialects)
    trace_ids, traced = fixed(facts.columns["trace_id"], 16)
    span_ids, spanned = fixed(facts.columns["span_id"], 8)
    parent_ids, below = fixed(facts.columns["parent_span_id"], 8)
    operations, verdict, verdicts = _verdict(facts, signal, dialects, limits, traced & spanned)
    is_call = verdict == verdicts.index("")
    calls = np.flatnonzero(is_call)
    own = slice(None) if len(calls) == len(verdict) else calls  # most often all are
    request = facts.columns["request"]
    tags = tags_of(facts, calls, dialects, limits.tags_max, limits.word_chars_max)
    facts.only(is_call)
    columns = _columns(facts, signal, dialects, Coded(operations.codes[own], operations.values).text())
    columns["tags"] = tags
    columns |= {
        "trace_id": (trace_ids[own], traced[own]),
        "span_id": (span_ids[own], spanned[own]),
        "parent_span_id": (parent_ids[own], below[own]),
    }
    # JSON that is cut is none; how long it may be is decided where it is written.
    columns |= {name: cut(column, limits.word_chars_max) for name, column in columns.items() if name != "usage_raw"}
    columns["stated"] = stated_of(facts, dialects, limits.word_chars_max)
    return Spans(request, verdict, verdicts, trace_ids, span_ids, parent_ids, calls, columns)


def _dialect(facts: Facts, dialects: Sequence[Dialect]) -> Any:
    """The first vocabulary of the list whose marker, scope or resource is there; else the last."""

    last = len(dialects) - 1

    def by_scope(scope: str | None) -> int:
        return next((index for index, dialect in enumerate(dialects) if scoped(scope, dialect.scopes)), last)

    def by_resource(service: str | None, telemetry: str | None) -> int:
        said = {("service.name", service), ("telemetry.sdk.name", telemetry)}
        return next((index for index, dialect in enumerate(dialects) if said.intersection(dialect.resource)), last)

    found = facts.marked
    for first, columns in ((by_scope, ("scope",)), (by_resource, ("resource_service", "resource_telemetry"))):
        told = by_distinct([facts.shared(name) for name in columns], first)
        if min(told.values, default=last) < last:
            found = np.minimum(found, np.array(told.values, np.int64)[told.codes])
    return np.minimum(found, last)


def _verdict(
    facts: Facts, signal: str, dialects: Sequence[Dialect], limits: SpanLimits, identified: Any
) -> tuple[Coded, Any, list[str]]:
    """(operation of each row, code of its verdict, what the codes mean)."""
    # A record is what its event is, whatever operation it tells of.
    said = facts.word("operation") if signal == "traces" else pc.coalesce(facts.said("name"), facts.word("event"))
    spoken = np.zeros(facts.rows, bool)
    for fact in ("input_tokens", "output_tokens", "embedding_tokens", "response_model", "any_model"):
        spoken[facts.there(fact)] = True
    asked = np.zeros(facts.rows, bool)
    asked[facts.there("request_model")] = True
    half = _first_half(facts, dialects)

    def judged(dialect: int, word: str | None, speaks: bool, asks: bool, halved: bool) -> tuple[str | None, str]:
        table = dialects[dialect]
        word = (word or "").split(" ")[0].lower()
        if signal == "logs" and word == _DETAILS_EVENT:
            return None, "ignored:duplicate_of_span"
        if signal == "logs" and word.startswith("gen_ai."):
            return None, "ignored:content_event"
        if word in table.rollups:
            return None, "ignored:rollup"
        if halved:
            return None, "ignored:told_later"
        if not word and signal == "traces" and speaks and (asks or table.unnamed):
            return table.unnamed or "chat", ""
        operation = table.operations.get(word)
        return operation, "" if operation else "ignored:not_a_model_call"

    found = by_distinct([facts.dialect, said, spoken, asked, half], judged)
    verdicts = ["", *sorted({verdict for _, verdict in found.values if verdict})]
    verdicts += ["refused:too_many_attributes", "refused:bad_ids", "refused:bad_time"]
    verdict = np.array([verdicts.index(word) for _, word in found.values], np.int64)[found.codes]
    start = facts.columns["start_ns"]
    if signal == "logs":
        start = np.where(start == 0, facts.columns["end_ns"], start)
    for wrong, word in (
        ((start < _TIME_MIN_NS) | (start >= _TIME_MAX_NS), "bad_time"),
        (~identified if signal == "traces" else np.zeros(facts.rows, bool), "bad_ids"),
        (facts.attributes > limits.attributes_max, "too_many_attributes"),
    ):
        if wrong.any():
            verdict = np.where((verdict == 0) & wrong, verdicts.index(f"refused:{word}"), verdict)
    return found.part(0), verdict, verdicts


def _first_half(facts: Facts, dialects: Sequence[Dialect]) -> Any:
    """The spans of a request whose answer is told by a span of its own, later."""
    halves = np.array([dialect.halves for dialect in dialects], bool)[facts.dialect]
    if not halves.any():
        return halves
    there = np.zeros(facts.rows, bool)
    for fact in ("response_id", "input_tokens", "output_tokens"):
        there[facts.there(fact)] = True
    return halves & ~there & (facts.columns["status_code"] != 2)


def _columns(facts: Facts, signal: str, dialects: Sequence[Dialect], operations: Any) -> dict[str, Any]:
    flags: dict[str, Any] = {}
    invoked = invocation_of(facts)
    any_model = facts.word("any_model")
    models = {
        "request_model": _first(facts.word("request_model"), invoked["model"], any_model),
        "response_model": _first(facts.word("response_model"), any_model),
    }
    dialect, scope = coded(facts.dialect), facts.shared("scope")
    provider, vendor, flags["provider_assumed"] = _provider(facts, dialects, dialect, scope, models)
    columns: dict[str, Any] = {**models, "provider": provider.text(), "vendor": vendor}
    columns |= _failure(facts)
    silent = columns["failed"], np.asarray(pc.equal(operations, "embeddings"))
    columns |= tokens(facts, dialects, (dialect, provider, scope), silent, flags)
    columns |= _times(facts, signal, dialects, invoked["stream"], flags)
    columns |= {name: facts.word(name) for name in _SAID}
    for name in ("team", "project", "customer"):
        columns[name] = _first(facts.word(name), facts.said(f"resource_{name}"))
    for name in ("service", "environment", "region"):
        columns[name] = facts.said(f"resource_{name}")
    columns["operation"] = operations
    columns["vantage"] = _vantage(facts, dialects, dialect, scope)
    columns["api"] = Coded(dialect.codes, [f"otlp.{dialects[index].name}" for index in dialect.values]).text()
    columns["source"] = by_distinct([scope, facts.shared("scope_version")], _named).text()
    attempt = facts.number("attempt")
    columns["attempt"] = np.where(attempt > 0, np.minimum(attempt - (signal == "logs"), 65535), 0.0)
    columns["max_output_tokens"] = count(either(facts.number("max_output_tokens"), invoked["max_tokens"]))
    columns["temperature"] = either(facts.number("temperature"), invoked["temperature"])
    columns["flags"] = flags
    return columns


# Words that are taken as they are said.
_SAID = (
    "operation_id",
    "response_id",
    "request_id",
    "service_tier",
    "user_id",
    "conversation_id",
    "api_key_id",
    "prompt_name",
    "prompt_version",
    "prompt_hash",
    "feature",
    "experiment",
    "arm",
    "speed",
)


def _first(*columns: Any) -> Any:
    """The first of the words that is there: those of which none is are not even looked at."""
    told = [column for column in columns if column.null_count < len(column)]
    return pc.coalesce(*told) if len(told) > 1 else (told or columns)[0]


def _named(scope: str | None, version: str | None) -> str:
    return " ".join(word for word in ("otlp", scope, version) if word)


def _provider(
    facts: Facts, dialects: Sequence[Dialect], dialect: Coded, scope: Coded, models: Mapping[str, Any]
) -> tuple[Coded, Any, Any]:
    """(who hosts, who made the model where that differs, whether the host was guessed by the model's name)."""

    def folded(
        dialect: int, scope: str | None, said: str | None, provider: str | None, vendor: str | None, *names: str | None
    ) -> tuple[str, str | None, bool]:
        host = next((word for stem, word in dialects[dialect].hosts if scoped(scope, (stem,))), None)
        host, maker = (host, provider) if host else (said, vendor)
        spelled = (host or provider or maker or "").lower()
        made_by = VENDORS.get(spelled)
        if spelled:
            word = host_word(spelled)
            if made_by is None and host and maker and host_word(maker.lower()) != word:
                made_by = maker.lower()
            return word, made_by, False
        if dialects[dialect].provider:
            return dialects[dialect].provider, None, False
        model = next((name for name in reversed(names) if name), "").lower()
        guess = next((word for stem, word in MAKERS.items() if model.startswith(stem)), "unknown")
        return guess, None, guess != "unknown"

    words = (facts.word(name) for name in ("host", "provider", "vendor"))
    found = by_distinct([dialect, scope, *words, *models.values()], folded)
    return found.part(0).once(), found.part(1).text(), found.part(2).holds()


def host_word(spelled: str) -> str:
    """Our word for a spelling, in lower case, of who hosts."""
    if spelled.startswith("google.vertex"):
        return "gcp.vertex_ai"
    bare = _TAIL.sub("", spelled)
    return PROVIDERS.get(spelled) or PROVIDERS.get(bare) or bare


def _times(
    facts: Facts, signal: str, dialects: Sequence[Dialect], invoked_stream: Any, flags: dict[str, Any]
) -> dict[str, Any]:
    start = facts.columns["start_ns"].astype(np.int64)
    end = facts.columns["end_ns"].astype(np.int64)
    stated = either(facts.number("duration_ms"), facts.number("duration_s") * 1000)
    with np.errstate(invalid="ignore"):
        stated = np.where((stated > 0) & (stated < 1e8), stated, np.nan)
    before = known(stated * 1e6).astype(np.int64)
    later = np.array([dialect.halves for dialect in dialects], bool)[facts.dialect] & (start == end)
    if signal == "logs":  # a record is written when the answer is there
        start = np.maximum(np.where(start == 0, end, start) - before, _TIME_MIN_NS)
        length = stated
    else:
        flags["clock_skew"] = end < start
        start = np.where(later, np.maximum(start - before, _TIME_MIN_NS), start)
        length = np.where(end >= start, (end - start) / 1e6, np.nan)
    length = np.where(length < 1e12, length, np.nan)
    ttft = _ttft(facts, start)
    said = by_distinct([facts.word("stream")], lambda word: (word or "").lower())
    streamed = _streamed(facts, dialects, later | invoked_stream | _is_one_of(said, _YES), ttft)
    plain = _is_one_of(said, _NO)
    return {
        "started_at": start // 1000,
        "duration_ms": length,
        # Some state the whole length where nothing was streamed.
        "ttft_ms": np.where(plain, np.nan, ttft),
        "itl_mean_ms": _positive(facts.number("itl_mean_s") * 1000),
        "queue_ms": _positive(facts.number("queue_s") * 1000),
        "server_ms": _positive(facts.number("server_s") * 1000),
        "streamed": streamed & ~plain,
    }


def _ttft(facts: Facts, start: Any) -> Any:
    event = facts.columns["first_event_ns"].astype(np.int64)
    ttft = _positive(facts.number("ttft_s") * 1000)
    for other in (facts.number("ttft_ms"), (event - start) / 1e6 * (event > 0), first_token_ms(facts, start)):
        ttft = either(ttft, _positive(other))
    return ttft


def _streamed(facts: Facts, dialects: Sequence[Dialect], said: Any, ttft: Any) -> Any:
    """Where the span says so, where its method's name does, or where a first token was seen. Engines see one always."""
    engine = np.array([dialect.vantage == "server" for dialect in dialects], bool)[facts.dialect]
    streamed = said | (~np.isnan(ttft) & ~engine)
    for name in ("operation", "method"):
        streamed = streamed | by_distinct([facts.word(name)], lambda word: "Stream" in (word or "")).holds()
    return streamed


def _is_one_of(said: Coded, words: Sequence[str]) -> Any:
    return Coded(said.codes, [word in words for word in said.values]).holds()


def _positive(value: Any) -> Any:
    """Milliseconds above zero: emitters say 0 where there was nothing to measure."""
    with np.errstate(invalid="ignore"):
        return np.where((value > 0) & (value < 1e12), value, np.nan)


def _failure(facts: Facts) -> dict[str, Any]:
    status = facts.number("status")
    event = _first(facts.said("name"), facts.word("event"))

    def word(error: str | None, thrown: str | None) -> tuple[bool, str | None]:
        told = error if error is not None and error.lower() not in _NO_ERROR else None
        return told is not None, (told if told != "true" else None) or thrown

    found = by_distinct([facts.word("error"), facts.said("exception")], word)
    failed = found.part(0).holds() | (facts.columns["status_code"] == 2)
    failed = failed | by_distinct([facts.word("level")], lambda level: level == "ERROR").holds()
    failed = failed | np.asarray(pc.fill_null(pc.is_in(event, pa.array(_FAILED_EVENTS)), False))
    with np.errstate(invalid="ignore"):
        failed = failed | (status >= 400)
        status = np.where((status >= 100) & (status < 1000), status, np.nan)
    return {
        "failed": failed,
        "status": status,
        "error_word": found.part(1).where(failed),
        "finish_word": by_distinct([facts.word("finish")], _first_word).once(),
    }


def _first_word(text: str | None) -> str | None:
    """Of `stop`, `stop,stop`, `["stop"]`, `FinishReason.STOP`: the first word."""
    found = re.search(r"(?:[A-Za-z]\w*\.)*([A-Za-z][A-Za-z_-]*)", text or "")
    return found.group(1).lower() if found else None


def _vantage(facts: Facts, dialects: Sequence[Dialect], dialect: Coded, scope: Coded) -> Any:
    gateways = {value for d in dialects if d.vantage == "gateway" for key, value in d.resource if key == "service.name"}

    def seen(dialect: int, kind: int, scope: str | None, service: str | None) -> str:
        if service in gateways:
            return "gateway"
        if dialects[dialect].vantage != "client":
            return dialects[dialect].vantage
        if kind == 2:
            return "server"
        return "framework" if any(word in (scope or "") for word in FRAMEWORKS) else "client"

    kind = facts.columns["kind"]
    return by_distinct([dialect, kind, scope, facts.shared("resource_service")], seen).text()
