"""Synthetic calls for the store benchmark: one SQL text makes any slice of them, the same every time.

In: how many calls. Out: Arrow batches of them, as a door hands them to the store.
Skew: models, users and teams follow Zipf's law (log-uniform ranks); a conversation of 8 calls on average has one user,
a user one team, a team two projects, three projects one service. Half of the calls are streamed, 3 % fail.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from tachograph.store.engine import Engine

SINCE = "2026-06-01 00:00:00"
DAYS = 30

FILLED = """identity: call_id (UUIDv7, 74 random bits), vantage; of the 60 % made inside a traced request trace_id and
      span_id (random; half of these are single calls, half are agent runs of about 3 calls to a trace)
when: started_at and received_at (microseconds), duration_ms; of the streamed half also ttft_ms, chunks, itl_mean_ms,
      itl_p99_ms, itl_max_ms, itl_buckets, tpot_ms
what: provider, operation, api, request_model, response_model, model, streamed, status, outcome, error_type,
      finish_reason, tool_calls
tokens: input_uncached, cache_read, output_visible, output_reasoning, input_tokens, output_tokens, total_tokens, usage_*
money: cost_usd, cost_source, price_id, price_status
who: service, environment, region, team, project, user_id, conversation_id, api_key_id, prompt_name; source
limits: of two of five providers, in the last two days, what their headers state of requests and tokens
empty: response_id, request_id (about 22 bytes each: random by nature), usage_raw (about 14), operation_id, tags"""

# Every random number is a hash of the call's number, so that a slice is the same whenever and however it is made.
_NUMBERS = """
SELECT
    number AS n,
    toInt64(toUnixTimestamp('{since}', 'UTC')) * 1000000 + toInt64(n) * {gap} + toInt64(sipHash64(n, 0) % {gap}) AS t,
    (t - toInt64(toUnixTimestamp('{since}', 'UTC')) * 1000000) / 86400000000 AS day,
    arrayMap(i -> (sipHash64(n, i) % 16777216 + 0.5) / 16777216, range(1, 12)) AS u,
    intDiv(n, 40000) AS slot,
    sipHash64(n, 99) % 5000 AS talk,
    sipHash64(slot, talk) AS conversation,
    toUInt32(floor(exp((conversation % 1000003) / 1000003 * log(200000)))) AS person,
    toUInt32(floor(exp((sipHash64(person) % 10007) / 10007 * log(50)))) AS team,
    team * 2 + sipHash64(person, 2) % 2 AS project,
    intDiv(project, 3) AS service,
    toUInt32(floor(exp(u[1] * log(21)))) AS m,
    sipHash64(n, 50) % 2 = 0 AS streamed,
    u[2] < 0.03 AS failed,
    sqrt(-2 * log(u[3])) * cos(6.283185 * u[4]) AS g1,
    sqrt(-2 * log(u[3])) * sin(6.283185 * u[4]) AS g2,
    sqrt(-2 * log(u[5])) * cos(6.283185 * u[6]) AS g3,
    toUInt64(least(20 + exp(6.5 + 1.5 * g1), 180000)) AS input,
    if(u[7] < 0.35 AND input > 1024, intDiv(toUInt64(input * 0.8), 128) * 128, 0) AS cached,
    toUInt64(least(1 + exp(5 + 1.1 * g2), 16000)) AS output,
    if(m % 4 = 1, toUInt64(output * u[8]), 0) AS reasoning,
    (5 + m * 1.7) * (0.7 + 0.6 * u[9]) AS per_token,
    150 + m * 20 + exp(4.5 + 0.8 * g3) AS first,
    first + per_token * output AS whole,
    streamed AND NOT failed AS stream_timed,
    sipHash64(n, 51) % 10 < 6 AS traced,
    sipHash128(if(sipHash64(n, 52) % 2 = 0, n, intDiv(n, 64) * 64 + n % 16 + 1000000000000), 1) AS trace,
    substring(sipHash128(n, 2), 1, 8) AS span,
    m % 5 < 2 AND NOT failed AND day > {days} - 2 AS limited,
    lower(hex(sipHash128(trace, span))) AS h
