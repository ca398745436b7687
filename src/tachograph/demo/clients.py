"""The applications of the day, as a process of their own: those with the SDK, or all others.

In: `Place` as JSON in the first argument; when the day begins, in seconds since 1970, on the standard input. Out:
`ready` on the standard output, then calls to the simulated provider and to the gateway, and spans to the OTLP doors.
What it must never know: what comes of a request; that is the provider's.

    python -m tachograph.demo.clients '{"instrumented": true, ...}'
"""

from __future__ import annotations

import json
import queue
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import httpx

import tachograph
from tachograph.capture.words import HEADER_OF
from tachograph.demo.spans import Doors, Met, told
from tachograph.testing.day import ATTEMPTS_MAX, Request, requests
from tachograph.testing.day_asking import attribution, spelled, usage

THREADS = 160
ANSWER_SECONDS_MAX = 30.0
RETRY_SECONDS = 0.2
LEAVE_PIECES = 6
SPANS_SECONDS = 1.0
FLUSH_SECONDS = 20.0
# provider -> where it is below the simulated provider's address, and below the gateway's
_BELOW = {"mistral_ai": "/mistral", "groq": "/groq/openai"}
_PREFIXES = {"openai": "/openai", "anthropic": "/anthropic", "vllm": "/vllm", "groq": "/groq/openai"}
_HTTPX_LIMITS = httpx.Limits(max_connections=THREADS, max_keepalive_connections=THREADS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where everything is, and which part of the day is played. providers: provider -> address. gateway: "" for none.

    hour_seconds: how long an hour of the day takes.
    """

    instrumented: bool
    calls: int
    seed: int
    hour_seconds: float
    providers: Mapping[str, str]
    gateway: str
    otlp_http: str
    otlp_grpc: str

    def to_json(self) -> str:
        """As the first argument."""
        return json.dumps(asdict(self))

    def door(self, request: Request) -> str:
        """By which door a request comes; without a gateway its part comes through the SDK."""
        wanted = request.traffic.door
        return "sdk" if wanted in ("gateway", "both") and not self.gateway else wanted

    def mine(self, request: Request) -> bool:
        """Whether this process makes it."""
        return (self.door(request) in ("sdk", "both")) is self.instrumented

    def address(self, request: Request) -> str:
        """What its client is told as the base of the URL."""
        provider = request.model.provider
        if self.door(request) in ("gateway", "both"):
            return self.gateway + _PREFIXES[provider]
        return self.providers[provider] + _BELOW.get(provider, "")


class Clients:
    """Everybody who asks. Each request is made in a thread; told spans leave in batches."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._http = httpx.Client(timeout=ANSWER_SECONDS_MAX, trust_env=False, limits=_HTTPX_LIMITS)
        self._doors = Doors(place.otlp_http, place.otlp_grpc)
        self._spans: queue.Queue[tuple[Request, Met] | None] = queue.Queue()
        self._sending = threading.Thread(target=self._send, daemon=True)

    def play(self, began: float) -> None:
        """The whole day, from the moment when it begins."""
        self._sending.start()
        place = self._place
        with ThreadPoolExecutor(THREADS) as pool:
            made = []
            for request in filter(place.mine, requests(place.calls, place.seed)):
                time.sleep(max(0.0, began + request.hour * place.hour_seconds - time.time()))
                made.append(pool.submit(self._make, request))
        for each in made:
            each.result()
        self._spans.put(None)
        self._sending.join()
        self._http.close()
        self._doors.close()

    def _make(self, request: Request) -> None:
        with self._asker(request) as headers:
            for attempt in range(ATTEMPTS_MAX):
                met = self._attempt(request, attempt, headers)
                if request.traffic.door in ("otel", "openinference"):
                    self._spans.put((request, met))
                if met.status not in (429, 500, 503, 529):
                    return
                time.sleep(RETRY_SECONDS * (attempt + 1))

    @contextmanager
    def _asker(self, request: Request) -> Iterator[dict[str, str]]:
        """Who asks, as each door is told: by context, by headers, or by the spans themselves."""
        who, door = attribution(request), self._place.door(request)
        headers = {HEADER_OF[word]: value for word, value in who.items()} if door in ("gateway", "both") else {}
        if door in ("sdk", "both"):
            with tachograph.context(tags=None, **who):
                yield headers
        else:
            yield headers

    def _attempt(self, request: Request, attempt: int, headers: Mapping[str, str]) -> Met:
        out = spelled(request, attempt)
        url = self._place.address(request) + out.path
        began = time.time_ns()
        first: int | None = None
        pieces: list[bytes] = []
        with self._http.stream("POST", url, json=dict(out.body), headers={**out.headers, **headers}) as answer:
            try:
                for piece in answer.iter_raw():
                    first = first or time.time_ns()
                    pieces.append(piece)
                    if request.leaves and len(pieces) >= LEAVE_PIECES:
                        break
            except httpx.TransportError:
                pass  # a stream that broke off: whoever watches has seen it
        known = usage(pieces) if answer.status_code == 200 else None
        return Met(began_ns=began, ended_ns=time.time_ns(), first_ns=first, status=answer.status_code, usage=known)

    def _send(self) -> None:
        ended = False
        while not ended:
            time.sleep(SPANS_SECONDS)
            waiting: dict[str, list[Any]] = {}
            while not self._spans.empty():
                item = self._spans.get()
                if item is None:
                    ended = True
                else:
                    waiting.setdefault(item[0].traffic.door, []).append(told(*item))
            for vocabulary, spans in waiting.items():
                self._doors.send(vocabulary, spans)


def main() -> None:
    """Make the calls of one part of the day."""
    place = Place(**json.loads(sys.argv[1]))
    if place.instrumented:
        hosts = {url.removeprefix("http://"): provider for provider, url in place.providers.items()}
        if place.gateway:
            hosts[place.gateway.removeprefix("http://")] = "openai"
        tachograph.instrument(collector=place.otlp_http, hosts=hosts, include_usage=True)
    requests(place.calls, place.seed)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    line = sys.stdin.readline()
    if line:
        Clients(place).play(float(line))
        tachograph.flush(FLUSH_SECONDS)


if __name__ == "__main__":
    main()
