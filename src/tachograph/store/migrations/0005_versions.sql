-- By version: the names of a model as it was requested and as it was answered, in the roll-ups of hours and days.
--
-- Both tables are made anew, as the names belong to what they are sorted by, and filled from the calls, but for days of
-- which calls are no longer kept: their cells are taken as they are, with both names not known. For that the tables of
-- before are given the two columns first, so that each statement can be repeated wherever the migration was cut short.
-- Cells of calls that were all taken back are left behind.
DROP VIEW IF EXISTS tachograph.calls_cells_filled{cluster};

DROP VIEW IF EXISTS tachograph.calls_minute_folded{cluster};

DROP VIEW IF EXISTS tachograph.calls_hour_folded{cluster};

DROP VIEW IF EXISTS tachograph.calls_day_folded{cluster};

DROP TABLE IF EXISTS tachograph.calls_cells{cluster} SYNC;

ALTER TABLE tachograph.calls_hour{cluster}
    ADD COLUMN IF NOT EXISTS request_model LowCardinality(Nullable(String)),
    ADD COLUMN IF NOT EXISTS response_model LowCardinality(Nullable(String));

DROP TABLE IF EXISTS tachograph.calls_hour_versions{cluster} SYNC;

CREATE TABLE tachograph.calls_hour_versions{cluster}
(
    time DateTime('UTC') CODEC(Delta, ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    model LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    operation LowCardinality(String) CODEC(ZSTD(1)),
    outcome LowCardinality(String) CODEC(ZSTD(1)),
    error_type LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    environment LowCardinality(String) CODEC(ZSTD(1)),
    request_model LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    response_model LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    calls SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    input_uncached SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    cache_read SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    cache_write_5m SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    cache_write_1h SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    cache_write_other SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    output_visible SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    output_reasoning SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    audio_input SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    audio_output SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    image_input SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    image_output SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    input_tokens SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    output_tokens SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    total_tokens SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    cost_usd SimpleAggregateFunction(sum, Nullable(Decimal(38, 10))) CODEC(ZSTD(1)),
    priced_calls SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    cost_of_counted_usd SimpleAggregateFunction(sum, Nullable(Decimal(38, 10))) CODEC(ZSTD(1)),
    tokens_of_priced SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    input_of_cacheable SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    estimated_calls SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    unattributed_calls SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    duration_ms SimpleAggregateFunction(sum, Nullable(Decimal(38, 3))) CODEC(ZSTD(1)),
    timed_calls SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    duration_buckets SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1)),
    ttft_buckets SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1)),
    tpot_buckets SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1)),
    itl_buckets SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1))
)
ENGINE = {engine}AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, provider, model, operation, outcome, error_type, environment, request_model, response_model)
SETTINGS index_granularity = 1024, allow_nullable_key = 1, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1,
    fsync_after_insert = 1, fsync_part_directory = 1,
    non_replicated_deduplication_window = 10000;

INSERT INTO tachograph.calls_hour_versions (time, provider, model, operation, outcome, error_type, environment, request_model, response_model, calls, input_uncached, cache_read, cache_write_5m, cache_write_1h, cache_write_other, output_visible, output_reasoning, audio_input, audio_output, image_input, image_output, input_tokens, output_tokens, total_tokens, cost_usd, priced_calls, cost_of_counted_usd, tokens_of_priced, input_of_cacheable, estimated_calls, unattributed_calls, duration_ms, timed_calls, duration_buckets, ttft_buckets, tpot_buckets, itl_buckets)
SELECT
    toDateTime(intDiv(toUnixTimestamp(calls.started_at), 3600) * 3600, 'UTC') AS time,
    calls.provider AS provider,
    calls.model AS model,
    calls.operation AS operation,
    calls.outcome AS outcome,
    calls.error_type AS error_type,
    calls.environment AS environment,
    calls.request_model AS request_model,
    calls.response_model AS response_model,
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
WHERE calls.same_as IS NULL AND toDate(calls.started_at, 'UTC') NOT IN (
    SELECT day FROM (
        SELECT toDate(started_at, 'UTC') AS day, toInt64(count()) AS n FROM tachograph.calls WHERE same_as IS NULL GROUP BY day
        UNION ALL
        SELECT toDate(time, 'UTC') AS day, -toInt64(sum(calls)) AS n FROM tachograph.calls_hour GROUP BY day)
    GROUP BY day HAVING sum(n) < 0)
