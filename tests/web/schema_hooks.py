"""What schemathesis is told beyond the description: how a batch of Calls and the place of a page look, and what no
schema can say of several parameters together. Loaded by schemathesis itself, in a process of its own.
"""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import strategies as st
from tests.strategies import calls

from tachograph.call import to_json

PLACES = [f"{at},{'0a' * 16}" for at in ("2026-11-01T10:00:00.500000Z", "2026-11-01T23:59:59Z")]

schemathesis.openapi.media_type(
    "application/x-ndjson",
    st.lists(calls().map(to_json), min_size=1, max_size=4).map(lambda lines: "\n".join(lines).encode()),
)
schemathesis.openapi.format("place", st.sampled_from(PLACES))


# What is refused although each parameter by itself fits its schema: no schema can say these.
BEYOND_SCHEMAS = (
    "is not before until",  # an empty range
    "is given twice",  # two filters of one dimension
    "cannot order by",  # something that is not asked
    "is no time",  # the 31st of February
    "is outside the calendar",
)


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Is this a failure?"""
    return not (response.status_code == 400 and any(words in response.text for words in BEYOND_SCHEMAS))
