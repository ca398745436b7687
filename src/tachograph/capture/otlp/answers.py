"""The specification's answers, as messages: what became of a request, for both doors.

In: Taken, or a failure. Out: Export*ServiceResponse and google.rpc.Status.
What it must never know: HTTP, gRPC, what is inside a request.
"""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tachograph.capture.otlp import Taken

_RESPONSES: dict[str, tuple[type[Message], str]] = {
    "traces": (ExportTraceServiceResponse, "rejected_spans"),
    "logs": (ExportLogsServiceResponse, "rejected_log_records"),
    "metrics": (ExportMetricsServiceResponse, "rejected_data_points"),
}


def is_plain(taken: Taken) -> bool:
    """Whether everything was taken and nothing is to be said: the answer is the empty message."""
    return not taken.rejected and not taken.message


def response(signal: str, taken: Taken) -> Message:
    """The answer to a request that was taken, whole or in part."""
    kind, rejected = _RESPONSES[signal]
    if is_plain(taken):
        return kind()
    return kind(partial_success={rejected: taken.rejected, "error_message": taken.message})


def status(code: int, message: str, after_seconds: float | None = None) -> Status:
    """A failure; after_seconds: when the sender may try again, None where it may not."""
    answer = Status(code=code, message=message)
    if after_seconds is not None:
        whole = int(after_seconds)
        delay = Duration(seconds=whole, nanos=int((after_seconds - whole) * 1_000_000_000))
        answer.details.add().Pack(RetryInfo(retry_delay=delay))
    return answer