GROUP BY time, provider, model, operation, outcome, error_type, environment, request_model, response_model;

INSERT INTO tachograph.calls_hour_versions (time, provider, model, operation, outcome, error_type, environment, request_model, response_model, calls, input_uncached, cache_read, cache_write_5m, cache_write_1h, cache_write_other, output_visible, output_reasoning, audio_input, audio_output, image_input, image_output, input_tokens, output_tokens, total_tokens, cost_usd, priced_calls, cost_of_counted_usd, tokens_of_priced, input_of_cacheable, estimated_calls, unattributed_calls, duration_ms, timed_calls, duration_buckets, ttft_buckets, tpot_buckets, itl_buckets)
SELECT
    cells.time AS time,
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
FROM tachograph.calls_hour AS cells
WHERE toDate(cells.time, 'UTC') IN (
    SELECT day FROM (
        SELECT toDate(started_at, 'UTC') AS day, toInt64(count()) AS n FROM tachograph.calls WHERE same_as IS NULL GROUP BY day
        UNION ALL
        SELECT toDate(time, 'UTC') AS day, -toInt64(sum(calls)) AS n FROM tachograph.calls_hour GROUP BY day)
    GROUP BY day HAVING sum(n) < 0)
GROUP BY time, provider, model, operation, outcome, error_type, environment, request_model, response_model
HAVING sum(cells.calls) != 0;

EXCHANGE TABLES tachograph.calls_hour AND tachograph.calls_hour_versions{cluster};

DROP TABLE tachograph.calls_hour_versions{cluster} SYNC;

ALTER TABLE tachograph.calls_day{cluster}
    ADD COLUMN IF NOT EXISTS request_model LowCardinality(Nullable(String)),
    ADD COLUMN IF NOT EXISTS response_model LowCardinality(Nullable(String));

DROP TABLE IF EXISTS tachograph.calls_day_versions{cluster} SYNC;

CREATE TABLE tachograph.calls_day_versions{cluster}
(
    time DateTime('UTC') CODEC(Delta, ZSTD(1)),
    provider LowCardinality(String) CODEC(ZSTD(1)),
    model LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    operation LowCardinality(String) CODEC(ZSTD(1)),
    outcome LowCardinality(String) CODEC(ZSTD(1)),
    error_type LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    environment LowCardinality(String) CODEC(ZSTD(1)),
    service LowCardinality(String) CODEC(ZSTD(1)),
    team LowCardinality(String) CODEC(ZSTD(1)),
    project LowCardinality(String) CODEC(ZSTD(1)),
    request_model LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    response_model LowCardinality(Nullable(String)) CODEC(ZSTD(1)),
    calls SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    input_uncached SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    cache_read SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    cache_write_5m SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    cache_write_1h SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    cache_write_other SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    output_visible SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    output_reasoning SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    audio_input SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    audio_output SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    image_input SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    image_output SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    input_tokens SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    output_tokens SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    total_tokens SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    cost_usd SimpleAggregateFunction(sum, Nullable(Decimal(38, 10))) CODEC(ZSTD(1)),
    priced_calls SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    cost_of_counted_usd SimpleAggregateFunction(sum, Nullable(Decimal(38, 10))) CODEC(ZSTD(1)),
    tokens_of_priced SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    input_of_cacheable SimpleAggregateFunction(sum, Nullable(UInt64)) CODEC(ZSTD(1)),
    estimated_calls SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    unattributed_calls SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    duration_ms SimpleAggregateFunction(sum, Nullable(Decimal(38, 3))) CODEC(ZSTD(1)),
    timed_calls SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    duration_buckets SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1)),
    ttft_buckets SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1)),
    tpot_buckets SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1)),
    itl_buckets SimpleAggregateFunction(sumMap, Map(Int16, UInt64)) CODEC(ZSTD(1))
)
ENGINE = {engine}AggregatingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time, provider, model, operation, outcome, error_type, environment, service, team, project, request_model, response_model)
SETTINGS index_granularity = 1024, allow_nullable_key = 1, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1,
    fsync_after_insert = 1, fsync_part_directory = 1,
    non_replicated_deduplication_window = 10000;

