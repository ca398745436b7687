"""Whatever fails in the tap, the bytes go on as they came, and the line says so."""

from __future__ import annotations

import random
import re

import pytest
from equality import STARTED, at_random, cut, read_back
from tapped import ROOT, Tap

from tachograph import wire
from tachograph.wire import Exchange, Request

SOURCES = sorted((ROOT / "tap" / "src").glob("*.rs"))
POINTS = [name for path in SOURCES for name in re.findall(r'point!\("(\w+)"\)', path.read_text("utf-8"))]
COUNTED = (
    b'data: {"id":"c1","choices":[{"delta":{"content":"a\\n"}}],"usage":null}\n\n'
    b'data: {"choices":[],"usage":{"total_tokens":5}}\n\ndata: [DONE]\n\n'
)


def failing(name: str, after: int) -> Tap:
    """A tap that fails at a point from the n-th time on."""
    return Tap((name, after), include_usage=True, again_cluster="again", required=("team",))


def asked(pieces: list[bytes], kind: str, path: str = "/v1/chat/completions") -> Exchange:
    body = b'{"model":"m","stream":true,"messages":[{"content":"x\\u00e9"}],"max_tokens":3}'
    headers = {"x-tachograph-team": "red", "content-type": "application/json", "baggage": "tachograph.team=a,b=c"}
    request = Request("https://api.openai.com" + path, headers=headers, body=body)
    return cut(Exchange(request, 200, {"content-type": kind}, started_at=STARTED), pieces)


@pytest.mark.parametrize("name", POINTS)
@pytest.mark.parametrize("after", [0, 1, 2, 3, 7, 20])
def test_each_part_fails(name: str, after: int) -> None:
    """The request is whole, as it came or asking for usage; the answer is the provider's, less what is hidden."""
    broken = failing(name, after)
    dice = random.Random(after)
    document = b'{"id":"c1","choices":[{"message":{"content":"a"}}],"usage":{"total_tokens":5}}'
    bodies = (
        (COUNTED, "text/event-stream"),
        (document, "application/json"),
        (b"\0\0\0\x10x", "application/vnd.amazon.eventstream"),
    )
    for data, kind in bodies:
        exchange = asked(at_random(data, dice.randrange(99), 30), kind)
        passed = broken.run(exchange)
        assert passed.sent.replace(b'"stream_options":{"include_usage":true},', b"") == exchange.request.body
        length = passed.request["content-length"]
        assert length == str(len(passed.sent)) or b"attribution" in passed.got
        if b"attribution" not in passed.got:
            left = passed.got
            for chunk in re.findall(rb"data: [^\n]*\n\n", data):
                assert chunk in left or chunk.replace(b',"usage":null', b"") in left or b'"choices":[],' in chunk
            assert len(left) >= len(data) - 80
            assert kind == "text/event-stream" or left == data
        wire.read(read_back(passed, exchange).exchange)


def test_the_line_says_that_the_tap_failed() -> None:
    exchange = asked([b"{}"], "application/json", "/v1/chat/completions?key=hunter2")
    for name in ("heard", "traced", "read"):
        passed = failing(name, 0).run(exchange)
        assert passed.kept["x"] == "fault"
        assert passed.got == b"{}"
        seen = read_back(passed, exchange)
        assert (seen.is_call, seen.cuts) == (True, ("fault",))
        assert b"hunter2" not in passed.line
