"""Who is asking, as the headers of a request say it in our words and in those of other gateways.

In: names and values of headers, members of a request that the tap kept. Out: (values by field of Call, tags). Ours win
over baggage, baggage over the words of others.
What it must never know: Envoy, a provider's answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from tachograph.capture.words import HEADER_OF, PREFIX, TAGS_MAX, WORD_CHARS_MAX, WORDS

REQUIRABLE = tuple(WORDS)
_WORD_OF: Mapping[str, str] = {header: word for word, header in HEADER_OF.items()}
_PROPERTY = "helicone-property-"
# Headers that mean one of our words; spelled as other gateways do.
_THEIRS: Mapping[str, str] = {
    "helicone-user-id": "user",
    "helicone-session-id": "conversation",
    "helicone-session-name": "feature",
    "x-litellm-end-user-id": "user",
    "x-litellm-customer-id": "customer",
    "x-litellm-session-id": "conversation",
    "x-litellm-trace-id": "conversation",
}
# Names in metadata, properties and baggage that mean one of our words.
_SPELLINGS: Mapping[str, str] = {
    **{word: word for word in WORDS},
    "user_id": "user",
    "userid": "user",
    "_user": "user",
    "session_id": "conversation",
    "sessionid": "conversation",
    "conversation_id": "conversation",
    "customer_id": "customer",
    "tenant": "customer",
    "tenant_id": "customer",
    "team_id": "team",
    "project_id": "project",
    "_environment": "environment",
}
METADATA = tuple(_SPELLINGS)  # of a request's own `metadata`
_PORTKEY, _LITELLM_TAGS, _TAGS, _BAGGAGE = "x-portkey-metadata", "x-litellm-tags", "x-tachograph-tags", "baggage"

# What the tap keeps for us and takes off the request.
HEADERS = (_PORTKEY, "helicone-user-id")
PREFIXES = (PREFIX, _PROPERTY, "helicone-session-", "x-litellm-")


def sources(word: str) -> Iterator[tuple[str, str]]:
    """(name, part) of the headers that say this word: whose value, as the log holds it, has that part."""
    spellings = [spelling for spelling, ours in _SPELLINGS.items() if ours == word]
    for header in (HEADER_OF[word], *(header for header, ours in _THEIRS.items() if ours == word)):
        yield header, ""
    for spelling in spellings:
        yield _PROPERTY + spelling.replace("_", "-"), ""
        yield _PORTKEY, f"%22{spelling}%22"
        yield _BAGGAGE, f"tachograph.{spelling}="


def attributed(headers: Mapping[str, str], members: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """(values by field of Call, tags) of a request."""
    values: dict[str, str] = {}
    tags: dict[str, str] = {}
    for says in (_ours, _baggage, _theirs):
        for word, value in says(headers):
            _note(values, tags, word, value)
    held = members.get("metadata")
    for name, value in held.items() if isinstance(held, dict) else ():
        if _spelled(name) in WORDS and isinstance(value, str):
            _note(values, tags, _spelled(name), value)
    return values, tags


def _note(values: dict[str, str], tags: dict[str, str], word: str, value: str) -> None:
    value = value.strip()[:WORD_CHARS_MAX]
    if not value:
        return
    if word in WORDS:
        values.setdefault(WORDS[word], value)
    elif len(tags) < TAGS_MAX or word in tags:
        tags.setdefault(word[:WORD_CHARS_MAX], value)


def _spelled(name: str) -> str:
    """One of our words where `name` means one; else itself."""
    folded = name.strip().lower().replace("-", "_")
    return _SPELLINGS.get(folded, name.strip())


def _ours(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        if name in _WORD_OF:
            yield _WORD_OF[name], value
    yield from _listed(headers.get(_TAGS, ""))


def _listed(text: str) -> Iterator[tuple[str, str]]:
    """`tier=gold, beta`, or a JSON object; a tag without a value is `true`."""
    if text.lstrip().startswith("{"):
        yield from _members(text)
        return
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = entry.partition("=")
        yield name.strip(), value.strip() or "true"


def _members(text: str) -> Iterator[tuple[str, str]]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return
    for name, item in value.items() if isinstance(value, dict) else ():
        if isinstance(item, (str, int, float)):
            yield _spelled(name), str(item)


def _baggage(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Members `tachograph.<word>` and `tachograph.tags.<name>`, see `capture.sdk.baggage`."""
    for member in headers.get(_BAGGAGE, "").split(","):
        name, _, value = member.partition(";")[0].partition("=")
        word = unquote(name.strip())
        if not word.startswith("tachograph."):
            continue
        word = word.removeprefix("tachograph.")
        yield word.removeprefix("tags.") if word.startswith("tags.") else _spelled(word), unquote(value.strip())


def _theirs(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        if name.startswith(_PROPERTY):
            yield _spelled(name.removeprefix(_PROPERTY)), value
        elif name in _THEIRS:
            yield _THEIRS[name], value
    yield from _members(headers.get(_PORTKEY, ""))
    for tag in filter(None, (part.strip() for part in headers.get(_LITELLM_TAGS, "").split(","))):
        name, found, value = tag.partition(":")
        yield _spelled(name) if found else name, value or "true"
