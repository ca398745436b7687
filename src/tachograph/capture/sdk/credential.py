"""Which key a request was made with, told from other keys: the part of it that stays the same.

In: URL and headers. Out: text to be hashed, never to be shown.
What it must never know: where calls go, a provider's answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

CREDENTIALS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
_SIGNED_BY = re.compile(r"Credential=([^/,\s]+)")
_JWT = re.compile(r"ey[\w-]+\.[\w-]+\.[\w-]*$")
_KEY = re.compile(r"[?&]key=([^&#]+)")  # Gemini


def credential_of(url: str, headers: Mapping[str, str]) -> str | None:
    """What tells the caller's key from others, as long as the key lasts; None where it has none, or one that lasts an
    hour (a token of OAuth): that names nobody.
    """
    for name in CREDENTIALS:
        value = headers.get(name, "").removeprefix("Bearer ").strip()
        if value.startswith("AWS4-"):  # signed: each request differently, by one key
            signed_by = _SIGNED_BY.search(value)
            return signed_by[1] if signed_by else None
        if value:
            return None if value.startswith("ya29.") or _JWT.match(value) else value
    in_url = _KEY.search(url)
    return in_url[1] if in_url else None
