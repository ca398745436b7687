-- Once, and late: a call that several saw, in whatever order they report it.
--
-- by_trace and by_response find the sightings of the last hour. Block numbers let single rows be marked as another sighting
-- of a call (same_as) without rewriting a part. span_links holds, for a few hours, which span is below which: the way
-- from one sighting to another may lead over spans that are no calls. Roll-ups are filled through calls_cells, which
-- keeps nothing: an insert is summed once, and a call is taken back by the same way.
-- calls is made anew with smaller granules, and what is in it is copied: a merge holds a granule of each of its parts, so
-- that many parts can be merged at once (a row is then rewritten less often). What is inserted stays compact, few files to
-- sync; what is merged has a file a column and is merged column by column, however few rows it has: that takes a third of
-- the memory of all columns at once. As many parts at the most as at the least would never be merged.
-- metric_points holds the GenAI metrics that services report about themselves: kept apart, never added to calls.
-- snapshots holds what a process must know to go on counting where the one before stopped.
DROP VIEW IF EXISTS tachograph.calls_minute_filled{cluster};

DROP VIEW IF EXISTS tachograph.calls_hour_filled{cluster};

DROP VIEW IF EXISTS tachograph.calls_day_filled{cluster};

DROP TABLE IF EXISTS tachograph.calls_fine{cluster} SYNC;

CREATE TABLE tachograph.calls_fine{cluster} AS tachograph.calls
ENGINE = {engine}MergeTree
PARTITION BY toMonday(started_at)
ORDER BY call_id
SETTINGS index_granularity = 4096, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1,
    min_compress_block_size = 262144, max_compress_block_size = 1048576, fsync_after_insert = 1, fsync_part_directory = 1,
    non_replicated_deduplication_window = 10000,
    enable_block_number_column = 1, enable_block_offset_column = 1,
    min_parts_to_merge_at_once = 24, max_parts_to_merge_at_once = 48, merge_max_block_size = 4096,
    min_bytes_for_wide_part = 10485760, min_level_for_wide_part = 1, vertical_merge_algorithm_min_rows_to_activate = 1,
    compact_parts_max_bytes_to_buffer = 8388608, compact_parts_max_granules_to_buffer = 64;

ALTER TABLE tachograph.calls_fine{cluster}
    ADD INDEX IF NOT EXISTS by_trace trace_id TYPE bloom_filter(0.001) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS by_response response_id TYPE bloom_filter(0.001) GRANULARITY 1;

INSERT INTO tachograph.calls_fine SELECT * FROM tachograph.calls;

EXCHANGE TABLES tachograph.calls AND tachograph.calls_fine{cluster};

DROP TABLE tachograph.calls_fine{cluster} SYNC;

