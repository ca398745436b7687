"""What people come for, from the first click to the answer, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect
from tests.durability.process import Up
from tests.screens import story
from tests.screens.conftest import settled, until, write

from tachograph.call import derive_id, to_json
from tachograph.testing import generated_day

Visit = Callable[..., Page]


def asked(up: Up, question: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(up.get(f"/api/v1/ask?{question}&{story.RANGE}"))["rows"]
    return rows


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def new_call(up: Up, number: int, **facts: object) -> str:
    """Send a call that has just ended; its id."""
    call = next(iter(generated_day(story.DAY, 1, seed=number)))
    call.started_at = datetime.now(UTC)
    call.call_id = derive_id(call.started_at, f"new {number}".encode())
    for name, value in facts.items():
        setattr(call, name, value)
    assert write(up, to_json(call).encode(), f"new-{number}")["stored"] == 1
    return call.call_id


def test_the_state_of_the_traffic_in_one_look(visit: Visit, up: Up) -> None:
    page = visit(f"/?{story.RANGE}")
    (total,) = asked(up, "measure=calls,cost_usd,error_rate")
    figures = page.locator(".figure")
    expect(figures.filter(has_text="Cost").first).to_contain_text(f"${total['cost_usd']:,.2f}")
    expect(figures.filter(has_text="Calls")).to_contain_text(f"{total['calls']:,}")
    expect(figures).to_have_count(8)
    expect(page.get_by_label("What is not known")).to_contain_text("of calls without a price")


def test_from_a_cost_jump_to_its_cause(visit: Visit) -> None:
    page = visit(f"/?{story.RANGE}")
    changed = page.get_by_role("region", name="What changed", exact=True)
    expect(changed).to_contain_text("The cost rose by")
    expect(changed).to_contain_text(f"Most of it: {story.TEAM}")
    changed.get_by_role("button", name=story.TEAM).click()
    assert query(page)["where"] == [f"team={story.TEAM}"]
    settled(page)
    changed.get_by_role("combobox").select_option("feature")
    settled(page)
    expect(changed).to_contain_text(f"Most of it: {story.FEATURE}")
    page.go_back()
    page.go_back()
    until(lambda: "where" not in query(page))


def test_dragging_over_a_chart_zooms_and_back_leads_back(visit: Visit) -> None:
    page = visit(f"/?{story.RANGE}")
    plot = page.locator(".u-over").first
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 60, steps=6)
    page.mouse.up()
    since, end = (datetime.fromisoformat(query(page)[name][0]) for name in ("since", "until"))
    assert story.SINCE < since < end < story.UNTIL
    assert 5 < (end - since).total_seconds() / 3600 < 7
    page.go_back()
    until(lambda: query(page)["since"] == ["2026-11-01T00:00:00Z"])


def test_the_first_call_turns_the_light_green(visit: Visit, up: Up) -> None:
    page = visit("/connect")
    expect(page.get_by_text("Waiting for a call.")).to_be_visible()
    expect(page.get_by_label("Script or service")).to_contain_text("tachograph.instrument(")
    page.get_by_role("button", name="Any language").click()
    page.get_by_role("button", name="curl").click()
    expect(page.get_by_label("curl", exact=True)).to_contain_text("/openai/v1/chat/completions")
    new_call(up, 1)
    expect(page.get_by_text("It works.")).to_be_visible(timeout=3000)


def test_an_address_shows_the_same_to_somebody_else(visit: Visit) -> None:
    first = visit(f"/?{story.RANGE}&zone=utc")
    first.get_by_role("button", name="+ Filter").click()
    first.get_by_label("Dimension").select_option("provider")
    first.get_by_role("button", name="anthropic").first.click()
    first.get_by_role("button", name="Provider", exact=True).first.click()
    settled(first)
    second = visit(first.url.removeprefix(first.url.split("/?")[0]))
    for page in (first, second):
        expect(page.get_by_role("group", name="Filters")).to_contain_text("Provider anthropic")
    rows = "() => [...document.querySelectorAll('.figure-value')].map(each => each.textContent)"
    assert first.evaluate(rows) == second.evaluate(rows)


def test_the_keyboard_is_enough(visit: Visit) -> None:
    page = visit(f"/?{story.RANGE}")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.get_by_role("link", name="Health").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Health", exact=True)).to_be_visible()
    expect(page.get_by_text("It adds up: nothing is missing.")).to_be_visible()
