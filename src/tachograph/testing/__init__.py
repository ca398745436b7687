"""Shipped doubles and made-up traffic, for the users' tests and for ours.

In: a seed and a day. Out: Calls that look like a day of a company's model traffic, every one marked as generated
(`source` = `generated`, tag `generated` = `true`). Unpriced: the price book is the caller's.
What it must never know: a clock, the store.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta

from tachograph.call import Call, derive_id, itl_bucket
from tachograph.flow import Busy, Refused

# (provider, requested, responded, share, input tokens, output tokens, ms per output token, ttft ms, reasoning share)
_MODELS = (
    ("openai", "gpt-5-mini", "gpt-5-mini-2025-08-07", 30, 1800, 260, 9.0, 420, 0.5),
    ("openai", "gpt-5", "gpt-5-2025-08-07", 12, 3200, 520, 16.0, 900, 0.6),
    ("anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", 22, 5200, 420, 14.0, 780, 0.0),
    ("anthropic", "claude-haiku-4-5", "claude-haiku-4-5-20251001", 10, 1400, 180, 7.0, 380, 0.0),
    ("gcp.gemini", "gemini-2.5-flash", "gemini-2.5-flash", 14, 2600, 240, 6.0, 450, 0.3),
    ("aws.bedrock", "us.amazon.nova-lite-v1:0", None, 5, 1200, 150, 8.0, 500, 0.0),
    ("mistral_ai", "mistral-large-latest", "mistral-large-latest", 4, 900, 220, 11.0, 350, 0.0),
    ("vllm", "acme/support-7b", "acme/support-7b", 3, 1100, 160, 12.0, 150, 0.0),
)
_TEAMS = (
    ("support", "assistant", ("answer", "summarise")),
    ("search", "retrieval", ("rewrite", "rank")),
    ("growth", "campaigns", ("draft",)),
    ("platform", "agents", ("plan", "code", "review")),
    ("", "", ("",)),
)
_TEAM_SHARES = (36, 24, 10, 26, 4)
_HOURS = (2, 1, 1, 1, 1, 2, 4, 8, 14, 18, 20, 19, 16, 18, 20, 20, 18, 15, 11, 9, 8, 7, 5, 3)
_ERRORS = (
    ("rate_limited", "rate_limit_exceeded", 429, 6),
    ("provider_overloaded", "overloaded_error", 529, 3),
    ("provider_error", "server_error", 500, 2),
    ("client_bad_request", "invalid_request_error", 400, 2),
    ("timeout", None, None, 1),
)


class MemorySink:
    """A `flow.Sink` in memory that keeps the promises of a store: a call counts once, a refused batch leaves nothing.

    impossible: call ids that it refuses. busy_after: batches that it takes before it is Busy; None: never.
    """

    def __init__(self, *, impossible: Iterable[str] = (), busy_after: int | None = None) -> None:
        self.calls: dict[str, Call] = {}
        self.batches = 0
        self._impossible = frozenset(impossible)
        self._busy_after = busy_after

    def write(self, calls: Sequence[Call], token: str) -> int:
        """Keep `calls`; how many were new."""
        if self._busy_after is not None and self.batches >= self._busy_after:
            raise Busy("the sink is full: try again later")
        for call in calls:
            if call.call_id in self._impossible:
                raise Refused("out_of_range", f"{call.call_id}: impossible")
        before = len(self.calls)
        self.calls.update({call.call_id: call for call in calls if call.call_id not in self.calls})
        self.batches += 1
        return len(self.calls) - before


def generated_day(day: date, calls: int = 20_000, seed: int = 7) -> Iterator[Call]:
    """`calls` Calls over one day (UTC), in the order of their time. The same seed gives the same day."""
    chance = random.Random(seed)
    moments = sorted(_moment(chance, day) for _ in range(calls))
    for index, moment in enumerate(moments):
        yield _call(chance, moment, f"generated/{seed}/{day.isoformat()}/{index}".encode())


def _moment(chance: random.Random, day: date) -> datetime:
    hour = chance.choices(range(24), _HOURS)[0]
    return datetime.combine(day, time(hour), UTC) + timedelta(microseconds=chance.randrange(3_600_000_000))


def _call(chance: random.Random, moment: datetime, seed: bytes) -> Call:
    row = chance.choices(_MODELS, [row[3] for row in _MODELS])[0]
    provider, asked, answered, _, mean_in, mean_out, per_token_ms, ttft_ms, reasoning = row
    team, project, features = chance.choices(_TEAMS, _TEAM_SHARES)[0]
    call = Call(
        call_id=derive_id(moment, seed),
        started_at=moment,
        received_at=moment,
        provider=provider,
        operation="generate_content" if provider == "gcp.gemini" else "chat",
        api="generated",
        request_model=asked,
        response_model=answered,
        service="assistant-api",
        environment="production",
        region=chance.choice(("eu-central-1", "us-east-1")),
        team=team,
        project=project,
        feature=chance.choice(features),
        customer=f"customer-{int(chance.paretovariate(1.1)) % 400:03d}",
        user_id=f"user-{int(chance.paretovariate(0.9)) % 5000:04d}",
        source="generated",
        tags={"generated": "true"},
        streamed=chance.random() < 0.7,
        status=200,
    )
    if chance.random() < 0.015:
        _fail(chance, call)
    else:
        _answer(chance, call, mean_in, mean_out, per_token_ms, ttft_ms, reasoning)
    return call


def _fail(chance: random.Random, call: Call) -> None:
    kind, code, status, _ = chance.choices(_ERRORS, [error[3] for error in _ERRORS])[0]
    call.outcome, call.error_type, call.error_code, call.status = "error", kind, code, status
    call.streamed = False
    call.duration_ms = 60_000.0 if kind == "timeout" else round(chance.lognormvariate(math.log(180), 0.6), 3)


def _answer(
    chance: random.Random,
    call: Call,
    mean_in: int,
    mean_out: int,
    per_token_ms: float,
    ttft_ms: float,
    reasoning: float,
) -> None:
    inputs = max(1, round(chance.lognormvariate(math.log(mean_in), 0.8)))
    cached = round(inputs * chance.choice((0.0, 0.0, 0.5, 0.9))) if call.provider != "vllm" else 0
    outputs = max(2, round(chance.lognormvariate(math.log(mean_out), 0.7)))
    thought = round(outputs * reasoning * chance.random())
    call.input_uncached, call.cache_read = inputs - cached, cached
    call.output_visible, call.output_reasoning = outputs - thought, thought
    call.input_tokens, call.output_tokens, call.total_tokens = inputs, outputs, inputs + outputs
    call.usage_source, call.usage_basis = "reported", "disjoint"
    call.finish_reason = chance.choices(("stop", "tool_calls", "length"), (80, 16, 4))[0]
    slow = 1 + 0.6 * math.exp(-((call.started_at.hour - 14.5) ** 2) / 6)  # the busy hours are slower
    first = chance.lognormvariate(math.log(ttft_ms * slow), 0.45)
    gap = per_token_ms * slow * chance.lognormvariate(0, 0.2)
    call.duration_ms = round(first + gap * (outputs - 1), 3)
    if not call.streamed:
        return
    call.ttft_ms, call.chunks = round(first, 3), outputs
    gaps = [gap * chance.lognormvariate(0, 0.35) for _ in range(min(outputs - 1, 24))]
    buckets = [0] * (max(map(itl_bucket, gaps)) + 1)
    for value in gaps:
        buckets[itl_bucket(value)] += 1
    call.itl_buckets = buckets
    call.itl_mean_ms, call.itl_max_ms = round(sum(gaps) / len(gaps), 3), round(max(gaps), 3)
    call.itl_p99_ms = call.itl_max_ms
    call.tpot_ms = round((call.duration_ms - call.ttft_ms) / (outputs - 1), 3)
