"""The screens: built files over HTTP, and one document for the path of every page.

In: the folder that the build of `ui/` wrote. Out: routes; answers with the headers that keep a page to itself.
What it must never know: what a page shows, who asks. The files hold no secret: a login must be seen to be used.

They are read once, and compressed once: a visit costs a look-up. Files below `assets` carry a hash of their content in
their name and may be kept for ever; the document says which of them there are, so it is asked for each time.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

FOLDER = Path(__file__).with_name("site")
DOCUMENT = "index.html"
PAGES = ("/", "/explore", "/calls", "/calls/{call_id}", "/models", "/people", "/errors", "/health", "/connect")
ASSETS = "assets/"
NOT_BUILT = "The screens are not built: `make ui` builds them. The API is at /api/v1/health.\n"

HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
}
_PACKED = {".png", ".woff2"}  # compressed already


@dataclass(frozen=True, slots=True)
class File:
    """One file as it is served. packed: compressed with gzip; None where that is no smaller."""

    content_type: str
    plain: bytes
    packed: bytes | None
    etag: str


@dataclass(frozen=True, slots=True)
class Site:
    """files: by their path below the folder; none where the screens were not built."""

    files: Mapping[str, File] = field(default_factory=dict)

    def routes(self) -> dict[str, Callable[[Request], Response]]:
        """Path -> its answer: every page, and every file."""
        document = self.files.get(DOCUMENT)
        found = {f"/{name}": _served(file, name) for name, file in self.files.items()}
        return found | {path: _served(document, DOCUMENT) if document else _not_built for path in PAGES}


def built(folder: Path = FOLDER) -> Site:
    """What the build left in its folder."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return Site({name: _file(folder / name) for name in names})


def _file(path: Path) -> File:
    plain = path.read_bytes()
    packed = None if path.suffix in _PACKED else gzip.compress(plain, 9, mtime=0)
    smaller = packed if packed is not None and len(packed) < len(plain) else None
    kind = _TYPES.get(path.suffix, "application/octet-stream")
    return File(kind, plain, smaller, f'W/"{hashlib.sha256(plain).hexdigest()[:32]}"')


def _served(file: File, name: str) -> Callable[[Request], Response]:
    keeping = "public, max-age=31536000, immutable" if name.startswith(ASSETS) else "no-cache"
    headers = {**HEADERS, "cache-control": keeping, "etag": file.etag, "vary": "accept-encoding"}

    def answer(request: Request) -> Response:
        if file.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if file.packed is None or not _takes_gzip(request.headers.get("accept-encoding", "")):
            return Response(file.plain, headers={**headers, "content-type": file.content_type})
        packed = {**headers, "content-type": file.content_type, "content-encoding": "gzip"}
        return Response(file.packed, headers=packed)

    return answer


def _takes_gzip(accepted: str) -> bool:
    for word in accepted.lower().replace(" ", "").split(","):
        name, _, quality = word.partition(";q=")
        if name == "gzip":
            return not quality or quality.strip("0.") != ""
    return False


def _not_built(_request: Request) -> Response:
    return PlainTextResponse(NOT_BUILT, 404, dict(HEADERS))
