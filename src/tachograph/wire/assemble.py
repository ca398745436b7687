"""Found + stamps -> Call: the one place where an answer's outcome and totals are decided.

What it must never know: a provider's field names, prices, bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any

from tachograph.call import BY_NAME, EPOCH, MONEY_STEP, Call, typed
from tachograph.wire.exchange import End
from tachograph.wire.format import Asked, Format
from tachograph.wire.found import (
    COUNT_MAX,
    DEPTH_MAX,
    USAGE_KEY_CHARS_MAX,
    USAGE_MEMBERS_MAX,
    Found,
    countable,
)
from tachograph.wire.timing import Timing
from tachograph.wire.tokens import PARTS
from tachograph.wire.values import written

USAGE_BYTES_MAX = 16 * 1024
TOOL_CALLS_MAX = 65535  # what the column holds

_parts = attrgetter(*PARTS)
_NOTHING = (None,) * len(PARTS)
_ENDED: dict[End, tuple[str, str]] = {
    End.CLIENT_GONE: ("aborted", "cancelled"),
    End.TIMEOUT: ("error", "timeout"),
    End.NETWORK: ("error", "network"),
    End.PROTOCOL: ("error", "protocol"),
}


def assemble(
    found: Found,
    form: Format,
    asked: Asked,
    *,
    status: int | None,
    headers: Mapping[str, str],
    started_at: datetime | None,
    streamed: bool,
    cut: bool,
    timing: Timing,
    headers_us: int | None,
    at_us: int | None,
    end: End,
) -> list[Call]:
    """The Call of an exchange; of a file of batch results, one per result. Unpriced, without ids of ours."""
    if found.parts:
        calls = []
        for part in found.parts:
            part.provider, part.request_id = found.provider, part.request_id or found.request_id
            inner = Call(api=form.name, status=status, vantage="client", attempt=0)
            _fill(inner, part, form, started_at or part.created_at)
            _outcome(inner, part, End.COMPLETE, cut=False)
            calls.append(inner)
        return calls
    call = Call(api=found.shape or form.name, status=status, streamed=streamed)
    _fill(call, found, form, started_at)
    call.attempt = _attempt(asked.headers)
    call.trace_id, call.parent_span_id = _traceparent(asked.headers)
    _latency(call, timing, headers_us, at_us)
    _outcome(call, found, end, cut=cut)
    return [call]


def _fill(call: Call, found: Found, form: Format, started_at: datetime | None) -> None:
    call.started_at = started_at or EPOCH
    if started_at is None:
        call.flag("started_at_missing")
    call.provider, call.vendor = found.provider, found.vendor
    call.operation = found.operation or form.operation
    call.request_model, call.response_model = found.request_model, found.response_model
    call.model = found.response_model or found.request_model
    call.response_id, call.request_id = found.response_id, found.request_id
    call.service_tier = found.service_tier
    if call.service_tier == "auto":
        call.flag("tier_unknown")  # what was asked for; which tier served is what a terminal event says
    call.max_output_tokens, call.temperature = found.max_output_tokens, found.temperature
    call.user_id, call.conversation_id = found.user_id, found.conversation_id
    call.server_ms, call.queue_ms = found.server_ms, found.queue_ms
    for field, value in found.limits.items():
        setattr(call, field, value)
    call.finish_reason = found.finish_reason
    tool_calls = found.tool_calls if found.tool_calls is not None else (len(found.tool_ids) or None)
    if tool_calls is None and found.finish_reason is not None:
        tool_calls = 0
    if tool_calls is not None and tool_calls > TOOL_CALLS_MAX:
        tool_calls = TOOL_CALLS_MAX
    call.tool_calls = tool_calls
    _usage(call, found, form)
    if found.price_context:
        call.price_context = dict(found.price_context)
    if found.iterations:
        call.price_context["iterations"] = written(found.iterations)
    if found.flags:
        call.flag(*found.flags)


def _usage(call: Call, found: Found, form: Format) -> None:
    tokens = found.tokens or form.tokens(found)
    usage = {**(found.usage or {}), **found.usage_copies} if found.usage_copies else found.usage
    text = _countable(usage) if usage else None
    if text is not None and len(text) > USAGE_BYTES_MAX:
        call.flag("usage_raw_too_large")
        text = None
    call.usage_raw = text
    if found.cost_usd is not None:
        call.cost_usd, call.cost_source = found.cost_usd.quantize(MONEY_STEP), "provider"
    if tokens is None:
        _estimate(call, found)
        return
    call.usage_source = "reported"
    counted = _parts(tokens)
    if counted != _NOTHING:
        call.usage_basis = tokens.basis  # billed by seconds alone: reported, but nothing was counted in tokens
    for part, value in zip(PARTS, counted, strict=True):
        if value is not None:
            setattr(call, part, value)
    call.input_tokens, call.output_tokens = tokens.input_tokens, tokens.output_tokens
    partial = "usage_partial" in found.flags  # one side never came: there is no total
    if not partial and (call.input_tokens is not None or call.output_tokens is not None):
        call.total_tokens = (call.input_tokens or 0) + (call.output_tokens or 0)
    if tokens.flags:
        call.flag(*tokens.flags)


def _countable(usage: dict[str, Any]) -> str | None:
    """`countable`, as text. Nearly all hold nothing but counts, and are it."""
    counts = usage if _counts_alone(usage, 1) else countable(usage)
    return written(counts) if counts else None


def _counts_alone(usage: dict[str, Any], depth: int) -> bool:
    """Whether `countable` would leave everything as it is, and quickly known."""
    for key, value in usage.items():
        if type(value) is dict:
            if depth == DEPTH_MAX or not _counts_alone(value, depth + 1):
                return False
        elif value is not None and not (type(value) is int and 0 <= value <= COUNT_MAX):
            return False
        if len(key) > USAGE_KEY_CHARS_MAX:
            return False
    return len(usage) <= USAGE_MEMBERS_MAX


def _estimate(call: Call, found: Found) -> None:
    """A stream whose usage never came: the pieces of its answer are close to its tokens. The input stays unknown."""
    if not call.streamed or found.visible_pieces + found.reasoning_pieces == 0:
        return
    call.usage_source = "estimated"
    call.flag("usage_estimated")
    call.output_visible = found.visible_pieces
    call.output_reasoning = found.reasoning_pieces or None
    call.output_tokens = found.visible_pieces + found.reasoning_pieces


def _latency(call: Call, timing: Timing, headers_us: int | None, at_us: int | None) -> None:
    if at_us is not None:
        if at_us < 0:
            call.flag("clock_skew")
        else:
            call.duration_ms = at_us / 1000
    if headers_us is not None:
        if _is_first(headers_us, timing.first_content_us, at_us):
            call.headers_ms = headers_us / 1000
        else:
            call.flag("clock_skew")
    if timing.clock_skew:
        call.flag("clock_skew")
    if not call.streamed:
        return
    call.chunks = timing.contents
    if timing.buffered:
        call.flag("buffered_stream")
    if timing.first_content_us is not None and timing.first_content_us >= 0:
        call.ttft_ms = timing.first_content_us / 1000
    call.itl_mean_ms, call.itl_p99_ms, call.itl_max_ms = timing.mean_ms(), timing.p99_ms(), timing.max_ms()
    call.itl_buckets = timing.buckets()
    if call.duration_ms is not None and call.ttft_ms is not None and (call.output_tokens or 0) > 1:
        after = call.duration_ms - call.ttft_ms
        if after >= 0:
            call.tpot_ms = round(after / ((call.output_tokens or 0) - 1), 3)


def _is_first(headers_us: int, content_us: int | None, end_us: int | None) -> bool:
    """Whether the headers came after the request, and before all that comes after them."""
    before_content = content_us is None or headers_us <= content_us
    return headers_us >= 0 and before_content and (end_us is None or headers_us <= end_us)


def _outcome(call: Call, found: Found, end: End, *, cut: bool) -> None:
    """error outranks aborted outranks truncated: what the provider said is better known than how it stopped."""
    if found.error_type is not None:
        call.outcome = "aborted" if found.error_type == "cancelled" else "error"
        call.error_type, call.error_code = found.error_type, found.error_code
    elif end in _ENDED and not (end is End.CLIENT_GONE and found.terminal):  # else all had come before the client left
        call.outcome, call.error_type = _ENDED[end]
    elif call.status is None:
        call.outcome, call.error_type = "error", "network"
    elif found.finish_reason == "content_filter":
        call.outcome, call.error_type, call.error_code = "error", "content_filter", found.finish
    elif found.finish_reason == "error":
        call.outcome, call.error_type, call.error_code = "error", "provider_error", found.finish
    elif cut:
        call.outcome = "truncated"
    if call.outcome != "ok" or call.usage_source != "missing":
        return
    if found.request_model is None and found.response_model is None:
        call.flag("model_missing")


def _attempt(headers: Mapping[str, str]) -> int:
    """Retries that the client libraries count themselves: Stainless (openai, anthropic, ...), AWS."""
    for name, read, offset in _ATTEMPTS:
        if name in headers and (text := read(headers[name])) and text.isdigit() and len(text) < 5:
            attempt = int(text) - offset
            return attempt if attempt > 0 else 0
    return 0


def _aws_attempt(stated: str) -> str | None:
    words = dict(word.strip().partition("=")[::2] for word in stated.split(";"))
    return words.get("attempt")


# (header, what it says, the number of the first attempt)
_ATTEMPTS = (("x-stainless-retry-count", str, 0), ("amz-sdk-request", _aws_attempt, 1))


def _traceparent(headers: Mapping[str, str]) -> tuple[str | None, str | None]:
    """W3C `traceparent`: (trace id, span id of the parent)."""
    if "traceparent" not in headers:
        return None, None
    words = headers["traceparent"].strip().split("-")
    if len(words) < 4:
        return None, None
    try:
        trace, parent = typed(BY_NAME["trace_id"], words[1]), typed(BY_NAME["span_id"], words[2])
    except ValueError:
        return None, None
    return (trace, parent) if int(trace, 16) and int(parent, 16) else (None, None)
