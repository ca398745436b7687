"""Pages look as they did when somebody last judged them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page
from tests.screens import looks, story
from tests.screens.conftest import LOOKED_AT, settled

DIFFERENT_MAX = 0.02
# What differs from one run to the next: ports, sizes on disk, ids, the version.
MOVING = "code, .moving, .table td .bar"
LOOKS = [
    ("overview", "/", 1440, "light"),
    ("overview-dark", "/", 1440, "dark"),
    ("overview-narrow", "/", 375, "light"),
    ("explore", "/explore", 1440, "light"),
    ("calls", "/calls", 1440, "light"),
    ("models", "/models", 1440, "light"),
    ("people", "/people", 1440, "dark"),
    ("errors", "/errors", 1440, "light"),
]

Visit = Callable[..., Page]


def picture(visit: Visit, path: str, width: int, scheme: str) -> bytes:
    page = visit(f"{path}?{story.RANGE}&zone=utc", width=width, scheme=scheme)
    page.clock.set_fixed_time(LOOKED_AT)
    page.reload()
    settled(page)
    page.mouse.move(0, 0)
    return page.screenshot(animations="disabled", mask=[page.locator(MOVING)], mask_color="#888888")


@pytest.mark.parametrize(("name", "path", "width", "scheme"), LOOKS, ids=[name for name, *_ in LOOKS])
def test_a_page_looks_as_it_did(
    visit: Visit, name: str, path: str, width: int, scheme: str, request: pytest.FixtureRequest, tmp_path: object
) -> None:
    found = picture(visit, path, width, scheme)
    if request.config.getoption("--looks", default=False):
        looks.kept(found, name)
    differs = looks.difference(found, name)
    assert differs <= DIFFERENT_MAX, f"{name} differs in {differs:.1%}: look at it, and keep it with --looks"


def test_another_look_is_noticed(visit: Visit) -> None:
    """A test that compares must be able to fail: the same page in the other scheme is another picture."""
    assert looks.difference(picture(visit, "/", 1440, "dark"), "overview") > 10 * DIFFERENT_MAX
