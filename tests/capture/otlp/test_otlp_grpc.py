"""The gRPC door over real sockets: every answer of the specification, limits, tokens, senders that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import aio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from tests.capture.otlp.intake import QUICK, RecordingIntake, busy, logs, metrics, opened, run, traces

from tachograph.capture.otlp import Taken
from tachograph.capture.otlp.grpc import SERVICES
from tachograph.capture.otlp.limits import MIB
from tachograph.flow import Refused


async def export(channel: aio.Channel, body: bytes, signal: str = "traces", **how: Any) -> bytes:
    answer: bytes = await channel.unary_unary(f"/{SERVICES[signal]}/Export")(body, timeout=20, **how)
    return answer


async def failure(channel: aio.Channel, body: bytes, **how: Any) -> tuple[grpc.StatusCode, Status]:
    with pytest.raises(aio.AioRpcError) as caught:
        await export(channel, body, **how)
    metadata = dict(caught.value.trailing_metadata() or ())
    return caught.value.code(), Status.FromString(metadata.get("grpc-status-details-bin", b""))


@pytest.mark.parametrize("compression", list(grpc.Compression))
def test_every_signal_is_taken_as_it_is(compression: grpc.Compression) -> None:
    sent = {"traces": traces("a" * 5000), "logs": logs("hello" * 1000), "metrics": metrics("tokens")}

    async def test() -> None:
        async with opened() as doors, aio.insecure_channel(doors.target) as channel:
            for signal, body in sent.items():
                assert await export(channel, body, signal, compression=compression) == b""
            assert doors.intake.batches == [(signal, [body]) for signal, body in sent.items()]
            assert doors.counts == {
                ("otlp_requests_total", "grpc"): 3,
                ("otlp_bytes_total", "grpc"): sum(map(len, sent.values())),
            }

    run(test())


def test_what_was_rejected_is_said() -> None:
    async def test() -> None:
        intake = RecordingIntake(answer=lambda items: Taken(items, 1, "too old"))
        async with opened(intake) as doors, aio.insecure_channel(doors.target) as channel:
            partial = ExportTraceServiceResponse.FromString(await export(channel, traces("a"))).partial_success
            assert (partial.rejected_spans, partial.error_message) == (1, "too old")

    run(test())


def test_what_can_never_be_taken_is_refused_without_a_retry() -> None:
    async def test() -> None:
        async with opened() as doors, aio.insecure_channel(doors.target) as channel:
            code, status = await failure(channel, b"\xff\xff\xff")
            assert (code, status.code, list(status.details)) == (grpc.StatusCode.INVALID_ARGUMENT, 3, [])
            assert status.message.startswith("not OTLP")
            assert doors.counts["otlp_requests_refused_total", "not_otlp"] == 1
            assert doors.running.in_flight() == (0, 0)

    run(test())


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_or_a_bomb_over_the_limit_is_refused(compression: grpc.Compression) -> None:
    limits = dataclasses.replace(QUICK, message_bytes_max=MIB)

    async def test() -> None:
        async with opened(limits=limits) as doors, aio.insecure_channel(doors.target) as channel:
            code, status = await failure(channel, b"\n" * 64 * MIB, compression=compression)
            # RESOURCE_EXHAUSTED without a RetryInfo: OTLP's senders drop it.
            assert (code, list(status.details)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, [])
            assert await export(channel, traces("after")) == b""
            assert sum(n for (name, _), n in doors.counts.items() if name == "otlp_requests_refused_total") == 1

    run(test())


def test_busy_says_when_to_come_again() -> None:
    async def test() -> None:
        async with opened(RecordingIntake(busy(1, 2.5))) as doors, aio.insecure_channel(doors.target) as channel:
            code, status = await failure(channel, traces("a"))
            retry = RetryInfo()
            assert (code, status.code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 8)
            assert status.details[0].Unpack(retry)
            assert retry.retry_delay.ToTimedelta().total_seconds() == 2.5
            assert await export(channel, traces("a")) == b""
            assert doors.intake.span_names() == ["a"]

    run(test())


def test_keys() -> None:
    def gatekeeper(shown: str | None) -> str:
        return {"Bearer right": "ok", "right": "ok", "Bearer reader": "forbidden"}.get(shown or "", "unauthenticated")

    async def test() -> None:
        async with opened(gatekeeper=gatekeeper) as doors, aio.insecure_channel(doors.target) as channel:
            assert (await failure(channel, traces("a")))[0] == grpc.StatusCode.UNAUTHENTICATED
            reader = (("authorization", "Bearer reader"),)
            assert (await failure(channel, traces("a"), metadata=reader))[0] == grpc.StatusCode.PERMISSION_DENIED
            await export(channel, traces("b"), metadata=(("authorization", "Bearer right"),))
            await export(channel, traces("c"), metadata=(("x-tachograph-key", "right"),))
            assert doors.intake.span_names() == ["b", "c"]

    run(test())


def test_memory_and_requests_are_bounded() -> None:
    limits = dataclasses.replace(QUICK, in_flight_bytes_max=150_000, in_flight_requests_max=2)

    async def test() -> None:
        intake = RecordingIntake()
        intake.gate.clear()
        async with opened(intake, limits) as doors, aio.insecure_channel(doors.target) as channel:
            first = asyncio.create_task(export(channel, traces("a", padding=100_000)))
            while not doors.running.in_flight()[1]:
                await asyncio.sleep(0.01)
            code, status = await failure(channel, traces("a", padding=100_000))
            assert (code, len(status.details)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 1)
            second = asyncio.create_task(export(channel, traces("b")))
            while doors.running.in_flight()[0] < 2:
                await asyncio.sleep(0.01)
            assert (await failure(channel, traces("c")))[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
            intake.gate.set()
            assert await asyncio.gather(first, second) == [b"", b""]
            assert doors.running.in_flight() == (0, 0)

    run(test())


def test_a_sender_that_says_nothing_is_cut() -> None:
    limits = dataclasses.replace(QUICK, request_seconds_max=0.2)

    async def test() -> None:
        async with opened(limits=limits) as doors, aio.insecure_channel(doors.target) as channel:
            call = channel.stream_unary(f"/{SERVICES['traces']}/Export")()
            with pytest.raises(aio.AioRpcError) as caught:
                await call
            assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            assert doors.counts["otlp_requests_refused_total", "too_slow"] == 1
            empty = channel.stream_unary(f"/{SERVICES['traces']}/Export")(iter(()))
            with pytest.raises(aio.AioRpcError) as caught:
                await empty
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT

    run(test())


def test_messages_that_are_read_at_once_are_bounded() -> None:
    limits = dataclasses.replace(QUICK, request_seconds_max=0.3, reading_messages_max=1)

    async def test() -> None:
        async with opened(limits=limits) as doors, aio.insecure_channel(doors.target) as channel:
            silent = channel.stream_unary(f"/{SERVICES['traces']}/Export")()
            while not doors.running.in_flight()[0]:
                await asyncio.sleep(0.01)
            answers = await asyncio.gather(export(channel, traces("a")), export(channel, traces("b")))
            assert answers == [b"", b""]  # they waited until the silent one was cut
            with pytest.raises(aio.AioRpcError):
                await silent

    run(test())


def test_connections_are_bounded() -> None:
    limits = dataclasses.replace(QUICK, connections_max=2)
    apart = (("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 100))

    async def test() -> None:
        async with opened(limits=limits) as doors, contextlib.AsyncExitStack() as stack:
            channels = [aio.insecure_channel(doors.target, options=apart) for _ in range(3)]
            one, two, three = [await stack.enter_async_context(channel) for channel in channels]
            assert [await export(channel, traces("a")) for channel in (one, two)] == [b"", b""]
            with pytest.raises(aio.AioRpcError) as caught:
                await export(three, traces("b"))
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE  # which every sender tries again
            await one.close()
            assert await export(three, traces("b"), wait_for_ready=True) == b""

    run(test())


def test_two_hundred_senders_get_their_own_answers() -> None:
    async def test() -> None:
        def answer(items: int) -> Taken | Refused:
            return Refused("odd", f"{items} spans") if items % 2 else Taken(items, items, f"{items} spans")

        async def send(channel: aio.Channel, number: int) -> tuple[bool, str]:
            try:
                got = await export(channel, traces(*["a"] * number))
            except aio.AioRpcError as error:
                return False, str(error.details())
            return True, ExportTraceServiceResponse.FromString(got).partial_success.error_message

        async with opened(RecordingIntake(answer=answer)) as doors, aio.insecure_channel(doors.target) as channel:
            got = await asyncio.gather(*(send(channel, number) for number in range(1, 201)))
            assert got == [(n % 2 == 0, f"{n} spans") for n in range(1, 201)]
            assert doors.running.in_flight() == (0, 0)

    run(test())


def test_a_sender_that_leaves_takes_nobody_along() -> None:
    async def test() -> None:
        intake = RecordingIntake()
        intake.gate.clear()
        async with opened(intake) as doors, aio.insecure_channel(doors.target) as channel:
            first = asyncio.create_task(export(channel, traces("first")))
            while not intake.attempts:
                await asyncio.sleep(0.01)
            leaving = asyncio.create_task(export(channel, traces("leaves")))
            while doors.running.in_flight()[0] < 2:
                await asyncio.sleep(0.01)
            staying = asyncio.create_task(export(channel, traces("stays")))
            while doors.running.in_flight()[0] < 3:
                await asyncio.sleep(0.01)
            leaving.cancel()
            while doors.running.in_flight()[0] > 2:
                await asyncio.sleep(0.01)
            intake.gate.set()
            assert await asyncio.gather(first, staying) == [b"", b""]
            assert intake.span_names() == ["first", "stays"]  # nobody waits for the other, so it is not stored

    run(test())


def test_a_stop_answers_what_is_in_flight() -> None:
    async def test() -> None:
        intake = RecordingIntake(gate=threading.Event())
        intake.gate.clear()
        async with opened(intake) as doors:
            channel = aio.insecure_channel(doors.target)
            sending = asyncio.create_task(export(channel, traces("a")))
            while not intake.attempts:
                await asyncio.sleep(0.01)
            asyncio.get_running_loop().call_later(0.3, intake.gate.set)
        assert await sending == b""
        await channel.close()

    run(test())
