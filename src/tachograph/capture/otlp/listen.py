"""The sockets of the OTLP doors: opened with one line for what goes wrong, closed when nothing is in flight any more.

In: addresses, certificate files, an application, gRPC handlers. Out: running servers with their ports.
What it must never know: what a request is for.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import uvicorn
from grpc import aio
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tachograph.access import Tls
from tachograph.capture.otlp.limits import DoorLimits
from tachograph.flow import Refused

BUSY_SECONDS = 1
RECEIVED_BYTES_MAX = 240 * 1024  # at once: for pieces that are larger the C library would map memory anew each time
_ANOTHER = "choose another address"
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: %d\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    % BUSY_SECONDS
)
GRACE_SECONDS = 1.0  # so much later than the door's own limit, which answers, a connection is cut without an answer


def split(address: str) -> tuple[str, int]:
    """The host and the port of `host:port` or `[host]:port`. Refused where it is none."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise Refused("address", f"{address!r} is not host:port: give one such as 127.0.0.1:4318")
    return host.strip("[]"), int(port)


class Connection(HttpToolsProtocol, asyncio.BufferedProtocol):
    """One connection of the HTTP door: one too many is told to come again, one too slow or idle is cut.

    room: where all connections of a door receive, as what came is taken up at once. A piece of a body is copied out of
    there once, where it was copied four times and the sender was stopped after each.
    """

    def __init__(self, *arguments: Any, limits: DoorLimits, room: memoryview, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._limits, self._room = limits, room
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody has come."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections_max:
            transport.write(_FULL)
            transport.close()
        self._start_deadline()

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Where to receive."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """A piece of a request: the clock runs from its first byte to its last."""
        if self._deadline is None:
            self._start_deadline()
        self.data_received(self._room[:nbytes])  # type: ignore[arg-type]

    def on_body(self, body: bytes) -> None:
        """A piece of a body. The application takes it before the next one comes; else the sender has to wait."""
        cycle = self.cycle
        if cycle.response_complete:
            return
        if cycle.body:
            cycle.body += body
            self.flow.pause_reading()
        else:
            cycle.body = body  # type: ignore[assignment]
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """A request is here."""
        self._stop_deadline()
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._stop_deadline()
        super().connection_lost(exc)

    def _start_deadline(self) -> None:
        self._deadline = self.loop.call_later(self._limits.request_seconds_max + GRACE_SECONDS, self._expired)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expired(self) -> None:
        self._deadline = None
        if self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
            self.transport.close()
        else:  # the next request has begun before this one is answered
            self._start_deadline()


class _Server(uvicorn.Server):
    """A server beside others: signals are their owner's."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None of them."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        self.up.set()


@contextlib.asynccontextmanager
async def http(address: str, tls: Tls | None, limits: DoorLimits, application: Any) -> AsyncIterator[int]:
    """The port on which `application` is served for as long as the block. Refused where it cannot be."""
    config = uvicorn.Config(
        application,
        http=functools.partial(Connection, limits=limits, room=memoryview(bytearray(RECEIVED_BYTES_MAX))),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=math.ceil(limits.idle_seconds_max),
        timeout_graceful_shutdown=math.ceil(limits.stop_seconds_max),
        ssl_context_factory=None if tls is None else lambda _config, _default: tls.context(),
    )
    with door_socket(*split(address)) as door:
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[door]))
        up = asyncio.create_task(server.up.wait())
        await asyncio.wait({task, up}, return_when=asyncio.FIRST_COMPLETED)
        try:
            if not server.up.is_set():
                await task
            yield int(door.getsockname()[1])
        finally:
            server.should_exit = True
            up.cancel()
            await task


@contextlib.contextmanager
def door_socket(host: str, port: int, remedy: str = _ANOTHER) -> Iterator[socket.socket]:
    """A socket of that address, for a door or for the API. Refused, in one line, where somebody else has the port."""
    door = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Inherited by every connection: an answer in two pieces would wait 40 ms for the client to acknowledge the first.
    door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with door:
        try:
            door.bind((host, port))
        except OSError as error:
            raise _taken(host, port, error.strerror, remedy) from error
        yield door


def _taken(host: str, port: int, why: str | None, remedy: str = _ANOTHER) -> Refused:
    return Refused("port", f"{host}:{port}: {why or 'cannot be opened'}: {remedy}")


@contextlib.asynccontextmanager
async def rpc(
    address: str, tls: Tls | None, limits: DoorLimits, options: Any, handlers: tuple[grpc.GenericRpcHandler, ...]
) -> AsyncIterator[int]:
    """The port on which `handlers` are served for as long as the block. Refused where it cannot be."""
    host, port = split(address)
    with door_socket(host, port):
        pass  # says why it cannot be had, which the library does not
    server = aio.server(options=options)
    server.add_generic_rpc_handlers(handlers)
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        bound = server.add_insecure_port(where) if tls is None else server.add_secure_port(where, _credentials(tls))
    except RuntimeError as error:
        raise _taken(host, port, None) from error
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(limits.stop_seconds_max)


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    tls.context()  # says what is wrong with the files, which the library does not
    authorities = tls.client_ca.read_bytes() if tls.client_ca else None
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    return grpc.ssl_server_credentials([pair], authorities, authorities is not None)
