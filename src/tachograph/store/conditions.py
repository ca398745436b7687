"""What may be grouped and filtered by, and the SQL that does it.

In: names of dimensions and the values looked for. Out: SQL expressions; every value travels as a bound parameter, so
that no text of a user is ever read as SQL.
What it must never know: a measure, a table.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tachograph.call import BY_NAME, COLUMNS, EPOCH, Column, Kind, typed
from tachograph.store.errors import Unknown
from tachograph.store.schema import element_type

DIMENSIONS: tuple[str, ...] = tuple(column.name for column in COLUMNS if column.dimension)
MAPS: tuple[str, ...] = tuple(column.name for column in COLUMNS if column.kind is Kind.MAP)
# Looked for, but never grouped by: nearly every call has its own.
IDENTITIES: tuple[str, ...] = ("trace_id", "operation_id", "same_as")
QUANTITIES: tuple[str, ...] = tuple(c.name for c in COLUMNS if c.kind in (Kind.MS, Kind.COUNT, Kind.MONEY))

Where = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AtLeast:
    """Looked for of a quantity: so much, or more. A call of which it is not known has not so much."""

    least: Any


class Parameters:
    """Collects the values of one query; `bind` answers the text that stands for a value."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def bind(self, value: Any, kind: str) -> str:
        """The placeholder of `value`, bound under the SQL type `kind`."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"{{{name}:{kind}}}"

    def moment(self, value: datetime) -> str:
        """The placeholder of a time, to the microsecond."""
        return f"fromUnixTimestamp64Micro({self.bind(microseconds(value), 'Int64')}, 'UTC')"


def microseconds(moment: datetime) -> int:
    """Since 1970, exactly. ValueError for a time without a zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone: write it with one, such as Z")
    since = moment.astimezone(UTC) - EPOCH
    return (since.days * 86400 + since.seconds) * 10**6 + since.microseconds


def moment(since_epoch_us: int) -> datetime:
    """The time so many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=since_epoch_us)


def hex_id(text: str, what: str) -> str:
    """An id as 32 hex digits. ValueError for what is none."""
    plain = text.replace("-", "").lower()
    if len(plain) != 32 or not set(plain) <= set("0123456789abcdef"):
        raise ValueError(f"{text[:60]!r} is no {what} id: 32 hex digits are")
    return plain


def check_dimension(name: str) -> str:
    """`name`, or Unknown with the nearest dimension there is."""
    field, dot, key = name.partition(".")
    if name in DIMENSIONS or (dot and key and field in MAPS):
        return name
    raise Unknown(f"unknown dimension {name!r}{nearest(name, (*DIMENSIONS, *(f'{m}.<key>' for m in MAPS)))}")


def check_where(where: Where | None) -> None:
    """Unknown where a condition is on what there is not."""
    for name, value in (where or {}).items():
        if isinstance(value, AtLeast):
            if name not in QUANTITIES:
                raise Unknown(f"unknown quantity {name!r}{nearest(name, QUANTITIES)}")
        elif name not in IDENTITIES:
            check_dimension(name)


def nearest(name: str, known: Iterable[str]) -> str:
    """ ": did you mean ...?", or the way to all names where none is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f": did you mean {close[0]!r}?" if close else f": there are {', '.join(sorted(known))}"


def expression(name: str, parameters: Parameters) -> str:
    """SQL of the value of a checked name; NULL where a map lacks the key."""
    if name in BY_NAME:
        return name
    field, _, key = name.partition(".")
    bound = parameters.bind(key, "String")
    return f"if(mapContains({field}, {bound}), {field}[{bound}], NULL)"


def label(name: str, parameters: Parameters) -> str:
    """SQL of the label of a dimension: text, or NULL."""
    value = expression(check_dimension(name), parameters)
    textual = name not in BY_NAME or BY_NAME[name].kind in (Kind.WORD, Kind.TEXT)
    return value if textual else f"toString({value})"


def conditions(where: Where, parameters: Parameters) -> str:
    """SQL that holds for the rows looked for, beginning with AND; empty where nothing is asked.

    A value is one of what the dimension holds, None for "not known", or a list of these, any of which will do; of a
    quantity, `AtLeast`. Unknown for a name that there is not; ValueError names a dimension whose value does not fit.
    """
    check_where(where)
    return "".join(f" AND ({_condition(name, value, parameters)})" for name, value in where.items())


def _condition(name: str, value: Any, parameters: Parameters) -> str:
    if isinstance(value, AtLeast):
        return f"{name} >= {_bound(name, typed(BY_NAME[name], value.least), parameters)}"
    wanted = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
    known = [_typed(name, item) for item in wanted if item is not None]
    subject = expression(name, parameters)
    tests = [f"{subject} IS NULL"] if None in wanted else []
    if len(known) == 1:  # half the time of a list of one
        tests.append(f"{subject} = {_bound(name, known[0], parameters)}")
    elif known and _is_id(name):
        tests.append(f"{subject} IN ({', '.join(_bound(name, each, parameters) for each in known)})")
    elif known:
        tests.append(f"{subject} IN {parameters.bind(known, f'Array({_element(name)})')}")
    return " OR ".join(tests) or "0"


def _bound(name: str, value: Any, parameters: Parameters) -> str:
    if _is_id(name):
        return f"toFixedString(unhex({parameters.bind(value, 'String')}), 16)"
    return parameters.bind(value, _element(name))


def _is_id(name: str) -> bool:
    """Is it kept as bytes, and written as hex digits?"""
    return name in BY_NAME and BY_NAME[name].kind is Kind.ID16


def _element(name: str) -> str:
    return element_type(BY_NAME[name]) if name in BY_NAME else "String"


def _typed(name: str, value: Any) -> Any:
    column: Column | None = BY_NAME.get(name)
    if column is None:
        return str(value)
    if column.kind is Kind.FLAG and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return typed(column, value)


def listed(names: str | Sequence[str]) -> tuple[str, ...]:
    """One name or several, as several; Unknown where one is named twice."""
    several = (names,) if isinstance(names, str) else tuple(names)
    twice = next((name for name in several if several.count(name) > 1), None)
    if twice is not None:
        raise Unknown(f"{twice!r} is asked twice: name it once")
    return several
