"""Asking for the usage of a stream where the caller did not. Pure; hiding that it came is `hiding`.

OpenAI's kinds count a stream only where `stream_options.include_usage` asks for it. In: the URL and the bytes of a
request. Out: the bytes of one that asks, or None where it is to be sent as it is.
What it must never know: a transport, a clock.

Who is asked: providers.md A1.2. Others count unasked, or refuse what they do not know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from tachograph.wire.providers import provider as provider_of

# `unknown` is a server of OpenAI's kind on a host that nobody knows; one that refuses is not asked again.
ASKED = frozenset(
    ("openai", "azure.ai.openai", "vllm", "sglang", "ollama", "tgi", "alibaba", "huggingface", "x_ai", "unknown")
)
REFUSALS = frozenset((400, 422))  # statuses of servers that do not know the member
REFUSAL_BYTES_MAX = 64 * 1024  # of such an answer: what is longer is about something else
DEPLOYMENTS_MAX = 1024
_PATHS = ("/chat/completions", "/completions")
_TOP = re.compile(r"\s*\{")


class Deployments:
    """Who is asked, and who has refused: a URL and a model."""

    def __init__(self) -> None:
        self._refused: dict[tuple[str, str], None] = {}

    def asking(self, url: str, body: bytes, told: str | None) -> bytes | None:
        """The body to send in place of `body`. told: the provider, where the door knows it."""
        path = url.partition("?")[0]
        if b'"stream"' not in body or not path.endswith(_PATHS):
            return None
        if provider_of((urlsplit(url).hostname or "").lower(), path, told) not in ASKED:
            return None
        changed = with_usage(body)
        if changed is not None and self._refused and _deployment(url, body) in self._refused:
            return None
        return changed

    def refused(self, url: str, body: bytes) -> None:
        """Do not ask there again. body: the caller's."""
        if len(self._refused) < DEPLOYMENTS_MAX:
            self._refused[_deployment(url, body)] = None


def with_usage(body: bytes) -> bytes | None:
    """A request for a stream, asking for its usage too; None where it is no such request, or asks already."""
    try:
        text = body.decode()
        members = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(members, dict) or members.get("stream") is not True:
        return None
    top = _TOP.match(text)
    if "stream_options" not in members and top is not None:
        return f'{top.group()}"stream_options":{{"include_usage":true}},{text[top.end() :]}'.encode()
    options = members["stream_options"] or {}
    if not isinstance(options, Mapping) or options.get("include_usage"):
        return None  # asked already; or nonsense, which the server may judge
    return json.dumps({**members, "stream_options": {**options, "include_usage": True}}).encode()


def is_refusal(body: bytes) -> bool:
    """Whether an error is about what we added."""
    return b"stream_options" in body or b"include_usage" in body


def _deployment(url: str, body: bytes) -> tuple[str, str]:
    return url, str(json.loads(body).get("model"))
