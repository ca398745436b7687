"""An OpenTelemetry Collector as a peer: what it forwards arrives once, also when we are busy, or gone for a while."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import httpx2
import pytest
from tests.capture.otlp.intake import Open, RecordingIntake, busy, logs, metrics, opened, run, traces
from tests.peers.otel_collector import collecting, program

KINDS = [("otlp_http", "gzip"), ("otlp_http", "zstd"), ("otlp_http", "none"), ("otlp_grpc", "gzip")]
PROTOBUF = {"content-type": "application/x-protobuf"}


def gatekeeper(shown: str | None) -> str:
    return "ok" if shown == "Bearer secret" else "unauthenticated"


async def send(url: str, path: str, *bodies: bytes) -> None:
    async with httpx2.AsyncClient() as client:
        for body in bodies:
            answer = await client.post(f"{url}/v1/{path}", content=body, headers=PROTOBUF)
            assert answer.status_code == 200


async def until_spans(doors: Open, count: int, signals: int = 1) -> None:
    for _ in range(600):
        if len(doors.intake.span_names()) >= count and len({signal for signal, _ in doors.intake.batches}) >= signals:
            return
        await asyncio.sleep(0.05)


def endpoint(doors: Open, exporter: str) -> str:
    return doors.target if exporter == "otlp_grpc" else doors.url


@pytest.mark.long
@pytest.mark.parametrize(("exporter", "compression"), KINDS)
def test_everything_arrives_once_although_we_are_busy_twice(tmp_path: Path, exporter: str, compression: str) -> None:
    program()
    names = [f"span {number}" for number in range(200)]

    async def test() -> None:
        async with opened(RecordingIntake(busy(2, 0.2)), gatekeeper=gatekeeper) as doors:
            async with collecting(tmp_path, exporter, endpoint(doors, exporter), compression) as url:
                await send(url, "traces", *(traces(*names[at : at + 5]) for at in range(0, 200, 5)))
                await send(url, "logs", logs("hello"))
                await send(url, "metrics", metrics("tokens"))
                await until_spans(doors, 200, signals=3)
            assert sorted(doors.intake.span_names()) == sorted(names)
            assert sorted({signal for signal, _ in doors.intake.batches}) == ["logs", "metrics", "traces"]
            assert doors.counts["otlp_requests_refused_total", "busy"] >= 2
            refused = {reason for (name, reason) in doors.counts if name == "otlp_requests_refused_total"}
            assert refused == {"busy"}

    run(test())


@pytest.mark.long
@pytest.mark.parametrize("exporter", ["otlp_http", "otlp_grpc"])
def test_nothing_is_lost_while_our_doors_are_opened_anew(tmp_path: Path, exporter: str) -> None:
    program()

    async def test() -> None:
        async with contextlib.AsyncExitStack() as stack:
            first = await stack.enter_async_context(opened(gatekeeper=gatekeeper))
            ports = {"http": f"127.0.0.1:{first.running.http_port}", "grpc": f"127.0.0.1:{first.running.grpc_port}"}
            async with collecting(tmp_path, exporter, endpoint(first, exporter), "gzip") as url:
                await send(url, "traces", traces("before"))
                await until_spans(first, 1)
                await stack.aclose()
                await send(url, "traces", traces("meanwhile"))
                await asyncio.sleep(0.3)
                async with opened(gatekeeper=gatekeeper, **ports) as second:
                    await send(url, "traces", traces("after"))
                    await until_spans(second, 2)
                    assert first.intake.span_names() == ["before"]
                    assert sorted(second.intake.span_names()) == ["after", "meanwhile"]

    run(test())


@pytest.mark.long
def test_what_is_refused_for_good_is_not_sent_again(tmp_path: Path) -> None:
    program()

    async def test() -> None:
        async with opened(gatekeeper=lambda _shown: "forbidden") as doors:
            async with collecting(tmp_path, "otlp_http", doors.url, "gzip") as url:
                await send(url, "traces", traces("a"))
                await asyncio.sleep(0.5)
            assert doors.intake.bodies == []
            assert doors.counts["otlp_requests_refused_total", "forbidden"] == 1

    run(test())
