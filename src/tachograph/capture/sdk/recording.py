"""Calls to engines without HTTP (llama.cpp, vLLM or transformers inside the process), told by whoever makes them.

In: fields of Call under their names, the words of `context`, and a few short ones. Out: a Call, delivered as those that
transports see. What is unknown or does not fit is an error at once; what is not told stays unknown.
What it must never know: an engine.

Tokens: `input_tokens` is the whole input, `cache_read` (and the other cached parts) inside it; `output_tokens` is the
whole output, `reasoning_tokens` inside it. Whoever has disjoint parts gives those instead (`input_uncached`,
`output_visible`, ...).
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

from tachograph import wire
from tachograph.call import (
    BY_NAME,
    COST_SOURCES,
    ERROR_TYPES,
    FINISH_REASONS,
    INPUT_PARTS,
    OPERATIONS,
    OUTCOMES,
    Call,
    typed,
    whole,
)
from tachograph.capture.sdk.attribution import attributed, cause_of, identified, tell
from tachograph.capture.sdk.context import Scope, current, over, text
from tachograph.capture.sdk.ending import end_of
from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.watching import Observer
from tachograph.capture.words import WORDS
from tachograph.version import VERSION
from tachograph.wire.timing import Timing
from tachograph.wire.tokens import PARTS, Tokens, inclusive

API = "record"
ERROR_CHARS_MAX = 128

# What is derived, or comes from elsewhere: nobody tells it.
_NOT_TOLD = {
    *("call_id", "span_id", "received_at", "vantage", "same_as", "source", "api", "total_tokens", "usage_basis"),
    *("usage_source", "price_id", "price_status", "itl_buckets", "tpot_ms", "flags", "usage_raw", "api_key_id"),
    "headers_ms",  # there are none
}
# Short words -> the field of Call; `model` and `error` mean more than one.
_SHORT: Mapping[str, str] = {**WORDS, "reasoning_tokens": "output_reasoning"}
_FIELDS: Mapping[str, str] = {**{name: name for name in BY_NAME if name not in _NOT_TOLD}, **_SHORT}
_CLOSED = {
    "operation": OPERATIONS,
    "outcome": OUTCOMES,
    "error_type": ERROR_TYPES,
    "finish_reason": FINISH_REASONS,
    "cost_source": COST_SOURCES,
}
_WHO = frozenset(WORDS.values())
# What answers with tokens: where one side was not counted, there is no total and no cost.
_GENERATING = ("chat", "text_completion", "generate_content", "realtime")
_ENDED = {wire.End.CLIENT_GONE: ("aborted", "cancelled"), wire.End.TIMEOUT: ("error", "timeout")}


def make_call(fields: Mapping[str, Any], now: datetime) -> Call:
    """The Call of what was told; without ids, and without who was asking where that was not told. Pure.

    TypeError for a name that is unknown, ValueError for a value that does not fit.
    """
    told = checked(fields)
    call = Call(api=API, source=f"sdk {VERSION} {API}", operation="chat")
    error = told.pop("error", None)
    model = told.pop("model", None)
    tokens = {name: told.pop(name) for name in (*PARTS, "input_tokens", "output_tokens") if name in told}
    for name, value in told.items():
        setattr(call, name, value)
    _named(call, model)
    _counted(call, tokens)
    _timed(call, "started_at" in told, now)
    if error is not None:
        _failed(call, error, told)
    if call.cost_usd is not None:
        call.cost_source, call.price_status = call.cost_source or "contract", "priced"
    return call


def checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What was told, under the names of Call and of its kinds; None says nothing."""
    told: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in _FIELDS and name != "error":
            near = difflib.get_close_matches(name, (*_FIELDS, "error"), 1, 0.5)
            hint = f"did you mean {near[0]!r}?" if near else "see docs/call.md"
            raise TypeError(f"record() has no field {name!r}: {hint}")
        if value is not None:
            field = _FIELDS.get(name, name)
            told[field] = _value(name, field, value)
    return told


def _value(name: str, field: str, value: Any) -> Any:
    if field in _CLOSED and value not in _CLOSED[field]:
        near = difflib.get_close_matches(str(value), _CLOSED[field], 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(_CLOSED[field])}"
        raise ValueError(f"{name}: {str(value)[:80]!r} is not known: {hint}")
    if field == "error":
        return value
    if field in _WHO:
        return text(value)
    if field == "tags" and isinstance(value, Mapping):
        return {text(tag): text(said) for tag, said in value.items()}
    return typed(BY_NAME[field], value)


def made(observer: Observer, guard: Guard | None = None, /, **fields: Any) -> Call:
    """Record a call that has ended. TypeError or ValueError for what cannot be told; what fails in us is guarded."""
    call = make_call(fields, datetime.now(UTC))
    (guard or Guard())(_delivered, call, observer.scope_of(), observer)
    return call


