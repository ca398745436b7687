"""Half a usage is not priced: a sum that lacks the input would be a number that is almost right."""

from __future__ import annotations

from datetime import UTC, datetime

from tachograph.call import Call
from tachograph.pricing import price_book


def test_output_without_input_has_no_cost() -> None:
    book = price_book()
    call = Call(provider="openai", request_model="gpt-5-mini", started_at=datetime(2026, 11, 1, tzinfo=UTC))
    call.output_visible, call.usage_source = 24, "estimated"
    charge = book.charge(call)
    assert (charge.cost_usd, charge.price_id, charge.price_status) == (None, None, "unknown_usage")
    assert charge.model == "gpt-5-mini"
    call.input_uncached = 0
    assert book.charge(call).price_status == "priced"


def test_a_stream_that_was_left_after_its_start_has_no_cost() -> None:
    call = Call(provider="anthropic", request_model="claude-sonnet-4-5", started_at=datetime(2026, 11, 1, tzinfo=UTC))
    call.input_uncached, call.usage_source, call.flags = 1200, "reported", ("usage_partial",)
    charge = price_book().charge(call)
    assert (charge.cost_usd, charge.price_status) == (None, "unknown_usage")
