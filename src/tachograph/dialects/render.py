"""All tables -> one query, which reads the raw bytes of a whole batch of requests.

In: the tables. Out: SQL that answers one row a span (or log record), in the order of the requests, with every
attribute that means something reduced to a number and a value: what `columns` turns into facts.
What it must never know: what a fact means, a price, how the query is run, where rows go.

Why so little is done in SQL: the engine analyses a query anew each time it runs. With every fact and rule written
out, that alone took 0.6 s; this query takes a tenth of it, and picking facts out of its arrays is a scatter of
integers. `{source}` stands for the place of the bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tachograph.dialects import DIALECTS
from tachograph.dialects.facts import Dialect
from tachograph.dialects.numbering import TAG, Numbering
from tachograph.dialects.protobuf import ARRAY, BOOL, DOUBLE, INT, KVLIST, STRING, STRUCTURE

UNMARKED = 255
# The id that an answer begins with, if it is one of the kinds that no model writes itself.
_QUOTED = r'^\s*(?:\{\s*"intValue"\s*:\s*)?"?\s*(-?[0-9]+(?:\.[0-9]+)?)\s*"?\s*\}?\s*$'
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
    value = "sp.attributes.value"
    events = sorted({name for dialect in dialects for name in dialect.first_token_events})
    members = f"{value}.string_value, {value}.bool_value, {value}.int_value, {value}.double_value"
    columns = {
        "request": "request",
        **{f"resource_{column}": f"of_resource.{place}" for place, column in enumerate(RESOURCE, 1)},
        "scope": "of_scope.1",
        "scope_version": "of_scope.2",
        **{name: f"sp.{name}" for name in ("trace_id", "span_id", "parent_span_id", "name", "kind")},
        "start_ns": "sp.start_time_unix_nano",
        "end_ns": "sp.end_time_unix_nano",
        "status_code": "sp.status.code",
        "marked": _marked(dialects),
        "ns": "ns",
        "numbers": f"arrayMap((n, e, s, b, i, d) -> {_number(numbers)}, ns, {value}.value, {members})",
        "wrapped": f"if(has({value}.value, {KVLIST}), arrayMap((n, e, m) -> {_wrapped(numbers)}, ns, {value}.value,"
        f" {value}.kvlist_value), [])",
        "texts": f"arrayMap((n, e, s, b, i, d, a) -> {_text(numbers)}, ns, {value}.value, {members},"
        f" {value}.array_value)",
        "usage_raw": _usage_raw(numbers, members),
        "tag_names": f"if(has(ns, {TAG}), arrayMap((k, n) -> if(n = {TAG}, k, ''), sp.attributes.key, ns), [])",
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
    known = f"transform(k, {texts(list(numbers.keys))}, {list(numbers.keys.values())}, 0)"
    requests = "SELECT rowNumberInAllBlocks() AS request, arrayJoin(resource_spans) AS rs FROM {source}"
    scopes = f"SELECT request, tuple({said}) AS of_resource, arrayJoin(rs.scope_spans) AS ss FROM ({requests})"
    spans = f"SELECT request, of_resource, ss.scope AS of_scope, arrayJoin(ss.spans) AS sp FROM ({scopes})"
    found = f"arrayMap(k -> {known}, sp.attributes.key)"
    marks = f"arrayMap((n, k) -> toUInt16(if(n != 0, n, if({tagged}, {TAG}, 0))), {found}, sp.attributes.key)"
    return f"SELECT request, of_resource, of_scope, sp, {marks} AS ns FROM ({spans})"


def _marked(dialects: Sequence[Dialect]) -> str:
    """The first vocabulary of the list one of whose markers is there."""
    markers: dict[str, int] = {}
    for index, dialect in enumerate(dialects):
        for key in dialect.markers:
            markers.setdefault(key, index)
    by_key = f"toUInt8(transform(k, {texts(list(markers))}, {list(markers.values())}, {UNMARKED}))"
    return f"if(empty(sp.attributes.key), {UNMARKED}, arrayMin(arrayMap(k -> {by_key}, sp.attributes.key)))"


def _number(numbers: Numbering) -> str:
    plain = {INT: "toFloat64(i)", DOUBLE: "d", STRING: _number_of_text(), BOOL: "toFloat64(b)"}
    chosen = ", ".join(f"e = {kind}, {value}" for kind, value in plain.items())
    return f"if(n = 0 OR n >= {numbers.words_from}, nan, multiIf({chosen}, nan))"


def _number_of_text() -> str:
    """Some write a number as text, some quote it once more, some write the value of OTLP's JSON as text."""
    bare = f"if(substring(s, 1, 1) IN ('\"', '{{'), extract(s, {text(_QUOTED)}), trimBoth(s))"
    return f"ifNull(toFloat64OrNull({bare}), nan)"


def _wrapped(numbers: Numbering) -> str:
    """The varint behind the name, of a map whose one member is `intValue`."""
    rest = "substring(m, position(m, 'intValue') + 11)"
    each = "(c, place) -> bitShiftLeft(toUInt64(bitAnd(reinterpretAsUInt8(c), 127)), 7 * place)"
    whole = f"arraySum({each}, splitByString('', {rest}), range(length({rest})))"
    there = f"n != 0 AND n < {numbers.words_from} AND e = {KVLIST} AND position(m, 'intValue') > 0"
    return f"if({there} AND length({rest}) < 9, toFloat64({whole}), nan)"


def _usage_raw(numbers: Numbering, members: str) -> str:
    """The members of a JSON object: every token count that was there, under its own name and as it came."""
    counts = numbers.token_counts
    odd = f"toJSONString(if(e = {DOUBLE}, toString(d), substring(s, 1, 64)))"  # what JSON has no number for is text
    value = f"multiIf(e = {INT}, toString(i), e = {DOUBLE} AND isFinite(d), toString(d), {odd})"
    member = f"if(n = 0 OR n > {counts} OR e NOT IN ({INT}, {DOUBLE}, {STRING}), '', concat('\"', k, '\":', {value}))"
    every = f"arrayMap((k, n, e, s, b, i, d) -> {member}, sp.attributes.key, ns, sp.attributes.value.value, {members})"
    return f"arrayStringConcat(arrayFilter(x -> x != '', {every}), ',')"


def _text(numbers: Numbering) -> str:
    plain = {STRING: "s", INT: "toString(i)", BOOL: "toString(b)", DOUBLE: "toString(d)", ARRAY: _list("a")}
    chosen = [f"e = {kind}, {value}" for kind, value in plain.items()]
    whole = [f"n = {number} AND e = {STRING}, extract(s, {text(_ANSWER)})" for number in numbers.answers]
    return f"if(n < {numbers.words_from}, '', multiIf({', '.join([*whole, *chosen])}, ''))"


def _list(value: str) -> str:
    """The texts of an ArrayValue, by commas: each stands behind four bytes, two tags and two lengths."""
    return f"substring(replaceRegexpAll({value}, '(?s)\\\\x0A[\\\\x00-\\\\x7F]\\\\x0A[\\\\x00-\\\\x7F]', ','), 2)"


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
