"""The record: one attempt at a model API, in our vocabulary.

What it is: the dataclass `Call`, whose fields carry, once and for all, their kind, unit and meaning.
The Arrow schema (`flow.batch`), the SQL columns (`store.schema`), the JSON keys and the reference page in
`docs/` are all rendered from this definition; none of them names a column of its own.
What it must never know: a provider, SQL, HTTP, Arrow.

Unknown is ``None``; ``0`` is a measured zero. Times are UTC. Milliseconds keep microsecond resolution
(three decimals), so that a value survives the store exactly.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """How a field is typed; every storage renders its own type from this word and from nothing else."""

    ID16 = "id16"  # 16 bytes, 32 lower-case hex digits in Python and JSON
    ID8 = "id8"  # 8 bytes, 16 hex digits
    WORD = "word"  # text of few distinct values
    TEXT = "text"  # text of many distinct values
    JSON = "json"  # JSON text
    COUNT = "count"  # integer >= 0
    SMALL = "small"  # integer 0..65535
    TIME = "time"  # datetime in UTC, microseconds
    MS = "ms"  # float, milliseconds with three decimals
    NUMBER = "number"  # float
    MONEY = "money"  # Decimal(18, 10), US dollars
    FLAG = "flag"  # bool
    COUNTS = "counts"  # list of integers
    WORDS = "words"  # set of words, kept sorted and distinct
    MAP = "map"  # text -> text


# One spelling of every closed vocabulary (call.md). Readers use these; tests hold that nothing else comes out.
VANTAGES = ("client", "gateway", "framework", "server")
OUTCOMES = ("ok", "error", "aborted", "truncated")
ERROR_TYPES = (
    "client_bad_request",
    "client_auth",
    "client_not_found",
    "client_too_large",
    "content_filter",
    "rate_limited",
    "quota_exhausted",
    "provider_overloaded",
    "provider_error",
    "timeout",
    "network",
    "protocol",
    "cancelled",
    "other",
)
FINISH_REASONS = ("stop", "length", "tool_calls", "content_filter", "error", "other")
OPERATIONS = (
    "chat",
    "embeddings",
    "text_completion",
    "generate_content",
    "rerank",
    "image",
    "speech",
    "transcription",
    "realtime",
    "count_tokens",
    "other",
)
USAGE_SOURCES = ("reported", "estimated", "missing")
USAGE_BASES = ("inclusive", "exclusive", "disjoint")
COST_SOURCES = ("provider", "contract", "list", "amortised")
PRICE_STATUSES = ("priced", "unpriced_model", "unknown_usage", "free")

# The disjoint parts of the input and of the output: the price of a call is a sum of products over these.
INPUT_PARTS = ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write_other")
OUTPUT_PARTS = ("output_visible", "output_reasoning")
MODALITY_PARTS = ("audio_input", "audio_output", "image_input", "image_output")

MONEY_STEP = Decimal("0.0000000001")  # cost_usd is kept to ten decimals


@dataclass(frozen=True, slots=True)
class Column:
    """What one field of Call is. `required`: never null. `dimension`: may be grouped and filtered by."""

    name: str
    kind: Kind
    required: bool
    dimension: bool
    section: str
    meaning: str


def _f(kind: Kind, meaning: str, *, required: bool = False, dimension: bool = False, default: Any = None) -> Any:
    metadata = {"kind": kind, "meaning": meaning, "required": required, "dimension": dimension}
    if kind in (Kind.COUNTS, Kind.WORDS):
        if kind is Kind.WORDS:
            return dataclasses.field(default=(), metadata=metadata)
        return dataclasses.field(default=None, metadata=metadata)
    if kind is Kind.MAP:
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NO_ID = "0" * 32


@dataclass(slots=True, kw_only=True)
class Call:
    """One attempt at a model API. Section comments are part of the reference page."""

    # identity
    call_id: str = _f(Kind.ID16, "ours: UUIDv7 by started_at", required=True, default=NO_ID)
    trace_id: str | None = _f(Kind.ID16, "W3C trace id")
    span_id: str | None = _f(Kind.ID8, "W3C span id")
    parent_span_id: str | None = _f(Kind.ID8, "W3C parent span id")
    operation_id: str | None = _f(Kind.TEXT, "shared by the attempts of one logical request")
    attempt: int = _f(Kind.SMALL, "0 for the first attempt", required=True, default=0)
    response_id: str | None = _f(Kind.TEXT, "the provider's id of the answer, from its body")
    request_id: str | None = _f(Kind.TEXT, "the provider's id of the request, from its headers")
    vantage: str = _f(Kind.WORD, "who saw it: " + ", ".join(VANTAGES), required=True, dimension=True, default="client")
    same_as: str | None = _f(Kind.ID16, "this row is another sighting of that call: linked, never counted twice")
    # when
    started_at: datetime = _f(Kind.TIME, "request sent", required=True, default=EPOCH)
    received_at: datetime = _f(Kind.TIME, "accepted by the collector", required=True, default=EPOCH)
    duration_ms: float | None = _f(Kind.MS, "to the last byte, or to the failure")
    headers_ms: float | None = _f(Kind.MS, "to the headers of the answer")
    ttft_ms: float | None = _f(Kind.MS, "to the first content event (visible or reasoning); null unless streamed")
    chunks: int | None = _f(Kind.COUNT, "content events of a stream")
    itl_mean_ms: float | None = _f(Kind.MS, "mean gap between content events after the first")
    itl_p99_ms: float | None = _f(Kind.MS, "99th percentile of those gaps")
    itl_max_ms: float | None = _f(Kind.MS, "longest of those gaps")
    itl_buckets: list[int] | None = _f(
        Kind.COUNTS, "those gaps counted in buckets: the i-th holds gaps up to 2^(i/4) ms"
    )
    tpot_ms: float | None = _f(Kind.MS, "time per output token: (duration - ttft) / (output_tokens - 1)")
    server_ms: float | None = _f(Kind.MS, "processing time as the provider or engine states it")
    queue_ms: float | None = _f(Kind.MS, "queueing time as the provider or engine states it")
    # what
    provider: str = _f(
        Kind.WORD, "who hosts the model (gen_ai.provider.name)", required=True, dimension=True, default="unknown"
    )
    vendor: str | None = _f(Kind.WORD, "who made the model, where that differs", dimension=True)
    operation: str = _f(Kind.WORD, "one of: " + ", ".join(OPERATIONS), required=True, dimension=True, default="other")
    api: str = _f(Kind.WORD, "wire format or dialect that was read", required=True, dimension=True, default="unknown")
    request_model: str | None = _f(Kind.WORD, "model as requested, verbatim", dimension=True)
    response_model: str | None = _f(Kind.WORD, "model as answered, verbatim", dimension=True)
    model: str | None = _f(Kind.WORD, "canonical name, used for price and grouping", dimension=True)
    service_tier: str | None = _f(Kind.WORD, "tier that served the call, from the last event", dimension=True)
    price_context: dict[str, str] = _f(Kind.MAP, "whatever else moves the price", required=True)
    streamed: bool = _f(Kind.FLAG, "the answer was streamed", required=True, dimension=True, default=False)
    status: int | None = _f(Kind.SMALL, "HTTP status", dimension=True)
    outcome: str = _f(Kind.WORD, "one of: " + ", ".join(OUTCOMES), required=True, dimension=True, default="ok")
    error_type: str | None = _f(Kind.WORD, "by fault domain: " + ", ".join(ERROR_TYPES), dimension=True)
    error_code: str | None = _f(Kind.WORD, "the provider's own word", dimension=True)
    finish_reason: str | None = _f(Kind.WORD, "one of: " + ", ".join(FINISH_REASONS), dimension=True)
    tool_calls: int | None = _f(Kind.SMALL, "tool calls that the answer asked for")
    retry_after_ms: float | None = _f(Kind.MS, "how long the provider asked to wait before the next try")
    ratelimit_limit_requests: int | None = _f(Kind.COUNT, "requests that the provider allows in its window")
    ratelimit_remaining_requests: int | None = _f(Kind.COUNT, "requests left in that window after this call")
    ratelimit_reset_requests_ms: float | None = _f(Kind.MS, "until that window starts anew")
    ratelimit_limit_tokens: int | None = _f(Kind.COUNT, "tokens that the provider allows in its window")
    ratelimit_remaining_tokens: int | None = _f(Kind.COUNT, "tokens left in that window after this call")
    ratelimit_reset_tokens_ms: float | None = _f(Kind.MS, "until that window starts anew")
    # tokens
    input_uncached: int | None = _f(Kind.COUNT, "input tokens that no cache served or stored")
    cache_read: int | None = _f(Kind.COUNT, "input tokens read from a cache")
    cache_write_5m: int | None = _f(Kind.COUNT, "input tokens written to a cache kept 5 minutes")
    cache_write_1h: int | None = _f(Kind.COUNT, "input tokens written to a cache kept 1 hour")
    cache_write_other: int | None = _f(Kind.COUNT, "input tokens written to a cache of another or unstated lifetime")
    output_visible: int | None = _f(Kind.COUNT, "output tokens less the reasoning that was itemised")
    output_reasoning: int | None = _f(Kind.COUNT, "output tokens spent on reasoning")
    audio_input: int | None = _f(Kind.COUNT, "of the input: audio tokens")
    audio_output: int | None = _f(Kind.COUNT, "of the output: audio tokens")
    image_input: int | None = _f(Kind.COUNT, "of the input: image tokens")
    image_output: int | None = _f(Kind.COUNT, "of the output: image tokens")
    input_tokens: int | None = _f(Kind.COUNT, "sum of the input parts")
    output_tokens: int | None = _f(Kind.COUNT, "sum of the output parts")
    total_tokens: int | None = _f(Kind.COUNT, "input_tokens + output_tokens")
    usage_source: str = _f(
        Kind.WORD, "one of: " + ", ".join(USAGE_SOURCES), required=True, dimension=True, default="missing"
    )
    usage_basis: str | None = _f(
        Kind.WORD, "how the source counted cached tokens: " + ", ".join(USAGE_BASES), dimension=True
    )
    usage_raw: str | None = _f(Kind.JSON, "the provider's usage object verbatim: numbers and enumerations, no content")
    max_output_tokens: int | None = _f(Kind.COUNT, "request parameter")
    temperature: float | None = _f(Kind.NUMBER, "request parameter")
    # money
    cost_usd: Decimal | None = _f(Kind.MONEY, "cost in US dollars; null when not known")
    cost_source: str | None = _f(Kind.WORD, "one of: " + ", ".join(COST_SOURCES), dimension=True)
    price_id: str | None = _f(Kind.WORD, "the dated price row that was used", dimension=True)
    price_status: str = _f(
        Kind.WORD, "one of: " + ", ".join(PRICE_STATUSES), required=True, dimension=True, default="unknown_usage"
    )
    # who
    service: str = _f(Kind.WORD, "service.name", required=True, dimension=True, default="")
    environment: str = _f(Kind.WORD, "deployment.environment.name", required=True, dimension=True, default="")
    region: str = _f(Kind.WORD, "cloud.region", required=True, dimension=True, default="")
    team: str = _f(Kind.WORD, "chargeback: team", required=True, dimension=True, default="")
    project: str = _f(Kind.WORD, "chargeback: project", required=True, dimension=True, default="")
    feature: str = _f(Kind.WORD, "chargeback: feature", required=True, dimension=True, default="")
    customer: str = _f(Kind.WORD, "chargeback: customer", required=True, dimension=True, default="")
    user_id: str | None = _f(Kind.TEXT, "end user; may be hashed at the door", dimension=True)
    conversation_id: str | None = _f(Kind.TEXT, "conversation or session", dimension=True)
    api_key_id: str | None = _f(Kind.WORD, "short keyed hash of the credential, never the credential", dimension=True)
    prompt_name: str | None = _f(Kind.WORD, "name of the prompt template", dimension=True)
    prompt_version: str | None = _f(Kind.WORD, "version of the prompt template", dimension=True)
    prompt_hash: str | None = _f(Kind.WORD, "keyed hash of the prompt template or system prompt", dimension=True)
    experiment: str = _f(Kind.WORD, "experiment", required=True, dimension=True, default="")
    arm: str = _f(Kind.WORD, "arm of the experiment", required=True, dimension=True, default="")
    tags: dict[str, str] = _f(Kind.MAP, "everything else that the user attached", required=True)
    # how it came
    source: str = _f(Kind.WORD, "what recorded it, with its version", required=True, dimension=True, default="")
    flags: tuple[str, ...] = _f(Kind.WORDS, "what was odd about it", required=True)

    def flag(self, *words: str) -> None:
        """Add words to `flags`, kept sorted and distinct."""
        if not set(words) <= set(self.flags):
            self.flags = tuple(sorted({*self.flags, *words}))


def _columns() -> tuple[Column, ...]:
    sections = {
        "call_id": "identity",
        "started_at": "when",
        "provider": "what",
        "input_uncached": "tokens",
        "cost_usd": "money",
        "service": "who",
        "source": "how it came",
    }
    section, found = "", []
    for field in dataclasses.fields(Call):
        section = sections.get(field.name, section)
        m = field.metadata
        found.append(Column(field.name, m["kind"], m["required"], m["dimension"], section, m["meaning"]))
    return tuple(found)


COLUMNS: tuple[Column, ...] = _columns()
BY_NAME: Mapping[str, Column] = {column.name: column for column in COLUMNS}

_ITL_PER_DOUBLING = 4  # Prometheus native-histogram schema 2: neighbours differ by 2^(1/4), the middle is 9 % off
ITL_BUCKETS = 81  # up to 2^20 ms, about 17 minutes; longer gaps fall in the last


def itl_bucket(gap_ms: float) -> int:
    """The index of the bucket of `itl_buckets` that holds a gap: the smallest i with gap_ms <= 2^(i/4)."""
    if gap_ms <= 1:
        return 0
    return min(ITL_BUCKETS - 1, math.ceil(math.log2(gap_ms) * _ITL_PER_DOUBLING - 1e-9))


def derive_id(started_at: datetime, seed: bytes) -> str:
    """A call_id: UUIDv7 (RFC 9562) whose free bits are those of a SHA-256 of `seed`, so that the same sighting of the
    same call always has the same id. The time part keeps ids in the order of `started_at`.
    """
    since = started_at - EPOCH
    ms = (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
    free = int.from_bytes(hashlib.sha256(seed).digest()[:10], "big")
    return f"{ms & _MS_BITS if ms > 0 else 0:012x}{free & _FREE_BITS | _VERSION_7:020x}"


_MS_BITS = (1 << 48) - 1
_FREE_BITS = 0x0FFF_3FFF_FFFF_FFFF_FFFF
_VERSION_7 = 0x7000_8000_0000_0000_0000  # with the variant's two bits


def whole(values: Iterable[int | None]) -> int | None:
    """The sum of the known values; None when none is known."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def to_dict(call: Call) -> dict[str, Any]:
    """A Call as JSON-ready values under the field names: times in RFC 3339, money as a decimal string."""
    return {column.name: _plain(column.kind, getattr(call, column.name)) for column in COLUMNS}


