"""Recorded exchanges, one JSON file each -> Exchange.

In: `{provider, api, streaming, request: {method, url, headers, body | body_b64}, response: {status, headers, body |
body_b64, decoded_from?}}`, or `{websocket_messages: [{direction, data}]}` for WebSockets. Out: an Exchange without time
stamps (nobody recorded chunk boundaries). Raises Refused with one line for a file that is none of these.
What it must never know: what an answer means, prices, the store.
"""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from tachograph.flow import Refused
from tachograph.wire.exchange import Exchange, Request

# How recordings name the kind of an exchange -> the path that such a request has, for those that kept no URL.
_PATHS: dict[str, str] = {
    "chat.completions": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "embeddings": "/v1/embeddings",
    "images": "/v1/images/generations",
    "audio.transcriptions": "/v1/audio/transcriptions",
    "audio.speech": "/v1/audio/speech",
    "realtime": "/v1/realtime",
    "messages": "/v1/messages",
    "count_tokens": "/v1/messages/count_tokens",
    "generateContent": "/v1beta/models/-:generateContent",
    "streamGenerateContent": "/v1beta/models/-:streamGenerateContent",
    "embedContent": "/v1beta/models/-:embedContent",
    "batchEmbedContents": "/v1beta/models/-:batchEmbedContents",
    "interactions": "/v1beta/interactions",
    "converse": "/model/-/converse",
    "converse-stream": "/model/-/converse-stream",
    "invoke": "/model/-/invoke",
    "invoke-stream": "/model/-/invoke-with-response-stream",
    "api.chat": "/api/chat",
    "api.generate": "/api/generate",
    "rerank": "/v2/rerank",
    "generate": "/v1/generate",
    "chat": "/v2/chat",
    "batch_results": "/v1/messages/batches/-/results",
}
# Providers whose kind of that name has another path.
_PROVIDER_PATHS: dict[tuple[str, str], str] = {
    ("cohere", "embeddings"): "/v2/embed",
    ("ollama", "embeddings"): "/api/embeddings",
    ("writer", "chat"): "/v1/chat",
    ("gemini", "realtime"): "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
    ("openai", "batch_results"): "/v1/files/-/content",
}


def load(path: Path) -> Exchange:
    """The exchange recorded in a file. Refused, in one line, where it cannot be read or is none."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise Refused("unreadable", f"{path}: {error.strerror or error}") from error
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused("not_json", f"{path}: not a recorded exchange: {error}") from error
    return exchange(value, str(path))


def exchange(value: Any, where: str) -> Exchange:
    """The exchange that a recording describes; `where` names it in errors. Refused where it describes none."""
    if not isinstance(value, dict) or not ("response" in value or "websocket_messages" in value):
        raise Refused("not_an_exchange", f"{where}: not a recorded exchange: no `response` and no `websocket_messages`")
    request = _request(value, where)
    told = value.get("provider")
    if "websocket_messages" in value:
        return Exchange(request, status=101, provider=_word(told), messages=_messages(value, where))
    response = value["response"]
    if not isinstance(response, dict):
        raise Refused("not_an_exchange", f"{where}: `response` is not an object")
    headers = _headers(response.get("headers"))
    if response.get("decoded_from"):
        headers.pop("content-encoding", None)  # the recording holds the plain bytes
    status = response.get("status")
    if status is not None and (isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599):
        raise Refused("bad_recording", f"{where}: `response.status` is {status!r}, not an HTTP status")
    content = body(response, where)
    return Exchange(request, status, headers, [(None, content)] if content else [], provider=_word(told))


def _request(value: dict[str, Any], where: str) -> Request:
    recorded = value.get("request")
    if not isinstance(recorded, dict):
        provider, kind = str(value.get("provider") or ""), str(value.get("api") or "")
        path = _PROVIDER_PATHS.get((provider, kind)) or _PATHS.get(kind, "")
        members = {"stream": value["streaming"]} if isinstance(value.get("streaming"), bool) else {}
        return Request(url=path, members=members)
    headers = _headers(recorded.get("headers"))
    method = _word(recorded.get("method")) or "POST"
    return Request(_word(recorded.get("url")) or "", method, headers, body(recorded, where))


def _messages(value: dict[str, Any], where: str) -> list[tuple[int | None, bool, Any]]:
    messages = value["websocket_messages"]
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise Refused("bad_recording", f"{where}: `websocket_messages` is not a list of objects")
    return [(None, message.get("direction") == "sent", _parsed(message.get("data"))) for message in messages]


def _parsed(data: Any) -> Any:
    """Recordings keep a message as JSON or as its text."""
    if not isinstance(data, str):
        return data
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data


def _headers(value: Any) -> dict[str, str]:
    """Header names in lower case; a header that came several times is joined with commas."""
    if not isinstance(value, dict):
        return {}
    return {
        str(key).lower(): ", ".join(map(str, item)) if isinstance(item, list) else str(item)
        for key, item in value.items()
    }


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def body(part: dict[str, Any], where: str) -> bytes:
    """The bytes of `body` (text) or `body_b64`."""
    if isinstance(part.get("body_b64"), str):
        try:
            return base64.b64decode(part["body_b64"], validate=True)
        except (ValueError, binascii.Error) as error:
            raise Refused("bad_recording", f"{where}: body_b64 is not base64") from error
    text = part.get("body")
    if text is None:
        return b""
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else json.dumps(text).encode()
