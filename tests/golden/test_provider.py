"""The simulated provider speaks each vendor's language: our own reader of the wire finds its truth in every answer."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tachograph import wire
from tachograph.call import Call
from tachograph.testing.provider import SCENARIOS, Provider
from tachograph.wire.exchange import End, Exchange, Request

CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1%3A0"
# name -> (path, path of its stream, has `stream` in the body, base body, what it cannot say)
APIS: dict[str, tuple[str, str, bool, dict[str, Any], set[str]]] = {
    "openai_chat": ("/v1/chat/completions", "", True, {"model": "gpt-5-mini"}, {"split"}),
    "openai_responses": ("/v1/responses", "", True, {"model": "gpt-5-mini"}, {"split"}),
    "azure": (
        "/openai/deployments/gpt-5-mini/chat/completions?api-version=2025-04-01-preview",
        "",
        True,
        {},
        {"split"},
    ),
    "anthropic": ("/v1/messages", "", True, {"model": "claude-sonnet-4-5", "max_tokens": 99}, set()),
    "gemini": (
        "/v1beta/models/gemini-2.5-flash:generateContent",
        "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        False,
        {},
        {"cache_write", "tool_calls"},
    ),
    "gemini_array": (
        "/v1beta/models/gemini-2.5-flash:generateContent",
        "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
        False,
        {},
        {"cache_write", "tool_calls"},
    ),
    "converse": (f"/model/{CLAUDE}/converse", f"/model/{CLAUDE}/converse-stream", False, {}, {"reasoning"}),
    "invoke": (
        f"/model/{CLAUDE}/invoke",
        f"/model/{CLAUDE}/invoke-with-response-stream",
        False,
        {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 99},
        set(),
    ),
    "mistral": ("/mistral/v1/chat/completions", "", True, {"model": "mistral-large-latest"}, {"split"}),
    "groq": ("/groq/openai/v1/chat/completions", "", True, {"model": "llama-3.3-70b-versatile"}, {"split"}),
    "cohere": ("/v2/chat", "", True, {"model": "command-a-03-2025"}, {"cache_read", "cache_write"}),
    "ollama": ("/api/chat", "", True, {"model": "llama3.2"}, {"cache_write", "reasoning", "tool_calls", "filtered"}),
}
HOSTS = {
    "openai_chat": "https://api.openai.com",
    "openai_responses": "https://api.openai.com",
    "azure": "https://acme.openai.azure.com",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
    "gemini_array": "https://generativelanguage.googleapis.com",
    "converse": "https://bedrock-runtime.us-east-1.amazonaws.com",
    "invoke": "https://bedrock-runtime.us-east-1.amazonaws.com",
    "mistral": "https://api.mistral.ai",
    "groq": "https://api.groq.com",
    "cohere": "https://api.cohere.com",
    "ollama": "http://127.0.0.1:11434",
}
ANSWERED = [name for name, scenario in SCENARIOS.items() if scenario.status == 200 and scenario.breaks is None]
FAILED = [name for name, scenario in SCENARIOS.items() if scenario.status != 200]


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


def ask(provider: Provider, api: str, scenario: str, streamed: bool, **more: str) -> Exchange:
    path, stream_path, in_body, body, _ = APIS[api]
    content = {"messages": [{"role": "user", "content": f"scenario:{scenario}"}]}
    sent = body | content | ({"stream": streamed} if in_body else {})
    if streamed and api in ("openai_chat", "azure"):
        sent["stream_options"] = {"include_usage": True}
    target = (stream_path or path) if streamed else path
    connection = http.client.HTTPConnection(urlsplit(provider.url).netloc, timeout=10)
    raw = json.dumps(sent).encode()
    connection.request("POST", target, raw, {"content-type": "application/json"} | more)
    response = connection.getresponse()
    end = End.COMPLETE
    try:
        answer = response.read()
    except http.client.IncompleteRead as cut:
        answer, end = cut.partial, End.NETWORK
    connection.close()
    seen_at = target.removeprefix("/mistral").removeprefix("/groq")
    request = Request(url=HOSTS[api] + seen_at, headers={"content-type": "application/json"}, body=raw)
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Exchange(request, status=response.status, headers=headers, chunks=[(None, answer)], end=end)


def read(provider: Provider, api: str, scenario: str, streamed: bool) -> Call:
    [call] = wire.read(ask(provider, api, scenario, streamed))
    return call


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("scenario", ANSWERED)
@pytest.mark.parametrize("api", APIS)
def test_every_answer_tells_the_truth(provider: Provider, api: str, scenario: str, streamed: bool) -> None:
    truth, silent = SCENARIOS[scenario].truth, APIS[api][4]
    call = read(provider, api, scenario, streamed)
    assert (call.input_tokens, call.output_tokens) == (truth.input_tokens, truth.output_tokens)
    if "cache_read" not in silent:
        assert (call.cache_read or 0) == truth.cache_read
    written = (call.cache_write_5m or 0, call.cache_write_1h or 0, call.cache_write_other or 0)
    if "cache_write" not in silent:
        assert sum(written) == truth.cache_write
    if not silent & {"cache_write", "split"}:
        assert written[:2] == (truth.cache_write_5m, truth.cache_write_1h)
    if "reasoning" not in silent:
        assert (call.output_reasoning or 0) == truth.output_reasoning
    if not silent & {SCENARIOS[scenario].finish, "filtered"}:
        assert call.finish_reason == SCENARIOS[scenario].finish or scenario == "filtered"


@pytest.mark.parametrize("scenario", FAILED)
@pytest.mark.parametrize("api", APIS)
def test_every_error_is_an_error(provider: Provider, api: str, scenario: str) -> None:
    call = read(provider, api, scenario, streamed=False)
    assert call.outcome == "error"
    assert call.input_tokens is None
    kinds = {429: "rate_limited", 500: "provider_error", 503: "provider_overloaded", 400: "client_bad_request"}
    kinds[401] = "client_auth"
    assert call.error_type == kinds[SCENARIOS[scenario].status]


@pytest.mark.parametrize("api", APIS)
def test_a_stream_that_breaks_is_no_success(provider: Provider, api: str) -> None:
    assert read(provider, api, "stream_error", streamed=True).outcome == "error"
    assert read(provider, api, "stream_cut", streamed=True).outcome in ("truncated", "error")


def test_a_stream_of_openai_counts_only_when_asked(provider: Provider) -> None:
    provider.reset()
    connection = http.client.HTTPConnection(urlsplit(provider.url).netloc, timeout=10)
    connection.request("POST", "/v1/chat/completions", json.dumps({"model": "gpt-5-mini", "stream": True}))
    assert b'"usage"' not in connection.getresponse().read()
    connection.close()
    assert [served.counted for served in provider.served] == [False]


def test_an_error_that_happens_once(provider: Provider) -> None:
    first = ask(provider, "openai_chat", "rate_limited_once", streamed=False)
    again = ask(provider, "openai_chat", "rate_limited_once", streamed=False, **{"x-stainless-retry-count": "1"})
    assert (first.status, again.status) == (429, 200)
    once_more = ask(provider, "converse", "rate_limited_once", False, **{"amz-sdk-request": "attempt=2; max=3"})
    assert once_more.status == 200


def test_ids_never_repeat_and_are_written_down(provider: Provider) -> None:
    provider.reset()
    calls = [read(provider, api, "plain", streamed) for api in APIS for streamed in (False, True)]
    assert [served.response_id for served in provider.served] == [call.response_id for call in calls]
    told = [call.response_id for call in calls if call.response_id]
    assert len(set(told)) == len(told) > 12


def test_the_answer_that_follows_a_tool(provider: Provider) -> None:
    provider.reset()
    messages = [
        {"role": "user", "content": "scenario:tools"},
        {"role": "tool", "tool_call_id": "call_1", "content": "mild"},
    ]
    connection = http.client.HTTPConnection(urlsplit(provider.url).netloc, timeout=10)
    connection.request("POST", "/v1/chat/completions", json.dumps({"model": "gpt-5-mini", "messages": messages}))
    assert json.loads(connection.getresponse().read())["choices"][0]["finish_reason"] == "stop"
    connection.close()
    assert [served.scenario.name for served in provider.served] == ["tools_done"]


def test_it_runs_alone() -> None:
    command = [sys.executable, "-m", "tachograph.testing.provider", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        address = running.stdout.readline().split("listens on ")[1].split(";")[0]
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
        connection.request("POST", "/v1/messages", b"{}", {"x-scenario": "cached"})
        assert json.loads(connection.getresponse().read())["usage"]["cache_read_input_tokens"] == 1152
        connection.close()
        running.terminate()


def test_bodies_in_chunks_are_read_and_unknown_paths_are_told(provider: Provider) -> None:
    connection = http.client.HTTPConnection(urlsplit(provider.url).netloc, timeout=10)
    pieces = [b'{"messages": [{"role": "user", ', b'"content": "scenario:length"}]}']
    connection.request("POST", "/v1/messages", iter(pieces), encode_chunked=True)
    assert json.loads(connection.getresponse().read())["stop_reason"] == "max_tokens"
    connection.request("POST", "/v1/nothing", b"{}")
    assert connection.getresponse().status == 404
    connection.close()


def test_time_passes_as_told() -> None:
    with Provider(first_seconds=0.2, gap_seconds=0.05) as slow:
        began = time.monotonic()
        exchange = ask(slow, "anthropic", "plain", streamed=True)
        assert exchange.status == 200
        assert time.monotonic() - began > 0.6  # 11 gaps