def to_json(call: Call) -> str:
    """One line of JSON. Null fields are kept, so that every line has the same keys."""
    members = [
        null if value is None else key + (_JSON.get(type(value)) or _json)(value)
        for value, key, null in zip(_values(call), _KEYS, _NULLS, strict=True)
    ]
    return "{" + "".join(members)[1:] + "}"


def from_dict(values: Mapping[str, Any]) -> Call:
    """The inverse of `to_dict`. Missing fields take their defaults.

    Raises ValueError naming the field where a name is unknown or a value does not fit its kind.
    """
    unknown = [name for name in values if name not in BY_NAME]
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r}")
    return Call(**{name: typed(BY_NAME[name], value) for name, value in values.items()})


_values = operator.attrgetter(*(column.name for column in COLUMNS))
_KEYS = [f',"{column.name}":' for column in COLUMNS]
_NULLS = [key + "null" for key in _KEYS]


# As `json.dumps` of the dictionary would write it.
_json: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _json_number(value: float) -> str:
    return float.__repr__(value) if math.isfinite(value) else _json(value)


def _json_time(value: datetime) -> str:
    if value.tzinfo is UTC:  # its text ends with +00:00
        return f'"{value.isoformat(timespec="microseconds")[:-6]}Z"'
    return f'"{_plain(Kind.TIME, value)}"'


# A line a call is written in the user's process: by type, this takes a third of what going through `to_dict` takes.
_JSON: dict[type, Any] = {
    str: json.encoder.encode_basestring,
    int: int.__repr__,
    float: _json_number,
    bool: lambda value: "true" if value else "false",
    datetime: _json_time,
    Decimal: lambda value: f'"{value:f}"',
    dict: lambda value: _json(value) if value else "{}",
    tuple: lambda value: _json(value) if value else "[]",
}


def _plain(kind: Kind, value: Any) -> Any:
    if value is None:
        return None
    if kind is Kind.TIME:
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if kind is Kind.MONEY:
        return format(value, "f")
    if kind is Kind.WORDS:
        return list(value)
    return value


def typed(column: Column, value: Any) -> Any:
    """`value`, given as JSON or text, as the Python value of that column. ValueError names the column."""
    if value is None:
        if column.required:
            raise ValueError(f"{column.name}: null is not allowed")
        return None
    try:
        return _TYPED[column.kind](value)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ValueError(f"{column.name}: {str(value)[:80]!r} is not {_KIND_WORDS[column.kind]}") from error


def _hex(digits: int) -> Any:
    def check(value: Any) -> str:
        text = str(value).replace("-", "").lower()
        if len(text) != digits or not set(text) <= set("0123456789abcdef"):
            raise ValueError(value)
        return text

    return check