INSERT INTO tachograph.calls_day_versions (time, provider, model, operation, outcome, error_type, environment, service, team, project, request_model, response_model, calls, input_uncached, cache_read, cache_write_5m, cache_write_1h, cache_write_other, output_visible, output_reasoning, audio_input, audio_output, image_input, image_output, input_tokens, output_tokens, total_tokens, cost_usd, priced_calls, cost_of_counted_usd, tokens_of_priced, input_of_cacheable, estimated_calls, unattributed_calls, duration_ms, timed_calls, duration_buckets, ttft_buckets, tpot_buckets, itl_buckets)
SELECT
    toDateTime(intDiv(toUnixTimestamp(calls.started_at), 86400) * 86400, 'UTC') AS time,
    calls.provider AS provider,
    calls.model AS model,
    calls.operation AS operation,
    calls.outcome AS outcome,
    calls.error_type AS error_type,
    calls.environment AS environment,
    calls.service AS service,
    calls.team AS team,
    calls.project AS project,
    calls.request_model AS request_model,
    calls.response_model AS response_model,
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
WHERE calls.same_as IS NULL AND toDate(calls.started_at, 'UTC') NOT IN (
    SELECT day FROM (
        SELECT toDate(started_at, 'UTC') AS day, toInt64(count()) AS n FROM tachograph.calls WHERE same_as IS NULL GROUP BY day
        UNION ALL
        SELECT toDate(time, 'UTC') AS day, -toInt64(sum(calls)) AS n FROM tachograph.calls_day GROUP BY day)
    GROUP BY day HAVING sum(n) < 0)
GROUP BY time, provider, model, operation, outcome, error_type, environment, service, team, project, request_model, response_model;

INSERT INTO tachograph.calls_day_versions (time, provider, model, operation, outcome, error_type, environment, service, team, project, request_model, response_model, calls, input_uncached, cache_read, cache_write_5m, cache_write_1h, cache_write_other, output_visible, output_reasoning, audio_input, audio_output, image_input, image_output, input_tokens, output_tokens, total_tokens, cost_usd, priced_calls, cost_of_counted_usd, tokens_of_priced, input_of_cacheable, estimated_calls, unattributed_calls, duration_ms, timed_calls, duration_buckets, ttft_buckets, tpot_buckets, itl_buckets)
SELECT
    cells.time AS time,
    cells.provider AS provider,
    cells.model AS model,
    cells.operation AS operation,
    cells.outcome AS outcome,
    cells.error_type AS error_type,
    cells.environment AS environment,
    cells.service AS service,
    cells.team AS team,
    cells.project AS project,
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
FROM tachograph.calls_day AS cells
WHERE toDate(cells.time, 'UTC') IN (
    SELECT day FROM (
        SELECT toDate(started_at, 'UTC') AS day, toInt64(count()) AS n FROM tachograph.calls WHERE same_as IS NULL GROUP BY day
        UNION ALL
        SELECT toDate(time, 'UTC') AS day, -toInt64(sum(calls)) AS n FROM tachograph.calls_day GROUP BY day)
    GROUP BY day HAVING sum(n) < 0)
GROUP BY time, provider, model, operation, outcome, error_type, environment, service, team, project, request_model, response_model
HAVING sum(cells.calls) != 0;

EXCHANGE TABLES tachograph.calls_day AND tachograph.calls_day_versions{cluster};

DROP TABLE tachograph.calls_day_versions{cluster} SYNC;

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
    calls.request_model AS request_model,
    calls.response_model AS response_model,
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
GROUP BY time, provider, model, operation, outcome, error_type, environment, service, team, project, request_model, response_model;

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
    cells.request_model AS request_model,
    cells.response_model AS response_model,
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
