"""Facts -> fields of Call: the rules that hold for every vocabulary, a column at a time.

In: the facts of a batch of spans. Out: `Spans`: a verdict for every span ('' for a call), what links spans, and the
columns of the calls, as far as a span can tell; `finish_word` and `error_word` still in the emitter's own words.
What it must never know: an attribute's name, a price, SQL, a clock.

Tokens. A source counts cached tokens within its input or beside it. They stand beside it (exclusive) where they exceed
it, where the stated total says so, and where the table of the vocabulary says so; else they are within. The same for
reasoning and output. What comes out are disjoint parts whose sum is the whole; what had to be repaired leaves a flag.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tachograph.dialects.columns import Facts, by_distinct, fixed, spread
from tachograph.dialects.documents import counts_of, first_token_ms, invocation_of, split_of, tags_of
from tachograph.dialects.facts import EVERY, TOKEN_COUNTS, Dialect
from tachograph.dialects.providers import FRAMEWORKS, MAKERS, PROVIDERS, VENDORS

COUNT_MAX = 10**12
_TIME_MAX_NS = 4291747200 * 10**9  # 2106-01-01: what every engine can cut into days
_NO_ERROR = frozenset((None, "false", "0", "none", "null"))
_YES = ("true", "1", "yes")
_DETAILS_EVENT = "gen_ai.client.inference.operation.details"
_COUNTS = tuple(fact for fact in TOKEN_COUNTS if fact != "embedding_tokens")
_TAIL = re.compile(r"\.(chat|responses|messages|completion|embedding|image)$")


@dataclass(frozen=True, slots=True)
class SpanLimits:
    """Over `attributes_max` a span is refused. Words over `word_chars_max` are cut, tags beyond `tags_max` left out."""

    attributes_max: int = 1024
    word_chars_max: int = 256
    tags_max: int = 64


@dataclass(slots=True)
class Spans:
    """request: the number of the request of each span. verdict: '' for a call, else `ignored:<reason>` or
    `refused:<reason>`; verdicts: what its codes mean. trace_ids, span_ids, parent_ids: bytes as matrices, a parent of
    zeros is none. calls: the rows that are calls. columns: the fields of those, in their order: numpy floats with nan
    for unknown numbers, Arrow for words.
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
    parent_ids, _ = fixed(facts.columns["parent_span_id"], 8)
    operations, verdict, verdicts = _verdict(facts, signal, dialects, limits, traced & spanned)
    calls = np.flatnonzero(verdict == verdicts.index(""))
    request = np.asarray(facts.columns["request"]).astype(np.int64)
    tags = tags_of(facts, calls, dialects, limits.tags_max, limits.word_chars_max)
    facts.only(verdict == verdicts.index(""))
    columns = _columns(facts, signal, dialects, operations.take(pa.array(calls)))
    columns["tags"] = tags
    columns |= {
        "trace_id": (trace_ids[calls], traced[calls]),
        "span_id": (span_ids[calls], spanned[calls]),
        "parent_span_id": (parent_ids[calls], parent_ids[calls].any(axis=1)),
    }
    columns = {name: _cut(column, limits.word_chars_max) for name, column in columns.items()}
    return Spans(request, verdict, verdicts, trace_ids, span_ids, parent_ids, calls, columns)


def _cut(column: Any, chars: int) -> Any:
    """Words are words, not texts."""
    if isinstance(column, pa.StringArray) and pc.max(pc.binary_length(column)).as_py() not in (None, *range(chars)):
        return pc.utf8_slice_codeunits(column, 0, chars)
    return column


def _dialect(facts: Facts, dialects: Sequence[Dialect]) -> Any:
    """The first vocabulary of the list whose marker, scope or resource is there; else the last."""

    def by_scope(scope: str | None, service: str | None, telemetry: str | None) -> int:
        said = {("service.name", service), ("telemetry.sdk.name", telemetry)}
        for index, dialect in enumerate(dialects):
            if said.intersection(dialect.resource) or any(_scoped(scope or "", stem) for stem in dialect.scopes):
                return index
        return len(dialects) - 1

    columns = [facts.said(name) for name in ("scope", "resource_service", "resource_telemetry")]
    inverse, answers = by_distinct(columns, by_scope)
    return np.minimum(np.asarray(facts.columns["marked"]).astype(np.int64), np.array(answers, np.int64)[inverse])


