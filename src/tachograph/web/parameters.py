"""Parameters: what each may hold, and what their texts mean.

In: the texts of a request. Out: typed values; ValueError in one line for what is unknown, repeated or makes no sense.
A declaration is both: what is checked, and what the OpenAPI page says.
What it must never know: who asks, what is done with a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.datastructures import QueryParams

from tachograph import when
from tachograph.call import BY_NAME, EPOCH, Kind
from tachograph.flow import Refused
from tachograph.store import MEASURES
from tachograph.store.conditions import DIMENSIONS, IDENTITIES, MAPS, QUANTITIES, AtLeast, nearest
from tachograph.store.heat import LATENCIES
from tachograph.store.questions import Place

_ITEM = re.compile('"(?:[^"]|"")*"|(?!")[^,]*')
PAGE_CALLS_MAX = 1000
ANSWER_ROWS_MAX = 100_000
FILTERS_MAX = 50

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. schema: of one value, as JSON schema. many: may be repeated, values_max times if that is told.
    place: query, path or header.
    """

    name: str
    meaning: str
    schema: Schema
    many: bool = False
    values_max: int | None = None
    place: str = "query"
    required: bool = False


# What a value of a filter may be, by what it is of; a text where nothing is said.
_FORMS = {Kind.FLAG: "true|false", Kind.SMALL: "[0-9]{1,4}", Kind.ID16: "[0-9a-f]{32}"}
_TEXT = '("([^"\\r\\n]|"")*"|([^",\\r\\n][^,\\r\\n]*)?)'
_NUMBERS = {
    Kind.COUNT: "[0-9]{1,15}",
    Kind.MS: "[0-9]{1,12}(\\.[0-9]{1,3})?",
    Kind.MONEY: "[0-9]{1,7}(\\.[0-9]{1,10})?",
}


def _filter_pattern() -> str:
    """Every form of NAME=VALUE and NAME>=NUMBER, by what the name stands for."""
    by_form: dict[str, list[str]] = {}
    for name in (*DIMENSIONS, *IDENTITIES):
        form = _FORMS.get(BY_NAME[name].kind)
        by_form.setdefault(f"=({_several(f'(null|{form})' if form else _TEXT)})", []).append(name)
    for name in QUANTITIES:
        by_form.setdefault(f">={_NUMBERS[BY_NAME[name].kind]}", []).append(name)
    by_form[f"=({_several(_TEXT)})"] += [f"({'|'.join(MAPS)})\\.[^=]+"]
    told = [f"({'|'.join(names)}){form}" for form, names in by_form.items()]
    return f"^({'|'.join(told)})$"


def _several(form: str) -> str:
    return f"{form}(,{form})*"


