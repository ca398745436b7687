"""The short way through a stream gives what the long way gives, whatever repeats and whatever only seems to."""

from __future__ import annotations

import base64
import dataclasses
import json
import random
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from exchanges import body, cut, paths, recorded
from frames import frame
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.call import Call
from tachograph.wire import FORMATS, Exchange, Reader, Request
from tachograph.wire.format import Format
from tachograph.wire.found import Found, count, merged
from tachograph.wire.found import name as worded
from tachograph.wire.repeats import TRIALS_MAX, Varying

LONG_WAY = tuple(dataclasses.replace(form, varying=None) for form in FORMATS)
NAMES = [form.name for form in FORMATS if form.varying is not None]
EITHER = (FORMATS, LONG_WAY)
SSE = {"content-type": "text/event-stream"}

Pieces = list[tuple[int | None, bytes]]
Formats = Sequence[tuple[Format, ...]]


def both(exchange: Exchange, pieces: Pieces, either: Formats = EITHER) -> list[tuple[list[Call], Found]]:
    """What is found in an answer by the short way, piece by piece and all at once, and by the long way alone."""
    found = []
    for formats, at_once in ((either[0], False), (either[0], True), (either[1], False)):
        reader = Reader(
            exchange.request,
            formats,
            status=exchange.status,
            headers=exchange.headers,
            provider=exchange.provider,
            api=exchange.api,
        )
        if at_once:
            reader.feed_all([piece for _, piece in pieces], [at_us for at_us, _ in pieces])
        else:
            for at_us, piece in pieces:
                reader.feed(piece, at_us)
        found.append((reader.close(10**7), reader.found))
    return found


def stamped(pieces: list[bytes]) -> Pieces:
    return [(1000 * at, piece) for at, piece in enumerate(pieces)]


