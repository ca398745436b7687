"""The OpenTelemetry SDK for Python as a peer: all three signals, protobuf over HTTP and gRPC, told Busy once."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from tests.capture.otlp.intake import Open, RecordingIntake, busy, items, opened, run

from tachograph.capture.otlp.limits import DoorLimits

pytest.importorskip("opentelemetry.sdk", reason="the OpenTelemetry SDK is not installed")

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

EXPORTERS = {
    "traces": ("trace_exporter", "OTLPSpanExporter"),
    "logs": ("_log_exporter", "OTLPLogExporter"),
    "metrics": ("metric_exporter", "OTLPMetricExporter"),
}
KEY = "secret"


def gatekeeper(shown: str | None) -> str:
    return "ok" if shown == f"Bearer {KEY}" else "unauthenticated"


def exporter(doors: Open, door: str, signal: str) -> Any:
    module, name = EXPORTERS[signal]
    kind = getattr(importlib.import_module(f"opentelemetry.exporter.otlp.proto.{door}.{module}"), name)
    headers = {"authorization": f"Bearer {KEY}"}
    if door == "http":
        return kind(endpoint=f"{doors.url}/v1/{signal}", headers=headers, compression=_gzip(), timeout=15)
    return kind(endpoint=doors.target, insecure=True, headers=headers, compression=grpc.Compression.Gzip, timeout=15)


def _gzip() -> Any:
    return importlib.import_module("opentelemetry.exporter.otlp.proto.http").Compression.Gzip


def send_traces(made: Any) -> None:
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(made, max_export_batch_size=10))
    for number in range(35):
        provider.get_tracer("peer").start_span(f"span {number}", attributes={"gen_ai.request.model": "gpt-5"}).end()
    assert provider.force_flush(20_000)
    provider.shutdown()


def send_logs(made: Any) -> None:
    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(made, max_export_batch_size=10))
    for number in range(35):
        provider.get_logger("peer").emit(body=f"log {number}", timestamp=number + 1)
    assert provider.force_flush(20_000)
    provider.shutdown()


def send_metrics(made: Any) -> None:
    provider = MeterProvider([PeriodicExportingMetricReader(made, 3_600_000)], shutdown_on_exit=False)
    histogram = provider.get_meter("peer").create_histogram("gen_ai.client.token.usage", unit="{token}")
    for number in range(35):
        histogram.record(number, {"gen_ai.token.type": "input"})
    assert provider.force_flush(20_000)
    with contextlib.suppress(Exception):
        provider.shutdown()


SENDERS: dict[str, Callable[[Any], None]] = {"traces": send_traces, "logs": send_logs, "metrics": send_metrics}


@pytest.mark.long
@pytest.mark.parametrize("door", ["http", "grpc"])
@pytest.mark.parametrize("signal", list(SENDERS))
def test_everything_arrives_once_although_we_are_busy_first(
    door: str, signal: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        limits = DoorLimits(gather_seconds=0.01)
        async with opened(RecordingIntake(busy(1)), limits, gatekeeper) as doors:
            await asyncio.to_thread(SENDERS[signal], exporter(doors, door, signal))
            assert {each for each, _ in doors.intake.batches} == {signal}
            assert doors.counts["otlp_requests_refused_total", "busy"] == 1
            if signal == "traces":
                assert sorted(doors.intake.span_names()) == sorted(f"span {number}" for number in range(35))
            elif signal == "logs":
                assert sum(items(ExportLogsServiceRequest.FromString(body)) for body in doors.intake.bodies) == 35
            else:
                points = [ExportMetricsServiceRequest.FromString(body) for body in doors.intake.bodies]
                metric = points[0].resource_metrics[0].scope_metrics[0].metrics[0]
                assert (metric.name, metric.histogram.data_points[0].count) == ("gen_ai.client.token.usage", 35)

    run(test())
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.long
@pytest.mark.parametrize("door", ["http", "grpc"])
def test_a_wrong_key_is_not_tried_again(door: str) -> None:
    async def test() -> None:
        async with opened(gatekeeper=lambda _shown: "unauthenticated") as doors:
            await asyncio.to_thread(send_logs, exporter(doors, door, "logs"))
            assert doors.intake.bodies == []
            assert doors.counts["otlp_requests_refused_total", "unauthenticated"] == 4  # one for each batch of ten

    run(test())