_DIMENSION = f"({'|'.join(DIMENSIONS)}|({'|'.join(MAPS)})\\.[^,]+)"
MOMENT: Schema = {
    "type": "string",
    "anyOf": [
        {"pattern": "^(now|today|[1-9][0-9]{0,3}[smhdw])$"},
        {"type": "string", "format": "date"},
        {"type": "string", "format": "date-time"},
    ],
}
TOKEN_CHARACTERS_MAX = 200
_PLACE = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,6})?Z,[0-9a-f]{32}$"
MEASURE = Parameter("measure", "what to measure; `calls` if not given", {"enum": list(MEASURES)}, many=True)
BY = Parameter("by", "group by a dimension, or tags.KEY", {"type": "string", "pattern": f"^{_DIMENSION}$"}, many=True)
WHERE = Parameter(
    "where",
    'NAME=VALUE; A,B for any of several; null for none; "A, B" for one with a comma (quotation marks in it doubled);'
    " NAME>=NUMBER, such as duration_ms>=3000; each name once",
    {"type": "string", "pattern": _filter_pattern()},
    many=True,
    values_max=FILTERS_MAX,
)
SINCE = Parameter("since", "from: 30d (ago), 24h, today, 2026-11-23, RFC 3339", MOMENT)
UNTIL = Parameter("until", "to, exclusive, after `since`; written likewise; now if not given", MOMENT)
STEP = Parameter("step", "one point per 1m, 1h, 1d, ...", {"type": "string", "pattern": "^[1-9][0-9]{0,3}[smhdw]$"})
ORDER = Parameter(
    "order",
    "by a measure or dimension that is asked, or by time; -NAME for descending",
    {"type": "string", "pattern": f"^-?(time|{'|'.join(MEASURES)}|{_DIMENSION})$"},
)
LATENCY = Parameter("of", "which latency; `duration_ms` if not given", {"enum": list(LATENCIES)})
PROVIDER = Parameter("provider", "as calls name it", {"type": "string", "minLength": 1}, required=True)
MODEL = Parameter("model", "as requested, as answered, or canonical", {"type": "string", "minLength": 1}, required=True)
ROWS = Parameter("limit", "at most so many rows", {"type": "integer", "minimum": 1, "maximum": ANSWER_ROWS_MAX})
PAGE = Parameter("limit", "calls of a page; 100", {"type": "integer", "minimum": 1, "maximum": PAGE_CALLS_MAX})
AFTER = Parameter(
    "after",
    "`next_after` of the page before",
    {"type": "string", "format": "place", "pattern": _PLACE},
)
CALL_ID = Parameter(
    "call_id", "32 hex digits", {"type": "string", "pattern": "^[0-9a-f]{32}$"}, place="path", required=True
)
ANNOTATION_ID = Parameter(
    "annotation_id", "32 hex digits", {"type": "string", "pattern": "^[0-9a-f]{32}$"}, place="path", required=True
)
TOKEN = Parameter(
    "Idempotency-Key",
    "names the batch, so that it counts once",
    {"type": "string", "pattern": f"^[!-~]{{1,{TOKEN_CHARACTERS_MAX}}}$"},
    place="header",
    required=True,
)
LAST_EVENT = Parameter(
    "Last-Event-ID",
    "id of the last event that was seen: what came since is sent first",
    {"type": "string"},
    place="header",
)


def token(text: str) -> str:
    """The name of a batch, as it came. Refused where it is none."""
    if not text:
        raise _no_token("is missing: name the batch, so that it counts once")
    if len(text) > TOKEN_CHARACTERS_MAX:
        raise _no_token(f"is longer than {TOKEN_CHARACTERS_MAX} characters: give a shorter name")
    if re.fullmatch(TOKEN.schema["pattern"], text) is None:
        raise _no_token("has blanks or characters beyond ASCII: give a plain name")
    return text


def _no_token(what: str) -> Refused:
    return Refused("no_token", f"header {TOKEN.name} {what}")


def check(query: QueryParams, parameters: Sequence[Parameter]) -> None:
    """ValueError for a parameter that is not known, with the nearest one, and for one given twice."""
    known = {parameter.name: parameter for parameter in parameters if parameter.place == "query"}
    for name in query:
        if name not in known:
            hint = nearest(name, known) if known else ": this path takes none"
            raise ValueError(f"unknown parameter {name[:60]!r}{hint}")
        if not known[name].many and len(query.getlist(name)) > 1:
            raise ValueError(f"parameter {name!r} is given {len(query.getlist(name))} times: give it once")


def filters(texts: Sequence[str]) -> dict[str, Any]:
    """Conditions as people write them -> what `ask` takes as `where`.

    `provider=openai`; `model=a,b`: one of; `team=`: empty; `user_id=null`: none; `user_id="Poe, Edgar"`: in quotes
    nothing but a doubled quotation mark means anything; `duration_ms>=3000`: so much, or more.
    """
    if len(texts) > FILTERS_MAX:
        raise ValueError(f"{len(texts)} filters are given: {FILTERS_MAX} are the most")
    found: dict[str, Any] = {}
    for text in texts:
        name, value = _filter(text)
        if name in found:
            raise ValueError(f"filter {name!r} is given twice: write {name}=A,B for any of several")
        found[name] = value
    return found


