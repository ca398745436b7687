"""The reader as a whole: whatever the cut, the encoding or the damage, there is a Call, and the same Call."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import random
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import brotli
import pytest
import zstandard
from exchanges import body, cut, paths, read, recorded, with_body
from hypothesis import given
from hypothesis import strategies as st

from tachograph import wire
from tachograph.call import Call
from tachograph.wire import End, Exchange, Request

HERE = Path(__file__).resolve().parent
MEBIBYTE = 1024 * 1024
ASKED = Request("https://api.openai.com/v1/chat/completions", body=b'{"model": "m", "stream": true}')
PLAIN = dataclasses.replace(ASKED, body=b'{"model": "m"}')
SSE, JSON = {"content-type": "text/event-stream"}, {"content-type": "application/json"}
PACKERS = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstandard.compress}

recordings = pytest.mark.parametrize("path", paths(), ids=lambda path: f"{path.parent.name}/{path.stem}")


def chunk(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c1", "model": "m-1", "choices": [choice]}).encode() + b"\n\n"


def answered(pieces: list[tuple[int | None, bytes]], **changed: object) -> Call:
    exchange = Exchange(ASKED, 200, SSE, pieces, end_us=9_000_000)
    (call,) = wire.read(dataclasses.replace(exchange, **changed))
    return call


@recordings
def test_any_cut_gives_the_same_call(path: Path) -> None:
    exchange = recorded(path)
    data, chosen = body(exchange), random.Random(path.name)
    whole = read(exchange)
    sizes = [1, chosen.randint(2, 90)] if len(data) <= 12_000 else [chosen.randint(40, 4000)]
    for size in sizes:
        assert read(with_body(exchange, cut(data, size))) == whole
    points = sorted(chosen.sample(range(len(data) + 1), min(len(data), 12)))
    pieces = [data[start:end] for start, end in zip([0, *points], [*points, len(data)], strict=True)]
    assert read(with_body(exchange, pieces)) == whole


@recordings
def test_any_encoding_gives_the_same_call(path: Path) -> None:
    exchange = recorded(path)
    data, whole = body(exchange), read(exchange)
    for encoding, pack in PACKERS.items():
        packed = pack(data) if data else b""
        headers = {**exchange.headers, "content-encoding": encoding}
        for size in (37, 100_000):
            assert read(with_body(exchange, cut(packed, size), headers=headers)) == whole


def damage(data: bytes, chosen: random.Random) -> bytes:
    """One of the things that happen to bytes."""
    at, other = sorted(chosen.randrange(len(data) + 1) for _ in range(2))
    return chosen.choice(
        (
            data[:at],
            data[at:],
            data[:at] + bytes(chosen.randrange(256) for _ in range(3)) + data[at + 3 :],
            data[:at] + data[other:],
            data[:other] + data[at:],
            data.replace(b":", b",", chosen.randrange(1, 9)),
            data.replace(b"null", b"1e999").replace(b'"usage"', b'"usage":{"x":-1},"y"'),
        )
    )


def survives(path: Path, rounds: int) -> None:
    exchange = recorded(path)
    chosen = random.Random(path.name)
    kinds = ["application/json", "text/event-stream", "application/vnd.amazon.eventstream", "application/x-ndjson", ""]
    for _ in range(rounds):
        data = damage(body(exchange), chosen)
        headers = dict(exchange.headers)
        if chosen.random() < 0.3:
            headers["content-type"] = chosen.choice(kinds)
        if chosen.random() < 0.1:
            headers["content-encoding"] = chosen.choice([*PACKERS, "rot13"])
        changed = {"headers": headers, "status": chosen.choice([exchange.status, 200, 429, 502, None])}
        changed["end"] = chosen.choice([*End])
        damaged = read(with_body(exchange, [data], **changed))
        if "content-encoding" not in headers:
            assert read(with_body(exchange, cut(data, 1 + len(data) // 9), **changed)) == damaged


@recordings
def test_damage_is_read_as_far_as_it_goes(path: Path) -> None:
    survives(path, 6)


@pytest.mark.long
@recordings
def test_much_damage_is_read_as_far_as_it_goes(path: Path) -> None:
    survives(path, 300)


def test_recordings_are_there() -> None:
    """The properties above hold of something."""
    assert paths()


# When: stamps belong to the piece that completed an event.


@pytest.mark.parametrize(
    "before", [b"", b": keep-alive\n\n", b"\n\n\r\n", b"\xef\xbb\xbf", b"event: ping\ndata: {}\n\n"]
)
@pytest.mark.parametrize("headers", [SSE, {}], ids=["told", "guessed"])
def test_the_first_content_is_stamped_with_the_piece_that_completed_it(before: bytes, headers: dict[str, str]) -> None:
    first = chunk("a")
    pieces = [(1000, before), (2000, b"d"), (3000, first[1:-2]), (4000, b"\n\n"), (7000, chunk("b", "stop"))]
    call = answered(pieces, headers=headers)
    assert (call.ttft_ms, call.chunks, call.itl_max_ms, call.duration_ms) == (4.0, 2, 3.0, 9000.0)
    assert (call.streamed, call.outcome) == (True, "ok")


def test_what_only_the_end_completes_had_come_with_the_last_piece() -> None:
    call = answered([(1000, chunk("a")), (5000, chunk("b", "stop").rstrip())])
    assert (call.ttft_ms, call.itl_max_ms, call.duration_ms) == (1.0, 4.0, 9000.0)


@given(st.none() | st.integers(-9, 30), st.lists(st.none() | st.integers(-9, 30), max_size=3), st.integers(-9, 30))
def test_the_headers_came_first_or_nobody_knows_when(came: int | None, stamps: list[int | None], end: int) -> None:
    call = answered([(at, chunk("a")) for at in stamps], headers_us=came, end_us=end)
    later = [ms for ms in (call.ttft_ms, call.duration_ms) if ms is not None]
    if call.headers_ms is None:
        assert came is None or "clock_skew" in call.flags
    else:
        assert came is not None and call.headers_ms == came / 1000
        assert all(0 <= call.headers_ms <= ms for ms in later)


def test_a_stream_held_back_is_flagged() -> None:
    assert "buffered_stream" in answered([(1000, chunk("a") + chunk("b", "stop"))]).flags


# Framing: chosen by the bytes, whatever their cut.

COMPLETION = json.dumps(
    {
        "id": "c1",
        "model": "m-1",
        "choices": [{"index": 0, "message": {"content": "é"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }
).encode()


@pytest.mark.parametrize("before", [b"", b"\n" * 200, b"\r\n \t", b"\xef\xbb\xbf", b"\n\xef\xbb\xbf\n"])
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "text/plain", ""])
@pytest.mark.parametrize("asked", [ASKED, PLAIN], ids=["asked for a stream", "asked for a document"])
def test_a_document_is_one_whatever_stands_before_it(before: bytes, kind: str, asked: Request) -> None:
    for size in (1, 2, 50, 1000):
        exchange = Exchange(asked, 200, {"content-type": kind} if kind else {})
        (call,) = read(with_body(exchange, cut(before + COMPLETION, size)))
        assert (call.input_tokens, call.output_tokens, call.outcome, call.flags) == (
            3,
            1,
            "ok",
            ("started_at_missing",),
        )
        assert call.streamed is (asked is ASKED and not kind)


@pytest.mark.parametrize(
    ("data", "status", "headers", "outcome", "error_type", "flags"),
    [
        (b"<html><h1>502 Bad Gateway</h1></html>", 502, JSON, "error", "provider_error", {"body_not_json"}),
        (b"", 502, {}, "error", "provider_error", set()),
        (b'{"error": {"code": "rate_limit_ex', 429, JSON, "error", "rate_limited", {"body_damaged"}),
        (b"", 200, JSON, "truncated", None, {"body_empty"}),
        (b"\n\n", 200, JSON, "truncated", None, {"body_empty"}),
        (b"", 200, SSE, "truncated", None, {"body_empty"}),
        (b"", 204, {}, "ok", None, set()),
        (COMPLETION[:-9], 200, JSON, "truncated", None, {"body_damaged"}),
        (COMPLETION + b"\n<!-- proxy -->", 200, JSON, "ok", None, {"body_damaged"}),
        (b"plain text", 200, JSON, "ok", None, {"body_not_json"}),
        (chunk("a"), 200, SSE, "truncated", None, set()),
        (b": keep-alive\n\n", 200, SSE, "truncated", None, {"body_not_json"}),
        (b'data: {"error": {"code": 500}}\n\n', 200, SSE, "error", "provider_error", set()),
        (COMPLETION, 200, {**JSON, "content-encoding": "gzip"}, "ok", None, {"encoding_mismatch"}),
        (
            gzip.compress(COMPLETION)[:-30],
            200,
            {**JSON, "content-encoding": "gzip"},
            "truncated",
            None,
            {"body_damaged"},
        ),
        (bytes(99), 200, {**JSON, "content-encoding": "rot13"}, "ok", None, {"encoding_unknown"}),
    ],
)
def test_outcomes_of_odd_bodies(
    data: bytes, status: int, headers: dict[str, str], outcome: str, error_type: str | None, flags: set[str]
) -> None:
    for size in (1, 1000):
        (call,) = read(with_body(Exchange(PLAIN, status, headers), cut(data, size)))
        assert (call.outcome, call.error_type) == (outcome, error_type)
        assert {flag for flag in call.flags if flag.startswith(("body", "encoding"))} == flags


@pytest.mark.parametrize(
    ("end", "outcome", "error_type"),
    [
        (End.CLIENT_GONE, "aborted", "cancelled"),
        (End.TIMEOUT, "error", "timeout"),
        (End.NETWORK, "error", "network"),
        (End.PROTOCOL, "error", "protocol"),
        (End.COMPLETE, "truncated", None),
    ],
)
def test_an_answer_that_was_left_or_lost(end: End, outcome: str, error_type: str | None) -> None:
    call = answered([(1000, chunk("a"))], end=end)
    assert (call.outcome, call.error_type, call.streamed, call.ttft_ms) == (outcome, error_type, True, 1.0)
    failed = answered([(1000, b'{"error": {"code": "rate_limit_exceeded"}}')], status=429, end=end, headers=JSON)
    assert (failed.outcome, failed.error_type) == ("error", "rate_limited")
    nothing = answered([], status=None, headers={}, end=end)
    expected = ("error", "network") if end is End.COMPLETE else (outcome, error_type)
    assert (nothing.outcome, nothing.error_type, nothing.streamed, nothing.ttft_ms) == (*expected, True, None)


def test_a_client_that_leaves_after_the_last_event_has_everything() -> None:
    call = answered([(1000, chunk("a", "stop")), (2000, b"data: [DONE]\n\n")], end=End.CLIENT_GONE)
    assert (call.outcome, call.error_type) == ("ok", None)


@pytest.mark.parametrize(
    ("head", "unit", "headers"),
    [
        (b'{"data": [{"b64_json": "', b"QUJD", JSON),
        (b'{"data": [{"embedding": [', b"0.0123,", JSON),
        (b'data: {"choices": [{"delta": {"content": "', b"text", SSE),
        (b"", b": keep-alive\n", SSE),
        (b"", chunk("a"), SSE),
        (b"", b'{"message": {"content": "a"}, "done": false}\n', {"content-type": "application/x-ndjson"}),
        (b"", b"\n", JSON),
        (b"", b"<p>", {"content-type": "text/html"}),
    ],
)
def test_memory_is_bounded_whatever_the_size(head: bytes, unit: bytes, headers: dict[str, str]) -> None:
    block = unit * (65_536 // len(unit))
    reading = wire.reader(Exchange(ASKED, 200, headers))
    tracemalloc.start()
    try:
        reading.feed(head, 0)
        for at in range(10):
            reading.feed(block, at)
        reading.feed(block * 20, 11)
        reading.close(12)
        assert tracemalloc.get_traced_memory()[1] < 8 * MEBIBYTE
    finally:
        tracemalloc.stop()


def test_tool_calls_without_end_are_capped() -> None:
    reading = wire.reader(Exchange(ASKED, 200, SSE))
    for at in range(5000):
        event = {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": at, "function": {"name": "f"}}]}}]}
        reading.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
    (call,) = reading.close()
    assert call.tool_calls == 4096
    assert "tool_calls_capped" in call.flags


@pytest.mark.long
def test_the_fuzzer_finds_nothing(tmp_path: Path) -> None:
    seeds, found = tmp_path / "seeds", tmp_path / "found"
    found.mkdir()
    script = str(HERE / "fuzz_reader.py")
    subprocess.run([sys.executable, script, "--seeds", str(seeds)], check=True, cwd=tmp_path, env=dict(os.environ))
    limits = ["-seed=23", "-runs=15000", "-max_len=4096", "-timeout=30"]  # the same inputs on every machine
    command = [sys.executable, script, str(found), str(seeds), *limits]
    ran = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True)
    assert ran.returncode == 0, ran.stderr[-4000:].decode("utf-8", "replace")
