-- Less work for each call: by the sums of minute and hour, and by merging.
--
-- The cells of minute and hour are made of narrow ones, which are summed once for both.
-- What is merged of parts as they were inserted stays in one file and is merged with all columns at once: column by column
-- took half as much again. Larger parts, which hold most of what a long question reads, have a file a column as before.
-- A merge takes sixteen parts of about one size: by the engine's own base it took what was just merged along with the next
-- ones, so that half of all rows were merged twice. Fewer parts at a time hold less memory.
DROP VIEW IF EXISTS tachograph.calls_minute_folded{cluster};

DROP VIEW IF EXISTS tachograph.calls_hour_folded{cluster};

CREATE TABLE IF NOT EXISTS tachograph.calls_cells_narrow{cluster}
(
    time DateTime('UTC'),
    provider LowCardinality(String),
    model LowCardinality(Nullable(String)),
    operation LowCardinality(String),
    outcome LowCardinality(String),
    error_type LowCardinality(Nullable(String)),
    environment LowCardinality(String),
    request_model LowCardinality(Nullable(String)),
    response_model LowCardinality(Nullable(String)),
    calls SimpleAggregateFunction(sum, UInt64),
    input_uncached SimpleAggregateFunction(sum, Nullable(UInt64)),
    cache_read SimpleAggregateFunction(sum, Nullable(UInt64)),
    cache_write_5m SimpleAggregateFunction(sum, Nullable(UInt64)),
    cache_write_1h SimpleAggregateFunction(sum, Nullable(UInt64)),
    cache_write_other SimpleAggregateFunction(sum, Nullable(UInt64)),
    output_visible SimpleAggregateFunction(sum, Nullable(UInt64)),
    output_reasoning SimpleAggregateFunction(sum, Nullable(UInt64)),
    audio_input SimpleAggregateFunction(sum, Nullable(UInt64)),
    audio_output SimpleAggregateFunction(sum, Nullable(UInt64)),
    image_input SimpleAggregateFunction(sum, Nullable(UInt64)),
    image_output SimpleAggregateFunction(sum, Nullable(UInt64)),
    input_tokens SimpleAggregateFunction(sum, Nullable(UInt64)),
    output_tokens SimpleAggregateFunction(sum, Nullable(UInt64)),
    total_tokens SimpleAggregateFunction(sum, Nullable(UInt64)),
    cost_usd SimpleAggregateFunction(sum, Nullable(Decimal(38, 10))),
    priced_calls SimpleAggregateFunction(sum, UInt64),
    cost_of_counted_usd SimpleAggregateFunction(sum, Nullable(Decimal(38, 10))),
    tokens_of_priced SimpleAggregateFunction(sum, Nullable(UInt64)),
    input_of_cacheable SimpleAggregateFunction(sum, Nullable(UInt64)),
    estimated_calls SimpleAggregateFunction(sum, UInt64),
    unattributed_calls SimpleAggregateFunction(sum, UInt64),
    duration_ms SimpleAggregateFunction(sum, Nullable(Decimal(38, 3))),
    timed_calls SimpleAggregateFunction(sum, UInt64),
    duration_buckets SimpleAggregateFunction(sumMap, Map(Int16, UInt64)),
    ttft_buckets SimpleAggregateFunction(sumMap, Map(Int16, UInt64)),
    tpot_buckets SimpleAggregateFunction(sumMap, Map(Int16, UInt64)),
    itl_buckets SimpleAggregateFunction(sumMap, Map(Int16, UInt64))
)
ENGINE = Null;

CREATE MATERIALIZED VIEW IF NOT EXISTS tachograph.calls_cells_narrow_folded{cluster} TO tachograph.calls_cells_narrow AS
SELECT
    toDateTime(intDiv(toUnixTimestamp(cells.time), 60) * 60, 'UTC') AS time,
    cells.provider AS provider,
    cells.model AS model,
    cells.operation AS operation,
    cells.outcome AS outcome,
    cells.error_type AS error_type,
    cells.environment AS environment,
    cells.request_model AS request_model,
    cells.response_model AS response_model,
    sum(cells.calls) AS calls,
    sum(cells.input_uncached) AS input_uncached,
    sum(cells.cache_read) AS cache_read,
    sum(cells.cache_write_5m) AS cache_write_5m,
    sum(cells.cache_write_1h) AS cache_write_1h,
    sum(cells.cache_write_other) AS cache_write_other,
    sum(cells.output_visible) AS output_visible,
    sum(cells.output_reasoning) AS output_reasoning,
    sum(cells.audio_input) AS audio_input,
    sum(cells.audio_output) AS audio_output,
    sum(cells.image_input) AS image_input,
    sum(cells.image_output) AS image_output,
    sum(cells.input_tokens) AS input_tokens,
    sum(cells.output_tokens) AS output_tokens,
    sum(cells.total_tokens) AS total_tokens,
    sum(cells.cost_usd) AS cost_usd,
    sum(cells.priced_calls) AS priced_calls,
    sum(cells.cost_of_counted_usd) AS cost_of_counted_usd,
    sum(cells.tokens_of_priced) AS tokens_of_priced,
    sum(cells.input_of_cacheable) AS input_of_cacheable,
    sum(cells.estimated_calls) AS estimated_calls,
    sum(cells.unattributed_calls) AS unattributed_calls,
    sum(cells.duration_ms) AS duration_ms,
    sum(cells.timed_calls) AS timed_calls,
    sumMap(cells.duration_buckets) AS duration_buckets,
    sumMap(cells.ttft_buckets) AS ttft_buckets,
    sumMap(cells.tpot_buckets) AS tpot_buckets,
    sumMap(cells.itl_buckets) AS itl_buckets
