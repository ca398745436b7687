-- Once, also where nothing was answered: by_request finds the sightings of a call that has no id of an answer by the
-- provider's id of its request. Of all other calls the text is empty, so that they cost next to nothing (under a null
-- the filter would still hold the id); what was stored before is not indexed until it is merged, and is read instead.
ALTER TABLE tachograph.calls{cluster}
    ADD INDEX IF NOT EXISTS by_request if(empty(ifNull(response_id, '')), ifNull(request_id, ''), '')
    TYPE bloom_filter(0.001) GRANULARITY 1;
