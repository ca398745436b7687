"""Who is asking, from one service to the next: W3C baggage, W3C trace context, and OpenTelemetry's own baggage.

In: a header, or what OpenTelemetry holds. Out: a `Scope`; a `baggage` header; an OpenTelemetry context. Members are
named `tachograph.<field of Call>` or by the word of `context`, tags `tachograph.tags.<name>`; members of others are not
ours to read, and stay.
What it must never know: which request a header came with, whether it may be trusted.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote

from tachograph.capture.sdk.context import Scope, current, fitting, over, text
from tachograph.capture.words import WORDS

# W3C baggage: what every party passes on.
BAGGAGE_BYTES_MAX = 8192
BAGGAGE_MEMBERS_MAX = 64
PREFIX = "tachograph."
_TAG = "tags."
_FIELDS: Mapping[str, str] = {**WORDS, **{field: field for field in WORDS.values()}}
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")


def asking() -> Scope:
    """The scope in force, and where it is silent what OpenTelemetry's baggage says."""
    scope = current()
    get_all = getattr(sys.modules.get("opentelemetry.baggage"), "get_all", None)
    held: Mapping[str, object] = get_all() if get_all is not None else {}
    if not held:
        return scope
    values, tags = _ours((name, str(value)) for name, value in held.items() if name not in scope.foreign)
    if not values and not tags:
        return scope
    merged = fitting({**tags, **scope.tags})
    return dataclasses.replace(scope, values={**values, **scope.values}, tags=merged, owner=None)


def to_baggage(scope: Scope | None = None, *, header: str = "") -> str:
    """The scope as a W3C `baggage` header, for calls to one's own services. What does not fit is left out.

    header: what the header says already; members of others stay, ours are said anew.
    """
    members = [part.strip() for part in header.split(",") if part.strip() and not _name(part).startswith(PREFIX)]
    members += [f"{name}={quote(value, safe='')}" for name, value in _members(current() if scope is None else scope)]
    kept: list[str] = []
    length = -1
    for member in members:
        if len(kept) < BAGGAGE_MEMBERS_MAX and length + 1 + len(member) <= BAGGAGE_BYTES_MAX:
            kept.append(member)
            length += 1 + len(member)
    return ",".join(kept)


def from_baggage(header: str, scope: Scope | None = None) -> Scope:
    """What a `baggage` header says of who is asking, over `scope`. Of one that is too long the end is not read."""
    scope = current() if scope is None else scope
    values, tags = _ours(_parsed(header))
    return over(scope, values, tags) if values or tags else scope


def to_opentelemetry(context: Any = None, *, scope: Scope | None = None) -> Any:
    """An OpenTelemetry context (`context`, else the one in force) whose baggage says who is asking. Nobody attaches it
    but you: `opentelemetry.context.attach(to_opentelemetry())`; its propagators then send it along with every request.
    """
    from opentelemetry import baggage

    for name, value in _members(current() if scope is None else scope):
        context = baggage.set_baggage(unquote(name), value, context)
    return context


def names_in(header: str) -> frozenset[str]:
    """The names of our members in a `baggage` header."""
    return frozenset(name for name, _ in _parsed(header))


def trace_of(traceparent: str) -> tuple[str, str] | None:
    """(trace id, span id) of a W3C `traceparent`; None where it is none."""
    found = _TRACEPARENT.fullmatch(traceparent.strip())
    return (found[1], found[2]) if found else None


def _members(scope: Scope) -> Iterator[tuple[str, str]]:
    for field, value in scope.values.items():
        yield PREFIX + field, value
    for name, value in scope.tags.items():
        yield PREFIX + _TAG + quote(name, safe=""), value


def _parsed(header: str) -> Iterator[tuple[str, str]]:
    """The members with our prefix; their properties (after `;`) say nothing to us."""
    if len(header) > BAGGAGE_BYTES_MAX:
        header = header[:BAGGAGE_BYTES_MAX].rpartition(",")[0]  # a member that was cut is no member
    for member in header.split(","):
        name = _name(member)
        value = member.partition(";")[0].partition("=")[2]
        if name.startswith(PREFIX) and "=" in member:
            yield unquote(name), unquote(value.strip())


def _name(member: str) -> str:
    return member.partition("=")[0].strip()


def _ours(members: Iterable[tuple[str, str]]) -> tuple[dict[str, str], dict[str, str]]:
    """(values by field of Call, tags) of members."""
    values: dict[str, str] = {}
    tags: dict[str, str] = {}
    for name, value in members:
        if not name.startswith(PREFIX):
            continue
        word = name[len(PREFIX) :]
        if word in _FIELDS:
            values[_FIELDS[word]] = text(value)
        elif word.startswith(_TAG) and len(word) > len(_TAG):
            tags[text(word[len(_TAG) :])] = text(value)
    return values, tags