FROM tachograph.calls_cells AS cells
GROUP BY time, provider, model, operation, outcome, error_type, environment, request_model, response_model;

CREATE MATERIALIZED VIEW IF NOT EXISTS tachograph.calls_minute_folded{cluster} TO tachograph.calls_minute AS
SELECT
    toDateTime(intDiv(toUnixTimestamp(cells.time), 60) * 60, 'UTC') AS time,
    cells.provider AS provider,
    cells.model AS model,
    cells.operation AS operation,
    cells.outcome AS outcome,
    cells.error_type AS error_type,
    cells.environment AS environment,
    sum(cells.calls) AS calls,
    sum(cells.input_uncached) AS input_uncached,
    sum(cells.cache_read) AS cache_read,
    sum(cells.cache_write_5m) AS cache_write_5m,
    sum(cells.cache_write_1h) AS cache_write_1h,
    sum(cells.cache_write_other) AS cache_write_other,
    sum(cells.output_visible) AS output_visible,
    sum(cells.output_reasoning) AS output_reasoning,
    sum(cells.audio_input) AS audio_input,
    sum(cells.audio_output) AS audio_output,
    sum(cells.image_input) AS image_input,
    sum(cells.image_output) AS image_output,
    sum(cells.input_tokens) AS input_tokens,
    sum(cells.output_tokens) AS output_tokens,
    sum(cells.total_tokens) AS total_tokens,
    sum(cells.cost_usd) AS cost_usd,
    sum(cells.priced_calls) AS priced_calls,
    sum(cells.cost_of_counted_usd) AS cost_of_counted_usd,
    sum(cells.tokens_of_priced) AS tokens_of_priced,
    sum(cells.input_of_cacheable) AS input_of_cacheable,
    sum(cells.estimated_calls) AS estimated_calls,
    sum(cells.unattributed_calls) AS unattributed_calls,
    sum(cells.duration_ms) AS duration_ms,
    sum(cells.timed_calls) AS timed_calls,
    sumMap(cells.duration_buckets) AS duration_buckets,
    sumMap(cells.ttft_buckets) AS ttft_buckets,
    sumMap(cells.tpot_buckets) AS tpot_buckets,
    sumMap(cells.itl_buckets) AS itl_buckets
FROM tachograph.calls_cells_narrow AS cells
GROUP BY time, provider, model, operation, outcome, error_type, environment;

CREATE MATERIALIZED VIEW IF NOT EXISTS tachograph.calls_hour_folded{cluster} TO tachograph.calls_hour AS
SELECT
    toDateTime(intDiv(toUnixTimestamp(cells.time), 3600) * 3600, 'UTC') AS time,
    cells.provider AS provider,
    cells.model AS model,
    cells.operation AS operation,
    cells.outcome AS outcome,
    cells.error_type AS error_type,
    cells.environment AS environment,
    cells.request_model AS request_model,
    cells.response_model AS response_model,
    sum(cells.calls) AS calls,
    sum(cells.input_uncached) AS input_uncached,
    sum(cells.cache_read) AS cache_read,
    sum(cells.cache_write_5m) AS cache_write_5m,
    sum(cells.cache_write_1h) AS cache_write_1h,
    sum(cells.cache_write_other) AS cache_write_other,
    sum(cells.output_visible) AS output_visible,
    sum(cells.output_reasoning) AS output_reasoning,
    sum(cells.audio_input) AS audio_input,
    sum(cells.audio_output) AS audio_output,
    sum(cells.image_input) AS image_input,
    sum(cells.image_output) AS image_output,
    sum(cells.input_tokens) AS input_tokens,
    sum(cells.output_tokens) AS output_tokens,
    sum(cells.total_tokens) AS total_tokens,
    sum(cells.cost_usd) AS cost_usd,
    sum(cells.priced_calls) AS priced_calls,
    sum(cells.cost_of_counted_usd) AS cost_of_counted_usd,
    sum(cells.tokens_of_priced) AS tokens_of_priced,
    sum(cells.input_of_cacheable) AS input_of_cacheable,
    sum(cells.estimated_calls) AS estimated_calls,
    sum(cells.unattributed_calls) AS unattributed_calls,
    sum(cells.duration_ms) AS duration_ms,
    sum(cells.timed_calls) AS timed_calls,
    sumMap(cells.duration_buckets) AS duration_buckets,
    sumMap(cells.ttft_buckets) AS ttft_buckets,
    sumMap(cells.tpot_buckets) AS tpot_buckets,
    sumMap(cells.itl_buckets) AS itl_buckets
FROM tachograph.calls_cells_narrow AS cells
GROUP BY time, provider, model, operation, outcome, error_type, environment, request_model, response_model;

ALTER TABLE tachograph.calls{cluster}
    MODIFY SETTING min_bytes_for_wide_part = 536870912, merge_selector_base = 8,
    min_parts_to_merge_at_once = 16, max_parts_to_merge_at_once = 32;

ALTER TABLE tachograph.calls_day{cluster}
    MODIFY SETTING min_bytes_for_wide_part = 134217728;