def _scoped(scope: str, stem: str) -> bool:
    bare = stem.rstrip(".")
    return scope == bare or scope.startswith(bare + ".")


def _verdict(
    facts: Facts, signal: str, dialects: Sequence[Dialect], limits: SpanLimits, identified: Any
) -> tuple[Any, Any, list[str]]:
    """(operation of each row, code of its verdict, what the codes mean)."""
    said = facts.word("operation")
    if signal == "logs":
        said = pc.coalesce(said, facts.said("name"))
    spoken = np.zeros(facts.rows, bool)
    for fact in ("input_tokens", "output_tokens", "embedding_tokens", "response_model", "any_model"):
        spoken[facts.there(fact)] = True
    asked = np.zeros(facts.rows, bool)
    asked[facts.there("request_model")] = True

    def judged(dialect: int, word: str | None, speaks: bool, asks: bool) -> tuple[str | None, str]:
        table = dialects[dialect]
        word = (word or "").split(" ")[0].lower()
        if signal == "logs" and word == _DETAILS_EVENT:
            return None, "ignored:duplicate_of_span"
        if signal == "logs" and word.startswith("gen_ai."):
            return None, "ignored:content_event"
        if word in table.rollups:
            return None, "ignored:rollup"
        if not word and signal == "traces" and speaks and (asks or table.unnamed):
            return table.unnamed or "chat", ""
        operation = table.operations.get(word)
        return operation, "" if operation else "ignored:not_a_model_call"

    inverse, answers = by_distinct([facts.dialect, said, spoken, asked], judged)
    verdicts = ["", *sorted({verdict for _, verdict in answers if verdict})]
    verdicts += ["refused:too_many_attributes", "refused:bad_ids", "refused:bad_time"]
    verdict = np.array([verdicts.index(found) for _, found in answers], np.int64)[inverse]
    operations = spread((inverse, [operation for operation, _ in answers]))
    start = np.asarray(facts.columns["start_ns"])
    attributes = np.asarray(pc.list_value_length(facts.columns["ns"]))
    for wrong, word in (
        ((start < 10**9) | (start >= _TIME_MAX_NS) if signal == "traces" else start >= _TIME_MAX_NS, "bad_time"),
        (~identified if signal == "traces" else np.zeros(facts.rows, bool), "bad_ids"),
        (attributes > limits.attributes_max, "too_many_attributes"),
    ):
        verdict = np.where((verdict == 0) & wrong, verdicts.index(f"refused:{word}"), verdict)
    return operations, verdict, verdicts


def _columns(facts: Facts, signal: str, dialects: Sequence[Dialect], operations: Any) -> dict[str, Any]:
    flags: dict[str, Any] = {}
    invoked = invocation_of(facts)
    models = {
        "request_model": pc.coalesce(facts.word("request_model"), facts.word("any_model"), invoked["model"]),
        "response_model": pc.coalesce(facts.word("response_model"), facts.word("any_model")),
    }
    provider, vendor, flags["provider_assumed"] = _provider(facts, dialects, models)
    names = pa.array([dialect.name for dialect in dialects], pa.string()).take(pa.array(facts.dialect))
    columns: dict[str, Any] = {**models, "provider": provider, "vendor": vendor}
    columns |= _tokens(facts, dialects, provider, flags)
    columns |= _times(facts, signal, invoked["stream"], names, flags)
    columns |= _failure(facts)
    for name in (
        "operation_id",
        "response_id",
        "request_id",
        "service_tier",
        "user_id",
        "conversation_id",
        "api_key_id",
    ):
        columns[name] = facts.word(name)
    for name in ("prompt_name", "prompt_version", "prompt_hash", "feature", "experiment", "arm", "speed"):
        columns[name] = facts.word(name)
    for name in ("team", "project", "customer"):
        columns[name] = pc.coalesce(facts.word(name), facts.said(f"resource_{name}"))
    for name in ("service", "environment", "region"):
        columns[name] = facts.said(f"resource_{name}")
    columns["operation"] = operations
    columns["vantage"] = _vantage(facts, dialects)
    columns["api"] = pc.binary_join_element_wise("otlp", names, ".")
    columns["source"] = _source(facts)
    attempt = facts.number("attempt")
    columns["attempt"] = np.where(attempt > 0, np.minimum(attempt - (signal == "logs"), 65535), 0.0)
    columns["max_output_tokens"] = _count(_either(facts.number("max_output_tokens"), invoked["max_tokens"]))
    columns["temperature"] = _either(facts.number("temperature"), invoked["temperature"])
    columns["flags"] = flags
    return columns