CREATE TABLE IF NOT EXISTS tachograph.span_links{cluster}
(
    trace_id FixedString(16) CODEC(ZSTD(1)),
    span_id FixedString(8) CODEC(ZSTD(1)),
    parent_span_id FixedString(8) CODEC(ZSTD(1)),
    seen_at DateTime('UTC') DEFAULT now() CODEC(Delta, ZSTD(1))
)
ENGINE = {engine}MergeTree
PARTITION BY toStartOfHour(seen_at)
ORDER BY trace_id
TTL seen_at + toIntervalHour(3)
SETTINGS index_granularity = 512, ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS tachograph.metric_points{cluster}
(
    time DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    received_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    metric LowCardinality(String) CODEC(ZSTD(1)),
    unit LowCardinality(String) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    temporality LowCardinality(String) CODEC(ZSTD(1)),
    service LowCardinality(String) CODEC(ZSTD(1)),
    environment LowCardinality(String) CODEC(ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    operation LowCardinality(String) CODEC(ZSTD(1)),
    model LowCardinality(String) CODEC(ZSTD(1)),
    token_type LowCardinality(String) CODEC(ZSTD(1)),
    labels Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    value Float64 CODEC(ZSTD(1)),
    count UInt64 CODEC(T64, ZSTD(1)),
    point_id FixedString(16) CODEC(ZSTD(1))
)
ENGINE = {engine}ReplacingMergeTree
PARTITION BY toMonday(time)
ORDER BY (service, metric, time, point_id)
TTL toDateTime(time) + toIntervalDay(90)
SETTINGS ttl_only_drop_parts = 1, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS tachograph.snapshots{cluster}
(
    name String,
    taken_at DateTime64(6, 'UTC'),
    body String CODEC(ZSTD(3))
)
ENGINE = {engine}ReplacingMergeTree(taken_at)
ORDER BY name
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS tachograph.calls_cells{cluster}
(
    time DateTime('UTC'),
    provider LowCardinality(String),
    model LowCardinality(Nullable(String)),
    operation LowCardinality(String),
    outcome LowCardinality(String),
    error_type LowCardinality(Nullable(String)),
    environment LowCardinality(String),
    service LowCardinality(String),
    team LowCardinality(String),
    project LowCardinality(String),
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

CREATE MATERIALIZED VIEW IF NOT EXISTS tachograph.calls_cells_filled{cluster} TO tachograph.calls_cells AS
SELECT
    toDateTime(intDiv(toUnixTimestamp(calls.started_at), 60) * 60, 'UTC') AS time,
    calls.provider AS provider,
    calls.model AS model,
    calls.operation AS operation,
    calls.outcome AS outcome,
    calls.error_type AS error_type,
    calls.environment AS environment,
    calls.service AS service,
    calls.team AS team,
    calls.project AS project,
    count() AS calls,
    sum(calls.input_uncached) AS input_uncached,
    sum(calls.cache_read) AS cache_read,
    sum(calls.cache_write_5m) AS cache_write_5m,
    sum(calls.cache_write_1h) AS cache_write_1h,
    sum(calls.cache_write_other) AS cache_write_other,
    sum(calls.output_visible) AS output_visible,
    sum(calls.output_reasoning) AS output_reasoning,
    sum(calls.audio_input) AS audio_input,
    sum(calls.audio_output) AS audio_output,
    sum(calls.image_input) AS image_input,
    sum(calls.image_output) AS image_output,
    sum(calls.input_tokens) AS input_tokens,
    sum(calls.output_tokens) AS output_tokens,
    sum(calls.total_tokens) AS total_tokens,
    sum(calls.cost_usd) AS cost_usd,
    count(calls.cost_usd) AS priced_calls,
    sumIf(calls.cost_usd, calls.total_tokens IS NOT NULL) AS cost_of_counted_usd,
    sumIf(calls.total_tokens, calls.cost_usd IS NOT NULL) AS tokens_of_priced,
    sumIf(calls.input_tokens, calls.cache_read IS NOT NULL) AS input_of_cacheable,
    countIf(calls.usage_source = 'estimated') AS estimated_calls,
    countIf(calls.team = '') AS unattributed_calls,
    sum(calls.duration_ms) AS duration_ms,
    count(calls.duration_ms) AS timed_calls,
    sumMapIf(map(toInt16(round(log2(greatest(toFloat64(assumeNotNull(calls.duration_ms)), 0.001)) * 16)), toUInt64(1)), calls.duration_ms IS NOT NULL) AS duration_buckets,
    sumMapIf(map(toInt16(round(log2(greatest(toFloat64(assumeNotNull(calls.ttft_ms)), 0.001)) * 16)), toUInt64(1)), calls.ttft_ms IS NOT NULL) AS ttft_buckets,
    sumMapIf(map(toInt16(round(log2(greatest(toFloat64(assumeNotNull(calls.tpot_ms)), 0.001)) * 16)), toUInt64(1)), calls.tpot_ms IS NOT NULL) AS tpot_buckets,
    mapFilter((bucket, gaps) -> gaps > 0, mapFromArrays(arrayMap(i -> toInt16(i - 1), arrayEnumerate(sumForEach(calls.itl_buckets) AS gap_sums)), gap_sums)) AS itl_buckets
FROM tachograph.calls AS calls
WHERE calls.same_as IS NULL
GROUP BY time, provider, model, operation, outcome, error_type, environment, service, team, project;

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
FROM tachograph.calls_cells AS cells
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
GROUP BY time, provider, model, operation, outcome, error_type, environment;

CREATE MATERIALIZED VIEW IF NOT EXISTS tachograph.calls_day_folded{cluster} TO tachograph.calls_day AS
SELECT
    toDateTime(intDiv(toUnixTimestamp(cells.time), 86400) * 86400, 'UTC') AS time,
    cells.provider AS provider,
    cells.model AS model,
    cells.operation AS operation,
    cells.outcome AS outcome,
    cells.error_type AS error_type,
    cells.environment AS environment,
    cells.service AS service,
    cells.team AS team,
    cells.project AS project,
    cells.calls AS calls,
    cells.input_uncached AS input_uncached,
    cells.cache_read AS cache_read,
    cells.cache_write_5m AS cache_write_5m,
    cells.cache_write_1h AS cache_write_1h,
    cells.cache_write_other AS cache_write_other,
    cells.output_visible AS output_visible,
    cells.output_reasoning AS output_reasoning,
    cells.audio_input AS audio_input,
    cells.audio_output AS audio_output,
    cells.image_input AS image_input,
    cells.image_output AS image_output,
    cells.input_tokens AS input_tokens,
    cells.output_tokens AS output_tokens,
    cells.total_tokens AS total_tokens,
    cells.cost_usd AS cost_usd,
    cells.priced_calls AS priced_calls,
    cells.cost_of_counted_usd AS cost_of_counted_usd,
    cells.tokens_of_priced AS tokens_of_priced,
    cells.input_of_cacheable AS input_of_cacheable,
    cells.estimated_calls AS estimated_calls,
    cells.unattributed_calls AS unattributed_calls,
    cells.duration_ms AS duration_ms,
    cells.timed_calls AS timed_calls,
    cells.duration_buckets AS duration_buckets,
    cells.ttft_buckets AS ttft_buckets,
    cells.tpot_buckets AS tpot_buckets,
    cells.itl_buckets AS itl_buckets
FROM tachograph.calls_cells AS cells;
