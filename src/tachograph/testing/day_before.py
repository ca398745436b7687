"""The days before the day that is played: the same company, the same models, nothing odd.

In: a plan, when each hour of it was. Out: Calls as they would have been recorded, unpriced (the price book is the
caller's), with `source` = `demo`: nobody made them.
What it must never know: a clock, the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from tachograph.call import Call, derive_id, itl_bucket
from tachograph.testing.day import Request
from tachograph.testing.day_asking import attribution
from tachograph.testing.day_played import PIECES, played
from tachograph.testing.provider_truth import Played, Truth, dated

SOURCE = "demo"
_OPERATIONS = {"embeddings": "embeddings", "generate_content": "generate_content"}
_ERRORS = {
    "server_error": ("provider_error", "server_error"),
    "bad_request": ("client_bad_request", "invalid_request_error"),
    "rate_limited": ("rate_limited", "rate_limit_exceeded"),
}


def calls_before(day: Sequence[Request], moment: Callable[[float], datetime]) -> Iterator[Call]:
    """The calls of a day on which nothing happened. moment: when an hour of it was."""
    for request in day:
        yield _call(request, moment(request.hour), played(request, 0, eventful=False))


def _call(request: Request, started: datetime, what: Played) -> Call:
    who = attribution(request)
    team, project, feature = request.traffic.who
    call = Call(
        call_id=derive_id(started, f"demo/{started.isoformat()}/{request.number}".encode()),
        started_at=started,
        received_at=started,
        provider=request.model.provider,
        operation=_OPERATIONS.get(request.model.api, "chat"),
        api=request.model.api,
        vantage="gateway" if request.traffic.door in ("gateway", "both") else "client",
        request_model=request.traffic.model,
        response_model=None
        if request.model.provider == "aws.bedrock"
        else what.version or dated(request.traffic.model),
        service=request.traffic.service,
        environment="production",
        team=team,
        project=project,
        feature=feature,
        customer=request.customer,
        user_id=who.get("user"),
        conversation_id=who.get("conversation"),
        streamed=request.streamed,
        source=SOURCE,
        status=what.scenario.status,
    )
    call.duration_ms = _ms(sum(what.seconds))
    if what.scenario.status != 200:
        call.outcome, call.streamed = "error", False
        call.error_type, call.error_code = _ERRORS[what.scenario.name]
    else:
        _count(call, what.scenario.truth, request.finish)
    if call.outcome == "ok" and call.streamed:
        _time(call, what)
    return call


def _count(call: Call, truth: Truth, finish: str) -> None:
    call.input_uncached, call.cache_read = truth.input_uncached, truth.cache_read
    call.output_visible, call.output_reasoning = truth.output_visible, truth.output_reasoning
    call.input_tokens, call.output_tokens, call.total_tokens = (
        truth.input_tokens,
        truth.output_tokens,
        truth.total_tokens,
    )
    call.usage_source, call.usage_basis, call.finish_reason = "reported", "disjoint", finish


def _time(call: Call, what: Played) -> None:
    first, gaps_ms = what.seconds[0], [gap * 1000 for gap in what.seconds[2:]]
    buckets = [0] * (max(map(itl_bucket, gaps_ms)) + 1)
    for gap in gaps_ms:
        buckets[itl_bucket(gap)] += 1
    call.ttft_ms, call.chunks, call.itl_buckets = _ms(first), what.repeats * PIECES, buckets
    call.itl_mean_ms, call.itl_max_ms = round(sum(gaps_ms) / len(gaps_ms), 3), round(max(gaps_ms), 3)
    call.itl_p99_ms = call.itl_max_ms
    if call.output_tokens and call.output_tokens > 1 and call.duration_ms:
        call.tpot_ms = round((call.duration_ms - _ms(first)) / (call.output_tokens - 1), 3)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