def _either(first: Any, second: Any) -> Any:
    return np.where(np.isnan(first), second, first)


def _count(value: Any) -> Any:
    """What is a count; nan where it is none."""
    with np.errstate(invalid="ignore"):
        return np.where((value >= 0) & (value <= COUNT_MAX) & (np.floor(value) == value), value, np.nan)


def _provider(facts: Facts, dialects: Sequence[Dialect], models: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """(who hosts, who made the model where that differs, whether the host was guessed by the model's name)."""

    def folded(
        dialect: int, host: str | None, provider: str | None, vendor: str | None, asked: str | None, given: str | None
    ) -> tuple[str, str | None, bool]:
        spelled = (host or provider or vendor or "").lower()
        made_by = VENDORS.get(spelled)
        if spelled:
            word = host_word(spelled)
            if made_by is None and host and vendor and host_word(vendor.lower()) != word:
                made_by = vendor.lower()
            return word, made_by, False
        if dialects[dialect].provider:
            return dialects[dialect].provider, None, False
        model = (given or asked or "").lower()
        maker = next((word for stem, word in MAKERS.items() if model.startswith(stem)), "unknown")
        return maker, None, maker != "unknown"

    facts_of = [facts.word(name) for name in ("host", "provider", "vendor")]
    inverse, answers = by_distinct([facts.dialect, *facts_of, *models.values()], folded)
    return (
        spread((inverse, [answer[0] for answer in answers])),
        spread((inverse, [answer[1] for answer in answers])),
        np.array([answer[2] for answer in answers], bool)[inverse],
    )


def host_word(spelled: str) -> str:
    """Our word for a spelling, in lower case, of who hosts."""
    if spelled.startswith("google.vertex"):
        return "gcp.vertex_ai"
    bare = _TAIL.sub("", spelled)
    return PROVIDERS.get(spelled) or PROVIDERS.get(bare) or bare


def _tokens(facts: Facts, dialects: Sequence[Dialect], provider: Any, flags: dict[str, Any]) -> dict[str, Any]:
    """Disjoint parts, how the source counted, and its own numbers."""
    stated = {name: facts.number(name) for name in _COUNTS}
    stated["input_tokens"] = _either(stated["input_tokens"], facts.number("embedding_tokens"))
    buckets = counts_of(facts, stated)
    split_of(facts, stated)
    n = {name: _count(values) for name, values in stated.items()}
    flags["count_unreadable"] = np.any([~np.isnan(stated[name]) & np.isnan(n[name]) for name in _COUNTS], axis=0)
    halves = np.nan_to_num(n["cache_write_5m"]) + np.nan_to_num(n["cache_write_1h"])
    split = ~np.isnan(n["cache_write_5m"]) | ~np.isnan(n["cache_write_1h"])
    written = np.where(split, np.maximum(halves, np.nan_to_num(n["cache_write"])), np.nan_to_num(n["cache_write"]))
    cached = np.nan_to_num(n["cache_read"]) + written
    said = np.nan_to_num(n["input_tokens"]) + np.nan_to_num(n["output_tokens"])
    told, thinking = _beside(facts, dialects, provider)
    exceeds = cached > n["input_tokens"]
    beside = buckets | exceeds | ((cached > 0) & (n["total_tokens"] == said + cached)) | told
    flags["cached_exceeds_input"] = exceeds & ~told & ~buckets
    apart = buckets | _reasoning_beside(n, said, thinking)
    flags["reasoning_exceeds_output"] = (n["reasoning"] > n["output_tokens"]) & ~apart
    within = np.fmin(n["reasoning"], np.where(np.isnan(n["output_tokens"]), np.inf, n["output_tokens"]))
    rest = written - halves
    unknown = np.isnan(n["input_tokens"]) & np.isnan(n["output_tokens"])
    basis = np.where(unknown, 0, np.where(buckets, 3, np.where(beside, 2, 1)))
    return {
        "input_uncached": np.where(beside, n["input_tokens"], n["input_tokens"] - cached),
        "cache_read": n["cache_read"],
        "cache_write_5m": n["cache_write_5m"],
        "cache_write_1h": n["cache_write_1h"],
        "cache_write_other": np.where(split, np.where(rest > 0, rest, np.nan), n["cache_write"]),
        "output_visible": np.where(apart | np.isnan(n["reasoning"]), n["output_tokens"], n["output_tokens"] - within),
        "output_reasoning": np.where(apart, n["reasoning"], within),
        **{name: n[name] for name in ("audio_input", "audio_output", "image_input", "image_output")},
        "usage_basis": pa.array([None, "inclusive", "exclusive", "disjoint"], pa.string()).take(pa.array(basis)),
        "usage_raw": _usage_raw(facts),
    }


def _reasoning_beside(n: Mapping[str, Any], said: Any, told: Any) -> Any:
    """Whether reasoning stands beside the output: the stated total says so, or the table does and no total objects."""
    total, reasoning = n["total_tokens"], n["reasoning"]
    plain = total == said
    return (reasoning > 0) & ((told & ~plain) | (total == said + reasoning))


def _beside(facts: Facts, dialects: Sequence[Dialect], provider: Any) -> tuple[Any, Any]:
    """What the tables say: (cached tokens stand beside the input, reasoning stands beside the output)."""

    def answer(dialect: int, host: str, scope: str | None, details: int) -> tuple[bool, bool]:
        table = dialects[dialect]
        beside = table.beside == EVERY or host in table.beside
        beside = beside or any((scope or "").startswith(stem) for stem in table.beside_scopes)
        if host in table.beside_without_details and not details:
            beside = True
        return beside, host in table.reasoning_beside

    details = np.asarray(facts.columns["details"])
    inverse, answers = by_distinct([facts.dialect, provider, facts.said("scope"), details], answer)
    found = np.array(answers, bool)[inverse]
    return found[:, 0], found[:, 1]


def _usage_raw(facts: Facts) -> Any:
    members = facts.said("usage_raw")
    raw = pc.binary_join_element_wise("{", members, "}", "")
    texts = facts.word("usage_json")
    return pc.coalesce(texts, raw) if texts.null_count < facts.rows else raw


def _times(facts: Facts, signal: str, invoked_stream: Any, names: Any, flags: dict[str, Any]) -> dict[str, Any]:
    start = np.asarray(facts.columns["start_ns"]).astype(np.int64)
    end = np.asarray(facts.columns["end_ns"]).astype(np.int64)
    event = np.asarray(facts.columns["first_event_ns"]).astype(np.int64)
    if signal == "logs":  # a record is written when the answer is there
        start = np.where(start == 0, end, start)
        length = facts.number("duration_ms")
        start = start - np.where((length > 0) & (length < 1e8), length * 1e6, 0).astype(np.int64)
    else:
        flags["clock_skew"] = end < start
        length = np.where(end >= start, (end - start) / 1e6, np.nan)
    with np.errstate(invalid="ignore"):
        length = np.where((length >= 0) & (length < 1e12), length, np.nan)
        ttft = _positive(facts.number("ttft_s") * 1000)
        for other in (facts.number("ttft_ms"), (event - start) / 1e6 * (event > 0), first_token_ms(facts, start)):
            ttft = _either(ttft, _positive(other))
    engine = np.asarray(pc.is_in(names, pa.array(["vllm", "sglang"])))
    spoken = facts.word("operation")
    streamed = np.asarray(pc.fill_null(pc.is_in(pc.utf8_lower(facts.word("stream")), pa.array(_YES)), False))
    streamed = streamed | invoked_stream | (~np.isnan(ttft) & ~engine)
    streamed = streamed | np.asarray(pc.fill_null(pc.match_substring(spoken, "Stream"), False))
    return {
        "started_at": start // 1000,
        "duration_ms": length,
        "ttft_ms": ttft,
        "itl_mean_ms": _positive(facts.number("itl_mean_s") * 1000),
        "queue_ms": _positive(facts.number("queue_s") * 1000),
        "server_ms": _positive(facts.number("server_s") * 1000),
        "streamed": streamed,
    }


def _positive(value: Any) -> Any:
    """Milliseconds above zero: emitters say 0 where there was nothing to measure."""
    with np.errstate(invalid="ignore"):
        return np.where((value > 0) & (value < 1e12), value, np.nan)


def _failure(facts: Facts) -> dict[str, Any]:
    said = facts.word("error")
    exception = facts.said("exception")
    status = facts.number("status")
    code = np.asarray(facts.columns["status_code"])
    level, spoken = facts.word("level"), facts.word("operation")

    def word(error: str | None, thrown: str | None) -> tuple[bool, str | None]:
        told = error if error is not None and error.lower() not in _NO_ERROR else None
        return told is not None, (told if told != "true" else None) or thrown

    inverse, answers = by_distinct([said, exception], word)
    failed = np.array([answer[0] for answer in answers], bool)[inverse] | (code == 2)
    failed = failed | np.asarray(pc.fill_null(pc.equal(level, "ERROR"), False))
    failed = failed | np.asarray(pc.fill_null(pc.match_substring(spoken, "api_error"), False))
    with np.errstate(invalid="ignore"):
        failed = failed | (status >= 400)
        status = np.where((status >= 100) & (status < 1000), status, np.nan)
    words = spread((inverse, [answer[1] for answer in answers]))
    finish = facts.word("finish")
    return {
        "failed": failed,
        "status": status,
        "error_word": pc.if_else(pa.array(failed), words, pa.scalar(None, pa.string())),
        "finish_word": spread(by_distinct([finish], _first_word)),
    }


def _first_word(text: str | None) -> str | None:
    """Of `stop`, `stop,stop`, `["stop"]`: the first word."""
    found = re.search(r"[A-Za-z][A-Za-z_-]*", text or "")
    return found.group().lower() if found else None


def _vantage(facts: Facts, dialects: Sequence[Dialect]) -> Any:
    gateways = {value for d in dialects if d.vantage == "gateway" for key, value in d.resource if key == "service.name"}

    def seen(dialect: int, kind: int, scope: str | None, service: str | None) -> str:
        if service in gateways:
            return "gateway"
        if dialects[dialect].vantage != "client":
            return dialects[dialect].vantage
        if kind == 2:
            return "server"
        return "framework" if any(word in (scope or "") for word in FRAMEWORKS) else "client"

    kind = np.asarray(facts.columns["kind"])
    columns = [facts.dialect, kind, facts.said("scope"), facts.said("resource_service")]
    return spread(by_distinct(columns, seen))


def _source(facts: Facts) -> Any:
    def named(scope: str | None, version: str | None) -> str:
        return " ".join(word for word in ("otlp", scope, version) if word)

    return spread(by_distinct([facts.said("scope"), facts.said("scope_version")], named))
