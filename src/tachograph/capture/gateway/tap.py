"""The tap's source for a route: the files of `lua/` behind the lists that they read by.

In: what a route wants beyond watching. Out: Lua for Envoy's filter. The lists of names come from `wire`, which is the
one place that knows providers; who is asking comes from `attribution`. All limits are here.
What it must never know: Envoy's configuration, a path, a price.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.resources import files

from tachograph.capture.gateway import attribution
from tachograph.capture.gateway.clusters import AGAIN
from tachograph.wire import kept

# In this order: each file uses only what stands before it.
PARTS = (
    "levels",
    "texts",
    "reduce",
    "keeping",
    "answers",
    "repeating",
    "events",
    "frames",
    "framing",
    "hiding",
    "asking",
    "tap",
)

LIMITS: Mapping[str, int] = {
    "WORD_BYTES": 257,  # of a text that is kept, and one more to tell that it was longer
    "MESSAGE_BYTES": 1024,  # of an error's message, in which phrases are looked for
    "METADATA_BYTES": 129,
    "NAME_BYTES": 64,
    "PATH_BYTES": 1024,
    "EVENT_NAME_BYTES": 128,
    "HEADER_BYTES": 512,
    "ATTRIBUTION_BYTES": 2048,
    "BAGGAGE_BYTES": 4096,
    "EVENT_BYTES": 16 * 1024,  # of one event, reduced
    "EVENT_BYTES_RESERVED": 8 * 1024,  # for its counts, where the rest was already too much
    "ITEMS": 256,  # of an array
    "TEXTS": 64,  # of the texts and numbers of an array
    "LENGTHS": 4096,  # of an array of which only the length matters
    "DEPTH": 64,
    "EVENTS": 256,  # distinct ones of an answer
    "EVENTS_BYTES": 64 * 1024,
    "STAMPS": 20_000,
    "SEGMENT_BYTES": 512,  # so much is written again with each piece
    "SEGMENTS": 400,
    "IDLE_ANSWERS": 64,  # whose tables wait for the next answer
    "IDLE_EVENTS": 32,
    "OUT_IDLE": 1024,
    "FRAMES": 6,
    "FRAME_BYTES": 4096,
    "HOLES": 32,
    "DOCUMENT_BYTES": 16 * 1024,
    "PAYLOAD_BYTES": 128 * 1024,  # of an AWS frame
    "HELD_BYTES": 64 * 1024,  # of a line that may be the chunk that brings the usage
    "BUFFERED_BYTES": 64 * 1024,  # of a request that is looked at in one piece
    "ASK_BYTES": 1024 * 1024,  # of a request that is changed
    "REFUSAL_BYTES": 64 * 1024,
    "WAITING_REQUESTS": 256,
    "WAITING_BYTES_MAX": 16 * 1024 * 1024,
    "AGAIN_MILLISECONDS": 600_000,
}

# What a name means, see `kept`. NOTHING: not kept. FIGURE: of a name that nobody knows, in what is measured.
_KINDS = (
    *("NOTHING", "WORD", "NUMBER", "WORD_OR_NUMBER", "MOMENT", "COUNTED", "MEASURED", "LIST", "PRESENCE", "HOLDER"),
    *("BODY", "MESSAGE", "FAILURE", "LENGTH", "ASKING", "FIGURE"),
)
# How the names in a container are read.
_MODES = ("SILENT", "PLAIN", "TOP", "FAILED", "COUNTS", "MEASURES", "METADATA")
# What is due in a container.
_DUE = ("FIRST", "NEXT", "COLON", "VALUE", "AFTER")
_CONSTANTS = {**LIMITS, **{name: at for names in (_KINDS, _MODES, _DUE) for at, name in enumerate(names)}}
_CONSTANT = re.compile(rf"\b({'|'.join(_CONSTANTS)})\b")

_GIVES = re.compile(r"^-- Gives: (.+)\.$", re.MULTILINE)

# Headers that the tap reads itself, and what it calls them.
_PLAIN_HEADERS = {
    ":path": "path",
    ":method": "method",
    "content-length": "length",
    "content-type": "kind",
    "content-encoding": "encoding",
    "accept-encoding": "encodings",
    "traceparent": "traceparent",
    "baggage": "baggage",
    "upgrade": "upgrade",
    "x-request-id": "id",
    "x-tachograph-again": "again",
}


def render(
    *,
    include_usage: bool = False,
    required: Iterable[str] = (),
    model: str = "",
    experiment: str = "",
    arm: str = "",
    again_cluster: str = AGAIN,
) -> str:
    """The source for one kind of route.

    include_usage: ask for the usage of streams. required: words of `attribution.REQUIRABLE` without which a request is
    answered with 400. model: what is asked for in place of what the request says. experiment, arm: told in the log.
    again_cluster: where a request goes that was refused for what we added: to this gateway itself; "": nowhere, and the
    caller sees that one refusal.
    """
    variant = {
        "INCLUDE_USAGE": include_usage,
        "REQUIRED": tuple(required),
        "ARM_MODEL": model,
        "EXPERIMENT": experiment,
        "ARM": arm,
        "AGAIN_CLUSTER": again_cluster,
    }
    told = "".join(f"local {name} = {_lua(value)}\n" for name, value in {**_lists(), **variant}.items())
    return told + "".join(f"\n{_part(name)}" for name in PARTS)


def _part(name: str) -> str:
    """A file, with the constants written into it. Of one that says what it gives, the rest stays inside: Lua has room
    for 200 locals.
    """
    source = (files("tachograph.capture.gateway") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
    source = _CONSTANT.sub(lambda found: str(_CONSTANTS[found.group()]), source)
    gives = _GIVES.search(source)
    if gives is None:
        return source
    for given in gives[1].split(", "):
        source = source.replace(f"local function {given}(", f"function {given}(")
    return f"local {gives[1]}\ndo\n{source}end\n"


def _lists() -> dict[str, object]:
    return {
        "NAMES": _kinds(
            HOLDER=kept.HOLDERS,
            PRESENCE=kept.PRESENCE,
            WORD=kept.WORDS,
            NUMBER=kept.NUMBERS,
            WORD_OR_NUMBER=kept.WORDS_OR_NUMBERS,
            MOMENT=kept.MOMENTS,
            COUNTED=kept.COUNTED,
            MEASURED=kept.MEASURED,
            LIST=kept.LISTS,
            BODY=kept.BODIES,
            MESSAGE=kept.MESSAGES,
            FAILURE=kept.FAILURES,
        ),
        "FAILED_NAMES": _kinds(WORD_OR_NUMBER=kept.FAILURE_WORDS, FAILURE=kept.FAILURE_HOLDERS),
        "FAILURE_ENDINGS": kept.FAILURE_ENDINGS,
        "RESULT": f"'{kept.RESULT}'",
        "PHRASES": kept.MESSAGE_PHRASES,
        "ASKED_NAMES": _kinds(
            HOLDER=kept.ASKED_HOLDERS,
            PRESENCE=kept.ASKED_PRESENCE,
            WORD=kept.ASKED_WORDS,
            NUMBER=kept.ASKED_NUMBERS,
            LENGTH=kept.ASKED_LENGTHS,
            ASKING=kept.ASKED_METADATA,
        ),
        "ASKED_METADATA": _set(*kept.ASKED_WORDS, *attribution.METADATA),
        "ASKED_IN_QUERY": _set(*kept.ASKED_IN_QUERY),
        "ASKED_HEADERS": _set(*kept.ASKED_HEADERS),
        "ANSWERED_HEADERS": _set(*kept.ANSWERED_HEADERS),
        "PLAIN_HEADERS": _PLAIN_HEADERS,
        "ATTRIBUTION": _set(*attribution.HEADERS),
        "ATTRIBUTION_PREFIXES": attribution.PREFIXES,
        "ATTRIBUTION_STARTS": _set(*(name[:3] for name in (*attribution.HEADERS, *attribution.PREFIXES))),
        "SOURCES": {word: attribution.patterns(word) for word in attribution.REQUIRABLE},
    }


def _kinds(**names: Iterable[str]) -> dict[str, int]:
    return {name: _CONSTANTS[kind] for kind, listed in names.items() for name in listed}


def _set(*names: str) -> dict[str, bool]:
    return dict.fromkeys(names, True)


def _lua(value: object) -> str:
    """A value as Lua writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + "".join(_char(byte) for byte in value.encode()) + '"'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"[{_lua(name)}] = {_lua(item)}" for name, item in value.items()) + "}"
    assert isinstance(value, tuple)
    return "{" + ", ".join(map(_lua, value)) + "}"


def _char(byte: int) -> str:
    plain = 0x20 <= byte < 0x7F and byte not in b'"\\'
    return chr(byte) if plain else f"\\{byte:03d}"
