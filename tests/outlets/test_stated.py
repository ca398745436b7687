"""Anybody may write a span that says it states a Call whole: whatever it says, what is kept is a Call."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.dialects.reading import Desk
from tests.dialects.test_span_properties import START, Span, _holds, body, values

from tachograph import call as nouns
from tachograph.dialects.otel import TACHOGRAPH
from tachograph.dialects.reading import SpanReader
from tachograph.dialects.rules import SpanLimits
from tachograph.flow.batch import to_batch
from tachograph.outlets.attributes import SCHEMA
from tachograph.pricing import price_book

NAMES = sorted({name for names in TACHOGRAPH.fields.values() for name in names} - {"gen_ai.operation.name"})
WORDS = st.sampled_from([*nouns.OUTCOMES, *nouns.ERROR_TYPES[:3], *nouns.COST_SOURCES, "[1,-2]", "[true]", '{"a":NaN}'])
numbers = st.sampled_from([-1, 0, 1, 2**63 - 1, 0.5, -0.5, float("nan"), float("inf"), 1e300])


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk(SpanReader(SpanLimits()), price_book())


@st.composite
def spans(draw: st.DrawFn) -> Span:
    said: dict[str, Any] = draw(st.dictionaries(st.sampled_from(NAMES), values | WORDS | numbers, max_size=40))
    said = {SCHEMA: 1, "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", **said}
    return Span(
        draw(st.binary(min_size=16, max_size=16).filter(any)),
        draw(st.binary(min_size=8, max_size=8).filter(any)),
        b"",
        "tachograph",
        {},
        3,
        START,
        START + 1000,
        0,
        list(said.items()),
        [],
    )


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(spans(), min_size=1, max_size=10))
def test_what_is_kept_is_a_call(desk: Desk, sent: list[Span]) -> None:
    found = desk.calls("traces", [body(sent)])
    assert len(found) == len(sent)
    to_batch(found).validate(full=True)
    for call in found:
        if call.outcome == "truncated":
            assert call.error_type is None
            call.outcome = "ok"
        _holds(call)
        assert call.vantage in nouns.VANTAGES
        assert call.outcome in nouns.OUTCOMES
        assert call.error_type in (None, *nouns.ERROR_TYPES)
        assert call.usage_source in nouns.USAGE_SOURCES
        assert call.price_status in nouns.PRICE_STATUSES
        assert call.cost_source in (None, *nouns.COST_SOURCES)
        assert all(count >= 0 for count in call.itl_buckets or [])
        assert call.total_tokens in (None, nouns.whole((call.input_tokens, call.output_tokens)))