def _filter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"filter {text!r}: write NAME=VALUE, NAME=A,B for several, NAME=null for none")
    if name.endswith(">") and "." not in name:  # a key of a map may end so
        return name[:-1], AtLeast(_number(name[:-1], value))
    values = [_unquoted(item) for item in _items(name, value)]
    return name, values if len(values) > 1 else values[0]


def _number(name: str, text: str) -> str:
    form = _NUMBERS.get(BY_NAME[name].kind) if name in QUANTITIES else None
    if form is not None and re.fullmatch(form, text) is None:
        raise ValueError(f"filter {name}>={text[:60]}: write a plain number, such as 3000")
    return text


def _items(name: str, text: str) -> list[str]:
    found, end = [], -1
    while end < len(text):
        item = _ITEM.match(text, end + 1)
        end = item.end() if item else end
        if item is None or text[end : end + 1] not in ("", ","):
            raise ValueError(f'filter {name}={text[:60]}: close the quotation marks; one within them is written ""')
        found.append(item[0])
    return found


def _unquoted(item: str) -> str | None:
    if item.startswith('"'):
        return item[1:-1].replace('""', '"')
    return None if item == "null" else item


def written(where: Mapping[str, Any]) -> list[str]:
    """The conditions as `filters` reads them."""
    return [f"{name}{_written(value)}" for name, value in where.items()]


def _written(value: Any) -> str:
    if isinstance(value, AtLeast):
        return f">={value.least}"
    return "=" + ",".join(_quoted(item) for item in (value if isinstance(value, list) else [value]))


def _quoted(item: Any) -> str:
    text = "null" if item is None else str(item)
    special = "," in text or text.startswith('"') or (text == "null" and item is not None)
    doubled = text.replace('"', '""')
    return f'"{doubled}"' if special else text


def listed(values: Sequence[str], where: str) -> list[str]:
    """Names, also several in one word: `calls,cost_usd`."""
    words = [word for value in values for word in value.split(",")]
    if "" in words:
        raise ValueError(f"{where} names nothing where a name should be: leave it out")
    return words


def limit(text: str | None, most: int) -> int | None:
    """A number from 1 to `most`; None where none is given."""
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and 1 <= int(text) <= most):
        raise ValueError(f"limit is {text[:60]!r}: give a number from 1 to {most}")
    return int(text)


def question(query: QueryParams, now: datetime) -> tuple[list[str], dict[str, Any]]:
    """What `ask` is asked: the measures, and the rest by name."""
    return listed(query.getlist("measure"), "measure") or ["calls"], {
        "by": listed(query.getlist("by"), "by"),
        **within(query, "24h", now),
        "step": step(query.get("step")),
        "limit": limit(query.get("limit"), ANSWER_ROWS_MAX),
        "order": query.get("order"),
    }


def within(query: QueryParams, since: str, now: datetime) -> dict[str, Any]:
    """The conditions and the range of a question, by name; since: as of `moments`."""
    low, high = moments(query, since, now)
    return {"where": filters(query.getlist("where")), "since": low, "until": high}


def moments(query: QueryParams, since: str, now: datetime) -> tuple[datetime, datetime]:
    """`since` and `until`; since: what it is where none is given."""
    return moment(query.get("since", since), now), moment(query.get("until", "now"), now)


def moment(text: str, now: datetime) -> datetime:
    """A moment within the calendar."""
    try:
        return when.moment(text, now)
    except OverflowError:
        raise ValueError(f"{text[:60]!r} is outside the calendar: give a nearer time") from None


def step(text: str | None) -> timedelta | None:
    """The width of a point; None where none is given."""
    return None if text is None else when.width(text)


def place(text: str | None) -> Place | None:
    """`next_after` of the page before."""
    if text is None:
        return None
    at, _, call_id = text.partition(",")
    if len(call_id) != 32 or not set(call_id) <= set("0123456789abcdef"):
        raise ValueError(f"after is {text[:80]!r}: give the `next_after` of the page before")
    return moment(at, EPOCH), call_id
