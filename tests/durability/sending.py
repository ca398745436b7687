"""Senders that behave as exporters do: the same body again until it is acknowledged.

In: requests. Out: which were acknowledged, how often a sender was told to come again, what is under way right now.
"""

from __future__ import annotations

import collections
import http.client
import random
import threading
import time
from dataclasses import dataclass, field

import grpc
from tests.durability.process import Up
from tests.durability.traffic import Request

SECONDS_MAX = 30.0
_SERVICE = "/opentelemetry.proto.collector.{}.v1.{}Service/Export"


@dataclass
class Senders:
    """Threads that send what is queued. again: the share of acknowledged requests that is sent once more.

    open: cleared while nobody answers. busy: answers that said later; every one of them must say when.
    """

    up: Up
    seed: int = 0
    again: float = 0.05
    queue: collections.deque[Request] = field(default_factory=collections.deque)
    open: threading.Event = field(default_factory=threading.Event)
    sent: threading.Event = field(default_factory=threading.Event)
    acknowledged: list[Request] = field(default_factory=list)
    busy: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)
    under_way: int = 0
    retry_seconds_max: float = 0.3
    _stopping: bool = False
    _abandoned: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, over_http: int = 4, over_grpc: int = 2) -> None:
        self._threads = [
            threading.Thread(target=self._run, args=(number, number >= over_http))
            for number in range(over_http + over_grpc)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let the threads end once the queue is empty."""
        self._stopping = True
        self.open.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def abandon(self) -> None:
        """End the threads, whatever is left."""
        self._abandoned = True
        self.queue.clear()
        self.stop()

    def _run(self, number: int, over_grpc: bool) -> None:
        chance = random.Random(self.seed * 100 + number)
        wire = OverGrpc(self.up.otlp_grpc) if over_grpc else OverHttp(self.up.otlp_http)
        while not (self._stopping and not self.queue):
            try:
                request = self.queue.popleft()
            except IndexError:
                time.sleep(0.005)
                continue
            if self._deliver(wire, request) and chance.random() < self.again:
                self._deliver(wire, request)  # its answer was lost on the way, for all that the sender knows
        wire.close()

    def _deliver(self, wire: OverHttp | OverGrpc, request: Request) -> bool:
        while not self.wrong and not self._abandoned:
            self.open.wait()
            with self._lock:
                self.under_way += 1
            self.sent.set()
            try:
                answer = wire.send(request)
            finally:
                with self._lock:
                    self.under_way -= 1
            if self._judged(answer, request):
                return True
        return False

    def _judged(self, answer: str, request: Request) -> bool:
        with self._lock:
            if answer == "taken":
                self.acknowledged.append(request)
                return True
            if answer == "busy":
                self.busy += 1
            elif answer == "lost":
                self.lost += 1
            else:
                self.wrong.append(answer)
        time.sleep(self.retry_seconds_max * random.random())
        return False


class OverHttp:
    """One connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS_MAX)

    def send(self, request: Request) -> str:
        """taken, busy, lost, or what was wrong."""
        headers = {"content-type": "application/x-protobuf"} | ({"content-encoding": "gzip"} if request.zipped else {})
        try:
            self._connection.request("POST", f"/v1/{request.signal}", request.travelling(), headers)
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return "lost"
        if answer.status == 503 and answer.headers["retry-after"]:
            return "busy"
        return "taken" if answer.status == 200 and not body else f"{answer.status} {body!r}"

    def close(self) -> None:
        self._connection.close()


class OverGrpc:
    """One channel; another one once it is broken, as a broken one waits long before it tries again."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._channel = grpc.insecure_channel(target)

    def send(self, request: Request) -> str:
        """taken, busy, lost, or what was wrong."""
        service = {"traces": "trace"}.get(request.signal, request.signal)
        export = self._channel.unary_unary(_SERVICE.format(service, service.capitalize()))
        zipped = grpc.Compression.Gzip if request.zipped else grpc.Compression.NoCompression
        try:
            body = export(request.body, timeout=SECONDS_MAX, compression=zipped)
        except grpc.RpcError as error:
            return self._failure(error)
        return "taken" if not body else f"grpc {body!r}"

    def _failure(self, error: grpc.RpcError) -> str:
        if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
            details = dict(error.trailing_metadata()).get("grpc-status-details-bin", b"")
            return "busy" if b"RetryInfo" in details else f"no RetryInfo: {error.details()}"
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            self._channel.close()
            self._channel = grpc.insecure_channel(self._target)
            return "lost"
        return f"grpc {error.code()} {error.details()}"

    def close(self) -> None:
        self._channel.close()
