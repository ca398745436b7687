"""The API on a socket: with TLS where certificates are told, and ending its streams when it stops.

In: the parts of the API, listening sockets. Out: a server that runs until it is told to stop.
What it must never know: a path, a question.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from tachograph.access import Tls
from tachograph.web.api import application
from tachograph.web.parts import Parts

STOP_SECONDS = 10


class Server(uvicorn.Server):
    """`await serve(sockets=[...])`; `should_exit = True` stops it."""

    def __init__(self, parts: Parts, tls: Tls | None = None) -> None:
        context = tls.context() if tls else None
        super().__init__(
            uvicorn.Config(
                application(parts),
                log_level="warning",
                lifespan="off",
                access_log=False,
                server_header=False,
                proxy_headers=False,  # who asks is who is connected, whatever a header claims
                timeout_graceful_shutdown=STOP_SECONDS,
                ssl_context_factory=(lambda _config, _default: context) if context else None,
            )
        )
        self._live = parts.live

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None of them: other servers run beside this one, and their owner stops them in order."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Streams end first: else the server would wait for readers who never leave."""
        self._live.close()
        await super().shutdown(sockets)
