"""Rate limits and waits, in every provider's spelling."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.wire import Exchange, Request, read
from tachograph.wire.limits import wait_ms

DATE = {"date": "Mon, 19 Oct 2026 09:00:00 GMT"}
FIELDS = (
    "ratelimit_limit_requests",
    "ratelimit_remaining_requests",
    "ratelimit_reset_requests_ms",
    "ratelimit_limit_tokens",
    "ratelimit_remaining_tokens",
    "ratelimit_reset_tokens_ms",
    "retry_after_ms",
)


def limits(status: int = 200, body: object = None, **headers: str) -> dict[str, float | None]:
    request = Request("https://api.openai.com/v1/chat/completions", body=b'{"model": "m"}')
    told = {**DATE, **{header.replace("_", "-"): value for header, value in headers.items()}}
    (call,) = read(Exchange(request, status, told, [(None, json.dumps(body or {"choices": []}).encode())]))
    return {field: getattr(call, field) for field in FIELDS if getattr(call, field) is not None}


def test_openai_and_its_kin() -> None:
    assert limits(
        x_ratelimit_limit_requests="10000",
        x_ratelimit_remaining_requests="9999",
        x_ratelimit_reset_requests="8.64s",
        x_ratelimit_limit_tokens="200000",
        x_ratelimit_remaining_tokens="199800",
        x_ratelimit_reset_tokens="6m0s",
    ) == dict(zip(FIELDS[:6], (10000, 9999, 8640.0, 200000, 199800, 360_000.0), strict=True))


def test_azure_counts_in_plain_seconds_and_both_waits_agree_on_milliseconds() -> None:
    assert limits(429, {"error": {"code": "429"}}, x_ratelimit_reset_tokens="10", retry_after="12") == {
        "ratelimit_reset_tokens_ms": 10_000.0,
        "retry_after_ms": 12_000.0,
    }
    assert limits(429, retry_after="1", retry_after_ms="350")["retry_after_ms"] == 350.0


def test_anthropic_names_the_moment() -> None:
    assert limits(
        anthropic_ratelimit_requests_limit="50",
        anthropic_ratelimit_requests_remaining="49",
        anthropic_ratelimit_requests_reset="2026-10-19T09:00:01Z",
        anthropic_ratelimit_input_tokens_remaining="40000",
        anthropic_ratelimit_tokens_remaining="48000",
    ) == {
        "ratelimit_limit_requests": 50,
        "ratelimit_remaining_requests": 49,
        "ratelimit_reset_requests_ms": 1000.0,
        "ratelimit_remaining_tokens": 48000,
    }


def test_of_several_windows_the_shortest() -> None:
    found = limits(
        x_ratelimit_limit_requests_day="14400",
        x_ratelimit_limit_requests_minute="30",
        x_ratelimit_remaining_tokens_minute="59000",
        x_ratelimit_limit_req_minute="6",
    )
    assert found == {"ratelimit_limit_requests": 30, "ratelimit_remaining_tokens": 59000}


def test_google_says_it_in_the_body() -> None:
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
    error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "x"}, retry]}
    assert limits(429, {"error": error}) == {"retry_after_ms": 34_500.0}
    assert limits(429, [{"error": error}]) == {"retry_after_ms": 34_500.0}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("120ms", 120.0),
        ("6m0s", 360_000.0),
        ("1h2m3.5s", 3_723_500.0),
        ("0", 0.0),
        ("Mon, 19 Oct 2026 09:00:30 GMT", 30_000.0),
        ("2026-10-19T08:59:00Z", 0.0),  # past: it has started anew already
        ("", None),
        ("-5", None),
        ("soon", None),
        ("9" * 40, None),
        ("5 s", None),
    ],
)
def test_waits(text: str, found: float | None) -> None:
    assert wait_ms(text, datetime(2026, 10, 19, 9, tzinfo=UTC)) == found


@given(st.text(max_size=80))
def test_no_text_raises(text: str) -> None:
    wait = wait_ms(text, datetime(2026, 10, 19, 9, tzinfo=UTC))
    assert wait is None or wait >= 0
