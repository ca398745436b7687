"""What reading one call costs: `python -m benchmarks.wire`.

CPU time (process_time), the median of several runs, in one thread. An exchange goes through the whole reader: request,
headers, body in the pieces given, Call.
"""

from __future__ import annotations

import base64
import binascii
import json
import statistics
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime

from tachograph import wire
from tachograph.wire import Exchange, Request
from tachograph.wire.sieve import Sieve

ROUNDS = 9
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
SECONDS = 0.08  # that one round lasts at least

HEADERS = {
    "date": "Mon, 23 Nov 2026 10:00:00 GMT",
    "content-type": "application/json",
    "openai-processing-ms": "412",
    "openai-version": "2020-10-01",
    "x-request-id": "req_0123456789abcdef",
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-remaining-requests": "9999",
    "server": "cloudflare",
    "cf-ray": "0123456789abcdef-FRA",
}
EVENTS = {**HEADERS, "content-type": "text/event-stream; charset=utf-8"}
USAGE = {
    "prompt_tokens": 312,
    "completion_tokens": 50,
    "total_tokens": 362,
    "prompt_tokens_details": {"cached_tokens": 128, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}


def asked(url: str, sentences: int = 20, **members: object) -> Request:
    messages = [{"role": "user", "content": "Tell me about the tachograph. " * sentences}]
    body = json.dumps({"model": "gpt-5-mini", "messages": messages, **members}).encode()
    return Request(url, headers={"content-type": "application/json"}, body=body)


OPENAI = "https://api.openai.com/v1/chat/completions"


def plain(sentences: int = 20) -> Exchange:
    message = {"role": "assistant", "content": "A tachograph records speed and time. " * 42, "refusal": None}
    body = {
        "id": "chatcmpl-0123456789",
        "object": "chat.completion",
        "created": 1795000000,
        "model": "gpt-5-mini-2025-08-07",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
        "service_tier": "default",
    }
    chunks = [(400_000, json.dumps(body).encode())]
    return Exchange(asked(OPENAI, sentences), 200, HEADERS, chunks, end_us=401_000, started_at=NOW)


def stream(chunks: int) -> Exchange:
    base = {
        "id": "chatcmpl-0123456789",
        "object": "chat.completion.chunk",
        "created": 1795000000,
        "model": "gpt-5-mini",
    }
    parts = [
        {**base, "choices": [{"index": 0, "delta": {"content": f" word{at}"}, "finish_reason": None}]}
        for at in range(chunks)
    ]
    parts[-1] = {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    parts.append({**base, "choices": [], "usage": USAGE})
    pieces = [b"data: " + json.dumps(part).encode() + b"\n\n" for part in parts] + [b"data: [DONE]\n\n"]
    stamped = [(200_000 + 9_000 * at, piece) for at, piece in enumerate(pieces)]
    return Exchange(asked(OPENAI, stream=True), 200, EVENTS, stamped, end_us=stamped[-1][0], started_at=NOW)


def responses() -> Exchange:
    """As OpenAI sends it: numbered, and padded against who would guess words by their length."""
    answer = {"id": "resp_0123456789", "object": "response", "created_at": 1795000000, "model": "gpt-5-mini-2025-08-07"}
    begun = {**answer, "status": "in_progress", "output": [], "service_tier": "auto", "usage": None}
    item: dict[str, object] = {
        "id": "msg_0123456789",
        "type": "message",
        "role": "assistant",
        "status": "in_progress",
        "content": [],
    }
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    parts: list[dict[str, object]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **place, "part": {"type": "output_text", "text": ""}},
    ]
    for at in range(50):
        padding = "abcdefghijklmnop"[: 16 - len(f" word{at}")]
        more = {"delta": f" word{at}", "logprobs": [], "obfuscation": padding}
        parts.append({"type": "response.output_text.delta", **place, **more})
    usage = {"input_tokens": 312, "output_tokens": 50, "total_tokens": 362}
    usage_details = {"input_tokens_details": {"cached_tokens": 128}, "output_tokens_details": {"reasoning_tokens": 0}}
    text = {"type": "output_text", "text": "".join(f" word{at}" for at in range(50)), "annotations": []}
    item = {**item, "status": "completed", "content": [text]}
    ended = {**answer, "status": "completed", "output": [item], "service_tier": "default"}
    parts += [
        {"type": "response.output_text.done", **place, "text": text["text"]},
        {"type": "response.content_part.done", **place, "part": text},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {**ended, "usage": {**usage, **usage_details}}},
    ]
    numbered = [{**part, "sequence_number": at} for at, part in enumerate(parts)]
    pieces = [f"event: {part['type']}\ndata: {json.dumps(part)}\n\n".encode() for part in numbered]
    stamped = [(200_000 + 9_000 * at, piece) for at, piece in enumerate(pieces)]
    request = asked("https://api.openai.com/v1/responses", stream=True)
    return Exchange(request, 200, EVENTS, stamped, end_us=stamped[-1][0], started_at=NOW)