FROM numbers({start}, {count})
"""

_CALL = {
    "call_id": "toFixedString(unhex(concat(leftPad(lower(hex(toUInt64(intDiv(t, 1000)))), 12, '0'),"
    " '7', substring(h, 2, 3), '8', substring(h, 6, 15))), 16)",
    "trace_id": "if(traced, trace, NULL)",
    "span_id": "if(traced, toFixedString(span, 8), NULL)",
    "vantage": "'client'",
    "started_at": "fromUnixTimestamp64Micro(t, 'UTC')",
    "received_at": "fromUnixTimestamp64Micro(t + toInt64(whole * 1000) + toInt64(u[10] * 1000000), 'UTC')",
    "duration_ms": "round(if(failed, first, whole), 3)",
    "ttft_ms": "if(stream_timed, round(first, 3), NULL)",
    "chunks": "if(stream_timed, output, NULL)",
    "itl_mean_ms": "if(stream_timed, round(per_token, 3), NULL)",
    "itl_p99_ms": "if(stream_timed, round(per_token * (3 + u[10]), 3), NULL)",
    "itl_max_ms": "if(stream_timed, round(per_token * (5 + 6 * u[11]), 3), NULL)",
    "itl_buckets": "if(stream_timed, arrayMap(i -> toUInt64(output * exp(-pow(i - 4 * log2(per_token), 2) / 6) / 4.3"
    " + (sipHash64(n, i) % 100) / 100), range(1, toUInt32(4 * log2(per_token) + 8))), [])",
    "tpot_ms": "if(stream_timed, round((whole - first) / greatest(output - 1, 1), 3), NULL)",
    "provider": "['openai', 'anthropic', 'gcp.gemini', 'aws.bedrock', 'azure.ai.openai'][m % 5 + 1]",
    "operation": "'chat'",
    "api": "['openai.chat', 'anthropic.messages', 'gemini.generate', 'bedrock.converse', 'openai.chat'][m % 5 + 1]",
    "request_model": "concat('model-', toString(m))",
    # Every third model is answered by another version from some day on, for an hour of mixture.
    "response_model": "concat('model-', toString(m), '-2026-', if(m % 3 = 0 AND day > m + u[8] / 24, '06', '01'),"
    " '-', toString(10 + m))",
    "model": "concat('model-', toString(m))",
    "streamed": "streamed",
    "status": "if(failed, if(u[1] < 0.5, 429, 500), 200)",
    "outcome": "if(failed, 'error', 'ok')",
    "error_type": "if(failed, if(u[1] < 0.5, 'rate_limited', 'provider_error'), NULL)",
    "finish_reason": "if(failed, NULL, if(u[9] < 0.2, 'tool_calls', 'stop'))",
    "tool_calls": "if(failed, NULL, if(u[9] < 0.2, 1, 0))",
    "input_uncached": "if(failed, NULL, input - cached)",
    "cache_read": "if(failed, NULL, cached)",
    "output_visible": "if(failed, NULL, output - reasoning)",
    "output_reasoning": "if(failed OR m % 4 != 1, NULL, reasoning)",
    "input_tokens": "if(failed, NULL, input)",
    "output_tokens": "if(failed, NULL, output)",
    "total_tokens": "if(failed, NULL, input + output)",
    "ratelimit_limit_requests": "if(limited, 10000, NULL)",
    "ratelimit_remaining_requests": "if(limited, toUInt64(10000 * u[8]), NULL)",
    "ratelimit_reset_requests_ms": "if(limited, round(60000 * u[9], 3), NULL)",
    "ratelimit_limit_tokens": "if(limited, 2000000, NULL)",
    "ratelimit_remaining_tokens": "if(limited, toUInt64(2000000 * u[10]), NULL)",
    "ratelimit_reset_tokens_ms": "if(limited, round(60000 * u[11], 3), NULL)",
    "usage_source": "if(failed, 'missing', 'reported')",
    "usage_basis": "if(failed, NULL, 'inclusive')",
    "cost_usd": "if(failed, NULL,"
    " toDecimal64(((input - cached) * m * 150 + cached * m * 15 + output * m * 600) / 1000000000, 10))",
    "cost_source": "if(failed, NULL, 'list')",
    "price_id": "if(failed, NULL, concat('list/model-', toString(m), '@2026-01-01'))",
    "price_status": "if(failed, 'unknown_usage', 'priced')",
    "service": "concat('service-', toString(service))",
    "environment": "if(service % 7 = 0, 'staging', 'production')",
    "region": "['eu-west-1', 'us-east-1'][service % 2 + 1]",
    "team": "concat('team-', toString(team))",
    "project": "concat('project-', toString(project))",
    "user_id": "concat('user-', toString(person))",
    "conversation_id": "concat('c-', lower(hex(conversation)))",
    "api_key_id": "concat('key-', lower(hex(toUInt32(sipHash64(team)))))",
    "prompt_name": "concat('prompt-', toString(sipHash64(project, toUInt8(u[11] * 4)) % 300))",
    "source": "'sdk 0.1 httpx2'",
}


def select(start: int, count: int, rows: int) -> str:
    """SELECT of the calls `start` to `start + count` of `rows` calls spread over 30 days, in the columns of `calls`."""
    numbers = _NUMBERS.format(since=SINCE, days=DAYS, gap=DAYS * 86400 * 10**6 // rows, start=start, count=count)
    made = ",\n    ".join(f"{expression} AS new_{name}" for name, expression in _CALL.items())
    return f"SELECT\n    {made}\nFROM ({numbers})"


def batches(engine: Engine, rows: int, batch_calls: int) -> Iterator[pa.RecordBatch]:
    """All `rows` calls as Arrow batches of at most `batch_calls`, in the order of time."""
    for start in range(0, rows, batch_calls):
        table = engine.arrow(select(start, min(batch_calls, rows - start), rows))
        yield (
            table.rename_columns([name.removeprefix("new_") for name in table.column_names])
            .combine_chunks()
            .to_batches()[0]
        )
