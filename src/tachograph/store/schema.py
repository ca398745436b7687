"""How a field of Call is a SQL column: type and codec by Kind, and by nothing else.

In: a column of `call.COLUMNS`. Out: its definition, and the literal that binds a value of a field in a query.
What it must never know: a query, an engine, what a field means beyond its Kind.
Why: the migrations are literal texts; a test holds them against these definitions, so that a field of Call without
its column, or with another type, fails before it reaches a disk.

Codecs are chosen by measured size: T64 crops the unused bits of numbers before ZSTD sees them (input_tokens: 1.7
bytes against 2.3), and call ids, sorted, want a level that finds their shared time prefix.
"""

from __future__ import annotations

from tachograph.call import Column, Kind

_TYPES: dict[Kind, str] = {
    Kind.ID16: "FixedString(16)",
    Kind.ID8: "FixedString(8)",
    Kind.WORD: "String",
    Kind.TEXT: "String",
    Kind.JSON: "String",
    Kind.COUNT: "UInt64",
    Kind.SMALL: "UInt16",
    Kind.TIME: "DateTime64(6, 'UTC')",
    Kind.MS: "Decimal(18, 3)",
    Kind.NUMBER: "Float64",
    Kind.MONEY: "Decimal(18, 10)",
    Kind.FLAG: "Bool",
    Kind.COUNTS: "Array(UInt64)",
    Kind.WORDS: "Array(LowCardinality(String))",
    Kind.MAP: "Map(LowCardinality(String), String)",
}
_NEVER_NULL = (Kind.COUNTS, Kind.WORDS, Kind.MAP)  # an empty list or map says all that a null would

_CODECS: dict[Kind, str] = {
    Kind.COUNT: "T64, ZSTD(1)",
    Kind.SMALL: "T64, ZSTD(1)",
    Kind.TIME: "T64, ZSTD(1)",
    Kind.MS: "T64, ZSTD(1)",
    Kind.MONEY: "T64, ZSTD(1)",
    Kind.COUNTS: "T64, ZSTD(1)",
    Kind.TEXT: "ZSTD(3)",
    Kind.JSON: "ZSTD(3)",
}
_CODEC_OF_FIELD = {"call_id": "ZSTD(9)", "started_at": "Delta, T64('bit'), ZSTD(1)"}
# A conversation's calls lie thousands of rows apart: only a large block holds two of them.
_SETTINGS_OF_FIELD = {
    "conversation_id": " SETTINGS (min_compress_block_size = 1048576, max_compress_block_size = 2097152)"
}


def column_type(column: Column) -> str:
    """The SQL type of a field."""
    kind = _TYPES[column.kind]
    if not column.required and column.kind not in _NEVER_NULL:
        kind = f"Nullable({kind})"
    return f"LowCardinality({kind})" if column.kind is Kind.WORD else kind


def column_definition(column: Column) -> str:
    """The SQL definition of a field: name, type, codec."""
    codec = _CODEC_OF_FIELD.get(column.name) or _CODECS.get(column.kind, "ZSTD(1)")
    return f"{column.name} {column_type(column)} CODEC({codec}){_SETTINGS_OF_FIELD.get(column.name, '')}"


def element_type(column: Column) -> str:
    """The type under which one known value of a dimension is bound as a query parameter."""
    return _TYPES[column.kind]
