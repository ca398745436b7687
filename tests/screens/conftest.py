"""A running `tachograph up` with the story in it, and Debian's Chromium. A console error fails its test."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from tests.durability.process import Up
from tests.screens import story

from tachograph.call import to_json

SITE = Path(__file__).parents[2] / "src" / "tachograph" / "web" / "site" / "index.html"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# When the readers of these tests look: "3 days ago" is the same every time.
LOOKED_AT = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
WAIT_MS = 15_000


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--looks`: what the pages look like now is right."""
    parser.addoption("--looks", action="store_true", help="keep the pictures of the pages anew")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these start a browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.long)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="chromium is not installed: apt install chromium"))
            elif not SITE.is_file():
                item.add_marker(pytest.mark.skip(reason="the screens are not built: make ui"))


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("screens")
    running = Up(str(folder / "data"), log=folder / "log")
    try:
        told = folder / "story.jsonl"
        told.write_text("\n".join(map(to_json, story.calls())))
        subprocess.run([sys.executable, "-m", "tachograph", "import", str(told), "--store", running.store], check=True)
        running.start()
        yield running
        running.stop()
    finally:
        running.end()


def write(up: Up, lines: bytes, name: str) -> dict[str, int]:
    """Calls as lines of JSON, by the API; `name`: of the batch."""
    headers = {"content-type": "application/x-ndjson", "idempotency-key": name}
    taken: dict[str, int] = up.post("/api/v1/calls", lines, **headers)
    return taken


# For a file, not for the session: it runs a loop in this thread, beside which no other test could run one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, up: Up) -> Iterator[Callable[..., Page]]:
    """Open a path in a browser of its own; its console is looked at when the test is over."""
    contexts: list[BrowserContext] = []
    said: list[str] = []

    def opened(
        path: str, width: int = 1440, height: int = 900, scheme: Any = "light", origin: str = "", **more: Any
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
            timezone_id="UTC",
            locale="en-GB",
            accept_downloads=True,
            **more,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda failure: said.append(str(failure)))
        page.on(
            "request",
            lambda request: said.append(f"asked {request.url}") if foreign(request.url, origin or up.api) else None,
        )
        page.goto((origin or up.api) + path)
        settled(page)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []


def foreign(url: str, origin: str) -> bool:
    """Is it of another host than the one the page came from?"""
    return not url.startswith((origin + "/", "data:", "blob:"))


def settled(page: Page) -> None:
    """Until nothing on the page waits for an answer."""
    page.wait_for_selector("#app > *")
    # Asked again and again: the page's content policy lets nobody put a condition into it as text.
    until(lambda: page.locator(".waiting, [aria-busy='true']").count() == 0, WAIT_MS / 1000)


def until(holds: Callable[[], bool], seconds: float = 10.0) -> float:
    """Wait until it holds; how long that took, in seconds."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, "it did not happen"
        time.sleep(0.02)
    return time.monotonic() - began
