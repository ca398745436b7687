"""The OTLP/gRPC door: Export of the trace, logs and metrics services.

In: gRPC. Out: the specification's answers: the response message once everything is durable, INVALID_ARGUMENT for what
can never be taken, RESOURCE_EXHAUSTED with a RetryInfo where the sender shall come again.
What it must never know: HTTP, how a body is stored, what is inside it.
Why calls of a stream kind: a sender is judged, and told to come again, before its message is read into memory; on the
wire a stream of one message is the same as a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc

from tachograph.capture.otlp import answers, gate
from tachograph.capture.otlp.gather import Gatherer
from tachograph.capture.otlp.limits import DoorLimits
from tachograph.flow import Busy, Refused

SERVICES = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
}
# What is not INVALID_ARGUMENT, by the reason of the refusal.
CODES = {
    "unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
    "forbidden": grpc.StatusCode.PERMISSION_DENIED,
    "too_slow": grpc.StatusCode.DEADLINE_EXCEEDED,
}
RETRY_SECONDS_MIN = 0.1  # a retry at once would find us as busy as we are

Context = Any  # grpc.aio.ServicerContext, whose parameters its own stubs leave open


def options(limits: DoorLimits) -> list[tuple[str, int]]:
    """What the server is told. Decompression is bounded by the library, at the same size as the message."""
    return [
        ("grpc.max_receive_message_length", limits.message_bytes_max),
        ("grpc.max_allowed_incoming_connections", limits.connections_max),  # one more is closed: a client tries again
        ("grpc.so_reuseport", 0),  # a second process on our port shall be refused, not share it
        ("grpc.max_connection_idle_ms", int(limits.idle_seconds_max * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5000),
    ]


class GrpcDoor:
    """The three services."""

    def __init__(self, gatherer: Gatherer, gatekeeper: gate.Gatekeeper, count: gate.Count, limits: DoorLimits) -> None:
        self._gatherer, self._gatekeeper, self._count, self._limits = gatherer, gatekeeper, count, limits
        self._reading = asyncio.Semaphore(limits.reading_messages_max)

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """What a grpc.aio server is told to answer with; bytes in, bytes out."""
        return tuple(
            grpc.method_handlers_generic_handler(
                service, {"Export": grpc.stream_unary_rpc_method_handler(self._export(signal))}
            )
            for signal, service in SERVICES.items()
        )

    def _export(self, signal: str) -> Callable[[Any, Context], Awaitable[bytes]]:
        async def export(_messages: Any, context: Context) -> bytes:
            self._count(gate.REQUESTS, 1, "grpc")
            try:
                return await self._taken(signal, context)
            except Refused as refused:
                self._count(gate.REFUSED, 1, refused.reason)
                code = CODES.get(refused.reason, grpc.StatusCode.INVALID_ARGUMENT)
                await _abort(context, code, str(refused), None)
            except Busy as busy:
                self._count(gate.REFUSED, 1, "busy")
                after_seconds = max(RETRY_SECONDS_MIN, busy.after_seconds)
                await _abort(context, grpc.StatusCode.RESOURCE_EXHAUSTED, str(busy), after_seconds)

        return export

    async def _taken(self, signal: str, context: Context) -> bytes:
        metadata = dict(context.invocation_metadata() or ())
        verdict = self._gatekeeper(gate.shown(metadata.get("authorization"), metadata.get("x-tachograph-key")))
        if verdict != "ok":
            raise Refused(verdict, gate.FORBIDDEN if verdict == "forbidden" else gate.UNAUTHENTICATED)
        with self._gatherer.held.request() as held:
            body = await self._received(context)
            held.resize(len(body))
            self._count(gate.BYTES, len(body), "grpc")
            taken = await self._gatherer.submit(signal, body)
            return bytes(answers.response(signal, taken).SerializeToString())

    async def _received(self, context: Context) -> bytes:
        try:
            async with asyncio.timeout(self._limits.request_seconds_max), self._reading:
                body = await context.read()
        except TimeoutError as error:
            seconds = self._limits.request_seconds_max
            if self._reading.locked():  # it may be the others who are slow
                raise Busy(f"{self._limits.reading_messages_max} messages are being read: try again later") from error
            raise Refused("too_slow", f"no message arrived within {seconds:g} s: send smaller batches") from error
        if not isinstance(body, bytes):
            # The library has told a sender whose message was too large, or damaged, already.
            raise Refused("no_message", "no message that could be read: send one Export request")
        return body


async def _abort(context: Context, code: grpc.StatusCode, message: str, after_seconds: float | None) -> NoReturn:
    details = answers.status(code.value[0], message, after_seconds)
    context.set_trailing_metadata((("grpc-status-details-bin", details.SerializeToString()),))
    await context.abort(code, message)
    raise AssertionError("abort returned")