def anthropic() -> Exchange:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-5", "content": []}
    parts: list[dict[str, object]] = [
        {"type": "message_start", "message": {**message, "usage": {"input_tokens": 25, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    ]
    for at in range(46):
        parts.append({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": f" w{at}"}})
    parts.append({"type": "content_block_stop", "index": 0})
    parts.append({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 50}})
    parts.append({"type": "message_stop"})
    pieces = [f"event: {part['type']}\ndata: {json.dumps(part)}\n\n".encode() for part in parts]
    stamped = [(200_000 + 9_000 * at, piece) for at, piece in enumerate(pieces)]
    request = asked("https://api.anthropic.com/v1/messages", stream=True)
    return Exchange(request, 200, EVENTS, stamped, end_us=stamped[-1][0], started_at=NOW)


def frame(kind: str, value: object) -> bytes:
    headers = b""
    for name, word in ((":event-type", kind), (":content-type", "application/json"), (":message-type", "event")):
        headers += bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(word)) + word.encode()
    payload = json.dumps(value).encode()
    start = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    start += struct.pack(">I", binascii.crc32(start)) + headers + payload
    return start + struct.pack(">I", binascii.crc32(start))


def bedrock() -> Exchange:
    pieces = [frame("messageStart", {"p": "abcd", "role": "assistant"})]
    for at in range(46):
        pieces.append(
            frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": f" w{at}"}, "p": "abcdefgh"})
        )
    pieces.append(frame("contentBlockStop", {"contentBlockIndex": 0, "p": "abcdef"}))
    pieces.append(frame("messageStop", {"p": "abcd", "stopReason": "end_turn"}))
    usage = {"inputTokens": 25, "outputTokens": 50, "totalTokens": 75}
    pieces.append(frame("metadata", {"metrics": {"latencyMs": 700}, "p": "abcd", "usage": usage}))
    stamped = [(200_000 + 9_000 * at, piece) for at, piece in enumerate(pieces)]
    url = "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.anthropic.claude-sonnet-5-v1%3A0/converse-stream"
    headers = {**HEADERS, "content-type": "application/vnd.amazon.eventstream"}
    return Exchange(asked(url), 200, headers, stamped, end_us=stamped[-1][0], started_at=NOW)


def embeddings() -> Exchange:
    vector = [round(0.001 * at, 6) for at in range(1536)]
    data = [{"object": "embedding", "index": at, "embedding": vector} for at in range(92)]
    usage = {"prompt_tokens": 800, "total_tokens": 800}
    body = json.dumps({"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage}).encode()
    pieces = [(300_000 + at, body[at : at + 16_384]) for at in range(0, len(body), 16_384)]
    request = asked("https://api.openai.com/v1/embeddings", input="x")
    return Exchange(request, 200, HEADERS, pieces, end_us=400_000, started_at=NOW)


def cost_us(work: Callable[[], object]) -> float:
    """Median CPU time of one run of `work`."""
    work()
    began, times = time.process_time(), 0
    while time.process_time() - began < SECONDS:
        work()
        times += 1
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(times):
            work()
        rounds.append((time.process_time() - began) / times * 1e6)
    return statistics.median(rounds)


def sieve_rate(body: bytes) -> float:
    """MB/s of the sieve over a body in pieces of 16 kB."""
    pieces = [body[at : at + 16_384] for at in range(0, len(body), 16_384)]

    def work() -> None:
        sieve = Sieve()
        for piece in pieces:
            sieve.feed(piece)
        sieve.finish()

    return len(body) / cost_us(work)


def main() -> None:
    exchanges = {
        "plain chat completion, 2 kB": plain(),
        "the same, asked with 100 kB": plain(3400),
        "stream of 50 chunks, one by one": stream(50),
        "stream of 200 chunks, one by one": stream(200),
        "OpenAI responses stream, 58 events": responses(),
        "Anthropic stream, 51 events": anthropic(),
        "Bedrock converse stream, 50 frames": bedrock(),
        "embeddings, 1 MB": embeddings(),
    }
    print(f"{'exchange':<38}{'bytes':>10}{'us a call':>12}{'calls/s':>10}")
    for name, exchange in exchanges.items():
        (call,) = wire.read(exchange)
        assert call.outcome == "ok" and call.usage_source == "reported", (name, call)
        size, cost = (
            sum(len(piece) for _, piece in exchange.chunks),
            cost_us(lambda exchange=exchange: wire.read(exchange)),
        )
        print(f"{name:<38}{size:>10}{cost:>12.0f}{1e6 / cost:>10.0f}")
    image = b'{"data": [{"b64_json": "' + base64.b64encode(bytes(3_000_000)) + b'"}], "usage": {"total_tokens": 1}}'
    citations = json.dumps(
        {"search_results": [{"title": f"t{at}", "url": "https://x.example/"} for at in range(20_000)]}
    )
    vectors = b"".join(piece for _, piece in exchanges["embeddings, 1 MB"].chunks)
    print(f"\n{'sieve':<38}{'bytes':>10}{'MB/s':>12}")
    for name, body in {"image": image, "vectors": vectors, "objects": citations.encode()}.items():
        print(f"{name:<38}{len(body):>10}{sieve_rate(body):>12.0f}")


if __name__ == "__main__":
    main()
