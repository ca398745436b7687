"""Both OTLP doors over one intake.

In: addresses, certificates, limits; an Intake, gatekeepers, a counter. Out: what runs for as long as the block.
At the end the doors close first, then what is in flight is stored and answered, then the rest ends.
What it must never know: how a body is stored, how keys are kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tachograph.access import Tls
from tachograph.capture.otlp import Intake, listen
from tachograph.capture.otlp.gate import Count, Gatekeeper
from tachograph.capture.otlp.gather import Gatherer
from tachograph.capture.otlp.grpc import GrpcDoor, options
from tachograph.capture.otlp.http import HttpDoor
from tachograph.capture.otlp.limits import DoorLimits


@dataclass(frozen=True, slots=True)
class DoorSettings:
    """http, grpc: `host:port`, port 0 for any free one; empty: that door stays shut. tls: None for plain text."""

    http: str = "127.0.0.1:4318"
    grpc: str = "127.0.0.1:4317"
    tls: Tls | None = None
    limits: DoorLimits = field(default_factory=DoorLimits)


@dataclass(frozen=True, slots=True)
class Running:
    """Open doors. http_port, grpc_port: 0 where that door is shut. in_flight: (requests, bytes) not yet answered;
    lag_seconds: since when the oldest of them is here.
    """

    http_port: int
    grpc_port: int
    in_flight: Callable[[], tuple[int, int]]
    lag_seconds: Callable[[], float]


@contextlib.asynccontextmanager
async def doors(
    settings: DoorSettings, intake: Intake, gatekeeper_of: Callable[[str], Gatekeeper], count: Count
) -> AsyncIterator[Running]:
    """Open for as long as the block. Refused or SettingsError, in one line, where a door cannot be opened.

    gatekeeper_of: told the host that a door listens on; who may come in may depend on it.
    """
    limits = settings.limits
    async with contextlib.AsyncExitStack() as stack:
        reading = stack.enter_context(ThreadPoolExecutor(1, "otlp-read"))
        gatherer = await stack.enter_async_context(Gatherer(intake, limits))
        ports = {"http": 0, "grpc": 0}
        if settings.http:
            door = HttpDoor(gatherer, gatekeeper_of(listen.split(settings.http)[0]), count, limits, reading)
            opened = listen.http(settings.http, settings.tls, limits, door)
            ports["http"] = await stack.enter_async_context(opened)
        if settings.grpc:
            rpc = GrpcDoor(gatherer, gatekeeper_of(listen.split(settings.grpc)[0]), count, limits)
            opened = listen.rpc(settings.grpc, settings.tls, limits, options(limits), rpc.handlers())
            ports["grpc"] = await stack.enter_async_context(opened)
        yield Running(ports["http"], ports["grpc"], gatherer.in_flight, gatherer.lag_seconds)
