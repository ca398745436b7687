"""Load for a collector of OTLP over HTTP: requests of 500 GenAI client spans with 20 attributes each.

    python -m benchmarks.collector_load http://127.0.0.1:4318/v1/traces --seconds 20 --connections 32

In: an address, how long, over how many connections. Out: one line of JSON: what was acknowledged, and how fast.
Each request is built once in protobuf; before it is sent again its ids and times are written over in place, so that no
two requests are equal, nothing deduplicates, and making the load costs a fraction of a millisecond for 500 spans.
The shape of the traffic: one service a connection, half of the spans single calls, half agent runs of three calls to a
trace below a span of the application that is not sent; 40 % streamed, 3 % failed, a third with cached tokens.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

SPANS = 500
ATTRIBUTES = 20
STREAMED, FAILED, CACHED = 0.4, 0.03, 0.33
SCOPE = "opentelemetry.instrumentation.genai.{}"
SEND_SECONDS_MAX, IDLE_SECONDS_MAX = 60.0, 2.0
LOST_IN_A_ROW_MAX = 5

# provider, library, requested model, answering model, address
MODELS = (
    ("openai", "openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", "api.openai.com"),
    ("openai", "openai", "gpt-4.1", "gpt-4.1-2025-04-14", "api.openai.com"),
    ("openai", "openai", "gpt-5-mini", "gpt-5-mini-2025-08-07", "api.openai.com"),
    ("openai", "openai", "gpt-5.1", "gpt-5.1-2025-11-13", "api.openai.com"),
    ("azure.ai.openai", "openai", "gpt-4o", "gpt-4o-2024-11-20", "contoso.openai.azure.com"),
    ("anthropic", "anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "api.anthropic.com"),
    ("anthropic", "anthropic", "claude-haiku-4-5", "claude-haiku-4-5-20251001", "api.anthropic.com"),
    (
        "aws.bedrock",
        "bedrock",
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "bedrock-runtime.eu-west-1.amazonaws.com",
    ),
    ("gcp.gemini", "google_genai", "gemini-2.5-flash", "gemini-2.5-flash", "generativelanguage.googleapis.com"),
    ("gcp.vertex_ai", "google_genai", "gemini-2.5-pro", "gemini-2.5-pro", "aiplatform.googleapis.com"),
    ("mistral_ai", "mistral", "mistral-large-2512", "mistral-large-2512", "api.mistral.ai"),
    ("deepseek", "openai", "deepseek-chat", "deepseek-chat", "api.deepseek.com"),
)
REGIONS = ("eu-west-1", "us-east-1")

# What is written over before each send, as it stands in the prebuilt bytes: a letter, then the number of its holder.
WIDTHS = {"T": 16, "S": 8, "P": 8, "B": 8, "E": 8, "R": 24, "C": 12}
LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", np.uint8)


def mark(letter: str, number: int) -> bytes:
    return b"@%s%0*d" % (letter.encode(), WIDTHS[letter] - 2, number)


class Bodies:
    """One service's requests, each unlike every other. `user` names one end user for all spans of all of them."""

    def __init__(self, seed: int, user: str | None = None) -> None:
        chance = random.Random(seed)
        built = request(chance, seed, user).SerializeToString()
        self._bytes = np.frombuffer(bytearray(built), np.uint8)
        self._random = np.random.default_rng()
        self._places = {letter: places(built, letter) for letter in WIDTHS}
        durations = [int(1e6 * chance.lognormvariate(7.2, 0.8)) for _ in range(SPANS)]
        self._durations_ns = np.array(durations, np.int64)

    def next(self) -> memoryview:
        """The bytes of the next request; valid until the next one is asked for."""
        for letter in ("T", "S", "P"):
            self._write(letter, lambda count, width: self._random.integers(0, 256, (count, width), np.uint8))
        for letter in ("R", "C"):
            self._write(letter, lambda count, width: LETTERS[self._random.integers(0, 64, (count, width), np.uint8)])
        ends = time.time_ns() - self._random.integers(0, 10**9, SPANS)
        self._write("B", lambda _count, _width: (ends - self._durations_ns).view(np.uint8).reshape(-1, 8))
        self._write("E", lambda _count, _width: ends.view(np.uint8).reshape(-1, 8))
        return self._bytes.data

    def _write(self, letter: str, made: Any) -> None:
        """New values for every holder of that letter, at each place where the holder stands."""
        index, holders, count = self._places[letter]
        self._bytes[index] = made(count, WIDTHS[letter])[holders]


