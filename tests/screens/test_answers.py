"""More of what people come for: any question, one call, versions, people, errors; and who may see what."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.durability.process import Up
from tests.screens import story
from tests.screens.conftest import settled, until
from tests.screens.test_journeys import asked, new_call, query

from tachograph.call import to_json

Visit = Callable[..., Page]
VISIBLE_SECONDS_MAX = 2.0


def test_any_measure_by_any_dimensions_and_the_figures_to_take_along(visit: Visit, up: Up, tmp_path: Path) -> None:
    page = visit(f"/explore?{story.RANGE}")
    page.get_by_label("Measure").select_option("calls")
    page.locator(".controls select").nth(1).select_option("team")
    page.locator(".controls select").nth(2).select_option("provider")
    settled(page)
    assert query(page)["by"] == ["team,provider"]
    with page.expect_download() as downloading:
        page.get_by_role("button", name="CSV").click()
    file = tmp_path / "figures.csv"
    downloading.value.save_as(file)
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    wanted = {(row["team"], row["provider"]): row["calls"] for row in asked(up, "measure=calls&by=team,provider")}
    assert {(row["team"], row["provider"]): int(row["calls"]) for row in rows} == wanted
    page.get_by_role("button", name="Copy as").click()
    expect(page.get_by_label("SQL", exact=True)).to_contain_text("SELECT")
    page.get_by_role("dialog").get_by_role("button", name="curl").click()
    expect(page.get_by_label("curl", exact=True)).to_contain_text("/api/v1/ask?measure=calls")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Copy as")).to_be_focused()
    page.get_by_role("button", name="Heat map").click()
    settled(page)
    expect(page.get_by_role("img", name="Latency")).to_be_visible()


def test_a_call_is_seen_within_two_seconds_and_explained(visit: Visit, up: Up) -> None:
    page = visit("/calls")
    call_id = new_call(up, 2, team="arrived")
    row = page.locator(f"a[href*='{call_id}']")
    assert until(lambda: row.count() > 0) < VISIBLE_SECONDS_MAX
    row.first.click()
    settled(page)
    assert page.url.split("?")[0].endswith(f"/calls/{call_id}")
    told = json.loads(up.get(f"/api/v1/calls/{call_id}"))["call"]
    expect(page.locator("#main")).to_contain_text(told["request_model"])
    expect(page.locator("#main")).to_contain_text("arrived")


def test_a_version_that_changed_by_itself_and_a_model_without_a_price(visit: Visit) -> None:
    page = visit(f"/models?{story.RANGE}")
    main = page.locator("#main")
    expect(main).to_contain_text(story.AFTER)
    expect(main).to_contain_text(story.BEFORE)
    expect(main).to_contain_text(story.UNPRICED)
    expect(main).to_contain_text("[[price]]")


def test_who_spends_and_what_nobody_answers_for(visit: Visit, up: Up) -> None:
    page = visit(f"/people?{story.RANGE}")
    (row,) = (row for row in asked(up, "measure=cost_usd&by=team") if row["team"] == story.TEAM)
    expect(page.get_by_role("row").filter(has_text=story.TEAM).first).to_contain_text(f"${row['cost_usd']:,.2f}")
    page.get_by_role("button", name="Feature", exact=True).click()
    settled(page)
    expect(page.locator("#main")).to_contain_text(story.FEATURE)


def test_from_an_incident_to_a_call_that_failed(visit: Visit) -> None:
    page = visit(f"/errors?{story.RANGE}")
    expect(page.locator("#main")).to_contain_text("overloaded")
    page.locator("a[href*='/calls/']").first.click()
    settled(page)
    expect(page.locator("#main")).to_contain_text("error")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[Up, str]]:
    """One that listens beyond this machine, and the key of a viewer of one team."""
    told = tmp_path / "story.jsonl"
    told.write_text("".join(f"{line}\n" for line in _some_calls()))
    running = Up(str(tmp_path / "data"), log=tmp_path / "log")
    run = [sys.executable, "-m", "tachograph"]
    subprocess.run([*run, "import", str(told), "--store", running.store], check=True)
    added = [*run, "key", "add", "viewer", "--scope", "read", "--team", story.TEAM, "--store", running.store]
    made = subprocess.run(added, check=True, capture_output=True, text=True)
    token = next(word for word in made.stdout.split() if word.startswith("tg_"))
    running.start("--listen", f"0.0.0.0:{running.ports[0]}")
    try:
        yield running, token
        running.stop()
    finally:
        running.end()


def _some_calls() -> list[str]:
    return [to_json(call) for call, _ in zip(story.calls(), range(500), strict=False)]


def test_a_viewer_of_one_team_signs_in_and_sees_that_team(visit: Visit, guarded: tuple[Up, str]) -> None:
    up, token = guarded
    page = visit("/people?since=2026-10-31T00:00:00Z&until=2026-11-02T00:00:00Z", origin=up.api)
    page.get_by_label("Key").fill(token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Overview")).to_be_visible()
    settled(page)
    expect(page.locator("#main")).to_contain_text(story.TEAM)
    expect(page.locator("#main")).not_to_contain_text("support")
    expect(page.get_by_role("link", name="Health")).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Key")).to_be_visible()
