"""Everything that came in, by every door, is accounted for to the last unit, and the same wherever one looks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from benchmarks.collector_load import attributes
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.durability.process import Up, command, counters, ledger_of_page, totals
from tests.durability.sending import OverGrpc, OverHttp
from tests.durability.traffic import Request, Traffic

RECORDINGS = Path(__file__).parents[2] / "examples" / "recordings"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("ledger")
    service = Up(str(folder / "data"), log=folder / "log")
    service.start("--with", str(RECORDINGS))
    yield service
    service.end()


def test_each_item_by_each_door_is_accounted_for(up: Up) -> None:
    imported = up.ledger()
    assert imported["accepted"] == {"import": imported["stored"]} and imported["stored"] > 5
    traffic = Traffic(3)
    http, rpc = OverHttp(up.otlp_http), OverGrpc(up.otlp_grpc)
    waves = [request for _ in range(3) for request in traffic.wave()] + [traffic.metrics()]
    for number, request in enumerate(waves):
        assert (http, rpc)[number % 2].send(request) == "taken"
        assert (rpc, http)[number % 2].send(request) == "taken"  # a batch resent counts once
    assert_refused(up, http)
    assert http.send(logs()) == "taken"
    posted = calls(up)
    http.close()
    rpc.close()

    traces = [request for request in waves if request.signal == "traces"]
    metrics = [request for request in waves if request.signal == "metrics"]
    spans = sum(len(request.calls) for request in traces)
    others = sum(request.others for request in traces)
    points = sum(request.points for request in metrics)
    ledger = up.ledger()
    assert ledger["accepted"] == {
        "import": imported["stored"],
        "traces": 2 * (spans + others) + 4,
        "metrics": 2 * 2 * points,
        "logs": 3,
        "api": 2 * posted,
    }
    assert ledger["stored"] == imported["stored"] + spans + points + 1 + posted
    assert ledger["deduplicated"] == spans + points + posted
    assert ledger["refused"] == {"bad_ids": 1, "bad_time": 1, "too_many_attributes": 1}
    ignored = ledger["ignored"]
    assert ignored["not_a_model_metric"] == 2 * points
    assert ignored["rollup"] == 1
    assert sum(ignored.values()) == 2 * others + 2 * points + 1 + 2
    assert ledger["balanced"] and ledger["in_flight"] == 0


def test_it_is_the_same_wherever_one_looks_and_after_a_restart(up: Up) -> None:
    ledger, page = up.ledger(), up.page()
    assert ledger["balanced"]
    assert totals(ledger) == ledger_of_page(page)
    assert page["tachograph_items_in_flight"] == ledger["in_flight"] == 0
    assert {door: page[f'tachograph_items_accepted_total{{door="{door}"}}'] for door in ledger["accepted"]} == ledger[
        "accepted"
    ]
    assert command("ledger", store=up.store) == ledger
    assert up.stop()[0] == 0
    assert command("ledger", store=up.store) == ledger
    up.start()
    assert up.ledger() == ledger
    again = up.page()
    assert {
        name: (value, again.get(name)) for name, value in counters(page).items() if again.get(name, -1) < value
    } == {}
    assert totals(ledger) == ledger_of_page(again)


def test_after_a_kill_what_is_stored_is_still_in_it(up: Up) -> None:
    """Without a word of warning only what was ignored since the last snapshot is forgotten."""
    before = up.ledger()
    traffic, http = Traffic(4), OverHttp(up.otlp_http)
    requests = [*traffic.wave(), traffic.metrics()]
    assert [http.send(request) for request in requests] == ["taken"] * len(requests)
    stored = up.ledger()["stored"]
    assert stored > before["stored"]
    http.close()
    up.kill()
    assert command("ledger", store=up.store)["stored"] == stored
    up.start()
    after = up.ledger()
    assert after["balanced"] and after["stored"] == stored
    assert sum(after["accepted"].values()) - sum(before["accepted"].values()) == stored - before["stored"]


def assert_refused(up: Up, http: OverHttp) -> None:
    """Spans that are refused, each for a reason of its own, beside one that sums up others; bodies that are none."""
    start = time.time_ns()
    spans = [
        Span(trace_id=b"1" * 15, span_id=b"a" * 8, start_time_unix_nano=start),
        Span(trace_id=b"2" * 16, span_id=b"b" * 8, start_time_unix_nano=7),
        Span(trace_id=b"3" * 16, span_id=b"c" * 8, start_time_unix_nano=start),
        Span(trace_id=b"4" * 16, span_id=b"d" * 8, start_time_unix_nano=start),
    ]
    for span in spans[:3]:
        span.attributes.extend(attributes({"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"}))
    spans[2].attributes.extend(attributes({f"key{number}": number for number in range(2000)}))
    spans[3].attributes.extend(attributes({"gen_ai.operation.name": "invoke_agent"}))
    message = ExportTraceServiceRequest()
    message.resource_spans.add().scope_spans.add().spans.extend(spans)
    body = message.SerializeToString()
    with grpc.insecure_channel(up.otlp_grpc) as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        answer = ExportTraceServiceResponse.FromString(export(body, timeout=30))
    assert answer.partial_success.rejected_spans == 3
    for bad in (body[:-5], b"\x08\x05", b"\xff" * 9):
        assert http.send(Request("traces", bad)).startswith("400 ")
    assert http.send(Request("metrics", b"\xff" * 9)).startswith("400 ")


def logs() -> Request:
    """One record of a call, one that repeats a span's content, one of something else."""
    message = ExportLogsServiceRequest()
    scope = message.resource_logs.add().scope_logs.add()
    scope.scope.name = "com.anthropic.claude_code"
    for name in ("claude_code.api_request", "gen_ai.user.message", "claude_code.tool_result"):
        record = scope.log_records.add(time_unix_nano=time.time_ns(), event_name=name)
        values: dict[str, Any] = {"event.name": name, "model": "claude-sonnet-4-5", "input_tokens": 3}
        record.attributes.extend(attributes(values))
    return Request("logs", message.SerializeToString())


def calls(up: Up) -> int:
    """Calls over the API, twice."""
    lines = [
        json.dumps({"call_id": f"{number:032x}", "started_at": "2026-08-01T00:00:00Z", "model": "gpt-4o-mini"})
        for number in range(1, 6)
    ]
    body = "\n".join(lines).encode()
    assert up.post("/api/v1/calls", body, **{"idempotency-key": "a"})["stored"] == len(lines)
    assert up.post("/api/v1/calls", body, **{"idempotency-key": "b"})["deduplicated"] == len(lines)
    return len(lines)
