"""What the tap is told: the lists that it reads by, and what a route wants beyond watching.

In: names by kind, wishes of a route. Out: lines of words between tabs, for Envoy to hand to the module that is built
from `tap/`. The lists of names come from `wire`, which is the one place that knows providers; who is asking comes from
`attribution`.
What it must never know: Envoy's configuration, a path, a price.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from tachograph.capture.gateway import attribution
from tachograph.capture.gateway.clusters import AGAIN
from tachograph.flow import Refused
from tachograph.wire import kept

# Built from `tap/` when the package is.
MODULE = Path(__file__).with_name("libtachograph_tap.so")
# What a name means, see `kept`.
_NAMES = {
    "holder": kept.HOLDERS,
    "presence": kept.PRESENCE,
    "word": kept.WORDS,
    "number": kept.NUMBERS,
    "word_or_number": kept.WORDS_OR_NUMBERS,
    "moment": kept.MOMENTS,
    "counted": kept.COUNTED,
    "measured": kept.MEASURED,
    "list": kept.LISTS,
    "body": kept.BODIES,
    "message": kept.MESSAGES,
    "failure": kept.FAILURES,
}
_FAILED = {"word_or_number": kept.FAILURE_WORDS, "failure": kept.FAILURE_HOLDERS}
_ASKED = {
    "holder": kept.ASKED_HOLDERS,
    "presence": kept.ASKED_PRESENCE,
    "word": kept.ASKED_WORDS,
    "number": kept.ASKED_NUMBERS,
    "length": kept.ASKED_LENGTHS,
    "asking": kept.ASKED_METADATA,
}


def module() -> Path:
    """The module's file. Refused where it was not built."""
    if not MODULE.is_file():
        how = "install Rust (`apt-get install rustc`, or https://rustup.rs) and then this package again"
        raise Refused("no_tap", f"the gateway's tap is not built: {how}, or install a wheel that holds it")
    return MODULE


def lists() -> str:
    """The lists: one name a line, behind what it is."""
    return "".join("\t".join(row) + "\n" for row in _rows())


def _rows() -> Iterator[tuple[str, ...]]:
    for list_, kinds in (("name", _NAMES), ("failed", _FAILED), ("asked", _ASKED)):
        for kind, names in kinds.items():
            yield from ((list_, kind, name) for name in names)
    plain = {
        "failure_ending": kept.FAILURE_ENDINGS,
        "result": (kept.RESULT,),
        "phrase": kept.MESSAGE_PHRASES,
        "asked_metadata": (*kept.ASKED_WORDS, *attribution.METADATA),
        "asked_in_query": kept.ASKED_IN_QUERY,
        "asked_header": kept.ASKED_HEADERS,
        "answered_header": kept.ANSWERED_HEADERS,
        "attribution": attribution.HEADERS,
        "attribution_prefix": attribution.PREFIXES,
    }
    for list_, names in plain.items():
        yield from ((list_, name) for name in names)
    for word in attribution.REQUIRABLE:
        yield from (("says", word, header, part) for header, part in attribution.sources(word))


def variant(
    *,
    include_usage: bool = False,
    required: Iterable[str] = (),
    model: str = "",
    experiment: str = "",
    arm: str = "",
    again_cluster: str = AGAIN,
) -> str:
    """What one kind of route wants.

    include_usage: ask for the usage of streams. required: words of `attribution.REQUIRABLE` without which a request is
    answered with 400. model: what is asked for in place of what the request says. experiment, arm: told in the log.
    again_cluster: where a request goes that was refused for what we added: to this gateway itself; "": nowhere, and the
    caller sees that one refusal.
    """
    rows = [
        *([("include_usage",)] if include_usage else []),
        *(("required", word) for word in required),
        *([("model", json.dumps(model))] if model else []),
        *([("experiment", _line(experiment)), ("arm", _line(arm))] if arm else []),
        *([("again", again_cluster)] if include_usage and again_cluster else []),
    ]
    return "".join("\t".join(row) + "\n" for row in rows)


def _line(name: str) -> str:
    """A name that breaks no line of ours."""
    return " ".join(name.split())
