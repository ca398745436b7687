"""The screens as files: every page is there, nothing else is, and no answer lets another page in."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.test_api import ask

from tachograph.health import Health
from tachograph.web import site
from tachograph.web.parts import Parts

PAGES = ["/", "/explore", "/calls", f"/calls/{'0a' * 16}", "/models", "/people", "/errors", "/health", "/connect"]
SCRIPT = "export const words = '" + "tokens " * 200 + "'"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><script type=module src=/assets/index-1.js></script>")
    (tmp_path / "assets" / "index-1.js").write_text(SCRIPT)
    (tmp_path / "icon.svg").write_text("<svg/>")
    return tmp_path


def parts(shown: site.Site, **more: Any) -> Parts:
    nothing: Any = None  # no question is asked here
    return Parts(nothing, lambda _call: {}, Health(), lambda: nothing, site=shown, **more)


def get(folder: Path, path: str, headers: dict[str, str] | None = None, **more: Any) -> httpx2.Response:
    return ask(parts(site.built(folder)), "GET", path, headers=headers or {}, **more)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_the_document(folder: Path, path: str) -> None:
    answer = get(folder, path)
    assert (answer.status_code, answer.text) == (200, (folder / "index.html").read_text())
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert "script-src 'self';" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["/nothing", "/assets", "/assets/%2e%2e/pyproject.toml", "/api/v1/nothing", "/calls/a/b"]
)
def test_what_is_no_page_and_no_file_is_not_there(folder: Path, path: str) -> None:
    answer = get(folder, path)
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found")


def test_a_script_is_kept_for_ever_and_comes_compressed(folder: Path) -> None:
    packed = get(folder, "/assets/index-1.js", {"accept-encoding": "br, gzip"})
    assert packed.text == SCRIPT
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) == len(gzip.compress(SCRIPT.encode(), 9)) < len(SCRIPT)
    assert packed.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert packed.headers["content-type"] == "text/javascript; charset=utf-8"
    for refused in ("identity", "gzip;q=0", "br"):
        plain = get(folder, "/assets/index-1.js", {"accept-encoding": refused})
        assert ("content-encoding" in plain.headers, plain.text) == (False, SCRIPT)


def test_a_document_that_is_known_is_not_sent_again(folder: Path) -> None:
    etag = get(folder, "/").headers["etag"]
    again = get(folder, "/", {"if-none-match": f'W/"other", {etag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    (folder / "index.html").write_text("<!doctype html>another")
    assert get(folder, "/", {"if-none-match": etag}).status_code == 200


def test_nobody_needs_a_key_for_the_screens_but_no_foreign_page_reads_them(folder: Path) -> None:
    assert get(folder, "/", host="evil.example").status_code == 403
    assert get(folder, "/icon.svg", {"origin": "https://evil.example"}).status_code == 403
    beyond = parts(site.built(folder), listen_host="0.0.0.0")
    assert ask(beyond, "GET", "/", host="tachograph.example", peer="10.0.0.7").status_code == 200
    assert ask(beyond, "GET", "/api/v1/health", host="tachograph.example", peer="10.0.0.7").status_code == 401


def test_screens_that_were_not_built_say_what_to_do(tmp_path: Path) -> None:
    answer = ask(parts(site.built(tmp_path / "none")), "GET", "/")
    assert (answer.status_code, answer.text) == (404, site.NOT_BUILT)