def places(built: bytes, letter: str) -> tuple[Any, Any, int]:
    """(where each byte of each mark is, whose mark it is, how many there are to make)."""
    width = WIDTHS[letter]
    found = [(m.start(), int(m[1])) for m in re.finditer(rb"@%s(\d{%d})" % (letter.encode(), width - 2), built)]
    starts = np.array([start for start, _ in found], np.int64)
    holders = np.array([holder for _, holder in found], np.int64)
    return starts[:, None] + np.arange(width), holders, int(holders.max()) + 1


def request(chance: random.Random, seed: int, user: str | None) -> ExportTraceServiceRequest:
    """A request of SPANS spans with marks in the place of what differs from one send to the next."""
    scopes: dict[str, list[Span]] = {}
    for number in range(SPANS):
        library, span = one_span(chance, number, user)
        scopes.setdefault(library, []).append(span)
    resource = {
        "service.name": f"service-{seed % 40}",
        "service.version": "4.2.0",
        "deployment.environment.name": "staging" if seed % 7 == 0 else "production",
        "cloud.region": REGIONS[seed % 2],
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": "1.45.2",
    }
    groups = []
    for library, spans in scopes.items():
        group = ScopeSpans(spans=spans)
        group.scope.name, group.scope.version = SCOPE.format(library), "1.3b0"
        groups.append(group)
    one = ResourceSpans(resource=Resource(attributes=[*attributes(resource)]), scope_spans=groups)
    return ExportTraceServiceRequest(resource_spans=[one])


def one_span(chance: random.Random, number: int, user: str | None) -> tuple[str, Span]:
    """(the library that recorded it, the span)."""
    provider, library, model, answered, address = MODELS[min(int(chance.expovariate(0.3)), len(MODELS) - 1)]
    operation = "generate_content" if provider.startswith("gcp") else "chat"
    person = int(200_000 ** chance.random())
    run = number if number % 2 else SPANS + number // 6  # even spans: agent runs of three
    values: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": model,
        "gen_ai.request.max_tokens": chance.choice((512, 1024, 4096, 8192)),
        "gen_ai.request.temperature": chance.choice((0.0, 0.2, 0.7, 1.0)),
        "gen_ai.request.top_p": 0.95,
        "gen_ai.prompt.name": f"prompt-{person % 300}",
        "gen_ai.conversation.id": "conv-" + mark("C", run).decode(),
        "server.address": address,
        "server.port": 443,
        "user.id": user or f"user-{person}",
        "tachograph.team": f"team-{person % 50}",
    }
    failed = chance.random() < FAILED
    values |= failure(chance) if failed else answer(chance, number, answered, provider)
    assert len(values) == ATTRIBUTES
    span = Span(
        trace_id=mark("T", run),
        span_id=mark("S", number),
        parent_span_id=b"" if number % 2 else mark("P", run),
        name=f"{operation} {model}",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=int.from_bytes(mark("B", number), "little"),
        end_time_unix_nano=int.from_bytes(mark("E", number), "little"),
        attributes=[*attributes(values)],
        status=Status(code=Status.STATUS_CODE_ERROR if failed else Status.STATUS_CODE_UNSET),
        flags=0x101,
    )
    return library, span


def failure(chance: random.Random) -> dict[str, Any]:
    """What a span of a call that failed says beside the request."""
    return {
        "error.type": chance.choice(("429", "500", "APITimeoutError", "RateLimitError")),
        "gen_ai.request.seed": 7,
        "gen_ai.request.frequency_penalty": 0.1,
        "gen_ai.request.presence_penalty": 0.1,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.top_k": 40,
        "gen_ai.request.stop_sequences": ["END"],
        "gen_ai.output.type": "text",
    }


def answer(chance: random.Random, number: int, answered: str, provider: str) -> dict[str, Any]:
    """What a span of a call that was answered says beside the request: usage, and of a stream its first chunk."""
    tokens = min(20 + int(chance.lognormvariate(6.5, 1.5)), 150_000)
    output = min(1 + int(chance.lognormvariate(5.0, 1.1)), 8_000)
    cached = tokens * 4 // 5 // 128 * 128 if chance.random() < CACHED else 0
    values: dict[str, Any] = {
        "gen_ai.response.model": answered,
        "gen_ai.response.id": "chatcmpl-" + mark("R", number).decode(),
        "gen_ai.response.finish_reasons": [chance.choice(("stop", "stop", "stop", "tool_calls", "length"))],
        "gen_ai.usage.input_tokens": tokens,
        "gen_ai.usage.output_tokens": output,
        "gen_ai.usage.cache_read.input_tokens": cached,
    }
    if chance.random() < STREAMED:
        first = round(0.15 + chance.lognormvariate(-1.2, 0.6), 6)
        return values | {"gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": first}
    if provider == "anthropic":  # generation 2 said cache_creation, generation 3 says cache_write
        written = "cache_creation" if number % 2 else "cache_write"
        return values | {f"gen_ai.usage.{written}.input_tokens": (tokens - cached) // 2, "gen_ai.output.type": "text"}
    return values | {"gen_ai.usage.reasoning.output_tokens": output // 3, "gen_ai.output.type": "text"}


def attributes(values: dict[str, Any]) -> Iterator[KeyValue]:
    for key, value in values.items():
        yield KeyValue(key=key, value=any_value(value))


def any_value(value: Any) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, list):
        return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))
    return AnyValue(string_value=value)


