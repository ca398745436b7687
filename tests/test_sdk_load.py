"""The server and the reckoning of the SDK's benchmark are what they claim to be, or its figures mean nothing."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from benchmarks.sdk import Figures, server, wrong
from benchmarks.sdk_server import CHUNKS

from tachograph import wire

QUESTION = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "x"}]}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx2.Client]:
    with server() as url, httpx2.Client(base_url=url, trust_env=False) as found:
        yield found


def read(response: httpx2.Response, pieces: list[bytes]) -> wire.Call:
    request = response.request
    asked = wire.Request(str(request.url), body=request.content)
    stamped = [(1000 * at, piece) for at, piece in enumerate(pieces)]
    (call,) = wire.read(wire.Exchange(asked, response.status_code, dict(response.headers), stamped))
    return call


def test_a_plain_answer_is_a_whole_one_and_the_connection_is_kept(client: httpx2.Client) -> None:
    for _ in range(3):
        response = client.post("/v1/chat/completions", json=QUESTION)
        call = read(response, [response.content])
        assert (call.outcome, call.usage_source, call.flags) == ("ok", "reported", ())
    other = client.post("/documents", json=QUESTION)
    assert "usage" not in other.json() and abs(len(other.content) - len(response.content)) < 10


def test_a_stream_comes_in_chunks_of_one_event_each(client: httpx2.Client) -> None:
    with client.stream("POST", "/v1/chat/completions", json={**QUESTION, "stream": True}) as response:
        pieces = list(response.iter_raw())
    assert len(pieces) == CHUNKS + 2  # the usage and the end
    assert all(piece.startswith(b"data: ") and piece.endswith(b"\n\n") for piece in pieces)
    call = read(response, pieces)
    assert (call.outcome, call.usage_source, call.streamed) == ("ok", "reported", True)


def test_what_is_added_is_the_median_and_calls_that_were_not_recorded_are_told() -> None:
    figures = Figures()
    for added in (90.0, 100.0, 1000.0):
        figures.note({"off": 700.0, "added": added, "first": 0.0, "recorded": 16}, 16)
    assert figures.median == 100.0
    assert not wrong("file", "plain", figures)
    assert "48 recorded, not 0" in wrong("file", "untouched", figures)
    figures.note({"off": 700.0, "added": 1.0, "first": 0.0, "recorded": 15}, 16)
    assert "63 recorded, not 64" in wrong("file", "plain", figures)
