"""What a wire format is: a name, whom it recognises, and three plain functions.

A format module defines one `Format` (or a few kin) and is listed in `wire.FORMATS`; nothing else registers it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from tachograph.wire.exchange import Request
from tachograph.wire.found import Found
from tachograph.wire.repeats import Varying
from tachograph.wire.tokens import Tokens

URL_CHARS_KEPT_MAX = 1024


class Asked(NamedTuple):
    """A request as the formats see it: its URL taken apart, its JSON members (empty where it had none)."""

    host: str
    path: str
    query: str
    method: str
    headers: Mapping[str, str]
    members: Mapping[str, Any]


def asked(request: Request, members: Mapping[str, Any]) -> Asked:
    """The view of a request; a URL that cannot be parsed is an empty one."""
    url = request.url
    address, _, query = url.partition("?")  # a query may hold a key, which is not to be kept
    known = _known_address(address) if len(url) <= URL_CHARS_KEPT_MAX else None
    if known is None or (query and _UNUSUAL.search(query)):
        host, path, query = _address(url) or ("", "", "")
    else:
        host, path = known
    return Asked(host, path, query, request.method, request.headers, members)


@functools.lru_cache(maxsize=1024)  # a process asks few addresses, and often
def _known_address(address: str) -> tuple[str, str] | None:
    """(host, path) where nothing of the address says how to read what follows it."""
    parts = None if _UNUSUAL.search(address) else _address(address)
    return parts and parts[:2]


def _address(url: str) -> tuple[str, str, str] | None:
    """(host, path, query); nothing where the URL cannot be parsed."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
    except ValueError:
        return None
    path = unquote(parts.path)
    return host, path if path == "/" else path.rstrip("/"), parts.query


_UNUSUAL = re.compile(r"[#\x00-\x20]")


@dataclass(frozen=True, slots=True, eq=False)
class Format:
    """One wire format.

    name: `family.kind`, the `api` of the Call. operation: of OPERATIONS.
    matches: whether a request is of this format; asked in the order of FORMATS, the first wins.
    request: writes what the request says (model, limits, tier) into Found.
    event: one event of a stream, or the whole body as one event: (found, event name, JSON value) -> whether it
    carried content (text, reasoning, tool arguments, audio). Never raises, whatever the value is.
    tokens: the parts, from `found.usage` once everything has come; None where no usage came.
    An event that ends a stream of this format sets `found.terminal`; a stream that closes without one was truncated.
    lines: an answer may be many values, one a line, though its content type does not say so.
    varying: the texts of which `event` looks at nothing but whether they are empty. Such a format keeps what it
    understood in Found alone, and replaces there what is nested.
    """

    name: str
    operation: str
    matches: Callable[[Asked], bool]
    request: Callable[[Found, Asked], None]
    event: Callable[[Found, str, Any], bool]
    tokens: Callable[[Found], Tokens | None]
    lines: bool = False
    varying: Varying | None = None
