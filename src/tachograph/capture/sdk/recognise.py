"""Which requests are calls to a model: by host and path, by what was told, else by the shape of the request.

In: method, URL, and the request's body where only its shape can tell. Out: yes, with the provider where it was told, or
no: everything else passes untouched.
What it must never know: answers, a clock.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any
from urllib.parse import SplitResult, urlsplit

from tachograph import wire
from tachograph.wire.format import asked
from tachograph.wire.providers import provider as provider_of

HEAD_BYTES = 64 * 1024  # so much of a body is looked at for its shape, at each end
_MARKS = (
    *(b'"messages"', b'"input"', b'"prompt"', b'"contents"', b'"query"', b'"texts"', b'"inputs"', b'"input_text"'),
    b'"sampling_params"',  # SGLang
    *(b'"message"', b'"content"', b'"requests"', b'"instances"', b'"inputText"'),  # Cohere v1, Gemini, Vertex, Titan
)
_SERVED = ("", "/", "/invocations")  # how the endpoints that one rents end: Hugging Face, Databricks
_FORMATS = tuple(form for form in wire.FORMATS if form is not wire.FORMATS[-1])  # the last matches everything
# Answers that are fetched: made in the background, or by the batch.
_FETCHED = re.compile(r"/(responses|interactions)/[^/?]+/?(\?|$)|/results/?(\?|$)|/files/[^/?]+/content/?(\?|$)")
_CANCELLED = re.compile(r"/responses/[^/?]+/cancel/?(\?|$)")
_PORTS = {"http": 80, "https": 443}


class Verdict(Enum):
    """What host and path say."""

    NO = "no"
    YES = "yes"
    SHAPE = "shape"  # the path of a model call on a host that nobody knows


class Recogniser:
    """hosts: host (or host:port) -> provider, "" where that is not known; these serve models whatever the path."""

    def __init__(self, hosts: Mapping[str, str] | None = None) -> None:
        self._hosts = {_host(host): provider for host, provider in (hosts or {}).items()}
        self._verdict = functools.lru_cache(maxsize=4096)(self._judged)

    def recognise(
        self, method: str, url: str, body: bytes, members: Mapping[str, Any] | None = None
    ) -> tuple[bool, str | None]:
        """(is it a call to a model?, the provider that was told). body: empty where it is not known yet. members: the
        plain fields of a form.
        """
        if method != "POST" and not is_fetched(method, url):
            return False, None
        verdict, provider = self._verdict(method, url.partition("?")[0] if "?" in url else url)
        if verdict is Verdict.SHAPE:
            return ("model" in members if members is not None else _shaped(body)), provider
        return verdict is Verdict.YES, provider

    def _judged(self, method: str, url: str) -> tuple[Verdict, str | None]:
        request = asked(wire.Request(url, method), {})
        told = self._hosts.get(f"{request.host}:{_port(url)}", self._hosts.get(request.host))
        known = any(form.matches(request) for form in _FORMATS)
        if told is not None:
            return (Verdict.YES if known or method == "POST" else Verdict.NO), told or None
        hosted = provider_of(request.host, url, None) != "unknown"
        if known and hosted:
            return Verdict.YES, None
        served = known or (hosted and request.path[request.path.rfind("/") :] in _SERVED)
        return (Verdict.SHAPE if served and method == "POST" else Verdict.NO), None


def is_fetched(method: str, url: str) -> bool:
    """Whether this asks for an answer that was made before, and may be asked for again: no attempt at a model."""
    return (method == "GET" and _FETCHED.search(url) is not None) or (
        method == "POST" and "/cancel" in url and _CANCELLED.search(url) is not None
    )


def _host(told: str) -> str:
    """As people write hosts: with a scheme, a path, brackets, in capitals."""
    parts = _split(told if "://" in told else "//" + told)
    if parts is None:
        return told.lower()
    host = (parts.hostname or "").lower()
    return f"{host}:{parts.port}" if parts.port is not None else host


def _port(url: str) -> int | None:
    parts = _split(url)
    return None if parts is None else parts.port or _PORTS.get(parts.scheme)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port, parts.hostname
    except ValueError:
        return None
    return parts


def _shaped(body: bytes) -> bool:
    """Whether a body looks like a question to a model. Bodies are told by their ends: prompts are in the middle."""
    short = len(body) <= HEAD_BYTES
    head, tail = (body, b"") if short else (body[:HEAD_BYTES], body[-HEAD_BYTES:])
    if head[:1] != b"{" and head.lstrip()[:1] != b"{":
        return b'name="model"' in head
    return _MARKS[0] in head or any(mark in head or mark in tail for mark in _MARKS)  # the first is what most have
