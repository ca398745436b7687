"""The way to a collector: what its answers mean, what becomes of the connection, and a collector that is killed."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.capture.otlp.intake import Open, RecordingIntake, opened
from tests.durability.process import Up

from tachograph.call import Call
from tachograph.capture.otlp import Taken
from tachograph.flow import Busy, Refused
from tachograph.outlets.otlp import Collector
from tachograph.outlets.sending import Sender


def some(count: int = 1) -> list[Call]:
    return [
        Call(call_id=secrets.token_hex(16), request_model=f"gpt-{place}", operation="chat") for place in range(count)
    ]


@contextlib.contextmanager
def door(intake: RecordingIntake | None = None, **settings: Any) -> Iterator[Open]:
    """The doors of a collector, in a thread of their own."""
    loop, found, over = asyncio.new_event_loop(), [], asyncio.Event()
    ready = threading.Event()

    async def serve() -> None:
        async with opened(intake, **settings) as running:
            found.append(running)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


def test_a_batch_is_one_request_over_a_connection_that_stays_open() -> None:
    with door() as running:
        outlet = Collector(running.url)
        for _ in range(3):
            assert outlet.write(some(5), "") == 5
            connection = outlet._connection
        assert outlet.write(some(1), "") == 1
        assert outlet._connection is connection
        assert running.intake.span_names()[:2] == ["chat gpt-0", "chat gpt-1"]
        outlet.close()
        assert outlet.write([], "") == 0


def test_what_was_taken_in_part_is_told() -> None:
    with door(RecordingIntake(answer=lambda items: Taken(items, items - 1, "too many attributes"))) as running:
        assert send(running.url, 5) == 1


def test_a_collector_that_cannot_now_is_busy_for_as_long_as_it_says() -> None:
    with door(RecordingIntake(failures=[Busy("full", 7.0)])) as running:
        outlet = Collector(running.url + "/v1/traces")
        with pytest.raises(Busy, match="answered 503: full") as told:
            outlet.write(some(), "")
        assert told.value.after_seconds == 7.0
        assert outlet.write(some(), "") == 1
        outlet.close()


def test_a_key_is_shown_and_a_wrong_one_is_refused() -> None:
    shown: list[str | None] = []

    def gatekeeper(what: str | None) -> str:
        shown.append(what)
        return "ok" if what == "Bearer right" else "unauthenticated"

    with door(gatekeeper=gatekeeper) as running:
        assert send(running.url, key="right") == 1
        with pytest.raises(Refused, match="answered 401: no valid key") as told:
            send(running.url, key="wrong")
        assert told.value.reason == "http_401"
    assert shown == ["Bearer right", "Bearer wrong"]


def test_nobody_there_is_busy() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        outlet = Collector(f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(Busy, match="is it up"):
            outlet.write(some(), "")


@pytest.mark.parametrize("url", ["", "127.0.0.1:4318", "ftp://collector", "http://"])
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="write http"):
        Collector(url)


class Answers(BaseHTTPRequestHandler):
    """Answers as the test says: (status, headers), `hang` or `drop`."""

    protocol_version = "HTTP/1.1"
    script: list[Any]
    bodies: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        zipped = self.headers.get("content-encoding") == "gzip"
        self.bodies.append(gzip.decompress(body) if zipped else body)
        step = self.script.pop(0) if self.script else (200, {})
        if step == "hang":
            time.sleep(1.0)
            step = "drop"
        if step == "drop":
            self.close_connection = True
            return
        status, headers = step
        self.send_response(status)
        for name, value in {"content-length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def answering(*script: Any) -> Iterator[tuple[str, type[Answers]]]:
    handler = type("Scripted", (Answers,), {"script": list(script), "bodies": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/ingest", handler
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(url: str, count: int = 1, **options: Any) -> int:
    """Over a connection of its own."""
    with contextlib.closing(Collector(url, **options)) as outlet:
        return outlet.write(some(count), "")


def spans(body: bytes) -> int:
    return sum(
        len(scope.spans)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
    )


def test_a_connection_that_was_closed_meanwhile_is_opened_again() -> None:
    with answering((200, {}), "drop", (200, {})) as (url, handler):
        outlet = Collector(url)
        assert outlet.write(some(2), "") == 2
        assert outlet.write(some(3), "") == 3
        assert [spans(body) for body in handler.bodies] == [2, 3, 3]
        outlet.close()


def test_a_request_that_is_too_large_is_halved() -> None:
    with answering((413, {}), (200, {}), (413, {}), (200, {}), (200, {})) as (url, handler):
        assert send(url, 8) == 8
        assert [spans(body) for body in handler.bodies] == [8, 4, 4, 2, 2]
    with answering((413, {})) as (url, _), pytest.raises(Refused, match="413"):
        send(url)


@pytest.mark.parametrize(("status", "kind"), [(429, Busy), (502, Busy), (504, Busy), (400, Refused), (301, Refused)])
def test_answers_mean_what_the_specification_says(status: int, kind: type[Exception]) -> None:
    with answering((status, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"})) as (url, _), pytest.raises(kind):
        send(url)


def test_a_collector_that_hangs_is_busy_after_the_timeout() -> None:
    with answering("hang") as (url, _):
        began = time.monotonic()
        with pytest.raises(Busy):
            send(url, timeout_seconds=0.2)
        assert time.monotonic() - began < 0.9


def test_a_child_does_not_use_its_parents_connection() -> None:
    with answering() as (url, handler):
        outlet = Collector(url)
        assert outlet.write(some(1), "") == 1
        child = os.fork()
        if not child:
            os._exit(0 if outlet.write(some(2), "") == 2 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert outlet.write(some(3), "") == 3
        assert sorted(map(spans, handler.bodies)) == [1, 2, 3]
        outlet.close()


def traced(count: int, start: int) -> list[Call]:
    began = datetime.now(UTC) - timedelta(minutes=5)
    return [
        Call(
            call_id=secrets.token_hex(16),
            trace_id=f"{start + place + 1:032x}",
            span_id=f"{start + place + 1:016x}",
            started_at=began + timedelta(milliseconds=start + place),
            provider="openai",
            operation="chat",
            request_model="gpt-4o",
            duration_ms=100.0,
            input_uncached=10,
            input_tokens=10,
            output_visible=1,
            output_tokens=1,
            total_tokens=11,
            usage_source="reported",
        )
        for place in range(count)
    ]


@pytest.mark.long
@pytest.mark.parametrize("on_disk", [False, True])
def test_a_collector_that_is_killed_and_comes_back_has_every_call_once(tmp_path: Path, on_disk: bool) -> None:
    up = Up(str(tmp_path / "store"))
    up.start()
    try:
        spill = tmp_path / "spill" / "calls" if on_disk else None
        outlet = Collector(f"http://127.0.0.1:{up.otlp_http}", timeout_seconds=5)
        sender = Sender(outlet, name="collector", flush_seconds=0.02, spill=spill)
        for step in range(60):
            if step == 20:
                up.kill()
            if step == 40:
                up.start()
            for call in traced(50, step * 50):
                sender.offer(call)
            time.sleep(0.05)
        assert sender.flush(60)
        counts = sender.counts
        assert counts["sent"] == counts["offered"] == 3000
        assert counts["retried"] > 0
        assert counts["dropped"] == {}
        assert up.rows() == 3000
        sender.close()
    finally:
        up.end()
