"""The receiving end of a golden recording: an OTLP/HTTP server that keeps bodies, case by case.

In: `POST .../v1/{traces,logs,metrics}` (protobuf or JSON, plain or gzip), and from the recording script
`POST /case/<name>` before a case and `POST /case` after it. Out: `cases`: what arrived for each, and what the simulated
provider really served meanwhile.
What it must never know: what an attribute means.
"""

from __future__ import annotations

import gzip
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tachograph.testing.provider import Provider, Served, request_body

SIGNALS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}


@dataclass
class Case:
    """One case: the messages of each signal, and the truth."""

    name: str
    messages: dict[str, list[Any]] = field(default_factory=lambda: {signal: [] for signal in SIGNALS})
    served: list[Served] = field(default_factory=list)


class Recorder:
    """The server; it knows the provider, to write down what each case really was."""

    def __init__(self, provider: Provider) -> None:
        self.cases: list[Case] = [Case("")]
        self._provider = provider
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def begin(self, name: str) -> None:
        self._provider.reset()
        self.cases.append(Case(name))

    def end(self) -> None:
        self.cases[-1].served = list(self._provider.served)
        self.cases.append(Case(""))

    def take(self, signal: str, body: bytes, kind: str) -> None:
        message = SIGNALS[signal]()
        if "json" in kind:
            Parse(body, message, ignore_unknown_fields=True)
        else:
            message.ParseFromString(body)
        self.cases[-1].messages[signal].append(message)

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(recorder: Recorder) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = request_body(self)
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            parts = self.path.strip("/").split("/")
            if parts[0] == "case":
                recorder.begin(parts[1]) if len(parts) > 1 else recorder.end()
            elif parts[-1] in SIGNALS:
                recorder.take(parts[-1], body, self.headers.get("content-type", ""))
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            self.send_response(200)
            self.send_header("content-type", self.headers.get("content-type") or "application/x-protobuf")
            empty = b"{}" if "json" in self.headers.get("content-type", "") else b""
            self.send_header("content-length", str(len(empty)))
            self.end_headers()
            self.wfile.write(empty)

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler
