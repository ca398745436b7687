"""What a table of a vocabulary may say: the facts that a span can carry, and what a row of a table means.

In: nothing. Out: `Dialect`, the type of every table, and `FACTS`, the closed list of what can be read off a span.
What it must never know: SQL, a price, a store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Facts that are numbers, in the unit that their name ends with. `_s` facts become milliseconds when they are read.
NUMBERS = (
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read",
    "cache_write",
    "cache_write_5m",
    "cache_write_1h",
    "reasoning",
    "audio_input",
    "audio_output",
    "image_input",
    "image_output",
    "embedding_tokens",
    "ttft_s",
    "ttft_ms",
    "itl_mean_s",
    "queue_s",
    "server_s",
    "duration_ms",
    "duration_s",
    "status",
    "attempt",
    "max_output_tokens",
    "temperature",
    # What spans of our own state, see `stated`: the mark that they do, and fields that nobody else tells of.
    "schema",
    "input_uncached",
    "cache_write_other",
    "output_visible",
    "headers_ms",
    "chunks",
    "itl_mean_ms",
    "itl_p99_ms",
    "itl_max_ms",
    "tpot_ms",
    "server_ms",
    "queue_ms",
    "tool_calls",
    "retry_after_ms",
    "ratelimit_limit_requests",
    "ratelimit_remaining_requests",
    "ratelimit_reset_requests_ms",
    "ratelimit_limit_tokens",
    "ratelimit_remaining_tokens",
    "ratelimit_reset_tokens_ms",
    "cost_usd",
)
# The first of them are token counts: as they came, they are kept in `usage_raw`.
TOKEN_COUNTS = NUMBERS[: NUMBERS.index("ttft_s")]
# Facts that are words. `*_json` facts are JSON texts, out of which single counts are taken.
WORDS = (
    "operation",
    "event",
    "method",
    "provider",
    "host",
    "vendor",
    "request_model",
    "response_model",
    "any_model",
    "response_id",
    "request_id",
    "operation_id",
    "stream",
    "finish",
    "error",
    "level",
    "service_tier",
    "speed",
    "team",
    "project",
    "feature",
    "customer",
    "user_id",
    "conversation_id",
    "api_key_id",
    "prompt_name",
    "prompt_version",
    "prompt_hash",
    "experiment",
    "arm",
    "tag_list",
    "first_token_at",
    "usage_json",
    "raw_usage_json",
    "provider_json",
    "invocation_json",
    "metadata_json",
    # The same: words that spans of our own state.
    "call_id",
    "vantage",
    "api",
    "model",
    "outcome",
    "error_code",
    "usage_source",
    "usage_basis",
    "usage_raw",
    "cost_source",
    "price_id",
    "price_status",
    "price_context",
    "itl_buckets",
    "source",
    "flags",
)
FACTS = (*NUMBERS, *WORDS)

EVERY = ("*",)  # as `beside`: whatever the provider


@dataclass(frozen=True, slots=True)
class Dialect:
    """One vocabulary of spans or log records, as facts.

    name: `api` becomes `otlp.<name>`. scopes: beginnings of instrumentation scope names. markers: attribute names
    any of which decides for this vocabulary. resource: attributes of the resource that decide. fields: fact ->
    attribute names, the first that is there wins; `name#id` is the id that the answer in the attribute begins with.
    operations: word of a model call -> operation of Call. rollups: words of spans that sum up others. unnamed:
    operation of a span that names none but carries the vocabulary's marks; empty: such a span is no call. beside:
    providers whose cached tokens stand beside `input_tokens` instead of within it. beside_scopes: the same, by
    scope; beside_without_details: by provider, unless the details of the input are there; within_scopes: scopes for
    which none of this holds. reasoning_beside_scopes: the same of reasoning and output. halves: a stream is told of
    in two spans, one of the request without an id of the answer, and a later one of the answer, which states its
    length itself. tags: beginnings of attribute names whose rest is the name of a tag. first_token_events: span
    events that mark the first content. vantage: who saw it. provider: who hosts where a span does not say; hosts:
    the same by scope, where spans name the maker of the model instead. own: its attribute names are common words,
    which mean this in its spans alone. states: its spans may state a Call whole, see `stated`; their tags are kept as
    they stand.
    """

    name: str
    fields: Mapping[str, tuple[str, ...]]
    operations: Mapping[str, str]
    scopes: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()
    resource: tuple[tuple[str, str], ...] = ()
    rollups: frozenset[str] = frozenset()
    unnamed: str = ""
    beside: tuple[str, ...] = ()
    beside_scopes: tuple[str, ...] = ()
    beside_without_details: tuple[str, ...] = ()
    within_scopes: tuple[str, ...] = ()
    reasoning_beside_scopes: tuple[str, ...] = ()
    halves: bool = False
    tags: tuple[str, ...] = ()
    first_token_events: tuple[str, ...] = ()
    vantage: str = "client"
    provider: str = ""
    hosts: tuple[tuple[str, str], ...] = ()
    own: bool = False
    states: bool = False
