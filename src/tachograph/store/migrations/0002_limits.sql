-- What the provider allows: its rate limits as the headers of each answer state them, and the wait that it asked for.
ALTER TABLE tachograph.calls{cluster}
    ADD COLUMN IF NOT EXISTS retry_after_ms Nullable(Decimal(18, 3)) CODEC(T64, ZSTD(1)) AFTER tool_calls,
    ADD COLUMN IF NOT EXISTS ratelimit_limit_requests Nullable(UInt64) CODEC(T64, ZSTD(1)) AFTER retry_after_ms,
    ADD COLUMN IF NOT EXISTS ratelimit_remaining_requests Nullable(UInt64) CODEC(T64, ZSTD(1)) AFTER ratelimit_limit_requests,
    ADD COLUMN IF NOT EXISTS ratelimit_reset_requests_ms Nullable(Decimal(18, 3)) CODEC(T64, ZSTD(1)) AFTER ratelimit_remaining_requests,
    ADD COLUMN IF NOT EXISTS ratelimit_limit_tokens Nullable(UInt64) CODEC(T64, ZSTD(1)) AFTER ratelimit_reset_requests_ms,
    ADD COLUMN IF NOT EXISTS ratelimit_remaining_tokens Nullable(UInt64) CODEC(T64, ZSTD(1)) AFTER ratelimit_limit_tokens,
    ADD COLUMN IF NOT EXISTS ratelimit_reset_tokens_ms Nullable(Decimal(18, 3)) CODEC(T64, ZSTD(1)) AFTER ratelimit_remaining_tokens;
