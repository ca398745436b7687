"""Mistral OCR: documents are billed by the page.

In: `POST .../ocr` at Mistral and Azure; on Vertex the same body comes through `rawPredict`. Out: Found, with the pages
in `price_context`. Source: providers.md A7.
What it must never know: prices, framing.
"""

from __future__ import annotations

from typing import Any

from tachograph.wire.format import Asked, Format
from tachograph.wire.found import Found, count, items, mapping, merged, name
from tachograph.wire.tokens import Tokens


def event(found: Found, event_name: str, value: Any) -> bool:
    """The whole answer."""
    body = mapping(value)
    found.response_model = name(body.get("model")) or found.response_model
    found.usage = merged(found.usage, body.get("usage_info"))
    pages = count((found.usage or {}).get("pages_processed"))
    if pages is not None:
        found.price_context["pages"] = str(pages)
    if pages is not None and mapping(body).get("document_annotation"):
        found.price_context["annotated_pages"] = str(pages)
    found.terminal = True
    return bool(items(body.get("pages")))


def tokens(found: Found) -> Tokens | None:
    """Usage came, but it counts no tokens."""
    return Tokens() if count((found.usage or {}).get("pages_processed")) is not None else None


def request(found: Found, asked: Asked) -> None:
    """The model."""
    found.request_model = name(asked.members.get("model"))


OCR = Format("mistral.ocr", "other", lambda asked: asked.path.endswith("/ocr"), request, event, tokens)
