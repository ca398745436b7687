"""Who is asking: told once around the work, found again wherever a model is called below it.

    with tachograph.context(team="search", customer="acme", tags={"tier": "gold"}):
        client.chat.completions.create(...)

In: words of the user, a `traceparent`, W3C baggage. Out: the `Scope` in force. It follows tasks by itself; `threads`
takes it over to threads and executors. The one state of this room: a context variable, which is what it is for.
What it must never know: HTTP, a provider, where Calls go.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, unquote

from tachograph.call import Call

WORD_CHARS_MAX = 256  # of a value; longer ones are cut
TAGS_MAX = 32
BAGGAGE_BYTES_MAX = 8192  # W3C baggage: what every party must pass on
PREFIX = "tachograph."

# The words of `context` -> the field of Call.
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


class Adds(Protocol):
    """Counts the Calls made inside a scope."""

    def add(self, call: Call) -> None:
        """One more."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """Who is asking, here and now. values: by field of Call. trace_id, span_id: what caused this, where it is known.
    totals: what counts the calls made inside.
    """

    values: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    trace_id: str | None = None
    span_id: str | None = None
    totals: tuple[Adds, ...] = ()


NOBODY = Scope()
_SCOPE: ContextVar[Scope] = ContextVar("tachograph.scope", default=NOBODY)


def current() -> Scope:
    """The scope in force."""
    return _SCOPE.get()


def entered(scope: Scope) -> Token[Scope]:
    """Put a scope in force; `left` with what this returns ends it."""
    return _SCOPE.set(scope)


def left(token: Token[Scope]) -> None:
    """End a scope. One that ends in another context than it began in (a generator that was closed elsewhere) is gone
    already.
    """
    try:
        _SCOPE.reset(token)
    except ValueError:
        return


def within(
    scope: Scope,
    words: Mapping[str, Any],
    tags: Mapping[str, Any] | None = None,
    *,
    totals: Adds | None = None,
    trace: tuple[str, str] | None = None,
) -> Scope:
    """`scope` with more said. A word that is None leaves what was said before. TypeError for an unknown word."""
    values = dict(scope.values)
    for word, value in words.items():
        if word not in WORDS:
            raise TypeError(f"context() has no {word!r}: use tags={{{word!r}: ...}} or one of {', '.join(WORDS)}")
        if value is not None:
            values[WORDS[word]] = str(value)[:WORD_CHARS_MAX]
    kept = {
        **scope.tags,
        **{str(name)[:WORD_CHARS_MAX]: str(tag)[:WORD_CHARS_MAX] for name, tag in (tags or {}).items()},
    }
    if len(kept) > TAGS_MAX:
        kept = dict(list(kept.items())[-TAGS_MAX:])
    trace_id, span_id = trace or (scope.trace_id, scope.span_id)
    return Scope(values, kept, trace_id, span_id, (*scope.totals, totals) if totals is not None else scope.totals)


F = TypeVar("F", bound=Callable[..., Any])


class context:  # noqa: N801  (it reads as a word at the place of use)
    """`with context(team=...):`, `async with`, or `@context(team=...)` over functions, coroutines and generators.

    service, environment, region, team, project, feature, customer, user, conversation, prompt_name, prompt_version,
    prompt_hash, experiment, arm: text, or None for "as before". tags: anything else, text to text. Inner ones win.
    """

    def __init__(self, *, tags: Mapping[str, Any] | None = None, **words: Any) -> None:
        within(NOBODY, words, tags)  # what is wrong is told here, not inside the work
        self._words, self._tags = words, tags
        self._tokens: list[Token[Scope]] = []

    def __enter__(self) -> Scope:
        scope = within(current(), self._words, self._tags)
        self._tokens.append(entered(scope))
        return scope

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        left(self._tokens.pop())

    async def __aenter__(self) -> Scope:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, failure, trace)

    def __call__(self, work: F) -> F:
        """`work`, every run of which is inside this context."""
        decorated: F = _decorated(work, self._words, self._tags)
        return decorated


def _decorated(work: Any, words: Mapping[str, Any], tags: Mapping[str, Any] | None) -> Any:
    if inspect.isasyncgenfunction(work):

        @functools.wraps(work)
        async def stream(*arguments: Any, **named: Any) -> Any:
            with context(tags=tags, **words):
                async for item in work(*arguments, **named):
                    yield item

        return stream
    if inspect.iscoroutinefunction(work):

        @functools.wraps(work)
        async def awaited(*arguments: Any, **named: Any) -> Any:
            with context(tags=tags, **words):
                return await work(*arguments, **named)

        return awaited
    if inspect.isgeneratorfunction(work):

        @functools.wraps(work)
        def generated(*arguments: Any, **named: Any) -> Any:
            with context(tags=tags, **words):
                yield from work(*arguments, **named)

        return generated

    @functools.wraps(work)
    def plain(*arguments: Any, **named: Any) -> Any:
        with context(tags=tags, **words):
            return work(*arguments, **named)

    return plain


def to_baggage(scope: Scope | None = None) -> str:
    """The scope as a W3C `baggage` header, for calls to one's own services. What does not fit is left out."""
    scope = current() if scope is None else scope
    members = [f"{PREFIX}{field}={quote(value)}" for field, value in scope.values.items()]
    members += [f"{PREFIX}tags.{quote(name)}={quote(value)}" for name, value in scope.tags.items()]
    text = ""
    for member in members:
        longer = f"{text},{member}" if text else member
        if len(longer) <= BAGGAGE_BYTES_MAX:
            text = longer
    return text


def from_baggage(header: str, scope: Scope | None = None) -> Scope:
    """What a `baggage` header says of who is asking, over `scope`. Members of others are not ours to read."""
    scope = current() if scope is None else scope
    fields = set(WORDS.values())
    values, tags = dict(scope.values), dict(scope.tags)
    for member in header[:BAGGAGE_BYTES_MAX].split(","):
        name, equals, value = member.partition(";")[0].partition("=")
        name = name.strip()
        if not equals or not name.startswith(PREFIX):
            continue
        field, value = name[len(PREFIX) :], unquote(value.strip())[:WORD_CHARS_MAX]
        if field in fields:
            values[field] = value
        elif field.startswith("tags.") and len(tags) < TAGS_MAX:
            tags[unquote(field[len("tags.") :])] = value
    return dataclasses.replace(scope, values=values, tags=tags)
