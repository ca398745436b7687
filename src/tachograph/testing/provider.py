"""A simulated provider: the model APIs of eleven vendors on one port, whose true counts are known.

In: HTTP requests of the real client libraries; what shall happen to one stands in its text as `scenario:<name>`, or in
the header `x-scenario` (`SCENARIOS` has the names and the truth); what befalls only a first attempt is known by what
the client says of its attempts, or by `ticket:<word>` in the text. Out: the answers of that vendor, and in `served`
what each request really was.
What it must never know: a clock; how long an answer takes is told by argument.
Why: the only thing that instrumentation, gateways and readers can be held against is a provider that cannot err.

    with Provider() as provider:
        OpenAI(base_url=provider.url + "/v1", api_key="none").chat.completions.create(...)
        assert provider.served[0].scenario.truth.output_tokens == 11

Run alone: `python -m tachograph.testing.provider --port 4182`.

Where each vendor is: OpenAI `/v1`; Azure `/openai/deployments/...`; Anthropic, Gemini, Vertex, Bedrock, Cohere and
Ollama at the root; Mistral under `/mistral`, Groq under `/groq`, Together under `/together`, Cohere v1 under `/cohere`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tachograph.testing import provider_anthropic as anthropic
from tachograph.testing import provider_bedrock as bedrock
from tachograph.testing import provider_cohere_v1 as cohere_v1
from tachograph.testing import provider_google as google
from tachograph.testing import provider_openai as openai
from tachograph.testing import provider_others as others
from tachograph.testing.provider_truth import SCENARIOS, Answer, Asked, Played, Scenario, Truth, ticket

__all__ = ["SCENARIOS", "Provider", "Scenario", "Served", "Truth", "answer", "request_body"]

BODY_BYTES_MAX = 8 * 1024 * 1024

# (what the path ends with, provider, api, who answers); the first that matches.
ROUTES: tuple[tuple[str, str, str, Callable[[Asked], Answer]], ...] = (
    (r"^/mistral/v1/chat/completions$", "mistral_ai", "chat", openai.mistral_chat),
    (r"^/mistral/v1/embeddings$", "mistral_ai", "embeddings", openai.embeddings),
    (r"^/groq/openai/v1/chat/completions$", "groq", "chat", openai.groq_chat),
    (r"^/together/v1/chat/completions$", "together", "chat", openai.together_chat),
    (r"^/openai/deployments/[^/]+/chat/completions$", "azure.ai.openai", "chat", openai.azure_chat),
    (r"^(?:/v1)?/chat/completions$", "openai", "chat", openai.chat),
    (r"^(?:/v1)?/responses$", "openai", "responses", openai.responses),
    (r"^(?:/v1)?/embeddings$", "openai", "embeddings", openai.embeddings),
    (r"^(?:/v1)?/messages$", "anthropic", "messages", anthropic.messages),
    (r"/models/[^/]+:generateContent$", "gcp.gemini", "generate_content", google.generate),
    (r"/models/[^/]+:streamGenerateContent$", "gcp.gemini", "generate_content", google.stream),
    (r"/models/[^/]+:(?:embedContent|batchEmbedContents)$", "gcp.gemini", "embeddings", google.embed),
    (r"^/model/[^/]+/converse$", "aws.bedrock", "converse", bedrock.converse),
    (r"^/model/[^/]+/converse-stream$", "aws.bedrock", "converse", bedrock.converse_stream),
    (r"^/model/[^/]+/invoke$", "aws.bedrock", "invoke", bedrock.invoke),
    (r"^/model/[^/]+/invoke-with-response-stream$", "aws.bedrock", "invoke", bedrock.invoke_stream),
    (r"^/v2/chat$", "cohere", "chat", others.cohere_chat),
    (r"^/cohere/v1/chat$", "cohere", "chat_v1", cohere_v1.chat),
    (r"^(?:/cohere/v1|/v2)/embed$", "cohere", "embeddings", cohere_v1.embed),
    (r"^/api/chat$", "ollama", "chat", others.ollama_chat),
)
_ROUTES = tuple((re.compile(path), provider, api, handle) for path, provider, api, handle in ROUTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What one request really was.

    request_model: as the request says it, in its path or its body. streamed: whether it asked for a stream, answered or
    not. counted: whether the answer has counts.
    """

    number: int
    provider: str
    api: str
    scenario: Scenario
    status: int
    streamed: bool
    request_model: str | None
    response_model: str | None
    response_id: str | None
    counted: bool


def answer(asked: Asked) -> tuple[Answer, Served | None]:
    """What goes back to `asked`, and what it was; None where no vendor has such a path."""
    path = asked.path.split("?")[0]
    for pattern, provider, api, handle in _ROUTES:
        if pattern.search(path):
            given = handle(asked)
            return given, _served(asked, given, provider, api)
    body = json.dumps({"error": {"message": f"no such path: {path}", "type": "not_found"}}).encode()
    return Answer(pieces=(body,), status=404), None


