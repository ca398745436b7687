"""A model's name as somebody wrote it -> the canonical name of the price list.

In: provider, name, a clause. Out: the spellings worth trying, in order; whether a clause knows a name.
What it must never know: rates, dates, a Call. It exists because one model has a dozen spellings: paths, regional
profiles, compact dates, routing suffixes, ARNs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

from tachograph.pricing.rows import Clause

NAME_CHARS_MAX = 512

_COMPACT_DATE = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")
_PATHS = re.compile(r"^(models/|publishers/[^/]+/models/|projects/.*/models/|accounts/[^/]+/models/)")
# ARNs that name a model of the public list; any other (application profile, provisioned, imported) does not.
_PUBLIC_ARN = re.compile(r"^arn:[^:]*:bedrock:[^:]*:[^:]*:(?:inference-profile|foundation-model)/(.+)$")
_UNNUMBERED = re.compile(r"^(openai\.gpt-oss-\d+b)$")  # as Bedrock's OpenAI endpoint has them
_REGION = re.compile(r"^(us|eu|apac|jp|au|in|ca|sa|uk|us-gov|global)\.(?=[a-z])")
# What routers hang behind a name to choose an upstream or an extra; not part of the model. `:free` is part of it.
_ROUTING: dict[str, re.Pattern[str]] = {
    "huggingface": re.compile(r":[a-z0-9-]+$"),
    "openrouter": re.compile(r":(nitro|floor|online|exacto|extended|thinking)$"),
}


def spellings(provider: str, name: str) -> Iterator[str]:
    """The spellings of a name to look up, the most exact first; lower case, without repetition."""
    seen = set()
    for spelling in _spellings(provider, name[:NAME_CHARS_MAX].strip().lower().replace("%3a", ":").replace("%2f", "/")):
        if spelling and spelling not in seen:
            seen.add(spelling)
            yield spelling


def _spellings(provider: str, name: str) -> Iterator[str]:
    if name.startswith("arn:"):
        public = _PUBLIC_ARN.match(name)
        if public is None:
            return
        name = public.group(1)
    yield from (name, _PATHS.sub("", name), _COMPACT_DATE.sub(r"-\1-\2-\3", name))
    if provider == "aws.bedrock":
        yield _REGION.sub("", name)
        yield _UNNUMBERED.sub(r"\1-1:0", name)
    routing = _ROUTING.get(provider)
    yield routing.sub("", name) if routing is not None else name.rpartition("/")[2]


def matches(clause: Clause, text: str) -> bool:
    """Whether a clause knows a name, which is given in lower case."""
    word = clause[0]
    if word == "or":
        return any(matches(cast(Clause, inner), text) for inner in clause[1:])
    if word == "and":
        return all(matches(cast(Clause, inner), text) for inner in clause[1:])
    return _leaf(cast(str, word), cast(str, clause[1]), text)


def _leaf(word: str, wanted: str, text: str) -> bool:
    if word == "equals":
        return text == wanted
    if word == "starts":
        return text.startswith(wanted)
    if word == "ends":
        return text.endswith(wanted)
    if word == "contains":
        return wanted in text
    return re.search(wanted, text) is not None


def pattern(text: str) -> re.Pattern[str]:
    """A pattern with `*` for any run of characters, compared without regard to case."""
    return re.compile(re.escape(text.lower()).replace(r"\*", ".*") + r"\Z")
