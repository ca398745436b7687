"""The OpenTelemetry SDK for JavaScript as a peer: protobuf and JSON over HTTP, each told Busy once, and gRPC."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.capture.otlp.intake import RecordingIntake, busy, opened, run

SOURCE = Path(__file__).parent / "otel-js"
CACHE = Path(__file__).parents[2] / ".servers" / "otel-js"
SPANS = 35


@pytest.fixture(scope="module")
def script() -> Path:
    """The sender beside its packages, installed once."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("npm or node is not installed, so the SDK for JavaScript cannot be had")
    CACHE.mkdir(parents=True, exist_ok=True)
    wanted = (SOURCE / "package.json").read_text()
    installed = CACHE / "installed.json"  # written last: an installation that was cut short is begun again
    if not installed.exists() or installed.read_text() != wanted:
        (CACHE / "package.json").write_text(wanted)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]
        subprocess.run(command, cwd=CACHE, check=True, timeout=600)
        installed.write_text(wanted)
    return Path(shutil.copy(SOURCE / "send.cjs", CACHE))


@pytest.mark.long
@pytest.mark.parametrize(("door", "no"), [("proto", 1), ("http", 1), ("grpc", 0)])  # its gRPC exporter never retries
def test_every_span_arrives_once_although_we_are_busy_first(script: Path, door: str, no: int) -> None:
    def gatekeeper(shown: str | None) -> str:
        return "ok" if shown == "Bearer secret" else "unauthenticated"

    async def test() -> None:
        async with opened(RecordingIntake(busy(no)), gatekeeper=gatekeeper) as doors:
            url = f"http://{doors.target}" if door == "grpc" else f"{doors.url}/v1/traces"
            command = ["node", str(script), door, url, str(SPANS), "secret"]
            process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
            _, said = await process.communicate()
            assert (process.returncode, said.decode()) == (0, "")
            assert sorted(doors.intake.span_names()) == sorted(f"{door} {n}" for n in range(SPANS))
            assert doors.counts["otlp_requests_refused_total", "busy"] >= no
            request = ExportTraceServiceRequest.FromString(doors.intake.bodies[0])
            span = request.resource_spans[0].scope_spans[0].spans[0]
            assert (len(span.trace_id), len(span.span_id), span.kind) == (16, 8, 3)
            values = {attribute.key: attribute.value for attribute in span.attributes}
            assert values["gen_ai.request.model"].string_value == "gpt-5"
            assert values["gen_ai.usage.input_tokens"].int_value == int(span.name.split()[1])
            assert span.end_time_unix_nano >= span.start_time_unix_nano > 10**18

    run(test())
