-- When the headers of the answer came: what was waited for them, and what for the first content after them.
ALTER TABLE tachograph.calls{cluster}
    ADD COLUMN IF NOT EXISTS headers_ms Nullable(Decimal(18, 3)) CODEC(T64, ZSTD(1)) AFTER duration_ms;