class Recording:
    """`with Recording(observer, model="llama") as call:` measures, and records at the end, whatever the end.

    `call.piece()` for each piece of the answer as it comes; `call.usage(input_tokens=..., output_tokens=...)` once it
    is known; `call.note(...)` for any other field. observer: None records nothing, and still checks. `recorded` is the
    Call.
    """

    def __init__(self, observer: Observer | None, guard: Guard | None = None, /, **fields: Any) -> None:
        self._observer, self._guard = observer, guard or Guard()
        self._fields: dict[str, Any] = {}
        self.note(**fields)
        self._timing = Timing()
        self._scope = Scope()
        self._cause: tuple[str | None, str | None] = (None, None)
        self._started_at, self._began_ns = datetime.now(UTC), time.perf_counter_ns()
        self.recorded: Call | None = None

    def piece(self) -> None:
        """A piece of the answer has come: the first stops the time to the first token."""
        self._timing.content(self._us())

    def usage(self, **tokens: Any) -> None:
        """The tokens, once they are known."""
        self.note(**tokens)

    def note(self, **fields: Any) -> None:
        """What else is known of the call by now; what was told before is replaced."""
        together = {**self._fields, **fields}
        make_call(together, datetime.now(UTC))  # what does not fit is told here, not at the end of the work
        self._fields = together

    def __enter__(self) -> Recording:
        self._scope = current() if self._observer is None else self._observer.scope_of()
        self._cause = cause_of(self._scope)
        self._timing = Timing()
        self._started_at, self._began_ns = datetime.now(UTC), time.perf_counter_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        measured: dict[str, Any] = {"started_at": self._started_at, "duration_ms": self._us() / 1000}
        if failure is not None:
            measured["error"] = failure
        self._guard(self._end, measured)

    async def __aenter__(self) -> Recording:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, failure, trace)

    def _end(self, measured: dict[str, Any]) -> None:
        timing = self._timing
        if timing.contents:
            measured.update(self._stream())
        call = make_call({**measured, **self._fields}, datetime.now(UTC))
        if timing.contents:
            call.itl_buckets = timing.buckets()
            if call.usage_source == "missing":
                _estimated(call, timing.contents)
        self.recorded = call
        if self._observer is not None:
            _delivered(call, self._scope, self._observer, self._cause)

    def _us(self) -> int:
        return (time.perf_counter_ns() - self._began_ns) // 1000

    def _stream(self) -> dict[str, Any]:
        timing = self._timing
        return {
            "streamed": True,
            "ttft_ms": (timing.first_content_us or 0) / 1000,
            "chunks": timing.contents,
            "itl_mean_ms": timing.mean_ms(),
            "itl_p99_ms": timing.p99_ms(),
            "itl_max_ms": timing.max_ms(),
        }


def _named(call: Call, model: str | None) -> None:
    call.request_model = call.request_model or model
    call.response_model = call.response_model or model
    call.model = model or call.response_model or call.request_model
    if call.model is None:
        raise TypeError("record() needs model=...: the name of what was asked")


def _counted(call: Call, told: Mapping[str, int]) -> None:
    """Disjoint parts and their sums."""
    if not told:
        return
    parts = {name: value for name, value in told.items() if name in PARTS}
    cached = {name: parts[name] for name in INPUT_PARTS[1:] if name in parts}
    if "input_uncached" in parts or "output_visible" in parts:
        if "input_tokens" in told or "output_tokens" in told:
            raise TypeError("record(): give input_tokens and output_tokens, or the parts of both")
        tokens = Tokens("disjoint", **parts)  # type: ignore[arg-type]
    else:
        media = {name: value for name, value in parts.items() if name.startswith(("audio", "image"))}
        tokens = inclusive(
            input_tokens=told.get("input_tokens"),
            output_tokens=told.get("output_tokens"),
            reasoning=parts.get("output_reasoning"),
            **{**cached, **media},  # type: ignore[arg-type]
        )
    for part in PARTS:
        setattr(call, part, getattr(tokens, part))
    call.usage_source, call.usage_basis = "reported", tokens.basis
    call.input_tokens, call.output_tokens = tokens.input_tokens, tokens.output_tokens
    call.flag(*tokens.flags)
    if call.input_tokens is None or (call.output_tokens is None and call.operation in _GENERATING):
        call.flag("usage_partial")
    else:
        call.total_tokens = whole((call.input_tokens, call.output_tokens))


def _estimated(call: Call, pieces: int) -> None:
    """Nobody counted: the pieces of a stream are close to its tokens. The input stays unknown."""
    call.usage_source, call.output_visible, call.output_tokens = "estimated", pieces, pieces
    call.flag("usage_estimated")


def _timed(call: Call, started: bool, now: datetime) -> None:
    if not started:
        call.started_at = now - timedelta(milliseconds=call.duration_ms or 0)
    call.received_at = call.started_at + timedelta(milliseconds=call.duration_ms or 0)
    call.streamed = call.streamed or call.ttft_ms is not None
    if call.duration_ms is not None and call.ttft_ms is not None and (call.output_tokens or 0) > 1:
        after = call.duration_ms - call.ttft_ms
        call.tpot_ms = round(after / ((call.output_tokens or 0) - 1), 3) if after >= 0 else None


def _failed(call: Call, error: Any, told: Mapping[str, Any]) -> None:
    """error: what was raised, a word of `error_type`, or the engine's own word. What an exception says may quote a
    prompt: only its class is kept.
    """
    outcome, kind, code = "error", "other", str(error)[:ERROR_CHARS_MAX]
    if isinstance(error, BaseException):
        outcome, kind = _ENDED.get(end_of(error), (outcome, "network" if isinstance(error, ConnectionError) else kind))
        code = type(error).__name__[:ERROR_CHARS_MAX]
    elif error in ERROR_TYPES:
        kind, code = error, ""
    if told.get("outcome", "ok") == "ok":
        call.outcome = outcome
    call.error_type = call.error_type or kind
    call.error_code = call.error_code or code or None


def _delivered(
    call: Call, scope: Scope, observer: Observer, cause: tuple[str | None, str | None] | None = None
) -> None:
    """Who is asking, where the call itself does not say it; ids; on its way."""
    own = {field: getattr(call, field) for field in _WHO if getattr(call, field)}
    attributed(call, over(scope, own, call.tags), observer)
    identified(call, cause or cause_of(scope))
    tell([call], scope, observer)
