"""How the clients of the day spell their requests, and what they read in the answers.

In: a request of the plan, which attempt it is; the pieces of an answer. Out: `Spelled`, as the client libraries of the
vendors would send it to the simulated provider; `Usage`, for those who tell of their calls themselves.
What it must never know: a clock, a socket.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tachograph.testing.day import Request

_FILLER = "Please read this and answer as briefly as you can. "


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelled:
    """One attempt as it goes out. path: below the vendor's address."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What Gemini says of an answer."""

    response_id: str
    model: str
    finish: str
    input_tokens: int
    output_tokens: int
    cache_read: int
    reasoning: int


def spelled(request: Request, attempt: int) -> Spelled:
    """What a client of the vendor's library sends."""
    made = _SPELLINGS[request.model.api](request, f"{_FILLER * 4}[{request.mark(attempt)}]")
    tried = {"x-stainless-retry-count": str(attempt)} if request.model.provider in ("openai", "anthropic") else {}
    return Spelled(path=made[0], headers={"authorization": "Bearer none", **tried}, body=made[1])


def attribution(request: Request) -> dict[str, str]:
    """Who asks, in the words of `tachograph.context` and of the headers of the gateway; nothing that is not known."""
    team, project, feature = request.traffic.who
    said = {
        "service": request.traffic.service,
        "environment": "production",
        "team": team,
        "project": project,
        "feature": feature,
        "customer": request.customer,
        "user": request.user,
        "conversation": request.conversation,
    }
    return {word: value for word, value in said.items() if value}


def usage(pieces: Sequence[bytes]) -> Usage | None:
    """What an answer of Gemini says of itself at its end; None where it says nothing."""
    lines = [line for line in b"".join(pieces).replace(b"\r\n", b"\n").split(b"\n") if line.strip()]
    try:
        said = json.loads(lines[-1].removeprefix(b"data: "))
        counts, candidate = said["usageMetadata"], said["candidates"][0]
        reasoning = counts.get("thoughtsTokenCount", 0)
        return Usage(
            response_id=said["responseId"],
            model=said["modelVersion"],
            finish=candidate["finishReason"],
            input_tokens=counts["promptTokenCount"],
            output_tokens=counts.get("candidatesTokenCount", 0) + reasoning,
            cache_read=counts.get("cachedContentTokenCount", 0),
            reasoning=reasoning,
        )
    except (ValueError, LookupError):
        return None


_Made = tuple[str, dict[str, Any]]


def _chat(request: Request, text: str) -> _Made:
    body: dict[str, Any] = {"model": request.traffic.model, "messages": [{"role": "user", "content": text}]}
    if request.streamed:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return "/v1/chat/completions", body


def _responses(request: Request, text: str) -> _Made:
    return "/v1/responses", {"model": request.traffic.model, "input": text, "stream": request.streamed}


def _embeddings(request: Request, text: str) -> _Made:
    return "/v1/embeddings", {"model": request.traffic.model, "input": text}


def _messages(request: Request, text: str) -> _Made:
    asked = {"model": request.traffic.model, "max_tokens": 4096, "stream": request.streamed}
    return "/v1/messages", {**asked, "messages": [{"role": "user", "content": text}]}


def _gemini(request: Request, text: str) -> _Made:
    verb = "streamGenerateContent?alt=sse" if request.streamed else "generateContent"
    return f"/v1beta/models/{request.traffic.model}:{verb}", {"contents": [{"role": "user", "parts": [{"text": text}]}]}


def _converse(request: Request, text: str) -> _Made:
    verb = "converse-stream" if request.streamed else "converse"
    body = {"messages": [{"role": "user", "content": [{"text": text}]}]}
    return f"/model/{quote(request.traffic.model, safe='')}/{verb}", body


_SPELLINGS = {
    "chat": _chat,
    "responses": _responses,
    "embeddings": _embeddings,
    "messages": _messages,
    "generate_content": _gemini,
    "converse": _converse,
}
