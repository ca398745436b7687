"""CPU that leaving the process costs a call: offered, encoded and written, in batches as the sender makes them.

Run: .venv/bin/python -m benchmarks.outlets [--calls 20000]
In: generated calls of streams with all that a provider tells. Out: microseconds of CPU a call, the best of five runs.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import http.server
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from tachograph.call import Call, derive_id
from tachograph.outlets.jsonl import JsonLines
from tachograph.outlets.otlp import Collector
from tachograph.outlets.sending import Sender

BATCH = 512
RUNS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    count = parser.parse_args().calls
    found = calls(count)
    say("offer", best(count, lambda: offered(found)))
    with tempfile.TemporaryDirectory() as folder:
        lines = JsonLines(Path(folder) / "calls.jsonl")
        say("JSON lines, encoded and written", best(count, lambda: written(lines, found)))
    with receiver() as url, contextlib.closing(Collector(url)) as collector:
        say("OTLP, encoded, compressed and sent", best(count, lambda: written(collector, found)))


def say(what: str, microseconds: float) -> None:
    print(f"{what:40} {microseconds:6.1f} us a call")


def best(count: int, work: Callable[[], None]) -> float:
    found = []
    for _ in range(RUNS):
        began = time.thread_time()
        work()
        found.append((time.thread_time() - began) / count * 1e6)
    return min(found)


def offered(found: Sequence[Call]) -> None:
    sender = Sender(Nowhere(), name="nowhere", queue_calls_max=len(found) + 1)
    for call in found:
        sender.offer(call)
    sender.close()


def written(outlet: JsonLines | Collector, found: Sequence[Call]) -> None:
    for at in range(0, len(found), BATCH):
        outlet.write(found[at : at + BATCH], str(at))


class Nowhere:
    """Takes everything."""

    def write(self, calls: Sequence[Call], token: str) -> int:
        """All of them."""
        return len(calls)

    def close(self) -> None:
        """Nothing is held."""


@contextlib.contextmanager
def receiver() -> Iterator[str]:
    """Something that takes requests and answers them."""

    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def calls(count: int) -> list[Call]:
    chance = random.Random(1)
    began = datetime(2026, 6, 1, tzinfo=UTC)
    return [one(chance, began + timedelta(milliseconds=place)) for place in range(count)]


def one(chance: random.Random, started_at: datetime) -> Call:
    trace, span = chance.randbytes(16).hex(), chance.randbytes(8).hex()
    read, visible = chance.randrange(3000), chance.randrange(1, 900)
    call = Call(
        call_id=derive_id(started_at, bytes.fromhex(trace + span)),
        trace_id=trace,
        span_id=span,
        parent_span_id=chance.randbytes(8).hex(),
        operation_id=chance.randbytes(8).hex(),
        response_id=f"chatcmpl-{chance.randbytes(15).hex()}",
        request_id=f"req_{chance.randbytes(16).hex()}",
        started_at=started_at,
        provider="openai",
        operation="chat",
        api="openai.chat",
        request_model="gpt-4o",
        response_model="gpt-4o-2024-08-06",
        model="gpt-4o",
        service_tier="default",
        streamed=True,
        status=200,
        finish_reason="stop",
        usage_source="reported",
        usage_basis="inclusive",
        source="sdk 0.1.0 httpx2",
        service="shop",
        environment="prod",
        team=chance.choice(("search", "chat", "ads")),
        feature="answers",
        customer=f"customer-{chance.randrange(500)}",
        conversation_id=chance.randbytes(8).hex(),
        api_key_id="3f2a9c11",
    )
    ms = [round(chance.expovariate(0.01), 3) for _ in range(6)]
    totals = {"input_tokens": 100 + read, "output_tokens": visible, "total_tokens": 100 + read + visible}
    return dataclasses.replace(
        call,
        **{"input_uncached": 100, "cache_read": read, "output_visible": visible, "output_reasoning": 0, **totals},
        **{"duration_ms": ms[0] + ms[1], "ttft_ms": ms[0], "tpot_ms": ms[2], "itl_mean_ms": ms[3]},
        **{"itl_p99_ms": ms[4], "itl_max_ms": ms[5], "chunks": 50, "server_ms": ms[1], "tool_calls": 0},
        itl_buckets=[0] * 12 + [chance.randrange(20) for _ in range(8)],
        usage_raw=f'{{"prompt_tokens":{100 + read},"completion_tokens":{visible},"total_tokens":{100 + read + visible},'
        f'"prompt_tokens_details":{{"cached_tokens":{read}}}}}',
        ratelimit_limit_requests=10_000,
        ratelimit_remaining_requests=chance.randrange(10_000),
        ratelimit_limit_tokens=2_000_000,
        ratelimit_remaining_tokens=chance.randrange(2_000_000),
        cost_usd=Decimal(chance.randrange(10**9)).scaleb(-10),
        cost_source="list",
        price_id="openai/gpt-4o@2024-10-01",
        price_status="priced",
    )


if __name__ == "__main__":
    main()