def _served(asked: Asked, given: Answer, provider: str, api: str) -> Served:
    in_path = google.model(asked) or bedrock.model_id(asked) or openai.deployment(asked)
    asked_to_stream = given.streamed or bool(asked.body.get("stream")) or "stream" in asked.path.lower()
    silent = provider in ("openai", "azure.ai.openai") and api == "chat" and given.streamed
    wanted = bool((asked.body.get("stream_options") or {}).get("include_usage"))
    return Served(
        number=asked.number,
        provider=provider,
        api=api,
        scenario=asked.scenario,
        status=given.status,
        streamed=asked_to_stream,
        request_model=in_path or asked.body.get("model"),
        response_model=given.response_model,
        response_id=given.response_id,
        counted=given.status == 200 and asked.scenario.breaks is None and (wanted or not silent),
    )


class Provider:
    """The simulated provider as a running server on this machine.

    port: 0 takes a free one. first_seconds: before the first piece of an answer. gap_seconds: between its pieces.
    play: what a request meets that does not say so itself. doors: how many further ports it has (`urls`), since clients
    tell providers apart by host and port.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        first_seconds: float = 0.0,
        gap_seconds: float = 0.0,
        play: Callable[[Asked], Played | None] | None = None,
        doors: int = 0,
    ) -> None:
        self.served: list[Served] = []
        self._lock = threading.Lock()
        self._asked = 0
        self._tickets: set[str] = set()
        self._first_seconds, self._gap_seconds = first_seconds, gap_seconds
        self._play = play
        ports = (port, *(0 for _ in range(doors)))
        self._servers = [_Server(("127.0.0.1", each), _handler(self)) for each in ports]
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True) for server in self._servers
        ]

    @property
    def url(self) -> str:
        """Where it is."""
        return self.urls[0]

    @property
    def urls(self) -> list[str]:
        """Every port that it has."""
        return [f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers]

    def start(self) -> Provider:
        """Serve in threads of its own."""
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Serve no more."""
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()

    def reset(self) -> None:
        """Forget what was served; ids go on."""
        with self._lock:
            self.served.clear()

    def __enter__(self) -> Provider:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """The answer to one request; it is written down in `served`."""
        with self._lock:
            self._asked += 1
            number = self._asked
        text = body.decode("utf-8", "replace")
        seen = self._seen(ticket(text))
        asked = Asked(number=number, path=path, headers=headers, text=text, seen=seen, body=_object(text))
        played = self._play(asked) if self._play else None
        given, served = answer(replace(asked, played=played))
        if played is not None:
            given = replace(given, seconds=played.seconds, headers=_instead(given.headers, played.headers))
        if served is not None:
            with self._lock:
                self.served.append(served)
        return given

    def _seen(self, word: str | None) -> bool:
        with self._lock:
            before = word in self._tickets
            if word is not None:
                self._tickets.add(word)
            return before

    def wait(self, given: Answer, piece: int) -> None:
        """Let the time pass that stands before the piece of this number."""
        told = given.seconds or (self._first_seconds, self._gap_seconds)
        seconds = told[min(piece, len(told) - 1)]
        if seconds:
            time.sleep(seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is no error of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = request_body(self)
            headers = {name.lower(): value for name, value in self.headers.items()}
            given = provider.take(self.path, headers, body)
            self._begin(given)
            for index, piece in enumerate(given.pieces):
                provider.wait(given, index)
                self._write(piece, given.streamed)
            if given.cut:
                self.close_connection = True
            elif given.streamed:
                self.wfile.write(b"0\r\n\r\n")

        def _begin(self, given: Answer) -> None:
            self.send_response(given.status)
            self.send_header("content-type", given.content_type)
            for name, value in given.headers:
                self.send_header(name, value)
            if given.streamed:
                self.send_header("transfer-encoding", "chunked")
            else:
                self.send_header("content-length", str(sum(map(len, given.pieces))))
            self.end_headers()

        def _write(self, piece: bytes, streamed: bool) -> None:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if streamed else piece)
            self.wfile.flush()

        def log_message(self, *arguments: Any) -> None:
            """Nothing is logged: `served` says what was asked."""

    return Handler


def request_body(handler: BaseHTTPRequestHandler) -> bytes:
    """The body of a request, of a stated length or in chunks; what is beyond `BODY_BYTES_MAX` is left."""
    if "chunked" not in (handler.headers.get("transfer-encoding") or "").lower():
        return handler.rfile.read(min(int(handler.headers.get("content-length") or 0), BODY_BYTES_MAX))
    body = bytearray()
    while size := int(handler.rfile.readline().split(b";")[0] or b"0", 16):
        if len(body) + size > BODY_BYTES_MAX:
            handler.close_connection = True
            return bytes(body)
        body += handler.rfile.read(size)
        handler.rfile.readline()
    while handler.rfile.readline().strip():
        pass  # trailers
    return bytes(body)


def _instead(headers: tuple[tuple[str, str], ...], told: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple({**dict(headers), **dict(told)}.items())


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def main(arguments: list[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tachograph.testing.provider", description="a simulated provider")
    parser.add_argument("--port", type=int, default=4182, help="default: 4182")
    parser.add_argument("--first-seconds", type=float, default=0.0, help="before the first piece of an answer")
    parser.add_argument("--gap-seconds", type=float, default=0.0, help="between the pieces of an answer")
    given = parser.parse_args(arguments)
    provider = Provider(given.port, first_seconds=given.first_seconds, gap_seconds=given.gap_seconds)
    with provider:
        sys.stdout.write(f"a simulated provider listens on {provider.url}; scenarios: {' '.join(SCENARIOS)}\n")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
