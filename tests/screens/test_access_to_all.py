"""Every page for everybody: with a screen reader, a small screen, a very wide one, in light and dark."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page
from tests.screens import story
from tests.screens.conftest import SITE

AXE = Path(__file__).parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
PAGES = ("/", "/explore", "/calls", "/models", "/people", "/errors", "/health", "/connect")
SERIOUS = ("serious", "critical")
SCRIPT_BYTES_MAX = 200_000

Visit = Callable[..., Page]


def findings(page: Page) -> list[str]:
    """What axe finds that is serious: the rule, and the first place."""
    page.add_script_tag(path=str(AXE))
    found = page.evaluate("async () => (await axe.run(document, { resultTypes: ['violations'] })).violations")
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found if each["impact"] in SERIOUS]


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: make ui")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit: Visit, scheme: str) -> None:
    wrong = {}
    for path in PAGES:
        page = visit(f"{path}?{story.RANGE}", scheme=scheme, bypass_csp=True)
        wrong[path] = findings(page)
        page.context.close()
    assert {path: found for path, found in wrong.items() if found} == {}


@pytest.mark.parametrize("width", [375, 2560])
def test_no_page_is_wider_than_the_screen(visit: Visit, width: int) -> None:
    wide = {}
    for path in PAGES:
        page = visit(f"{path}?{story.RANGE}", width=width)
        wide[path] = page.evaluate("document.documentElement.scrollWidth") - width
        page.context.close()
    assert {path: by for path, by in wide.items() if by > 0} == {}


def test_the_script_is_small_and_the_document_has_none_of_its_own() -> None:
    scripts = list(SITE.parent.glob("assets/*.js"))
    assert sum(len(gzip.compress(each.read_bytes())) for each in scripts) < SCRIPT_BYTES_MAX
    document = SITE.read_text()
    assert "<script>" not in document and "style=" not in document
    assert json.dumps(document).count("http") == 0
