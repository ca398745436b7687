"""What the API takes and gives, as JSON schemas; that of a Call is rendered from the definition of the record.

In: `call.COLUMNS`. Out: schemas that refer to one another by name.
What it must never know: a path, a column by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tachograph.call import COLUMNS, Column, Kind
from tachograph.web import parameters

Schema = Mapping[str, Any]
_COUNT = {"type": "integer", "minimum": 0}
_NUMBER = {"type": "number", "minimum": 0}
_COUNTS_BY = {"type": "object", "additionalProperties": _COUNT}
_TIME = {"type": "string", "format": "date-time"}

_BY_KIND: Mapping[Kind, dict[str, Any]] = {
    Kind.ID16: {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    Kind.ID8: {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    Kind.WORD: {"type": "string"},
    Kind.TEXT: {"type": "string"},
    Kind.JSON: {"type": "string", "contentMediaType": "application/json"},
    Kind.COUNT: _COUNT,
    Kind.SMALL: {**_COUNT, "maximum": 65535},
    Kind.TIME: _TIME,
    Kind.MS: {"type": "number", "minimum": 0},
    Kind.NUMBER: {"type": "number"},
    Kind.MONEY: {"type": "string", "pattern": "^-?[0-9]+\\.[0-9]{10}$"},
    Kind.FLAG: {"type": "boolean"},
    Kind.COUNTS: {"type": "array", "items": _COUNT},
    Kind.WORDS: {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
    Kind.MAP: {"type": "object", "additionalProperties": {"type": "string"}},
}


def _column(column: Column) -> Schema:
    schema = {**_BY_KIND[column.kind], "description": column.meaning}
    return schema if column.required else {**schema, "type": [schema["type"], "null"]}


def _object(properties: Mapping[str, Schema], **more: Any) -> Schema:
    """An object that has exactly these members."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


def _named(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


CALL = _object(
    {column.name: _column(column) for column in COLUMNS},
    description="One attempt at a model API. Unknown is null; 0 is a measured zero.",
)
ERROR = _object(
    {"error": _object({"type": {"type": "string"}, "message": {"type": "string", "description": "one line"}})}
)
SERIES = _object(
    {
        "measures": {"type": "object", "additionalProperties": {"type": "string"}, "description": "name -> unit"},
        "by": {"type": "array", "items": {"type": "string"}},
        "since": _TIME,
        "until": _TIME,
        "step_seconds": {"type": ["number", "null"]},
        "table": {"type": "string", "description": "which stored table answered"},
        "rows": {
            "type": "array",
            "items": {"type": "object", "additionalProperties": {"type": ["string", "number", "null"]}},
            "description": "`time` where there is a step, each dimension, each measure",
        },
    }
)
COMPONENTS: Mapping[str, Schema] = {"Call": CALL, "Series": SERIES, "Error": ERROR}

PAGE = _object(
    {
        "calls": {"type": "array", "items": _named("Call")},
        "next_after": {"type": ["string", "null"], "description": "`after` of the next page; null at the end"},
    }
)
ONE = _object(
    {
        "call": _named("Call"),
        "explanation": {"type": "object", "description": "the multiplication behind its cost"},
        "usage_raw": {"description": "the provider's usage object, parsed"},
        "sightings": {"type": "array", "items": _named("Call"), "description": "other rows of the same attempt"},
    }
)
WRITTEN = _object({"accepted": _COUNT, "stored": _COUNT, "deduplicated": _COUNT})
LINES = {
    "type": "string",
    "format": "calls",
    "description": "one Call per line, as `/calls` gives it; missing fields take their defaults",
}
LEDGER = _object(
    {
        "accepted": {**_COUNTS_BY, "description": "by door"},
        "stored": _COUNT,
        "deduplicated": _COUNT,
        "refused": {**_COUNTS_BY, "description": "by reason"},
        "ignored": {**_COUNTS_BY, "description": "by reason"},
        "in_flight": _COUNT,
        "balanced": {"type": "boolean", "description": "accepted = the sum of the others"},
    }
)
REPORTED = _object(
    {
        "metrics": {
            "type": "array",
            "items": _object(
                {
                    **{name: {"type": "string"} for name in ("service", "metric", "unit", "token_type")},
                    "points": _COUNT,
                    "value": {"type": "number", "description": "the sum of deltas, or what cumulative points grew by"},
                }
            ),
        }
    }
)
SESSION = _object(
    {
        "role": {"enum": ["viewer", "editor", "admin", None], "description": "null: nobody who may see anything"},
        "name": {"type": "string", "description": "of the key"},
        "teams": {"type": "array", "items": {"type": "string"}, "description": "the only ones it sees; empty: all"},
        "csrf": {"type": ["string", "null"], "description": "header X-Tachograph-CSRF of what changes something"},
        "login": {"type": "boolean", "description": "a key must be given before anything is shown"},
    }
)
TOKEN = _object({"token": {"type": "string"}}, description="the token as `tachograph key add` printed it")
_LINE = {"type": "string", "description": "one line"}
_KIND = {"enum": ["deployment", "note"]}
ANNOTATION = _object(
    {
        "annotation_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
        "at": _TIME,
        "kind": _KIND,
        "text": _LINE,
        "service": {**_LINE, "description": "what it is about; empty: all"},
        "environment": {**_LINE, "description": "what it is about; empty: all"},
        "by": {**_LINE, "description": "name of the key of whoever said it"},
    }
)
ANNOTATIONS = _object(
    {
        "annotations": {"type": "array", "items": ANNOTATION},
        "left_out": {**_COUNT, "description": "earlier ones of the range that are not listed"},
    }
)
SAID = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "pattern": "[A-Za-z0-9]", "maxLength": 500},
        "kind": _KIND,
        "at": parameters.MOMENT,
        "service": {"type": "string", "maxLength": 200},
        "environment": {"type": "string", "maxLength": 200},
    },
    "required": ["text"],
    "additionalProperties": False,
    "description": "`text`, and where it is told `kind` (note if not), `at` (now if not), `service`, `environment`",
}
CONNECT = _object(
    {
        "doors": {"type": "object", "additionalProperties": {"type": "string"}, "description": "name -> address"},
        "tls": {"type": "boolean"},
        "key_needed": {"type": "boolean", "description": "a door listens beyond loopback"},
        "routes": {
            "type": "array",
            "items": _object({"prefix": {"type": "string"}, "provider": {"type": "string"}}),
            "description": "what the gateway offers",
        },
        "calls": {**_COUNT, "description": "how many are stored that the key may see"},
    }
)


