-- The histograms are what a page waits for: this way they are unpacked in half the time, and take twice the room.
ALTER TABLE tachograph.calls_minute{cluster}
    MODIFY COLUMN duration_buckets CODEC(LZ4),
    MODIFY COLUMN ttft_buckets CODEC(LZ4),
    MODIFY COLUMN tpot_buckets CODEC(LZ4),
    MODIFY COLUMN itl_buckets CODEC(LZ4);
ALTER TABLE tachograph.calls_hour{cluster}
    MODIFY COLUMN duration_buckets CODEC(LZ4),
    MODIFY COLUMN ttft_buckets CODEC(LZ4),
    MODIFY COLUMN tpot_buckets CODEC(LZ4),
    MODIFY COLUMN itl_buckets CODEC(LZ4);
ALTER TABLE tachograph.calls_day{cluster}
    MODIFY COLUMN duration_buckets CODEC(LZ4),
    MODIFY COLUMN ttft_buckets CODEC(LZ4),
    MODIFY COLUMN tpot_buckets CODEC(LZ4),
    MODIFY COLUMN itl_buckets CODEC(LZ4);