def _count(value: Any) -> int:
    number = int(value)
    if number < 0 or (isinstance(value, float) and value != number) or isinstance(value, bool):
        raise ValueError(value)
    return number


def _small(value: Any) -> int:
    number = _count(value)
    if number > 65535:
        raise ValueError(value)
    return number


def _float(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _ms(value: Any) -> float:
    number = round(_float(value), 3)
    if number < 0:
        raise ValueError(value)
    return number


def _time(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return moment.astimezone(UTC)


def _money(value: Any) -> Decimal:
    amount = Decimal(str(value))
    if not amount.is_finite() or abs(amount) >= 10**8:
        raise ValueError(value)
    return amount.quantize(MONEY_STEP)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if value in (0, 1):
        return bool(value)
    raise ValueError(value)


def _json_text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    json.loads(text)
    return text


def _map(value: Any) -> dict[str, str]:
    return {_text(key): _text(item) for key, item in dict(value).items()}


_TYPED: dict[Kind, Any] = {
    Kind.ID16: _hex(32),
    Kind.ID8: _hex(16),
    Kind.WORD: _text,
    Kind.TEXT: _text,
    Kind.JSON: _json_text,
    Kind.COUNT: _count,
    Kind.SMALL: _small,
    Kind.TIME: _time,
    Kind.MS: _ms,
    Kind.NUMBER: _float,
    Kind.MONEY: _money,
    Kind.FLAG: _bool,
    Kind.COUNTS: lambda value: [_count(item) for item in value],
    Kind.WORDS: lambda value: tuple(sorted({_text(item) for item in value})),
    Kind.MAP: _map,
}
_KIND_WORDS: dict[Kind, str] = {
    Kind.ID16: "32 hex digits",
    Kind.ID8: "16 hex digits",
    Kind.WORD: "text",
    Kind.TEXT: "text",
    Kind.JSON: "JSON",
    Kind.COUNT: "an integer >= 0",
    Kind.SMALL: "an integer from 0 to 65535",
    Kind.TIME: "a time with its zone (RFC 3339)",
    Kind.MS: "a number of milliseconds >= 0",
    Kind.NUMBER: "a number",
    Kind.MONEY: "an amount in US dollars below 100 million",
    Kind.FLAG: "true or false",
    Kind.COUNTS: "a list of integers >= 0",
    Kind.WORDS: "a list of words",
    Kind.MAP: "a map of text to text",
}
