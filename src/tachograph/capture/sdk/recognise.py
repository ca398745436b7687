"""Which requests are calls to a model: by host and path, by what was told, else by the shape of the request.

In: method, URL, and the request's body where only its shape can tell. Out: yes, with the provider where it was told, or
no: everything else passes untouched.
What it must never know: answers, a clock.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from enum import Enum
from urllib.parse import urlsplit

from tachograph import wire
from tachograph.wire.format import asked
from tachograph.wire.providers import provider as provider_of

HEAD_BYTES = 64 * 1024  # so much of a body is looked at for its shape, at each end
_MARKS = (b'"messages"', b'"input"', b'"prompt"', b'"contents"', b'"query"', b'"texts"', b'"inputs"')
_FORMATS = tuple(form for form in wire.FORMATS if form is not wire.FORMATS[-1])  # the last matches everything


class Verdict(Enum):
    """What host and path say."""

    NO = "no"
    YES = "yes"
    SHAPE = "shape"  # the path of a model call on a host that nobody knows


class Recogniser:
    """hosts: host (or host:port) -> provider, "" where that is not known; these serve models whatever the path."""

    def __init__(self, hosts: Mapping[str, str] | None = None) -> None:
        self._hosts = {host.lower(): provider for host, provider in (hosts or {}).items()}
        self._verdict = functools.lru_cache(maxsize=4096)(self._judged)

    def recognise(self, method: str, url: str, body: bytes) -> tuple[bool, str | None]:
        """(is it a call to a model?, the provider that was told). body: empty where it is not known yet."""
        verdict, provider = self._verdict(method, url.partition("?")[0])
        if verdict is Verdict.SHAPE:
            return _shaped(body), provider
        return verdict is Verdict.YES, provider

    def _judged(self, method: str, url: str) -> tuple[Verdict, str | None]:
        request = asked(wire.Request(url, method), {})
        try:
            port = urlsplit(url).port
        except ValueError:
            port = None
        told = self._hosts.get(f"{request.host}:{port}", self._hosts.get(request.host))
        known = _may_answer(method, request.path) and any(form.matches(request) for form in _FORMATS)
        if told is not None:
            return (Verdict.YES if known or method == "POST" else Verdict.NO), told or None
        if not known:
            return Verdict.NO, None
        if provider_of(request.host, url, None) != "unknown":
            return Verdict.YES, None
        return (Verdict.SHAPE if method == "POST" else Verdict.NO), None


def _may_answer(method: str, path: str) -> bool:
    """Models answer a POST; what was asked in the background is fetched later. All else lists and manages."""
    return method == "POST" or (method == "GET" and ("/responses/" in path or path.endswith("/results")))


def _shaped(body: bytes) -> bool:
    """Whether a body looks like a question to a model. Bodies are told by their ends: prompts are in the middle."""
    head, tail = body[:HEAD_BYTES], body[-HEAD_BYTES:]
    if head.lstrip()[:1] != b"{":
        return b'name="model"' in head
    return any(mark in head or mark in tail for mark in _MARKS)
