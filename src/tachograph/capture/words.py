"""The words for who is asking, and for which prompt: one table for the SDK and the gateway.

In: nothing. Out: word -> field of Call, the header that says a word, the limits of what is said.
What it must never know: how a word reaches us.
"""

from __future__ import annotations

from collections.abc import Mapping

WORD_CHARS_MAX = 256  # of a value; longer ones are cut
TAGS_MAX = 32  # of a scope or a request

# Our words -> the field of Call.
WORDS: Mapping[str, str] = {
    "service": "service",
    "environment": "environment",
    "region": "region",
    "team": "team",
    "project": "project",
    "feature": "feature",
    "customer": "customer",
    "user": "user_id",
    "conversation": "conversation_id",
    "prompt_name": "prompt_name",
    "prompt_version": "prompt_version",
    "prompt_hash": "prompt_hash",
    "experiment": "experiment",
    "arm": "arm",
}
PREFIX = "x-tachograph-"
# Underscores would not do: proxies drop headers that have one.
HEADER_OF: Mapping[str, str] = {word: PREFIX + word.replace("_", "-") for word in WORDS}
