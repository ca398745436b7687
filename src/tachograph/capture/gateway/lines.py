"""One line of Envoy's access log -> what was seen: the exchange, who asked, where it belongs.

In: a line in `LOG_FORMAT`, and who is behind its route. Out: a `Seen`, whose exchange `wire` reads as it would have
read the bytes: the events that the tap kept are framed again, each with its moment. Pure; of any other line it raises
Refused.
What it must never know: a file, a clock, how Envoy is configured, what an event means.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import unquote, unquote_to_bytes

from tachograph.capture.gateway import attribution
from tachograph.capture.gateway.reframing import framing
from tachograph.flow import Refused
from tachograph.wire.exchange import End, Exchange, Request

# What Envoy writes, by its own operators. No query, no key, no header but those that the tap kept: what a client wrote
# is in `m` alone, where the tap has spelled out what could end a text. When it began is in the line's seal.
LOG_FORMAT: Mapping[str, str] = {
    "a": "tachograph 2",
    "n": "%ROUTE_NAME%",
    "c": "%UPSTREAM_CLUSTER%",
    "u": "%UPSTREAM_HOST%",
    "s": "%RESPONSE_CODE%",
    "f": "%RESPONSE_FLAGS%",
    "k": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "r": "%COMMON_DURATION(DS_RX_BEG:US_RX_BEG:us)%",
    "e": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
    "y": "%DURATION%",
    "m": "%DYNAMIC_METADATA(tachograph:m)%",
}
LINE_BYTES_MAX = 4 * 1024 * 1024
EVENTS_MAX = 200_000
_ABSENT = (None, "-", "")

# Envoy's response flags -> how the exchange ended; the first that is there.
_ENDS: tuple[tuple[End, frozenset[str]], ...] = (
    (End.TIMEOUT, frozenset(("UT", "SI", "UMSDR", "DT"))),
    (End.NETWORK, frozenset(("UF", "UC", "UR", "UH", "UPE", "URX", "LR", "LH", "NC", "UO", "DF", "OM"))),
    (End.CLIENT_GONE, frozenset(("DC", "DR"))),
    (End.PROTOCOL, frozenset(("DPE",))),
)
# Of these nobody was asked: no route, no cluster, no upstream, an answer of the tap's own, a filter's refusal.
_UNASKED_FLAGS = frozenset(("NR", "NC", "UH", "UO", "RL", "UAEX", "RLSE", "FI"))
_OPERATIONS = ("amz-sdk-invocation-id", "idempotency-key", "x-idempotency-key")
_ID = re.compile(r"[0-9a-f]*")
_UNREAD = "unread"  # an encoding that nobody knows: what the answer says is not known

# (name of the route, path as the client sent it, cluster) -> (URL that it went to, provider); None: no such route.
Behind = Callable[[str, str, str], tuple[str, str | None] | None]


class Table(Protocol):
    """Who is behind which route."""

    def behind(self, name: str, path: str, cluster: str) -> tuple[str, str | None] | None:
        """See `Behind`."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """What one line says.

    is_call: whether a model was asked; else Envoy answered by itself, or the line is the first half of a request that
    the gateway sent again. attribution: who asked, by field of Call, with `tags`, `operation_id`, `experiment`, `arm`.
    request_id: of the gateway's own. attempts: of Envoy's own. cuts: what was too much to be kept.
    """

    exchange: Exchange
    is_call: bool
    route: str
    cluster: str
    trace_id: str
    span_id: str
    parent_span_id: str | None = None
    request_id: str | None = None
    attribution: Mapping[str, Any] = field(default_factory=dict)
    attempts: int = 1
    cuts: tuple[str, ...] = ()


def read(line: bytes, tables: Sequence[Table]) -> Seen | None:
    """The same by the tables of routes that may have been in force, the present one first. None: no model was asked."""

    def behind(name: str, path: str, cluster: str) -> tuple[str, str | None] | None:
        return next((found for table in tables if (found := table.behind(name, path, cluster)) is not None), None)

    said = seen(line, behind)
    return said if said.is_call else None


def seen(line: bytes, behind: Behind) -> Seen:
    """What a line says. Refused("malformed") in one line where it is none of ours, or is damaged."""
    told = _told(line)
    try:
        return _seen(line, told, _kept(told["m"]), behind)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _malformed(str(error)) from error


def _kept(told: Any) -> dict[str, str]:
    """What the tap kept: `<key>=<value>`, with ^ between."""
    if told in _ABSENT:
        return {}
    if isinstance(told, dict) and all(isinstance(value, str) for value in told.values()):
        return told  # of a gateway of before, which may have written lines that nobody has read yet
    if not isinstance(told, str):
        raise ValueError("`m` is not what the tap writes")
    entries = (entry.partition("=") for entry in told.split("^"))
    return {key: value for key, _, value in entries}


def _told(line: bytes) -> dict[str, Any]:
    if len(line) > LINE_BYTES_MAX:
        raise _malformed(f"{len(line)} bytes, more than {LINE_BYTES_MAX}")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _malformed(str(error)) from error
    if not isinstance(value, dict) or "m" not in value or not ({"A", "t"} & value.keys()):
        raise _malformed("no line of the gateway's log")
    return value


def _malformed(why: str) -> Refused:
    return Refused("malformed", f"gateway log: a line was not read: {' '.join(why.split())[:200]}")


def _seen(line: bytes, told: dict[str, Any], kept: dict[str, str], behind: Behind) -> Seen:
    route, cluster = _word(told.get("n")), _word(told.get("c"))
    trace_of, place, reduced, told_headers = [*kept.get("q", "").split("|", 3), "", "", ""][:4]
    path, _, query = unquote(place).partition("?")
    # Lines of version 1 say what version 2 leaves to the seal and to the tap.
    started_us = int(_word(told.get("t")) or _word(told.get("A")).partition(".")[0])
    request_id = _word(told.get("i")) or unquote(kept.get("i", ""))
    method = _word(told.get("w")) or unquote(kept.get("w", "")) or "POST"
    found = behind(route, path, cluster) if route else None
    url, provider = found or (path, None)
    headers = _headers(told_headers)
    members = _members(reduced)
    flags = set(_word(told.get("f")).replace("-", "").split(",")) - {""}
    cuts = tuple(kept.get("x", "").split())
    trace, span, parent = _trace(trace_of) or _derived(line)
    answer = _answer(told, kept, started_us, request_id)
    return Seen(
        exchange=Exchange(
            Request(f"{url}?{query}" if query else url, method, headers, b"", members),
            provider=provider,
            started_at=datetime.fromtimestamp(0, UTC) + timedelta(microseconds=started_us),
            end_us=_end_us(told, answer.get("chunks", ())),
            end=_end(flags),
            **answer,
        ),
        is_call=bool(found) and flags.isdisjoint(_UNASKED_FLAGS) and not _own(told, flags) and "g" not in kept,
        route=route,
        cluster=cluster,
        trace_id=trace,
        span_id=span,
        parent_span_id=parent,
        request_id=request_id or None,
        attribution=_attribution(headers, _headers(kept.get("a", "")), members, kept.get("v", "")),
        attempts=max(1, _number(told.get("k")) or 1),
        cuts=cuts,
    )


def _word(value: Any) -> str:
    if value in _ABSENT:
        return ""
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise ValueError("a member is no text")
    return str(value)


def _number(value: Any) -> int | None:
    """A whole number, as itself or as text; None where Envoy had none."""
    text = _word(value)
    return int(text) if text else None


def _headers(text: str) -> dict[str, str]:
    """Headers as the tap writes them; one that came several times is joined with commas."""
    headers: dict[str, str] = {}
    for entry in filter(None, text.split("|")):
        name, _, value = entry.partition("=")
        value = unquote(value)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def plain(text: str) -> bytes:
    """JSON as the tap writes it -> JSON."""
    return unquote_to_bytes(text.replace("'", '"').encode("utf-8", "replace"))


def _members(text: str) -> dict[str, Any]:
    """The members of a request; of a text of which the length matters, so many characters."""
    try:
        value = json.loads(plain(text).decode("utf-8", "replace")) if text else {}
    except ValueError:
        value = {}
    if not isinstance(value, dict):
        return {}
    return {name: _lengthened(item) for name, item in value.items()}


def _lengthened(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("*") and value[1:].isascii() and value[1:].isdigit():
        return "*" * min(int(value[1:10]), LINE_BYTES_MAX)
    return value


def _trace(text: str) -> tuple[str, str, str | None] | None:
    trace, span, parent = [*text.split("-"), "", "", ""][:3]
    if len(trace) != 32 or len(span) != 16 or not _ID.fullmatch(trace + span):
        return None
    return trace, span, parent if len(parent) == 16 and _ID.fullmatch(parent) else None


def _derived(line: bytes) -> tuple[str, str, None]:
    """Ids for a line whose tap failed before it gave any; the same whenever it is read."""
    digest = hashlib.blake2b(line, digest_size=24).hexdigest()
    return digest[:32], digest[32:], None


def _attribution(
    headers: Mapping[str, str], who: Mapping[str, str], members: Mapping[str, Any], arm_of: str
) -> dict[str, Any]:
    values, tags = attribution.attributed(who, members)
    experiment, _, arm = map(unquote, arm_of.partition("|"))
    own = {"operation_id": _operation(headers), "experiment": experiment, "arm": arm, "tags": tags}
    return {**values, **{name: value for name, value in own.items() if value}}


def _operation(headers: Mapping[str, str]) -> str | None:
    """As the SDK names it: what a header says is not kept."""
    named = next((headers[name] for name in _OPERATIONS if headers.get(name)), None)
    return hashlib.sha256(named.encode()).hexdigest()[:24] if named else None


def _own(told: Mapping[str, Any], flags: set[str]) -> bool:
    """Whether a filter of the gateway answered before anybody was asked."""
    asked = (
        _word(told.get("u")) or _answered(told) or not flags.isdisjoint(("UF", "UC", "UR", "UT", "UPE", "URX", "LR"))
    )
    return not asked


def _answered(told: Mapping[str, Any]) -> bool:
    """Whether the provider answered: then it has sent headers."""
    return _number(told.get("r")) is not None


def _end(flags: set[str]) -> End:
    return next((end for end, ours in _ENDS if not flags.isdisjoint(ours)), End.COMPLETE)


def _end_us(told: Mapping[str, Any], chunks: Sequence[tuple[int | None, bytes]]) -> int | None:
    exact, rough = _number(told.get("e")), _number(told.get("y"))
    if exact is not None or rough is None:
        return exact
    # Whole milliseconds: the headers may have come in the last of them, and chunks, whose clock is another.
    latest_us = max((at_us for at_us, _ in chunks if at_us is not None), default=0)
    return max(rough * 1000, _number(told.get("r")) or 0, min(latest_us, rough * 1000 + 999))


def _answer(told: Mapping[str, Any], kept: Mapping[str, str], started_us: int, request_id: str) -> dict[str, Any]:
    """Status, headers and chunks of the provider's answer; nothing of an answer of Envoy's own."""
    if not _answered(told):
        return {}
    headers = _headers(kept.get("h") or kept.get("p", "").partition("^")[2])
    if headers.get("x-request-id") == request_id:
        headers.pop("x-request-id", None)  # ours, which the answer bears where the provider gave none
    chunks = list(_chunks(kept, started_us))
    if not chunks and headers.get("content-encoding", "identity") != "identity":
        headers["content-encoding"], chunks = _UNREAD, [(None, b"\x01" * 32)]
    headers_us = _headers_us(told, chunks)
    return {"status": _number(told.get("s")), "headers": headers, "headers_us": headers_us, "chunks": chunks}


def _headers_us(told: Mapping[str, Any], chunks: Sequence[tuple[int | None, bytes]]) -> int | None:
    """Durations are taken by a clock that never steps, moments of chunks by the one on the wall, which is slowed and
    hastened: what came after the headers is not told to have come before them.
    """
    came_us, first_us = _number(told.get("r")), chunks[0][0] if chunks else None
    return came_us if came_us is None or first_us is None else min(came_us, first_us)


def _chunks(kept: Mapping[str, str], started_us: int) -> Iterator[tuple[int | None, bytes]]:
    since, _, text = kept.get("p", "").partition("^")[0].partition("|")
    first = kept.get("e1") or text
    if not first:
        return
    whole, begun = framing(first)
    texts: dict[str, bytes] = {}
    last_us = 0
    for number, at_us in _sequence(kept):
        if number not in texts:
            texts[number] = whole(kept.get(f"e{number}", ""), plain)
        last_us = last_us if at_us is None else at_us
        yield None if at_us is None else at_us - started_us, texts[number]
    if text:
        yield last_us + int(since or 0) - started_us, begun(text, plain)


def _sequence(kept: Mapping[str, str]) -> Iterator[tuple[str, int | None]]:
    """(number of an event, moment) in their order."""
    at_us, number, left = 0, "", EVENTS_MAX
    segment = 1
    while f"s{segment}" in kept:
        for entry in kept[f"s{segment}"].split(","):
            number, times, since = _entry(entry, number)
            times = min(times, left)
            left -= times
            at_us += since or 0
            for _ in range(times):
                yield number, None if since is None else at_us
        segment += 1


def _entry(entry: str, number: str) -> tuple[str, int, int | None]:
    """(number of the event, how often, microseconds since the one before): `120`, `3.120`, `3*17`."""
    if "*" in entry:
        number, _, times = entry.partition("*")
        return _known(number), int(times), None
    if "." in entry:
        number, _, entry = entry.partition(".")
    return _known(number), 1, int(entry or 0)


def _known(number: str) -> str:
    if not (number.isascii() and number.isdigit()):
        raise ValueError("the sequence names no event")
    return number
