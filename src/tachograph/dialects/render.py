"""All tables -> one query, which reads the raw bytes of a whole batch of requests.

In: the tables. Out: SQL that answers one row a span (or log record), in the order of the requests, with the name of
every attribute that means something reduced to an index, and its value: what `columns` turns into facts.
What it must never know: what a fact means, a price, how the query is run, where rows go.

Why so little is done in SQL: the engine analyses a query anew each time it runs. With every fact and rule written
out, that alone took 0.6 s; this query takes a twentieth of it, and picking facts out of its arrays is a scatter of
integers. `{source}` stands for the place of the bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tachograph.dialects import DIALECTS
from tachograph.dialects.facts import Dialect
from tachograph.dialects.numbering import TAG, Numbering
from tachograph.dialects.protobuf import STRUCTURE

_STRING_TAG = "char(10)"
# The id that an answer begins with, if it is one of the kinds that no model writes itself.
_ANSWER = r'^\s*\{\s*"id"\s*:\s*"((?:chatcmpl|cmpl|resp|msg|gen)[-_][\w-]{8,128})"'
# What the resource says -> its attributes; the first name that is there wins.
RESOURCE: Mapping[str, tuple[str, ...]] = {
    "service": ("service.name",),
    "environment": ("deployment.environment.name", "deployment.environment", "langfuse.environment"),
    "region": ("cloud.region",),
    "team": ("tachograph.team", "team"),
    "project": ("tachograph.project", "project", "service.namespace"),
    "customer": ("tachograph.customer",),
    "telemetry": ("telemetry.sdk.name",),
}


def render(numbers: Numbering, dialects: Sequence[Dialect] = DIALECTS) -> str:
    """The query, for traces and logs alike: their schemas differ."""
    events = sorted({name for dialect in dialects for name in dialect.first_token_events})
    columns = {
        "request": "request",
        **{f"resource_{column}": f"of_resource.{place}" for place, column in enumerate(RESOURCE, 1)},
        "scope": "of_scope.1",
        "scope_version": "of_scope.2",
        **{name: f"sp.{name}" for name in ("trace_id", "span_id", "parent_span_id", "name", "kind")},
        "start_ns": "sp.start_time_unix_nano",
        "end_ns": "sp.end_time_unix_nano",
        "status_code": "sp.status.code",
        "indices": "indices",
        "messages": f"arrayMap((i, v) -> {_message(numbers)}, indices, sp.attributes.value)",
        "tag_names": f"if(has(indices, {TAG}), arrayMap((k, i) -> if(i = {TAG}, k, ''), sp.attributes.key, indices),"
        " [])",
        "details": "arrayExists(k -> startsWith(k, 'ai.usage.inputTokenDetails.'), sp.attributes.key)",
        "first_event_ns": "if(empty(sp.events.name), 0, arrayMin(arrayFilter((t, n) -> "
        f"n IN {_tuple(events)}, sp.events.time_unix_nano, sp.events.name)))",
        "exception": "if(empty(sp.events.name), '', arrayFirst(x -> x != '', arrayMap((n, k, v) -> if(n = 'exception', "
        "v[indexOf(k, 'exception.type')], ''), sp.events.name, sp.events.attributes.key, "
        "sp.events.attributes.value.string_value)))",
    }
    listed = ",\n  ".join(f"{expression} AS {name}" for name, expression in columns.items())
    return f"SELECT {listed}\nFROM (\n{_spans(numbers, dialects)}\n)"


def settings(schema: str) -> dict[str, Any]:
    """What the engine must be told beside the query. schema: the path of a file that holds `SCHEMAS[signal]`."""
    return {
        "format_schema": f"{schema}:Request",
        "input_format_protobuf_oneof_presence": 1,
        # One stream keeps the rows in the order of the requests.
        "max_threads": 1,
        # So many requests at a time: half of the memory of all at once, and no slower.
        "max_block_size": 8,
        "short_circuit_function_evaluation": "force_enable",
        # There is nothing to plan in a query that reads everything; to look for it took a sixth of its analysis.
        "query_plan_enable_optimizations": 0,
    }


def source(path: str) -> str:
    """The table function over the bytes at `path`."""
    return f"file({text(path)}, 'Protobuf', {text(STRUCTURE)})"


def _spans(numbers: Numbering, dialects: Sequence[Dialect]) -> str:
    """One row a span, beside it what its resource and its scope say, and the numbers of its attributes."""
    keys, values = "rs.resource.attributes.key", "rs.resource.attributes.value.string_value"
    said = ", ".join(
        _first([f"{values}[indexOf({keys}, {text(key)})]" for key in names]) for names in RESOURCE.values()
    )
    prefixes = sorted({prefix for dialect in dialects for prefix in dialect.tags})
    tagged = " OR ".join(f"startsWith(k, {text(prefix)})" for prefix in prefixes)
    names = numbers.names
    known = f"transform(k, {texts(names)}, {list(range(1, len(names) + 1))}, 0)"
    requests = "SELECT rowNumberInAllBlocks() AS request, arrayJoin(resource_spans) AS rs FROM {source}"
    scopes = f"SELECT request, tuple({said}) AS of_resource, arrayJoin(rs.scope_spans) AS ss FROM ({requests})"
    spans = f"SELECT request, of_resource, ss.scope AS of_scope, arrayJoin(ss.spans) AS sp FROM ({scopes})"
    found = f"arrayMap(k -> {known}, sp.attributes.key)"
    marks = f"arrayMap((i, k) -> toUInt16(if(i != 0, i, if({tagged}, {TAG}, 0))), {found}, sp.attributes.key)"
    return f"SELECT request, of_resource, of_scope, sp, {marks} AS indices FROM ({spans})"


def _message(numbers: Numbering) -> str:
    """A value as it stands; nothing where nobody wants it; of a whole answer its id, as a message of its own."""
    unwanted = f"i = 0 OR (i > {len(numbers.keys)} AND i != {TAG})"
    answers = [place for place, name in enumerate(numbers.names, 1) if name in numbers.answers]
    if not answers:
        return f"if({unwanted}, '', v)"
    # Before the text stand a tag and its length, in bytes that are marked where another one follows.
    ends = ", ".join(
        f"bitAnd(reinterpretAsUInt8(substring(v, {place}, 1)), 128) = 0, {place + 1}" for place in (2, 3, 4)
    )
    found = f"extract(substring(v, multiIf({ends}, 6)), {text(_ANSWER)})"
    length = f"if(length({found}) < 128, char(length({found})), char(length({found}), 1))"
    answer = f"concat({_STRING_TAG}, {length}, {found})"
    return f"multiIf({unwanted}, '', has({answers}, i) AND startsWith(v, {_STRING_TAG}), {answer}, v)"


def _first(values: Sequence[str]) -> str:
    *before, last = values
    return f"multiIf({''.join(f'{value} != {text(str())}, {value}, ' for value in before)}{last})" if before else last


def text(value: str) -> str:
    """A string literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def texts(values: Sequence[str]) -> str:
    """An array of string literals."""
    return "[" + ", ".join(map(text, values)) + "]"


def _tuple(values: Sequence[str]) -> str:
    return "(" + ", ".join(map(text, values)) + ")"
