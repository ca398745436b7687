-- What people say about a moment: a deployment, a note. The last row of an id counts; one that is deleted says so.
CREATE TABLE IF NOT EXISTS tachograph.annotations{cluster}
(
    annotation_id FixedString(16),
    at DateTime64(6, 'UTC'),
    kind LowCardinality(String),
    text String CODEC(ZSTD(3)),
    service String,
    environment String,
    made_by String,
    deleted UInt8,
    changed_at DateTime64(6, 'UTC')
)
ENGINE = {engine}ReplacingMergeTree(changed_at)
ORDER BY annotation_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
