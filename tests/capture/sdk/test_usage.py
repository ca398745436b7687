"""Usage that nobody asked for: who is asked for it, and that the caller cannot tell."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.capture.sdk.hearing import HOWS, hear
from tests.capture.sdk.scripted import CHAT, END, JSON, PAUSE, SSE, chunk, head, scripted

from tachograph.call import Call
from tachograph.capture.sdk.hiding import HELD_BYTES_MAX, Hidden
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.recognise import Recogniser
from tachograph.capture.sdk.usage import Deployments, with_usage
from tachograph.testing.provider import Provider
from tachograph.testing.provider_openai import azure_chat, chat
from tachograph.testing.provider_truth import SCENARIOS, Asked

STREAM: dict[str, Any] = {"model": "gpt-5", "messages": [{"role": "user", "content": "hi"}], "stream": True}
OPTIONS = {"stream_options": {"include_usage": True}}
STREAMED = [name for name, scenario in SCENARIOS.items() if scenario.status == 200]


# the request


@pytest.mark.parametrize(
    ("url", "told", "asks"),
    (
        ("https://api.openai.com/v1/chat/completions", None, True),
        ("https://api.openai.com/v1/completions", None, True),
        ("https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21", None, True),
        ("http://gpu:8000/v1/chat/completions", "vllm", True),
        ("http://gpu:8000/v1/chat/completions", "sglang", True),
        ("http://gpu:8000/v1/chat/completions", "tgi", True),
        ("http://localhost:11434/v1/chat/completions", None, True),
        ("https://dashscope.aliyuncs.com/compatible-mode/v1/chat/completions", None, True),
        ("https://router.huggingface.co/v1/chat/completions", None, True),
        ("https://api.x.ai/v1/chat/completions", None, True),
        ("http://gpu:8000/v1/chat/completions", None, True),
        ("http://gpu:8000/v1/chat/completions", "mistral", False),
        ("https://api.mistral.ai/v1/chat/completions", None, False),
        ("https://api.groq.com/openai/v1/chat/completions", None, False),
        ("https://api.cerebras.ai/v1/chat/completions", None, False),
        ("https://api.together.xyz/v1/chat/completions", None, False),
        ("https://api.deepseek.com/chat/completions", None, False),
        ("https://api.perplexity.ai/chat/completions", None, False),
        ("https://openrouter.ai/api/v1/chat/completions", None, False),
        ("https://generativelanguage.googleapis.com/v1beta/openai/chat/completions", None, False),
        ("https://api.openai.com/v1/responses", None, False),
        ("https://api.anthropic.com/v1/messages", None, False),
    ),
)
def test_who_is_asked(url: str, told: str | None, asks: bool) -> None:
    assert (Deployments().asking(url, json.dumps(STREAM).encode(), told) is not None) is asks


@pytest.mark.parametrize(
    ("members", "asks"),
    (
        (STREAM, True),
        (STREAM | {"stream_options": None}, True),
        (STREAM | {"stream_options": {}}, True),
        (STREAM | {"stream_options": {"include_obfuscation": False}}, True),
        (STREAM | {"stream_options": {"include_usage": False}}, True),
        (STREAM | OPTIONS, False),
        (STREAM | {"stream_options": "all"}, False),
        (STREAM | {"stream": False}, False),
        (STREAM | {"stream": "true"}, False),
        ({"model": "m"}, False),
        ([{"stream": True}], False),
    ),
)
def test_which_request_asks(members: Any, asks: bool) -> None:
    changed = with_usage(json.dumps(members).encode())
    if not asks:
        assert changed is None
        return
    assert changed is not None
    options = {**(members.get("stream_options") or {}), "include_usage": True}
    assert json.loads(changed) == members | {"stream_options": options}


@pytest.mark.parametrize("body", (b"", b"{", b'{"stream": true', b"\xff\xfe", b'"stream"', b"[" * 100_000))
def test_what_cannot_be_read_is_sent_as_it_is(body: bytes) -> None:
    assert with_usage(body) is None


def test_the_rest_of_the_request_stays_as_it_is_written() -> None:
    body = b' {"stream" : true, "temperature":1.00, "big":12345678901234567890123, "text":"\\u00e9\xc3\xa9"}\n'
    changed = with_usage(body)
    assert changed == b' {"stream_options":{"include_usage":true},' + body[2:]


# the answer


def answer(scenario: str, *, asked: bool, azure: bool = False) -> bytes:
    """What the simulated provider says to one who asks, and to one who does not."""
    message = {"role": "user", "content": f"scenario:{scenario}"}
    body = STREAM | {"messages": [message]} | (OPTIONS if asked else {})
    path = "/openai/deployments/d/chat/completions" if azure else CHAT
    pieces = (azure_chat if azure else chat)(Asked(number=1, path=path, text=json.dumps(body), body=body)).pieces
    return b"".join(pieces)


def spelled(body: bytes, *, dense: bool, line: bytes, first: bool) -> bytes:
    """The same answer in other spellings: without blanks, with other ends of lines, with the usage at the front."""
    events = []
    for event in body.split(b"\n\n"):
        text = event.removeprefix(b"data: ")
        if text.startswith(b"{"):
            value = json.loads(text)
            if first and "usage" in value:
                value = {"usage": value.pop("usage"), **value}
            text = json.dumps(value, separators=(",", ":") if dense else None).encode()
            event = (b"data:" if dense else b"data: ") + text
        events.append(event)
    return b"\n\n".join(events).replace(b"\n", line)


def through(body: bytes, cuts: list[int]) -> bytes:
    hidden, out, at = Hidden(), b"", 0
    for size in cuts:
        out += hidden.feed(body[at : at + size])
        at += size
    return out + hidden.feed(body[at:]) + hidden.rest()


SPELLINGS = st.fixed_dictionaries(
    {"dense": st.booleans(), "line": st.sampled_from((b"\n", b"\r\n", b"\r")), "first": st.booleans()}
)


@given(
    st.sampled_from(STREAMED),
    st.booleans(),
    SPELLINGS,
    st.lists(st.one_of(st.integers(0, 3), st.integers(0, 60), st.integers(0, 2000)), max_size=300),
)
def test_the_caller_sees_what_he_would_have_seen(scenario: str, azure: bool, how: Any, cuts: list[int]) -> None:
    asked = spelled(answer(scenario, asked=True, azure=azure), **how)
    unasked = spelled(answer(scenario, asked=False, azure=azure), **how)
    assert asked != unasked or SCENARIOS[scenario].breaks is not None
    assert through(asked, cuts) == unasked


@pytest.mark.parametrize(
    "how", tuple({"dense": dense, "line": b"\r\n", "first": first} for dense in (0, 1) for first in (0, 1))
)
def test_byte_by_byte(how: Any) -> None:
    asked = spelled(answer("plain", asked=True), **how)
    assert through(asked, [1] * len(asked)) == spelled(answer("plain", asked=False), **how)


TRICKY = (
    b'data: {"choices":[{"delta":{"content":"\\"usage\\":null,\\"usage\\": null"}}],"usage":null}\n\n',
    b'data: {"choices":[{"delta":{"content":"a,\\\\"},"usage":null}],"x":{"usage":null},"usage":null,"y":1}\n\n',
    b'data: {"choices":[{"usage":{"a":1}}],"usage":{"total_tokens":3}}\n\n',
    b'data: {"usage":nullable,"choices":[]}\n\n',
    b'data: {"choices":[],"prompt_filter_results":[{}],"usage":null}\n\n',
    b'data: {"choices":[]}\n\n',
    b'data: {"error":{"message":"usage"}}\n\n',
    b": keep-alive\n\n",
    b"event: ping\nid: 7\ndata: {}\n\n",
    b"event: ping\r\nretry: 9\r\n\r\n",
    b"datum\ndat\n\nd",
    b"\r\n\n\r",
    b"data\n\ndata:\n\ndata: \n\n",
    b'data: {"choices":{"a":1},"usage":{"b":2}}\n\n',
    b'data: {"choices":[ {"a":"]"} ],"usage" : null , "z":[]}\n\n',
    b'data: {"a":"\xc3\xa9\\u00e9\\\\","choices":[0],"\\u0075sage":null,"us\\"age":null}\n\n',
    b"data: [DONE]\n\n",
    b'{"error":"no event"}\n\n',
    b'data: {"choices":[],"usage":',
)
WITHOUT = {
    0: b'data: {"choices":[{"delta":{"content":"\\"usage\\":null,\\"usage\\": null"}}]}\n\n',
    1: b'data: {"choices":[{"delta":{"content":"a,\\\\"},"usage":null}],"x":{"usage":null},"y":1}\n\n',
    4: b'data: {"choices":[],"prompt_filter_results":[{}]}\n\n',
    14: b'data: {"choices":[ {"a":"]"} ] , "z":[]}\n\n',
}
CHUNK = b'data: {"id":"x","choices":[ ],"usage":{"total_tokens":3,"b":{"c":[]}},"z":"}"}\n\n'


@given(st.lists(st.sampled_from(range(len(TRICKY) + 1)), max_size=6), st.lists(st.integers(1, 40), max_size=60))
def test_everything_else_passes_byte_for_byte(chosen: list[int], cuts: list[int]) -> None:
    """Also where it looks much like it. The chunk itself (the last number) leaves nothing."""
    events = [CHUNK if number == len(TRICKY) else TRICKY[number] for number in chosen]
    open_ended = [at for at, event in enumerate(events) if not event.endswith(b"\n\n")]
    if any(at + 1 < len(events) for at in open_ended):
        return  # an event that does not end is the last
    visible = [b"" if number == len(TRICKY) else WITHOUT.get(number, TRICKY[number]) for number in chosen]
    assert through(b"".join(events), cuts) == b"".join(visible)


@given(st.binary(max_size=200), st.lists(st.integers(1, 9), max_size=40))
def test_what_is_no_stream_passes(data: bytes, cuts: list[int]) -> None:
    assert through(data, cuts) == through(data, [])


@given(
    st.lists(
        st.sampled_from(
            (b"data:", b'{"', b"choices", b'"usage"', b":", b"null", b"[]", b"{}", b",", b"}", b"\n", b'"', b"\\")
        )
    )
)
def test_nothing_is_lost_of_what_is_no_chunk(parts: list[bytes]) -> None:
    body = b"".join(parts)
    seen = through(body, [1] * len(body))
    assert seen == through(body, [])
    if b"usage" not in body:
        assert seen == body


def test_an_event_is_held_only_while_it_may_be_the_chunk() -> None:
    hidden = Hidden()
    assert hidden.feed(b"da") == b"" and hidden.held == b"da"
    assert hidden.feed(b'ta: {"id":"x","choices":[') == b""
    assert hidden.feed(b'{"delta":') == b'data: {"id":"x","choices":[{"delta":' and hidden.held == b""
    assert hidden.feed(b'{"content":"a"}}]') == b'{"content":"a"}}]'
    assert hidden.feed(b',"usa') == b"" and hidden.held == b',"usa'
    assert hidden.feed(b'ge":nu') == b""
    assert hidden.feed(b"ll}") == b"}"
    assert hidden.feed(b"\n\n: a comment\n\n") == b"\n\n: a comment\n\n"
    assert hidden.feed(CHUNK[:-1]) == b"" and hidden.held == b""
    assert hidden.feed(b"\ndata: [DO") == b"data: [DO"


def test_what_is_held_is_bounded() -> None:
    hidden = Hidden()
    long = b'data: {"a":"' + b"x" * (HELD_BYTES_MAX + 1)
    assert hidden.feed(long) == long
    assert hidden.feed(b'","choices":[],"usage":{}}\n\n') == b'","choices":[],"usage":{}}\n\n'


# through a client


@pytest.fixture
def asking(patches: Patches) -> Patches:
    patches.observer.deployments = Deployments()
    return patches


def raw(name: str, how: str, url: str, body: Any) -> tuple[int | None, bytes]:
    heard = hear(name, how, url, body)
    assert heard.failure is None
    return heard.status, heard.body


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", ("httpx2", "httpx"))
def test_a_stream_is_counted_and_nobody_can_tell(
    name: str, how: str, provider: Provider, asking: Patches, calls: list[Call]
) -> None:
    status, seen = raw(name, how, provider.url + CHAT, STREAM)
    assert status == 200 and b"usage" not in seen and seen.endswith(b"data: [DONE]\n\n")
    assert provider.served[0].counted
    (call,) = calls
    assert (call.outcome, call.usage_source, call.input_tokens, call.output_tokens) == ("ok", "reported", 23, 11)
    assert call.chunks == 5
    raw(name, how, provider.url + CHAT, STREAM | OPTIONS)
    raw(name, how, provider.url + CHAT, STREAM | {"stream": False})
    assert [call.usage_source for call in calls] == ["reported"] * 3


def test_who_asks_himself_sees_it(provider: Provider, asking: Patches) -> None:
    with httpx2.stream("POST", provider.url + CHAT, json=STREAM | OPTIONS) as response:
        assert b'"choices": [], "usage"' in response.read()


def test_the_callers_request_stays_his(provider: Provider, asking: Patches) -> None:
    with httpx2.Client() as client:
        request = client.build_request("POST", provider.url + CHAT, json=STREAM)
        before = list(request.headers.raw)
        response = client.send(request)
    assert response.request is request and request.headers.raw == before
    assert json.loads(request.content) == STREAM


def test_not_without_the_setting(provider: Provider, calls: list[Call]) -> None:
    httpx2.post(provider.url + CHAT, json=STREAM)
    assert not provider.served[0].counted
    assert [call.usage_source for call in calls] == ["estimated"]


def refusing(member: str) -> tuple[bytes, ...]:
    text = json.dumps({"error": {"message": f"Unrecognized request argument supplied: {member}"}}).encode()
    return (
        head(JSON, f"content-length: {len(text)}", "connection: close", status="400 Bad Request"),
        text[:20],
        PAUSE,
        text[20:],
    )


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", ("httpx2", "httpx"))
def test_one_that_refuses_is_asked_as_the_caller_did_and_not_again(
    name: str, how: str, asking: Patches, calls: list[Call]
) -> None:
    with scripted(refusing("stream_options")) as server:
        bodies = [STREAM, STREAM | {"model": "other"}]
        statuses = [raw(name, how, server.url + CHAT, body)[0] for body in (bodies[0], bodies[0], bodies[1])]
        sent = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in server.asked]
    assert statuses == [400] * 3
    assert sent == [bodies[0] | OPTIONS, bodies[0], bodies[0], bodies[1] | OPTIONS, bodies[1]]
    assert [(call.status, call.error_type) for call in calls] == [(400, "client_bad_request")] * 3


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", ("httpx2", "httpx"))
def test_another_refusal_is_the_callers(name: str, how: str, asking: Patches, calls: list[Call]) -> None:
    pieces = refusing("temperature")
    with scripted(pieces) as server:
        assert raw(name, how, server.url + CHAT, STREAM) == (400, b"".join(pieces[1:]).replace(PAUSE, b""))
        assert len(server.asked) == 1
    with scripted((pieces[0], pieces[1])) as server:
        heard = hear(name, how, server.url + CHAT, STREAM)
        assert (heard.status, heard.body, type(heard.failure).__name__) == (400, pieces[1], "RemoteProtocolError")
    assert [(call.status, call.outcome, call.headers_ms) for call in calls] == [(400, "error", None)] * 2


def test_a_long_refusal_passes_as_it_comes(asking: Patches, calls: list[Call]) -> None:
    text = b"x" * 300_000
    with scripted((head(JSON, f"content-length: {len(text)}", status="400 Bad Request"), text)) as server:
        assert raw("httpx2", "sync", server.url + CHAT, STREAM) == (400, text)
    assert len(calls) == 1


@pytest.mark.parametrize("how", HOWS)
def test_a_packed_answer_is_left_alone(how: str, asking: Patches, calls: list[Call]) -> None:
    """It was asked for unpacked; who packs it all the same is handed on as he is."""
    import gzip

    packed = gzip.compress(answer("plain", asked=True))
    with scripted((head(SSE, "transfer-encoding: chunked", "content-encoding: gzip"), chunk(packed), END)) as server:
        assert raw("httpx2", how, server.url + CHAT, STREAM) == (200, packed)
        assert b"accept-encoding: identity" in server.asked[0].lower()
    assert [call.usage_source for call in calls] == ["reported"]


def test_one_that_is_told_not_to_be_of_that_kind(provider: Provider, asking: Patches, calls: list[Call]) -> None:
    asking.observer.recogniser = Recogniser({provider.url: "mistral"})
    httpx2.post(provider.url + CHAT, json=STREAM)
    assert not provider.served[0].counted


def test_a_stream_that_breaks_gives_what_was_held(asking: Patches, calls: list[Call]) -> None:
    pieces = b'data: {"id":"x","choi', b'data: {"id":"x","choices":[],"usage":{}}'
    for piece in pieces:
        with scripted((head(SSE, "connection: close"), piece)) as server:
            seen = raw("httpx2", "sync", server.url + CHAT, STREAM)[1]
        assert seen == (piece if piece is pieces[0] else b"")
    assert [call.outcome for call in calls] == ["truncated"] * 2
