"""Requests through the tap: what is taken off, what is added, what is refused, what is said of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from equality import STARTED, compared, cut, read_back
from tapped import Passed, Tap

from tachograph import wire
from tachograph.capture.gateway.lines import Seen
from tachograph.capture.sdk.baggage import from_baggage
from tachograph.capture.sdk.context import NOBODY
from tachograph.capture.words import HEADER_OF, WORDS
from tachograph.wire import Exchange, Request

URL = "https://api.openai.com/v1/chat/completions"
ANSWER = b'{"id":"c1","model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}'
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


def asked(body: object = CHAT, url: str = URL, **headers: str) -> Exchange:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(url, headers=told, body=data)
    return cut(Exchange(request, 200, {"content-type": "application/json"}, started_at=STARTED), [ANSWER])


def through(exchange: Exchange, asked: list[bytes] | None = None, **variant: Any) -> tuple[Passed, Seen]:
    passed = Tap(**variant).run(exchange, asked=asked)
    assert "fault" not in passed.kept.get("x", "")
    return passed, read_back(passed, exchange)


def test_a_request_that_nothing_has_to_be_done_with_is_sent_as_it_came() -> None:
    exchange = asked(user_agent="openai/1", authorization="Bearer k", accept_encoding="gzip, br")
    passed, seen = through(exchange)
    assert passed.sent == exchange.request.body
    assert passed.request["authorization"] == "Bearer k"
    assert "accept-encoding" not in passed.request  # what nobody compresses nobody has to unpack
    assert seen.exchange.request.headers == {"user-agent": "openai/1"}
    assert seen.exchange.request.members == {"model": "m", "messages": [0]}
    assert seen.is_call


def test_the_trace_of_the_client_goes_on() -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    passed, seen = through(asked(traceparent=f"00-{trace}-{parent}-01"))
    assert (seen.trace_id, seen.parent_span_id) == (trace, parent)
    assert passed.request["traceparent"] == f"00-{trace}-{seen.span_id}-01"
    assert seen.span_id != parent


@pytest.mark.parametrize("told", ["", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "nonsense", "00-1-2-01"])
def test_a_trace_begins_where_the_client_has_none(told: str) -> None:
    seen = [through(asked(traceparent=told) if told else asked())[1] for _ in range(2)]
    assert seen[0].trace_id != seen[1].trace_id
    assert seen[0].span_id != seen[1].span_id
    assert len(seen[0].trace_id) == 32
    assert seen[0].parent_span_id is None


ATTRIBUTED = {
    "x-tachograph-team": "red",
    "x-tachograph-tags": "tier=gold, beta",
    "helicone-user-id": "ann",
    "helicone-session-id": "s-1",
    "helicone-property-feature": "chat",
    "helicone-property-plan": "pro",
    "x-portkey-metadata": '{"_user": "bob", "customer": "acme", "zone": "\u00e9"}',
    "x-litellm-tags": "a,b:c",
    "baggage": "tachograph.project=p%201,other=x",
}


def test_who_is_asking_is_told_and_taken_off() -> None:
    exchange = asked({**CHAT, "metadata": {"experiment": "e1", "note": "private"}}, **ATTRIBUTED)
    passed, seen = through(exchange)
    assert {name for name in passed.request if name in ATTRIBUTED} == {"baggage"}
    assert passed.request["baggage"] == "other=x"
    tags = {"tier": "gold", "beta": "true", "plan": "pro", "zone": "\u00e9", "a": "true", "b": "c"}
    assert seen.attribution == {
        **{"team": "red", "user_id": "ann", "conversation_id": "s-1", "feature": "chat", "customer": "acme"},
        **{"project": "p 1", "experiment": "e1", "tags": tags},
    }
    assert b"private" not in passed.line


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_the_same_field_at_the_gateway_as_in_the_sdk(word: str) -> None:
    said = f"tachograph.{word}=a,tachograph.tags.tier=gold"
    heard = from_baggage(said, NOBODY)
    assert (heard.values, heard.tags) == ({WORDS[word]: "a"}, {"tier": "gold"})
    for headers in ({"baggage": said}, {HEADER_OF[word]: "a", "x-tachograph-tags": "tier=gold"}):
        passed, seen = through(asked(**headers))
        assert seen.attribution == {WORDS[word]: "a", "tags": {"tier": "gold"}}
        assert Tap(required=(word,)).run(asked(**headers)).got == ANSWER
        assert not passed.request.keys() & {"baggage", HEADER_OF[word]}
    refused = json.loads(Tap(required=(word,)).run(asked()).got)["error"]["message"]
    assert refused == f"attribution is missing: {word}: send {HEADER_OF[word]}"


def test_required_words_that_are_missing_are_listed() -> None:
    passed = Tap(required=("team", "user", "customer")).run(asked(x_tachograph_team="red"))
    answer = json.loads(passed.got)["error"]
    assert answer["code"] == "attribution_required"
    assert answer["message"].startswith("attribution is missing: user, customer: send x-tachograph-user")
    said = [
        {"x_tachograph_team": "t"},
        {"helicone_property_team": "t"},
        {"baggage": "a=b,tachograph.team=t"},
        {"x_portkey_metadata": '{"team":"t"}'},
    ]
    for headers in said:
        assert Tap(required=("team",)).run(asked(**headers)).got == ANSWER
    assert Tap(required=("user",)).run(asked({**CHAT, "user": "ann"})).got == ANSWER
    assert b"attribution_required" in Tap(required=("user",)).run(asked({**CHAT, "user": ""})).got
    assert b"attribution_required" in Tap(required=("team",)).run(asked(x_tachograph_team="")).got


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ("", '{"stream_options":{"include_usage":true},"model":"m","stream":true}'),
        (',"stream_options":null', '{"model":"m","stream":true,"stream_options":{"include_usage":true}}'),
        (',"stream_options":{}', '{"model":"m","stream":true,"stream_options":{"include_usage":true}}'),
        (
            ',"stream_options": {"include_usage": false,"x":1}',
            '{"model":"m","stream":true,"stream_options": {"include_usage":true,"x":1}}',
        ),
        (
            ',"stream_options":{"include_obfuscation":false}',
            '{"model":"m","stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false}}',
        ),
    ],
)
def test_streams_are_asked_for_their_usage(options: str, sent: str) -> None:
    body = f'{{"model":"m","stream":true{options}}}'.encode()
    passed, seen = through(asked(body), include_usage=True)
    assert passed.sent == sent.encode()
    assert passed.request["content-length"] == str(len(sent))
    assert (seen.exchange.request.members or {})["stream"] is True
    assert through(asked(body))[0].sent == body


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","stream":false}',
        b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}',
        b'{"model":"m","stream":true,"stream_options":7}',
        b'{"model":"m","messages":[{"content":"\\"stream\\":true"}]}',
        b'{"stream":true',
        b"not json",
        b"",
    ],
)
def test_other_requests_are_not(body: bytes) -> None:
    assert through(asked(body), include_usage=True)[0].sent == body


def test_an_arm_asks_for_its_own_model() -> None:
    variant = {"model": "m-2", "experiment": "e", "arm": "b"}
    passed, seen = through(asked(b'{"messages":[{"model":"x"}], "model" : "m-1" ,"n":1}'), **variant)
    assert passed.sent == b'{"messages":[{"model":"x"}], "model" : "m-2" ,"n":1}'
    assert (seen.exchange.request.members or {})["model"] == "m-2"
    assert (seen.attribution["experiment"], seen.attribution["arm"]) == ("e", "b")
    assert through(asked(b"{}"), **variant)[0].sent == b'{"model":"m-2"}'
    assert through(asked(b"[1]"), **variant)[0].sent == b"[1]"


def test_forms_say_their_short_fields() -> None:
    form = (
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
        + bytes(range(256))
        * 400
        + b'\r\n--b\r\nContent-Disposition: form-data; name="stream"\r\n\r\ntrue\r\n'
        b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nsecret words\r\n--b--\r\n'
    )
    url = "https://api.openai.com/v1/audio/transcriptions"
    exchange = asked(form, url, content_type="multipart/form-data; boundary=b")
    for size in (10_000, 1_000_000):
        passed, seen = through(exchange, [form[at : at + size] for at in range(0, len(form), size)])
        assert seen.exchange.request.members == {"model": "whisper-1", "stream": True, "prompt": "*"}
        assert passed.sent == form
        assert wire.read(seen.exchange)[0].request_model == "whisper-1"


@pytest.mark.parametrize("text", ["", "a", '\u00e9\U0001f600\n"\\', "x" * 5000])
def test_the_characters_of_a_text_to_be_spoken_are_counted(text: str) -> None:
    for encode in (True, False):
        body = json.dumps({"model": "tts-1", "input": text}, ensure_ascii=encode).encode()
        exchange = asked(body, "https://api.openai.com/v1/audio/speech")
        for pieces in ([body], [body[at : at + 1] for at in range(len(body))]):
            _, different = compared(Tap(), exchange, asked=pieces)
            assert different == []


def test_the_query_is_dropped_but_for_what_names_a_model() -> None:
    exchange = asked(CHAT, "https://h/openai/realtime?deployment=d%201&api-key=k&model=m")
    passed, seen = through(exchange)
    assert seen.exchange.request.url == "https://h/openai/realtime?deployment=d%201&model=m"
    assert b"api-key" not in passed.line


def test_attempts_of_one_request_are_told_by_what_names_it() -> None:
    seen = [through(asked(idempotency_key=key))[1].attribution["operation_id"] for key in ("a", "a", "b")]
    assert seen[0] == seen[1] != seen[2]
    assert len(seen[0]) == 24