class Sender:
    """One connection that is kept. `send` answers (status, seconds to wait before the next try)."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        parts = urlsplit(url)
        self._path = parts.path
        self._headers = {"content-type": "application/x-protobuf", **headers}
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SEND_SECONDS_MAX)
        self._used = time.monotonic()

    def send(self, body: memoryview) -> tuple[int, float]:
        """Send one request and read its answer."""
        if time.monotonic() > self._used + IDLE_SECONDS_MAX:
            self._connection.close()  # by now its other end may have closed it; the next request opens a new one
        headers = {**self._headers, "content-length": str(len(body))}
        self._connection.request("POST", self._path, body, headers)
        response = self._connection.getresponse()
        response.read()
        self._used = time.monotonic()
        return response.status, float(response.headers.get("retry-after") or 0.2)

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


@dataclass
class Load:
    """What one run of the generator saw. busy: answers that said later; lost: connections without an answer.

    latencies_ms: from the first byte sent to the acknowledgement.
    """

    url: str
    headers: dict[str, str]
    until: float
    spans_per_second_max: float
    acknowledged: int = 0
    busy: int = 0
    lost: int = 0
    errors: list[str] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def connection(self, seed: int, connections: int) -> None:
        """Send, wait for the acknowledgement, send the next: until time is up or an answer is neither yes nor later."""
        bodies, sender = Bodies(seed), Sender(self.url, self.headers)
        interval = connections / self.spans_per_second_max * SPANS if self.spans_per_second_max else 0.0
        due = time.monotonic() + random.random() * interval
        while time.monotonic() < self.until and not self.errors:
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + interval, time.monotonic() - interval)
            self._until_taken(sender, bodies.next())
        sender.close()

    def _until_taken(self, sender: Sender, body: memoryview) -> None:
        """The same bytes again where the answer is `later`, or where there was none: as every exporter does."""
        lost = 0
        while not self.errors:
            began = time.monotonic()
            try:
                status, wait = sender.send(body)
            except (OSError, http.client.HTTPException) as error:
                lost += 1
                self._lose(f"{type(error).__name__}: {error}", lost)
                sender.close()
                continue
            with self.lock:
                if status == 200:
                    self.acknowledged += SPANS
                    self.latencies_ms.append((time.monotonic() - began) * 1000)
                    return
                if status not in (429, 503):
                    self.errors.append(f"status {status}")
                    return
                self.busy += 1
            time.sleep(min(wait, 5.0))

    def _lose(self, reason: str, times: int) -> None:
        with self.lock:
            self.lost += 1
            if times > LOST_IN_A_ROW_MAX:
                self.errors.append(reason)
        time.sleep(0.1 * times)


def run(
    url: str, seconds: float, connections: int, spans_per_second_max: float, headers: dict[str, str]
) -> dict[str, Any]:
    """Load from this process; what was acknowledged."""
    began, cpu = time.monotonic(), time.process_time()
    load = Load(url, headers, began + seconds, spans_per_second_max)
    seeds = random.sample(range(1_000_000), connections)
    threads = [threading.Thread(target=load.connection, args=(seed, connections)) for seed in seeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sampled = load.latencies_ms if len(load.latencies_ms) < 50_000 else random.sample(load.latencies_ms, 50_000)
    return {
        "acknowledged": load.acknowledged,
        "busy": load.busy,
        "lost": load.lost,
        "errors": load.errors[:3],
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() - cpu,
        "latencies_ms": [round(value, 2) for value in sampled],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--spans-per-second-max", type=float, default=0.0, help="0: as fast as it is taken")
    told = parser.parse_args()
    print(json.dumps(run(told.url, told.seconds, told.connections, told.spans_per_second_max, {})))


if __name__ == "__main__":
    main()
