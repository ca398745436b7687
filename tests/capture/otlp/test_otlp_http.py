"""The HTTP door over real sockets: every answer of the specification, limits, tokens, senders that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gzip
import zlib
from typing import Any

import httpx2
import pytest
import zstandard
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from tests.capture.otlp.intake import QUICK, Open, RecordingIntake, busy, logs, metrics, opened, run, traces

from tachograph.capture.otlp import Taken
from tachograph.capture.otlp.limits import MIB
from tachograph.flow import Refused

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
ONE_SPAN = '{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a","traceId":"%s"}]}]}]}' % ("0a" * 16)


async def post(doors: Open, content: bytes, path: str = "/v1/traces", **headers: str) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx2.AsyncClient(timeout=30) as client:
        return await client.post(doors.url + path, content=content, headers={**PROTOBUF, **named})


def test_every_signal_is_taken_as_it_is() -> None:
    sent = {"traces": traces("a", "b"), "logs": logs("hello"), "metrics": metrics("tokens")}

    async def test() -> None:
        async with opened() as doors:
            for signal, body in sent.items():
                answer = await post(doors, body, f"/v1/{signal}")
                assert (answer.status_code, answer.content) == (200, b"")
                assert answer.headers["content-type"] == "application/x-protobuf"
            assert doors.intake.batches == [(signal, [body]) for signal, body in sent.items()]
            assert doors.counts == {
                ("otlp_requests_total", "http"): 3,
                ("otlp_bytes_total", "http"): sum(map(len, sent.values())),
            }

    run(test())


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZIP", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body)[2:-4]),
        ("zstd", zstandard.compress),
        ("identity", bytes),
        ("gzip, zstd", lambda body: zstandard.compress(gzip.compress(body))),
    ],
)
def test_every_encoding_gives_the_bytes_that_were_meant(encoding: str, encode: Any) -> None:
    body = traces(*(f"span {n}" for n in range(3000)))

    async def test() -> None:
        async with opened() as doors:
            answer = await post(doors, encode(body), content_encoding=encoding)
            assert (answer.status_code, doors.intake.bodies == [body]) == (200, True)
            assert doors.counts["otlp_bytes_total", "http"] == len(encode(body))

    run(test())


def test_json_is_answered_in_json() -> None:
    async def test() -> None:
        async with opened(RecordingIntake(answer=lambda items: Taken(items, 1, "1 span: no start"))) as doors:
            answer = await post(doors, gzip.compress(ONE_SPAN.encode()), **JSON, content_encoding="gzip")
            assert answer.headers["content-type"] == "application/json"
            assert answer.json() == {"partialSuccess": {"rejectedSpans": "1", "errorMessage": "1 span: no start"}}
            assert doors.intake.span_names() == ["a"]
            bad = await post(doors, b'{"resourceSpans": 5}', content_type="application/json; charset=utf-8")
            assert (bad.status_code, bad.json()["code"]) == (400, 3)
            assert "resourceSpans" in bad.json()["message"]

    run(test())


@pytest.mark.parametrize(
    ("path", "body", "kind", "field"),
    [
        ("/v1/traces", traces("a"), ExportTraceServiceResponse, "rejected_spans"),
        ("/v1/logs", logs("a"), ExportLogsServiceResponse, "rejected_log_records"),
        ("/v1/metrics", metrics("a"), ExportMetricsServiceResponse, "rejected_data_points"),
    ],
    ids=["traces", "logs", "metrics"],  # bodies hold random ids, and workers must name the tests alike
)
def test_what_was_rejected_is_said(path: str, body: bytes, kind: Any, field: str) -> None:
    async def test() -> None:
        async with opened(RecordingIntake(answer=lambda items: Taken(items, 1, "too old"))) as doors:
            partial = kind.FromString((await post(doors, body, path)).content).partial_success
            assert (getattr(partial, field), partial.error_message) == (1, "too old")

    run(test())


BOMB = gzip.compress(b"\n" * 8 * MIB)


@pytest.mark.parametrize(
    ("content", "headers", "status", "reason"),
    [
        (b"\xff\xff\xff", PROTOBUF, 400, "not_otlp"),
        (b"{", JSON, 400, "not_otlp"),
        (gzip.compress(traces("a"))[:-9], {**PROTOBUF, "content-encoding": "gzip"}, 400, "damaged"),
        (traces("a"), {**PROTOBUF, "content-encoding": "gzip"}, 400, "damaged"),
        (zstandard.compress(b"a" * 400_000)[:-3], {**PROTOBUF, "content-encoding": "zstd"}, 400, "damaged"),
        (traces("a"), {**PROTOBUF, "content-encoding": "snappy"}, 415, "encoding"),
        (traces("a"), {"content-type": "text/plain"}, 415, "content_type"),
        (traces("a"), {}, 415, "content_type"),
        (b"\n" * (MIB + 1), PROTOBUF, 413, "too_large"),
        (b" " * (MIB // 2 + 1), JSON, 413, "too_large"),
        (BOMB, {**PROTOBUF, "content-encoding": "gzip"}, 413, "too_large"),
        (zlib.compress(b"\n" * 8 * MIB), {**JSON, "content-encoding": "deflate"}, 413, "too_large"),
        (zstandard.compress(b"\n" * 8 * MIB), {**PROTOBUF, "content-encoding": "zstd"}, 413, "too_large"),
        (bytes(300_000), {**PROTOBUF, "content-encoding": "gzip"}, 413, "too_large"),
        (traces("a"), {**PROTOBUF, "origin": "https://evil.example"}, 403, "foreign_origin"),
    ],
    ids=lambda value: "body" if isinstance(value, bytes) else None,
)
def test_what_can_never_be_taken_is_refused(content: bytes, headers: dict[str, str], status: int, reason: str) -> None:
    limits = dataclasses.replace(QUICK, body_bytes_max=MIB, compressed_bytes_max=200_000, json_bytes_max=MIB // 2)

    async def test() -> None:
        async with opened(limits=limits) as doors, httpx2.AsyncClient(timeout=30) as client:
            answer = await client.post(doors.url + "/v1/traces", content=content, headers=headers)
            assert (answer.status_code, doors.counts["otlp_requests_refused_total", reason]) == (status, 1)
            if headers.get("content-type") == "application/x-protobuf":
                said = Status.FromString(answer.content)
                assert said.message and "\n" not in said.message
                assert answer.headers["content-type"] == "application/x-protobuf"
            else:
                assert answer.json()["message"]
            assert "retry-after" not in answer.headers
            assert doors.running.in_flight() == (0, 0)
            assert (await post(doors, traces("after"))).status_code == 200  # the door goes on

    run(test())


def test_an_endless_body_is_refused_while_it_comes() -> None:
    limits = dataclasses.replace(QUICK, body_bytes_max=100_000)

    async def endless() -> Any:
        for _ in range(200):
            yield b"\n" * 10_000

    async def test() -> None:
        async with opened(limits=limits) as doors, httpx2.AsyncClient(timeout=30) as client:
            answer = await client.post(doors.url + "/v1/traces", content=endless(), headers=PROTOBUF)
            assert answer.status_code == 413
            assert doors.running.in_flight() == (0, 0)

    run(test())


def test_other_paths_and_methods() -> None:
    async def test() -> None:
        async with opened() as doors, httpx2.AsyncClient() as client:
            missing = await client.post(doors.url + "/v1/profiles", content=b"", headers=PROTOBUF)
            wrong = await client.get(doors.url + "/v1/traces")
            assert (missing.status_code, Status.FromString(missing.content).code) == (404, 5)
            assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")

    run(test())


def test_keys() -> None:
    def gatekeeper(shown: str | None) -> str:
        return {"Bearer right": "ok", "right": "ok", "Bearer reader": "forbidden"}.get(shown or "", "unauthenticated")

    async def test() -> None:
        async with opened(gatekeeper=gatekeeper) as doors:
            nobody = await post(doors, traces("a"))
            assert (nobody.status_code, nobody.headers["www-authenticate"]) == (401, "Bearer")
            assert (await post(doors, traces("a"), authorization="Bearer reader")).status_code == 403
            assert (await post(doors, traces("b"), authorization="Bearer right")).status_code == 200
            ours = await post(doors, traces("c"), authorization="Basic proxy", x_tachograph_key="right")
            assert ours.status_code == 200
            assert doors.intake.span_names() == ["b", "c"]
            assert doors.counts["otlp_requests_refused_total", "unauthenticated"] == 1
            assert doors.counts["otlp_requests_refused_total", "forbidden"] == 1

    run(test())


def test_busy_says_when_to_come_again() -> None:
    async def test() -> None:
        async with opened(RecordingIntake(busy(1, 2.5))) as doors:
            answer = await post(doors, traces("a"))
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
            assert Status.FromString(answer.content).code == 14
            assert (await post(doors, traces("a"))).status_code == 200
            assert doors.intake.span_names() == ["a"]
            assert doors.counts["otlp_requests_refused_total", "busy"] == 1

    run(test())


def test_memory_is_bounded_over_all_requests() -> None:
    limits = dataclasses.replace(QUICK, in_flight_bytes_max=250_000)

    async def test() -> None:
        intake = RecordingIntake()
        intake.gate.clear()
        async with opened(intake, limits) as doors:
            waiting = [asyncio.create_task(post(doors, traces("a", padding=100_000))) for _ in range(2)]
            while doors.running.in_flight()[1] < 200_000:
                await asyncio.sleep(0.01)
            third = await post(doors, traces("b", padding=100_000))
            bomb = await post(doors, gzip.compress(bytes(200_000)), content_encoding="gzip")
            assert [(a.status_code, a.headers["retry-after"]) for a in (third, bomb)] == [(503, "1"), (503, "1")]
            assert doors.running.in_flight()[0] == 2
            intake.gate.set()
            assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200, 200]
            assert doors.running.in_flight() == (0, 0)

    run(test())


@pytest.mark.parametrize("begin", [b"", b"POST /v1/tra", b"POST /v1/traces HTTP/1.1\r\nhost: a\r\n", b"\r\n"])
def test_a_slow_head_is_cut(begin: bytes) -> None:
    limits = dataclasses.replace(QUICK, request_seconds_max=0.2)

    async def test() -> None:
        async with opened(limits=limits) as doors:
            reader, writer = await asyncio.open_connection("127.0.0.1", doors.running.http_port)
            writer.write(begin)
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()

    run(test())


def test_a_slow_body_is_told_so() -> None:
    limits = dataclasses.replace(QUICK, request_seconds_max=0.3)

    async def test() -> None:
        async with opened(limits=limits) as doors:
            reader, writer = await asyncio.open_connection("127.0.0.1", doors.running.http_port)
            writer.write(b"POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\n")
            writer.write(b"content-length: 1000\r\n\r\n")
            for _ in range(4):
                writer.write(b"\n")
                await asyncio.sleep(0.05)
            answer = await asyncio.wait_for(reader.read(), 5)
            assert answer.startswith(b"HTTP/1.1 408") and b"connection: close" in answer
            assert doors.running.in_flight() == (0, 0)
            writer.close()

    run(test())


def test_one_connection_too_many_is_told_to_come_again() -> None:
    limits = dataclasses.replace(QUICK, connections_max=2)

    async def test() -> None:
        async with opened(limits=limits) as doors, contextlib.AsyncExitStack() as stack:
            for _ in range(2):
                client = await stack.enter_async_context(httpx2.AsyncClient())
                answer = await client.post(doors.url + "/v1/traces", content=traces("a"), headers=PROTOBUF)
                assert answer.status_code == 200
            reader, writer = await asyncio.open_connection("127.0.0.1", doors.running.http_port)
            assert (await reader.read()).startswith(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n")
            writer.close()
        async with opened(limits=limits) as doors:
            for _ in range(3):  # places are given back
                assert (await post(doors, traces("a"))).status_code == 200

    run(test())


def test_two_hundred_senders_get_their_own_answers() -> None:
    async def test() -> None:
        def answer(items: int) -> Taken | Refused:
            return Refused("odd", f"{items} spans") if items % 2 else Taken(items, items, f"{items} spans")

        async def send(client: httpx2.AsyncClient, doors: Open, number: int) -> tuple[int, str]:
            body = traces(*["a"] * number)
            got = await client.post(doors.url + "/v1/traces", content=body, headers=PROTOBUF)
            if got.status_code == 400:
                return 400, Status.FromString(got.content).message
            return got.status_code, ExportTraceServiceResponse.FromString(got.content).partial_success.error_message

        limits = httpx2.Limits(max_connections=200)
        async with opened(RecordingIntake(answer=answer)) as doors:
            async with httpx2.AsyncClient(limits=limits, timeout=30) as client:
                got = await asyncio.gather(*(send(client, doors, number) for number in range(1, 201)))
            assert got == [(400 if n % 2 else 200, f"{n} spans") for n in range(1, 201)]
            assert len(doors.intake.batches) < 100  # gathered
            assert doors.running.in_flight() == (0, 0)

    run(test())


def test_a_request_that_goes_through_is_not_lost_by_a_stop() -> None:
    async def test() -> None:
        intake = RecordingIntake()
        intake.gate.clear()
        async with opened(intake) as doors:
            sending = asyncio.create_task(post(doors, traces("a")))
            while not intake.attempts:
                await asyncio.sleep(0.01)
            asyncio.get_running_loop().call_later(0.3, intake.gate.set)
            later = asyncio.create_task(post(doors, traces("b")))
            while doors.running.in_flight()[0] < 2:
                await asyncio.sleep(0.01)
            url = doors.url
        assert [(await task).status_code for task in (sending, later)] == [200, 200]
        assert intake.span_names() == ["a", "b"]
        with pytest.raises(httpx2.ConnectError):
            async with httpx2.AsyncClient() as client:
                await client.post(url + "/v1/traces")

    run(test())


def test_a_sender_that_leaves_takes_nobody_along() -> None:
    async def test() -> None:
        intake = RecordingIntake()
        intake.gate.clear()
        async with opened(intake) as doors:
            first = asyncio.create_task(post(doors, traces("first")))
            while not intake.attempts:
                await asyncio.sleep(0.01)
            leaving = asyncio.create_task(post(doors, traces("leaves")))
            staying = asyncio.create_task(post(doors, traces("stays")))
            while doors.running.in_flight()[0] < 3:
                await asyncio.sleep(0.01)
            leaving.cancel()
            intake.gate.set()
            assert [(await task).status_code for task in (first, staying)] == [200, 200]
            assert {"first", "stays"} <= set(intake.span_names())
        assert doors.running.in_flight() == (0, 0)

    run(test())