def _listed(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _maybe(schema: Mapping[str, Any], *names: str) -> dict[str, Schema]:
    return {name: {**schema, "type": [schema["type"], "null"]} for name in names}


_WORD = {"type": "string"}
_FIELDS = _listed(_object({"name": _WORD, "meaning": _WORD, "section": _WORD}))
ASK_TEXT = _object(
    {
        "sql": {**_WORD, "description": "runs as it stands in a client of the database"},
        "promql": _listed(_object({"measure": _WORD, "expression": _WORD})),
        "promql_missing": _listed(_object({"measure": _WORD, "why": _WORD})),
    }
)
VOCABULARY = _object(
    {
        "measures": _listed(_object({"name": _WORD, "unit": _WORD, "meaning": _WORD})),
        "dimensions": _FIELDS,
        "identities": {**_FIELDS, "description": "may be looked for, not grouped by"},
        "quantities": {**_FIELDS, "description": "may be looked for as NAME>=NUMBER"},
        "maps": _listed({**_WORD, "description": "dimensions of it are written MAP.KEY"}),
        "outcomes": _listed(_WORD),
        "error_types": _listed(_WORD),
    }
)
HEAT = _object(
    {
        "of": _WORD,
        "unit": _WORD,
        "since": _TIME,
        "until": _TIME,
        "step_seconds": _COUNT,
        "table": {**_WORD, "description": "which stored table answered"},
        "buckets": _listed(_object({"low_ms": _NUMBER, "high_ms": _NUMBER})),
        "rows": {
            **_listed({"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 3}),
            "description": "start of the step in seconds since 1970, place of the bucket, calls (of itl_ms: gaps)",
        },
    }
)
MODELS = _object(
    {
        "models": _listed(
            _object(
                {
                    "provider": _WORD,
                    **_maybe(_WORD, "request_model", "response_model", "model"),
                    "calls": _COUNT,
                    **_maybe({"type": "number"}, "cost_usd"),
                    "priced_calls": _COUNT,
                    "first_seen": _TIME,
                    "last_seen": _TIME,
                    **_maybe({**_WORD, "description": "the last that was used"}, "price_id"),
                    **_maybe({**_WORD, "description": "lines of a price file that price it"}, "fix"),
                }
            )
        ),
    }
)
CHANGES = _object(
    {
        "changes": _listed(
            _object({"at": _TIME, "provider": _WORD, "request_model": _WORD, "before": _WORD, "after": _WORD})
        )
    }
)
PRICES = _object(
    {
        "rows": _listed(
            _object(
                {
                    "price_id": _WORD,
                    "provider": _WORD,
                    "model": _WORD,
                    **_maybe({**_WORD, "format": "date"}, "since", "until"),
                    "in_force": {"type": "boolean", "description": "prices a call of today that it is for"},
                    "context": {
                        "type": "object",
                        "additionalProperties": _WORD,
                        "description": "words that the calls it is for must have, such as service_tier",
                    },
                    **_maybe({**_WORD, "description": "hours of the day in UTC, such as 16:30-00:30"}, "window"),
                    "rates": {
                        "type": "object",
                        "additionalProperties": _WORD,
                        "description": "US dollars per million tokens, or per what the name says",
                    },
                    "source": _WORD,
                }
            )
        ),
        **_maybe({**_WORD, "description": "lines of a price file that price it"}, "fix"),
    }
)
HEADROOM = _object(
    {
        "rows": _listed(
            _object(
                {
                    "provider": _WORD,
                    **_maybe(_WORD, "model", "api_key_id"),
                    "at": _TIME,
                    **_maybe(_COUNT, "limit_requests", "remaining_requests"),
                    **_maybe(_NUMBER, "reset_requests_ms"),
                    **_maybe(_COUNT, "limit_tokens", "remaining_tokens"),
                    **_maybe(_NUMBER, "reset_tokens_ms"),
                }
            )
        )
    }
)
_TABLE = _object({"table": {"type": "string"}, "rows": _COUNT, "bytes_on_disk": _COUNT, "parts": _COUNT})
_MAYBE_TIME = {**_TIME, "type": ["string", "null"]}
HEALTH = _object(
    {
        "status": {"type": "string"},
        "version": {"type": "string"},
        "doors": {"type": "object", "additionalProperties": {"type": "string"}, "description": "name -> address"},
        "lag_seconds": {**_NUMBER, "description": "how far storing is behind accepting"},
        "store": _object(
            {
                "calls": _COUNT,
                "repeated_sightings": _COUNT,
                "oldest": _MAYBE_TIME,
                "newest": _MAYBE_TIME,
                "tables": {"type": "array", "items": _TABLE},
                "bytes_per_call": {"type": ["number", "null"]},
            }
        ),
        "counters": {
            "type": "object",
            "additionalProperties": {"anyOf": [_NUMBER, {"type": "object", "additionalProperties": _NUMBER}]},
        },
        "retention_days": {**_COUNTS_BY, "description": "table -> how long it is kept"},
    }
)
