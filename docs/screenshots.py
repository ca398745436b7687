"""The pictures of the README: what the screens show while `tachograph demo` runs.

    python -m docs.screenshots [http://127.0.0.1:4180]

In: the address of a running demo (or of any `tachograph up`). Out: docs/images/*.png. Needs Chromium.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).with_name("images")
PICTURES = {
    "overview": "/?range=15m",
    "explore": "/explore?range=15m&chart=heat&measure=duration_percentiles",
    "models": "/models?range=15m",
}
WIDTH, HEIGHT = 1440, 900
SETTLE_MS = 2500


def main() -> None:
    """Write every picture."""
    origin = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:4180"
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        sys.exit("chromium is not installed: apt install chromium")
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for name, place in PICTURES.items():
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            page.goto(origin + place)
            page.wait_for_timeout(SETTLE_MS)
            page.screenshot(path=IMAGES / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
