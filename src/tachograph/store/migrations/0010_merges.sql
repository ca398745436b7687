-- What was merged is not merged again with every fifteen new parts.
--
-- The engine adds 5 MB to the size of each part when it looks for what to merge, so that small parts are all of about one
-- size to it: where little is sent at a time, each merge took the largest part along. By this base it waits for more of
-- one size. Large batches are merged as before.
ALTER TABLE tachograph.calls{cluster}
    MODIFY SETTING merge_selector_base = 15;
