"""The collector that one would write first, to measure against: protobuf in Python, a row for each span, into chDB.

    python -m benchmarks.peers.row_loop 127.0.0.1:4319 FOLDER

Each request is read with the protobuf library, each span becomes a tuple of typed fields in a loop, and the tuples are
inserted through chDB as one synced part before the request is answered. It knows one vocabulary (that of the load), no
price, no deduplication, no roll-up: less than a collector has to do.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import clickhouse_connect
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

FIELDS = {
    "operation": ("gen_ai.operation.name", "LowCardinality(Nullable(String))"),
    "provider": ("gen_ai.provider.name", "LowCardinality(Nullable(String))"),
    "request_model": ("gen_ai.request.model", "LowCardinality(Nullable(String))"),
    "response_model": ("gen_ai.response.model", "LowCardinality(Nullable(String))"),
    "response_id": ("gen_ai.response.id", "Nullable(String)"),
    "input_tokens": ("gen_ai.usage.input_tokens", "Nullable(UInt64)"),
    "output_tokens": ("gen_ai.usage.output_tokens", "Nullable(UInt64)"),
    "cache_read": ("gen_ai.usage.cache_read.input_tokens", "Nullable(UInt64)"),
    "cache_write": ("gen_ai.usage.cache_write.input_tokens", "Nullable(UInt64)"),
    "reasoning": ("gen_ai.usage.reasoning.output_tokens", "Nullable(UInt64)"),
    "max_tokens": ("gen_ai.request.max_tokens", "Nullable(UInt64)"),
    "temperature": ("gen_ai.request.temperature", "Nullable(Float64)"),
    "stream": ("gen_ai.request.stream", "Nullable(Bool)"),
    "first_chunk_seconds": ("gen_ai.response.time_to_first_chunk", "Nullable(Float64)"),
    "server_address": ("server.address", "LowCardinality(Nullable(String))"),
    "error_type": ("error.type", "LowCardinality(Nullable(String))"),
    "prompt_name": ("gen_ai.prompt.name", "LowCardinality(Nullable(String))"),
    "conversation_id": ("gen_ai.conversation.id", "Nullable(String)"),
    "user_id": ("user.id", "Nullable(String)"),
    "team": ("tachograph.team", "LowCardinality(Nullable(String))"),
    "finish_reasons": ("gen_ai.response.finish_reasons", "Array(String)"),
}
KEYS = [key for key, _ in FIELDS.values()][:-1]
COLUMNS = ["trace_id", "span_id", "service", "started_ns", "ended_ns", *FIELDS]
TABLE = f"""CREATE TABLE IF NOT EXISTS loop.spans (trace_id String, span_id String, service LowCardinality(String),
    started_ns UInt64, ended_ns UInt64, {", ".join(f"{name} {kind}" for name, (_, kind) in FIELDS.items())})
    ENGINE = MergeTree ORDER BY (service, started_ns)
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"""


def rows(body: bytes) -> Iterator[tuple[Any, ...]]:
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = {each.key: plain(each.value) for each in resource_spans.resource.attributes}
        service = resource.get("service.name") or ""
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                found = {each.key: plain(each.value) for each in span.attributes}
                yield (
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    service,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    *(found.get(key) for key in KEYS),
                    found.get("gen_ai.response.finish_reasons") or [],
                )


def plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


def server(host: str, port: int, folder: str) -> ThreadingHTTPServer:
    client = clickhouse_connect.get_client(interface="chdb", path=folder)
    for statement in ("CREATE DATABASE IF NOT EXISTS loop ENGINE = Atomic", TABLE):
        client.command(statement)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made = list(rows(body))
            with lock:
                client.insert("spans", made, COLUMNS, database="loop")
            self._answer(b"", "application/x-protobuf")

        def do_GET(self) -> None:
            with lock:
                stored = client.query("SELECT count() FROM loop.spans").result_rows[0][0]
            self._answer(json.dumps({"stored": stored}).encode(), "application/json")

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_told: Any) -> None:
            """Nothing: a line for each request would be work that no collector needs."""

    return ThreadingHTTPServer((host, port), Handler)


if __name__ == "__main__":
    address, _, at_port = sys.argv[1].rpartition(":")
    server(address, int(at_port), sys.argv[2]).serve_forever()
