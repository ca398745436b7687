"""httpx and httpx2: every request of every client is seen, and nothing of it is changed."""

from __future__ import annotations

import httpx2

from tachograph.call import Call
from tachograph.testing.provider import Provider

CHAT = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}]}


def test_a_plain_call(provider: Provider, calls: list[Call]) -> None:
    answer = httpx2.post(provider.url + "/v1/chat/completions", json=CHAT)
    assert answer.status_code == 200
    (call,) = calls
    assert (call.api, call.status, call.outcome, call.input_tokens, call.output_tokens) == (
        "openai.chat",
        200,
        "ok",
        23,
        11,
    )
    assert call.source.endswith(" httpx2")


def test_what_is_no_call_to_a_model_passes(provider: Provider, calls: list[Call]) -> None:
    assert httpx2.post(provider.url + "/v1/nothing", json={}).status_code == 404
    assert calls == []