@pytest.mark.parametrize("path", paths(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_recordings_read_both_ways_are_equal(path: Path) -> None:
    exchange = recorded(path)
    data, chosen = body(exchange), random.Random(path.name)
    events = [piece for piece in re.split(rb"(?<=\n\n)", data) if piece]
    for pieces in (events, [data], cut(data, chosen.randint(20, 300) if len(data) < 50_000 else 5000)):
        short, at_once, long = both(exchange, stamped(pieces))
        assert short == at_once == long


# Streams made up: events of a few kinds, with texts and members that vary where they may and where they may not.

TEXTS = st.sampled_from(
    ["", "a", " word", 'say "x"', "line\nend", "tab\t\\", "é€😀", "\x00\x1f", "text 0", "}]", '","content":"', "\ud800"]
)
NUMBERS = st.sampled_from([0, 1, 2, 3, 5, 8, 13, 10**12, 10**13, "7", 4.0, None, -1])
WORDS = st.sampled_from([None, "m-1", "m-2", "error", "stop"])

Make = Callable[[str, Any, Any], Any]  # (text, word, number) -> an event


def chunk(delta: Any, **members: Any) -> dict[str, Any]:
    return {"id": "c1", "model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}], **members}


CHAT: list[Make] = [
    lambda text, word, number: chunk({"content": text}),
    lambda text, word, number: chunk({"content": text}, obfuscation="x" * len(text)),
    lambda text, word, number: chunk({"content": text}, model=word),
    lambda text, word, number: chunk({"content": text, "reasoning_content": "y"}),
    lambda text, word, number: chunk({"reasoning_content": text}),
    lambda text, word, number: chunk({"content": [{"type": "text", "text": text}]}),
    lambda text, word, number: chunk({"content": {"content": text}}),
    lambda text, word, number: chunk({"tool_calls": [{"index": number, "function": {"arguments": text}}]}),
    lambda text, word, number: chunk({"tool_calls": [{"index": 0, "id": text, "function": {"name": "f"}}]}),
    lambda text, word, number: chunk({"function_call": {"arguments": text}}),
    lambda text, word, number: chunk({"content": "x"}, usage={"content": text, "prompt_tokens": number}),
    lambda text, word, number: chunk({"content": text}, usage={"prompt_tokens": number}),
    lambda text, word, number: chunk({"content": text}, usage={"prompt_tokens": 1.0}),
    lambda text, word, number: chunk({"content": text}, usage={"prompt_tokens": 1}),
    lambda text, word, number: chunk({"content": text}, error={"code": word, "content": text}),
    lambda text, word, number: chunk({"content": text}, service_tier=text),
    lambda text, word, number: {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": word}]},
    lambda text, word, number: {"choices": [{"index": at, "delta": {"content": text}} for at in (0, 1)]},
    lambda text, word, number: {"choices": [{"index": number, "text": text}], "obfuscation": text},
    lambda text, word, number: {"model": word, "content": text, "choices": []},
    lambda text, word, number: [chunk({"content": text})],
    lambda text, word, number: "[DONE]",
]
RESPONSES: list[Make] = [
    lambda text, word, number: {"type": "response.output_text.delta", "delta": text, "sequence_number": number},
    lambda text, word, number: {"type": "response.output_text.delta", "delta": text},
    lambda text, word, number: {"type": "response.reasoning_text.delta", "delta": text, "sequence_number": number},
    lambda text, word, number: {"type": "response.x.delta", "delta": {"delta": text}, "sequence_number": number},
    lambda text, word, number: {"type": "response.x.delta", "item": {"sequence_number": number}, "delta": text},
    lambda text, word, number: {"delta": text, "obfuscation": text, "sequence_number": number},
    lambda text, word, number: {"type": "error", "delta": text, "message": text, "sequence_number": number},
    lambda text, word, number: {
        "type": "response.completed",
        "delta": text,
        "sequence_number": number,
        "response": {"status": "completed", "model": word},
    },
    lambda text, word, number: {
        "type": "response.output_item.added",
        "output_index": number,
        "item": {"type": "function_call", "id": text},
    },
]
ANTHROPIC: list[Make] = [
    lambda text, word, number: {"type": "content_block_delta", "index": 0, "delta": {"text": text}},
    lambda text, word, number: {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": text}},
    lambda text, word, number: {"type": "content_block_delta", "delta": {"partial_json": text, "text": ""}},
    lambda text, word, number: {"type": text, "delta": {"text": text}},
    lambda text, word, number: {"type": "message_delta", "delta": {"text": text, "stop_reason": word}},
    lambda text, word, number: {"type": "message_start", "message": {"model": word, "delta": {"text": text}}},
    lambda text, word, number: {"usage": {"output_tokens": number}, "delta": {"text": text}},
    lambda text, word, number: {"type": "content_block_start", "content_block": {"type": "tool_use", "id": text}},
    lambda text, word, number: {"type": "ping"},
]
OTHERS: list[Make] = [
    lambda text, word, number: {"type": "content-delta", "delta": {"message": {"content": {"text": text}}}},
    lambda text, word, number: {"type": word, "id": text, "delta": {"message": {"tool_plan": text}}},
    lambda text, word, number: {"delta": {"text": text}, "p": "abc"},
    lambda text, word, number: {"contentBlockDelta": {"delta": {"toolUse": {"input": text}}}, "p": text},
    lambda text, word, number: {"delta": {"reasoningContent": {"text": text}}, "p": word},
    lambda text, word, number: {"generation": text, "prompt_token_count": number},
]
KINDS = [*CHAT, *RESPONSES, *ANTHROPIC, *OTHERS]

# What JSON allows and nobody writes, put into an event: a member twice, an escaped name, blanks, damage.
Oddity = Callable[[bytes], bytes]


def untouched(text: bytes) -> bytes:
    return text


_ODDITIES: list[Oddity] = [
    *[untouched] * 8,
    lambda text: text.replace(b'"content":', b'"content":"", "content":', 1),
    lambda text: text.replace(b'"content":', b'"content":"x","content":', 1),
    lambda text: text.replace(b'"delta":', b'"delta" : "y", "delta"\t:', 1),
    lambda text: text.replace(b'"content"', b'"c\\u006fntent"', 1),
    lambda text: text.replace(b'"sequence_number"', b'"sequence_number":3,"sequence\\u005fnumber"', 1),
    lambda text: text.replace(b"{", b'{"a\\"content":"x",', 1),
    lambda text: text.replace(b"}", b',"deep":' + b"[" * 70 + b"]" * 70 + b"}", 1),
    lambda text: text.replace(b"\\", b"\\x", 1),
    lambda text: text.replace(b"a", b"\xff", 1),
    lambda text: text.replace(b"a", b"\x01", 1),
    lambda text: text.replace(b'"a"', b'"\x01"', 1),
    lambda text: text[:-1],
    lambda text: text + b" 1",
]
ODDITIES = st.sampled_from(_ODDITIES)


@st.composite
def streams(draw: st.DrawFn, kinds: list[Make], wrap: Callable[[str, Any, bytes], bytes]) -> list[bytes]:
    """Few kinds of events, each many times, so that they do repeat each other."""
    few = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3))
    spacing = draw(st.sampled_from([None, (",", ":"), (" , ", " : ")]))
    escaped = draw(st.booleans())
    texts, odd = draw(st.sampled_from([st.just("a"), TEXTS])), draw(st.sampled_from([st.just(untouched), ODDITIES]))
    events = []
    for make in draw(st.lists(st.sampled_from(few), min_size=2, max_size=12)):
        value = make(draw(texts), draw(WORDS), draw(NUMBERS))
        text = json.dumps(value, separators=spacing, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
        name = draw(st.sampled_from(["", "", "", "contentBlockDelta", "response.x.delta"]))
        events.append(wrap(name, value, draw(odd)(text)))
    return events


def as_event(name: str, _value: Any, text: bytes) -> bytes:
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + text + b"\n\n"


def as_frame(name: str, value: Any, text: bytes) -> bytes:
    return frame("chunk" if text.endswith(b"1") else "event", name or "contentBlockDelta", value)


def read_both(
    name: str, headers: dict[str, str], events: list[bytes], size: int, at_once: int, either: Formats
) -> None:
    groups = [b"".join(events[at : at + at_once]) for at in range(0, len(events), at_once)]
    exchange = Exchange(Request("https://host.example/v1/-"), 200, headers, api=name, provider="unknown")
    for pieces in (groups, cut(b"".join(events), size)):
        short, at_once, long = both(exchange, stamped(pieces), either)
        assert short == at_once == long


def all_read_both(name: str, kinds: list[Make], formats: Formats, examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(streams(kinds, as_event), st.integers(1, 200), st.integers(1, 4), st.sampled_from([b"\n", b"\r\n"]))
    def reads(events: list[bytes], size: int, at_once: int, end: bytes) -> None:
        read_both(name, SSE, [event.replace(b"\n", end) for event in events], size, at_once, formats)

    reads()


PAIRS = [(name, KINDS) for name in NAMES]
PAIRS += [("openai.chat", CHAT), ("openai.responses", RESPONSES), ("anthropic.messages", ANTHROPIC), ("unknown", CHAT)]


@pytest.mark.parametrize(("name", "kinds"), PAIRS)
def test_events_that_are_made_up_read_both_ways_are_equal(name: str, kinds: list[Make]) -> None:
    all_read_both(name, kinds, EITHER, 100)


@pytest.mark.long
@pytest.mark.parametrize(("name", "kinds"), PAIRS)
def test_many_events_that_are_made_up_read_both_ways_are_equal(name: str, kinds: list[Make]) -> None:
    all_read_both(name, kinds, EITHER, 800)


@pytest.mark.parametrize("name", ["bedrock.converse", "bedrock.invoke"])
def test_frames_that_are_made_up_read_both_ways_are_equal(name: str) -> None:
    @settings(max_examples=100, deadline=None)
    @given(streams([*OTHERS, *ANTHROPIC], as_frame), st.integers(1, 200), st.integers(1, 4))
    def reads(events: list[bytes], size: int, at_once: int) -> None:
        read_both(name, {"content-type": "application/vnd.amazon.eventstream"}, events, size, at_once, EITHER)

    reads()


# The formats look at little; this one looks at everything but the texts that it names, and remembers.

SEEN = ("choices.delta.content", "choices.delta.reasoning_content", "delta", "delta.text", "obfuscation")


def without_texts(value: Any, path: str = "") -> Any:
    """`value`, its named texts replaced by whether they are there."""
    if isinstance(value, dict):
        return [(key, without_texts(item, f"{path}.{key}".lstrip("."))) for key, item in value.items()]
    if isinstance(value, list):
        return [without_texts(item, path) for item in value]
    return bool(value) if path in SEEN and isinstance(value, str) else (type(value).__name__, value)


def watchful(found: Found, event_name: str, value: Any) -> bool:
    members = dict(value) if isinstance(value, dict) else {}
    number = members.pop("sequence_number", None)
    if count(number) is not None:
        if found.sequence is not None and count(number) <= found.sequence:
            return False
        found.sequence = count(number)
        number = 0
    mark = zlib.crc32(repr((event_name, number, without_texts(members))).encode("utf-8", "replace"))
    found.visible_pieces += mark % 9973
    if members.get("model"):
        found.response_model = worded(members["model"])
    if members.get("service_tier"):
        found.flags.add(str(len(members["service_tier"])))
    found.usage = merged(found.usage, members.get("usage"))
    found.reasoning_pieces += zlib.crc32(repr((found.response_model, found.usage, len(found.flags))).encode()) % 9973
    return mark % 3 > 0


WATCHFUL = Format(
    *("watchful", "chat", lambda asked: True, lambda found, asked: None, watchful, lambda found: None),
    varying=Varying(*SEEN, numbered=True),
)
WATCHED = [(WATCHFUL,), (dataclasses.replace(WATCHFUL, varying=None),)]


REMEMBERED: list[Make] = [
    lambda text, word, number: chunk({"content": "a"}, usage={"prompt_tokens": 1}),
    lambda text, word, number: chunk({"content": "a"}, usage={"prompt_tokens": 1.0}),
    lambda text, word, number: chunk({"content": "a"}, service_tier=word),
    lambda text, word, number: chunk({"content": text}),
]
NUMBERED: list[Make] = [
    lambda text, word, number: {"delta": "a", "sequence_number": number},
    lambda text, word, number: {"delta": "a", "sequence_number": "5"},
    lambda text, word, number: {"delta": text, "sequence_number": 5},
]


@pytest.mark.parametrize(
    "kinds",
    [KINDS, CHAT, RESPONSES, ANTHROPIC, REMEMBERED, NUMBERED],
    ids=["all", "chat", "responses", "anthropic", "remembered", "numbered"],
)
def test_what_a_format_does_not_look_at_is_all_that_is_passed_over(kinds: list[Make]) -> None:
    all_read_both("watchful", kinds, WATCHED, 400)


# And it is taken.


def read_long(name: str, headers: dict[str, str], events: list[bytes], *, at_once: bool = False) -> int:
    """How many events of a stream are read the long way."""
    (form,) = [form for form in FORMATS if form.name == name]
    seen: list[Any] = []

    def event(found: Found, event_name: str, value: Any) -> bool:
        seen.append(value)
        return form.event(found, event_name, value)

    counting = dataclasses.replace(form, event=event)
    reader = Reader(Request("https://host.example/v1/-"), [counting], status=200, headers=headers)
    if at_once:
        reader.feed_all(events, [None] * len(events))
    else:
        for piece in events:
            reader.feed(piece)
    (call,) = reader.close()
    assert call.chunks == len(events)
    return len(seen)


def padded(name: str, at: int) -> Any:
    """The 'at'-th piece of a stream as that provider pads and numbers it."""
    text, padding = f" wörd \n{at}", "abcdefgh"[: 1 + at % 8]
    if name == "openai.responses":
        kind = "response.output_text.delta"
        return {"type": kind, "delta": text, "logprobs": [], "obfuscation": padding, "sequence_number": at}
    if name == "openai.chat":
        return chunk({"content": text}, obfuscation=padding)
    if name == "cohere.chat":
        return {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": text}}}}
    if name == "openai.completions":
        return {"model": "m-1", "choices": [{"index": 0, "text": text}]}
    if name == "bedrock.converse":
        return {"contentBlockIndex": 0, "delta": {"text": text}, "p": padding}
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


@pytest.mark.parametrize(
    "name", ["openai.chat", "openai.responses", "openai.completions", "anthropic.messages", "cohere.chat"]
)
def test_of_many_events_few_are_read_the_long_way(name: str) -> None:
    events = [as_event("", None, json.dumps(padded(name, at)).encode()) for at in range(100)]
    assert read_long(name, SSE, events) <= 3
    assert read_long(name, SSE, events, at_once=True) <= 3


def test_of_pieces_that_all_have_come_few_are_looked_at() -> None:
    events = [as_event("", None, json.dumps(padded("openai.responses", at)).encode()) for at in range(100)]
    for pieces in (events, cut(b"".join(events), 777)):
        reader = Reader(Request("https://host.example/v1/responses"), FORMATS, status=200, headers=SSE)
        fed: list[bytes] = []
        feed = reader._body.feed

        def counted(data: bytes, at_us: int | None, fed: list[bytes] = fed, feed: Any = feed) -> None:
            fed.append(data)
            feed(data, at_us)

        reader._body.feed = counted  # type: ignore[method-assign]
        reader.feed_all(pieces, [None] * len(pieces))
        assert reader.close()[0].chunks == 100
        assert len(fed) <= 8


@pytest.mark.parametrize(("name", "kind"), [("bedrock.converse", "event"), ("bedrock.invoke", "chunk")])
def test_of_many_frames_few_are_read_the_long_way(name: str, kind: str) -> None:
    events = [frame(kind, "contentBlockDelta", padded(name, at)) for at in range(100)]
    assert read_long(name, {"content-type": "application/vnd.amazon.eventstream"}, events) <= 3


def test_answers_side_by_side_are_read_the_short_way_too() -> None:
    values = [{"model": "m-1", "choices": [{"index": at % 4, "delta": {"content": f"{at}"}}]} for at in range(100)]
    assert read_long("openai.chat", SSE, [as_event("", None, json.dumps(value).encode()) for value in values]) <= 10


class Counting(Varying):
    """Counts the frames that are asked of it."""

    asked = 0

    def frame(self, name: str, text: bytes, value: Any) -> Any:
        self.asked += 1
        return super().frame(name, text, value)


def test_a_stream_that_never_repeats_itself_is_no_longer_tried() -> None:
    varying = Counting("choices.delta.content")
    (form,) = [dataclasses.replace(form, varying=varying) for form in FORMATS if form.name == "openai.chat"]
    reader = Reader(Request("https://host.example/v1/chat/completions"), [form], status=200, headers=SSE)
    for at in range(100):
        value = chunk({"content": "x"}, logprobs={"at": at})
        reader.feed(as_event("", None, json.dumps(value).encode()), at)
    assert reader.close()[0].chunks == 100
    assert varying.asked == TRIALS_MAX


def test_a_resumed_stream_that_repeats_itself_is_counted_once() -> None:
    event = '{"type":"response.output_text.delta","delta":"x%d","sequence_number":%d}'
    events = [as_event("", None, (event % (at, at)).encode()) for at in (1, 2, 3, 4, 5, 3, 4, 5, 6, 7)]
    exchange = Exchange(Request("https://host.example/v1/responses"), 200, SSE)
    (short, _), (at_once, _), (long, _) = both(exchange, stamped(events))
    assert short == at_once == long
    assert short[0].chunks == 7


def test_an_envelope_in_another_spelling_is_opened() -> None:
    packed = base64.b64encode(json.dumps(padded("bedrock.invoke", 1)).encode()).decode()
    for value in ({"p": "x", "bytes": packed}, {"bytes": packed, "p": "x"}, {"bytes": packed}):
        assert read_long("bedrock.invoke", {"content-type": "application/vnd.amazon.eventstream"},
                         [frame("event", "chunk", value)]) == 1  # fmt: skip


SURE = Varying("delta", "choices.delta.content", numbered=True)


@pytest.mark.parametrize(
    ("text", "holes"),
    [
        (b'{"delta":"a"}', 1),
        (b'{"delta" : "a\\n\\u00e9" , "sequence_number" : 12 }', 2),
        (b'{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}],"sequence_number":0}', 3),
        (b'{"choices":[{"delta":{"content":""}},{"delta":{"content":"b"}}]}', 1),
        (b'{"delta":""}', None),  # nothing varies
        (b'{"sequence_number":1}', None),
        (b'{"delta":{"delta":"a"}}', None),  # not at its place
        (b'{"delta":"a","delta":"b"}', None),
        (b'{"delta":"a","delta":1}', None),
        (b'{"x":{"delta":"a"},"d\\u0065lta":"b"}', None),  # the expression sees one text, and it is another one
        (b'{"delta":"a","sequence_number":1,"sequence_number":2}', None),
        (b'{"delta":"a","x":{"sequence_number":1}}', None),
        (b'{"delta":"a","x":{"sequence_number":1},"y":{"sequence_number":2}}', None),
        (b'{"delta":"a","x":{"sequence_number":1},"sequence_number":"5"}', None),
        (b'{"delta":"a","sequence_number":"5"}', None),
        (b'{"delta":"a","sequence_number":1.5}', None),
        (b'{"delta":"a","sequence_number":1234567890123}', None),  # more than any count
        (b'{"delta":"a","x":' + b"[" * 99 + b"]" * 99 + b"}", None),
        (b'{"delta":"a","x":"' + b"y" * 5000 + b'"}', None),
        (b'["delta",{"delta":"a"}]', None),
    ],
)
def test_a_frame_is_taken_where_it_is_sure(text: bytes, holes: int | None) -> None:
    frame = SURE.frame("", text, json.loads(text))
    assert (None if frame is None else len(frame.gaps)) == holes
