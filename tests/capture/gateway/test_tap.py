"""The tap keeps what matters: a Call read from its line is the Call read from the bytes, however they were cut."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import exchanges
import pytest
from equality import at_random, body, compared, cut, passable, read_back
from tapped import Tap

from tachograph import wire
from tachograph.wire import End, Exchange, Request, kept

# What cannot be equal. A stream that is resumed repeats events, which are told by their numbers: the tap drops these,
# or no two events would be alike. Behind a gateway a stream that is resumed is another request.
NUMBERED_TWICE = "stream_tier_from_the_last_event.json"

CASES = [
    path
    for path in exchanges.paths()
    if exchanges.recorded(path).messages is None and path.name != NUMBERED_TWICE  # WebSockets pass unread
]
EVENTS = 256  # distinct ones that are kept of an answer
DELTA = {
    "id": "c",
    "object": "chat.completion.chunk",
    "model": "m",
    "choices": [{"index": 0, "delta": {"content": "x"}}],
}


@pytest.fixture(scope="module")
def watching() -> Tap:
    return Tap()


def recorded(path: Path) -> Exchange:
    return passable(exchanges.recorded(path))


def equal(watching: Tap, exchange: Exchange) -> dict[str, str]:
    """Hold the two readings against each other; what the tap kept."""
    passed, different = compared(watching, exchange)
    assert passed.got == body(exchange)
    assert "fault" not in passed.kept.get("x", "")
    assert different == []
    return passed.kept


def stream(*events: object, kind: str = "text/event-stream", path: str = "/v1/chat/completions") -> Exchange:
    data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    return answered(data, kind=kind, path=path)


def answered(
    data: bytes, *, kind: str = "application/json", path: str = "/v1/chat/completions", status: int = 200
) -> Exchange:
    asked = Request("https://api.openai.com" + path, body=b'{"model":"m","messages":[{"content":"x"}]}')
    return cut(passable(Exchange(asked, status, {"content-type": kind}, [(None, data)])), [data] if data else [])


def test_every_recorded_answer_in_one_piece(watching: Tap) -> None:
    assert len(CASES) > 250
    for path in CASES:
        exchange = recorded(path)
        whole = body(exchange)
        equal(watching, cut(exchange, [whole] if whole else []))


@pytest.mark.parametrize("mean", [40, 700])
def test_every_recorded_answer_cut_at_random(watching: Tap, mean: int) -> None:
    for number, path in enumerate(CASES):
        exchange = recorded(path)
        equal(watching, cut(exchange, at_random(body(exchange), number, mean)))


def test_some_recorded_answers_cut_into_bytes(watching: Tap) -> None:
    for path in CASES[::7]:
        exchange = recorded(path)
        whole = body(exchange)
        if len(whole) < 6000:
            equal(watching, cut(exchange, [whole[at : at + 1] for at in range(len(whole))]))


@pytest.mark.long
def test_all_recorded_answers_cut_into_bytes_and_many_ways(watching: Tap) -> None:
    for number, path in enumerate(CASES):
        exchange = recorded(path)
        whole = body(exchange)
        equal(watching, cut(exchange, [whole[at : at + 1] for at in range(len(whole))]))
        for seed in range(5):
            equal(watching, cut(exchange, at_random(whole, 31 * number + seed, 17 << seed)))


def test_answers_that_break_off_anywhere(watching: Tap) -> None:
    dice, different = random.Random(3), 0
    for path in CASES[::5]:
        exchange = recorded(path)
        whole = body(exchange)
        for end in (End.COMPLETE, End.CLIENT_GONE, End.NETWORK, End.TIMEOUT) if whole else ():
            short = whole[: dice.randrange(len(whole))]
            broken = cut(exchange, at_random(short, len(short), 300))
            broken.end = end
            passed, found = compared(watching, broken)
            assert passed.got == short
            different += bool(found)
    assert different <= 2  # a number or an escape that was cut in the middle is half a value


def test_answers_that_are_damaged(watching: Tap) -> None:
    dice, different, tried = random.Random(5), 0, 0
    junk = (b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\n", b"\0", b"x", b"1", b" ", b"null", b"\xff", b"")
    for path in CASES:
        exchange = recorded(path)
        whole = body(exchange)
        if whole:
            at = dice.randrange(len(whole))
            spoilt = whole[:at] + dice.choice(junk) + whole[at + dice.randrange(2) :]
            passed, found = compared(watching, cut(exchange, at_random(spoilt, at, 500)))
            assert passed.got == spoilt
            assert "fault" not in passed.kept.get("x", "")
            tried, different = tried + 1, different + bool(found)
    assert different * 50 <= tried  # inside of what is dropped, damage is dropped too


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'\xef\xbb\xbfdata: {"a":1}\r\n\r\ndata: [DONE]\r\n\r\n', "text/event-stream"),
        (b'data: {"a":1}\r\rdata: [DONE]\r\r', "text/event-stream"),
        (b': hello\n\ndata: {"choices":\ndata: []}\n\n', "text/event-stream"),
        (b'data: {"choices":[]}\ndata: {"choices":[]}\n\n', "text/event-stream"),
        (b'{"error":{"message":"rate limit"}}\n', "text/event-stream"),
        (b"<html>hello</html>", "text/html"),
        (b"hello world", "text/plain"),
        (b"[1,2,3]", "application/json"),
        (b'"text"', "application/json"),
        (b"-1.5e3", "application/json"),
        (b"", "application/json"),
        (b"\n \t", "application/json"),
        (b'{"choices":[]}', ""),
        ('data: {"choices":[{"delta":{"content":"\u00e9\U0001f600"}}]}\n\n'.encode(), "text/event-stream"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "application/json"),
        (b'{"usage":{"prompt_tokens":1e3,"x":NaN,"y":12345678901234567890}}', "application/json"),
    ],
)
def test_framings(watching: Tap, data: bytes, kind: str) -> None:
    for status in (200, 400):
        exchange = answered(data, kind=kind, status=status)
        for size in (1, 3, 1000):
            equal(watching, cut(exchange, exchanges.cut(data, size)))


# what must not be kept


def texts(value: object) -> Iterator[str]:
    """Texts that are no words: more than one, or long."""
    if isinstance(value, str):
        if (" " in value.strip() and len(value) > 12) or len(value) > 120:
            yield value
    elif isinstance(value, dict):
        words = (*kept.WORDS, *kept.FAILURE_WORDS)  # ids and codes, which a Call holds too
        for name, item in value.items():
            yield from texts(item) if name not in words or not isinstance(item, str) else ()
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def documents(data: bytes) -> Iterator[object]:
    for line in [data, *data.splitlines()]:
        try:
            yield json.loads(line.removeprefix(b"data:").strip())
        except ValueError:
            continue


def test_no_content_is_in_any_line(watching: Tap) -> None:
    looked_for = 0
    for path in CASES[::3]:
        exchange = recorded(path)
        whole = body(exchange)
        passed, _ = compared(watching, cut(exchange, at_random(whole, 1, 900)))
        line = unquote(json.dumps(passed.kept))
        for document in [*documents(exchange.request.body), *documents(whole)]:
            for text in texts(document):
                looked_for += 1
                assert text[:60] not in line or text.lower() in kept.MESSAGE_PHRASES, path
    assert looked_for > 100


def test_no_secret_is_in_any_line(watching: Tap) -> None:
    secret = "hunter2"
    members = dict.fromkeys(("password", "tools", "input", "metadata", "prompt", "extra"), secret)
    asked = Request(
        f"https://api.openai.com/v1/chat/completions?key={secret}&alt=sse",
        headers={"authorization": f"Bearer {secret}", "cookie": secret, "x-own": secret, "api-key": secret},
        body=json.dumps(
            {**members, "model": "m", "messages": [{"content": secret}], "user_data": {"id": secret}}
        ).encode(),
    )
    hidden = ("content", "arguments", "text", "own", "code", "input", "parameters", "stdout", "url", "title")
    deep = {"output": [{"type": "code_interpreter_call", "code": secret, "arguments": {"id": secret, "n": [secret]}}]}
    answer = json.dumps(
        {**dict.fromkeys(hidden[:4], secret), "choices": [{"message": dict.fromkeys(hidden, secret)}], **deep}
    )
    headers = {"content-type": "application/json", "set-cookie": secret, "x-own": secret}
    passed = watching.run(cut(Exchange(asked, 200, headers), [answer.encode()]))
    assert secret not in unquote(passed.line.decode())
    encoded = base64.b64encode(secret.encode()).decode()
    assert encoded not in passed.line.decode()


def test_names_that_formats_read_are_on_the_lists() -> None:
    """Of each kind one list: a name on two would be read as whichever comes last."""
    listed = [
        *(kept.HOLDERS + kept.PRESENCE + kept.WORDS + kept.NUMBERS + kept.WORDS_OR_NUMBERS + kept.MOMENTS),
        *(kept.COUNTED + kept.MEASURED + kept.LISTS + kept.BODIES + kept.MESSAGES + kept.FAILURES),
    ]
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("phrase", kept.MESSAGE_PHRASES)
def test_phrases_of_messages_say_what_the_message_said(watching: Tap, phrase: str) -> None:
    said = phrase[1:] if phrase.startswith("^") else f'the tale of {phrase} \u00e9 \\" \n and so on'
    for member in ("error", "message", "detail"):
        value = {"message": said} if member == "error" else said
        failed = answered(json.dumps({member: value, "code": 7}).encode(), status=418)
        kept_of_it = equal(watching, failed)
        assert "tale" not in json.dumps(kept_of_it)


# bounds


def line_of(watching: Tap, exchange: Exchange, asked: list[bytes] | None = None) -> bytes:
    passed = watching.run(exchange, asked=asked)
    assert passed.got == body(exchange)
    assert "fault" not in passed.kept.get("x", "")
    wire.read(read_back(passed, exchange).exchange)
    return passed.line


def test_a_long_prompt_and_a_long_answer_are_lines_like_others() -> None:
    watching = Tap()
    text = b'{"model":"m","messages":[{"content":"' + b"word " * 4_000_000 + b'"}],"max_tokens":7}'
    usage = b'"}}],"usage":{"prompt_tokens":5000000,"completion_tokens":3,"total_tokens":5000003}}'
    answer = b'{"model":"m","choices":[{"message":{"content":"' + b"word " * 4_000_000 + usage
    exchange = cut(answered(answer), exchanges.cut(answer, 32768))
    line_of(watching, exchange)
    before = watching.memory_bytes()
    line = line_of(watching, exchange, exchanges.cut(text, 32768))
    assert len(line) < 2_000
    assert b"5000003" in line
    assert b"'max_tokens':7" in line
    assert watching.memory_bytes() < before + 200_000


def test_many_events_and_many_kinds_of_them_are_bounded() -> None:
    watching = Tap()
    alike = stream(
        *[DELTA] * 100_000, {**DELTA, "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 100_000}}
    )
    whole = body(alike)
    line = line_of(watching, cut(alike, exchanges.cut(whole, 4000), 3))
    assert len(line) < 200_000
    passed, different = compared(watching, cut(alike, exchanges.cut(whole, 4000), 3))
    fields = {name for _, name, _, _ in different}
    assert fields <= {"itl_mean_ms", "itl_p99_ms", "itl_max_ms", "itl_buckets", "flags"}  # 20,000 stamps are kept
    assert "stamps" in passed.kept["x"]
    every = stream(*({"model": "m", "usage": {"total_tokens": at, "x": "y" * 50}} for at in range(5_000)))
    line = line_of(watching, cut(every, exchanges.cut(body(every), 4000)))
    assert len(line) < 300_000
    assert b"'total_tokens':4999" in line


def test_of_more_results_than_are_kept_none_is_told_twice(watching: Tap) -> None:
    results = [
        {
            "custom_id": f"r{at}",
            "response": {"status_code": 200, "body": {"id": f"c{at}", "choices": []}},
            "error": None,
        }
        for at in range(1_000)
    ]
    data = b"".join(json.dumps(result).encode() + b"\n" for result in results)
    exchange = answered(data, path="/v1/files/f/content", kind="application/octet-stream")
    passed = watching.run(cut(exchange, exchanges.cut(data, 10_000)))
    ids = [call.response_id for call in wire.read(read_back(passed, exchange).exchange)]
    assert len(ids) == len(set(ids)) == EVENTS
    assert ids[-1] == "c999"
    assert "events" in passed.kept["x"]


@pytest.mark.long
def test_nesting_names_texts_and_arrays_without_end_are_bounded() -> None:
    watching = Tap()
    before = watching.memory_bytes()
    shapes = (
        b"[" * 1_000_000,
        b'{"choices":' * 1_000_000,
        b'{"x":' * 1_000_000,
        b'{"' + b"n" * 2_000_000,
        b'{"usage":{' + b",".join(b'"n%d":1' % at for at in range(200_000)),
        b'{"model":"' + b"m" * 2_000_000,
        b'{"usage":{"a":' + b"1" * 2_000_000,
        b"[" + b"0.25," * 400_000 + b"1]",
        b'{"data":[' + b'{"embedding":[0.1,0.2]},' * 100_000,
        b'{"choices":[' + b'{"finish_reason":"stop"},' * 100_000,
        b"data: " * 300_000,
        b"data: {}\n" * 200_000,
        b"x" * 2_000_000,
        b'{"error":{"message":"' + b"\\u0041" * 300_000,
        b'{"choices":[],"usage":{"total_tokens":1}}' * 20_000,
    )
    for shape in shapes:
        for kind in ("application/json", "text/event-stream"):
            exchange = cut(answered(shape, kind=kind), exchanges.cut(shape, 30_000))
            assert len(line_of(watching, exchange)) < 150_000
    assert watching.memory_bytes() < before + 1_000_000
