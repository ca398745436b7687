"""The OpenAI family: no value that a server may send raises, large answers keep their counts, who left is estimated."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph import wire
from tachograph.call import Call
from tachograph.wire import End, Exchange, Format, Request
from tachograph.wire.format import asked
from tachograph.wire.found import Found

FAMILY = ("openai.", "alibaba.", "tgi.", "sglang.", "llamacpp.", "unknown")
FORMATS = [form for form in wire.FORMATS if form.name.startswith(FAMILY)]

# Every word that the sources of the family look for: with these the values reach the deepest paths.
SOURCES = [
    path for path in Path(wire.__file__).parent.glob("*.py") if path.stem.startswith(("openai", "native", "ali"))
]
LITERALS = (node for path in SOURCES for node in ast.walk(ast.parse(path.read_text("utf-8"))))
WORDS = sorted(
    {
        node.value
        for node in LITERALS
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"[\w.\[\]-]{2,60}", node.value)
    }
)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=8)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6),
    max_leaves=30,
)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@given(events=st.lists(st.tuples(st.sampled_from(["", "sent", "error", "result"]), values), max_size=5), members=values)
@settings(max_examples=60, deadline=None)
def test_no_value_raises(form: Format, events: list[tuple[str, Any]], members: Any) -> None:
    found = Found()
    form.request(found, asked(Request(url="https://h/p"), members if isinstance(members, dict) else {}))
    for name, value in events:
        assert form.event(found, name, value) in (True, False)
    form.tokens(found)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@given(messages=st.lists(st.tuples(st.just(None), st.booleans(), values), max_size=4), headers=st.booleans())
@settings(max_examples=25, deadline=None)
def test_no_value_raises_through_the_reader(form: Format, messages: Any, headers: bool) -> None:
    known = {"x-prompt-tokens": "7", "x-generated-tokens": "x"} if headers else {}
    exchange = Exchange(Request(url="https://h/p"), 200, known, messages=messages, api=form.name)
    for call in wire.read(exchange):
        assert call.cost_usd is None or call.cost_usd >= 0


def answer(url: str, body: Any, kind: str = "application/json", **more: Any) -> Call:
    request = Request(url=url, body=json.dumps({"model": "m", "stream": "event-stream" in kind}).encode())
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    pieces = [(None, raw[at : at + 5000]) for at in range(0, len(raw), 5000)]
    (call,) = wire.read(Exchange(request, 200, {"content-type": kind}, pieces, **more))
    return call


def test_counts_behind_many_embeddings() -> None:
    numbers = [round(0.0001 * index, 6) for index in range(1536)]
    data = [{"object": "embedding", "index": index, "embedding": numbers} for index in range(200)]
    usage = {"prompt_tokens": 1200, "total_tokens": 1200}
    body = {"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage}
    call = answer("https://api.openai.com/v1/embeddings", body)
    assert (call.input_uncached, call.response_model, call.outcome) == (1200, "text-embedding-3-small", "ok")


def test_counts_behind_a_large_image() -> None:
    usage = {"input_tokens": 9, "output_tokens": 6240, "total_tokens": 6249, "input_tokens_details": {"text_tokens": 9}}
    body = {"created": 1795000000, "data": [{"b64_json": "QUJD" * 500_000}], "usage": usage}
    call = answer("https://api.openai.com/v1/images/generations", body)
    assert (call.input_uncached, call.image_output, call.usage_source) == (9, 6240, "reported")


def test_many_batch_results() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    inner = {"object": "chat.completion", "model": "m-1", "choices": [{"index": 0, "message": {}}], "usage": usage}
    lines = [{"custom_id": str(index), "response": {"status_code": 200, "body": inner}} for index in range(3000)]
    body = b"\n".join(json.dumps(line).encode() for line in lines)
    request = Request(url="https://api.openai.com/v1/files/f/content", method="GET")
    calls = wire.read(Exchange(request, 200, {"content-type": "application/octet-stream"}, [(None, body)]))
    assert len(calls) == 3000
    assert {call.total_tokens for call in calls} == {7}


def chunk(delta: dict[str, Any], **more: Any) -> bytes:
    value = {"object": "chat.completion.chunk", "model": "m-1", "choices": [{"index": 0, "delta": delta}], **more}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def test_a_client_that_left_is_estimated() -> None:
    body = chunk({"reasoning_content": "Hm"}) + chunk({"content": "P"}) + chunk({"content": "o"})
    call = answer("https://h.example/v1/chat/completions", body, "text/event-stream", end=End.CLIENT_GONE, end_us=9000)
    assert (call.outcome, call.usage_source) == ("aborted", "estimated")
    assert (call.output_visible, call.output_reasoning, call.input_tokens, call.total_tokens) == (2, 1, None, None)
    assert call.usage_basis is None
    assert "usage_estimated" in call.flags


def test_a_client_that_left_after_counts_is_not_estimated() -> None:
    usage = {"prompt_tokens": 4, "completion_tokens": 1, "total_tokens": 5}
    body = chunk({"content": "P"}, usage=usage)
    call = answer("https://h.example/v1/chat/completions", body, "text/event-stream", end=End.CLIENT_GONE)
    assert (call.outcome, call.usage_source, call.output_visible) == ("aborted", "reported", 1)


def test_sentences_of_perplexity_are_no_estimate() -> None:
    body = chunk({"content": "The Po is a long river."})
    call = answer("https://api.perplexity.ai/chat/completions", body, "text/event-stream")
    assert (call.usage_source, call.output_visible) == ("missing", None)


@pytest.mark.parametrize(
    ("body", "headers", "provider"),
    [
        ({"choices": [], "timings": {"predicted_n": 3}}, {}, "llama_cpp"),
        ({"choices": [], "x_groq": {"id": "req_1"}}, {}, "groq"),
        ({"choices": [], "system_fingerprint": "vllm-0.24.0-tp4"}, {}, "vllm"),
        ({"choices": []}, {"x-powered-by": "huggingface-moon"}, "huggingface"),
        ({"choices": []}, {"server": "uvicorn"}, "unknown"),
        ({"choices": [], "system_fingerprint": "fp_1"}, {}, "unknown"),
    ],
)
def test_who_answered(body: dict[str, Any], headers: dict[str, str], provider: str) -> None:
    request = Request(url="http://10.0.0.7:9000/v1/chat/completions")
    raw = json.dumps(body).encode()
    (call,) = wire.read(Exchange(request, 200, {"content-type": "application/json", **headers}, [(None, raw)]))
    assert call.provider == provider


def test_what_was_told_outranks_every_mark() -> None:
    request = Request(url="http://10.0.0.7:9000/v1/chat/completions")
    raw = json.dumps({"choices": [], "x_groq": {"id": "req_1"}}).encode()
    (call,) = wire.read(Exchange(request, 200, {}, [(None, raw)], provider="house"))
    assert call.provider == "house"
