"""A request that is being served: who is asking, as its headers, path and query say, and what it comes to.

In: words told to a middleware: constants, `Header`, `Path`, `Query`, functions of `Asking`. Out: the `Scope` for the
work of the request. Words are looked up when the first call is made and not before: only then the path has been
matched. What a client says of itself counts only where the middleware was told to trust it: strangers must not choose
who pays.
What it must never know: ASGI, WSGI, a framework.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from tachograph.capture.sdk import baggage
from tachograph.capture.sdk.context import NOBODY, Scope, carried, fitting, resolved, spoken, text
from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.totals import Totals
from tachograph.capture.words import HEADER_OF, WORDS

# What a client may say in `x-tachograph-<word>`, where it is trusted.
HEADERS = ("team", "project", "feature", "customer", "user", "conversation", "experiment", "arm")
QUERY_FIELDS_MAX = 100


@dataclass(frozen=True, slots=True)
class Header:
    """The word is in this header of the request."""

    name: str


@dataclass(frozen=True, slots=True)
class Path:
    """The word is this parameter of the path, as the framework has matched it."""

    name: str


@dataclass(frozen=True, slots=True)
class Query:
    """The word is this field of the query string."""

    name: str


class Asking:
    """A request, as far as it tells who is asking. scope: the ASGI scope or the WSGI environ itself. headers: names in
    lower case.
    """

    def __init__(
        self,
        scope: Mapping[str, Any],
        method: str,
        path: str,
        query: str,
        headers: Callable[[], Mapping[str, str]],
        path_params: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.scope, self.method, self.path, self._query = scope, method, path, query
        self._headers, self._path_params = headers, path_params

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """All headers."""
        return self._headers()

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The fields of the query string; of equal ones the last."""
        try:
            return dict(parse_qsl(self._query, max_num_fields=QUERY_FIELDS_MAX))
        except ValueError:
            return {}

    @property
    def path_params(self) -> Mapping[str, Any]:
        """The parameters of the path; empty until the framework has matched it."""
        return self._path_params()


Word = str | Header | Path | Query | Callable[[Asking], Any] | None


class Plan:
    """What a middleware was told, checked once: how to find out who is asking."""

    def __init__(
        self,
        words: Mapping[str, Word],
        tags: Mapping[str, Word] | None,
        trust_headers: bool | Collection[str],
        trust_baggage: bool,
        where: str,
    ) -> None:
        spoken(where, dict.fromkeys(words), tags)
        self.constant, self.constant_tags = spoken(where, _constants(words), _constants(tags or {}))
        self.sought = {WORDS[word]: how for word, how in _sought(words, where).items()}
        self.sought_tags = _sought(tags or {}, where)
        self.trusted = _trusted(trust_headers, where)
        self.trust_baggage = trust_baggage
        self.guard = Guard()


class Served:
    """One request: what `context.Request` is for the scope. totals: what it came to so far."""

    def __init__(self, plan: Plan, asking: Asking) -> None:
        self.totals, self._plan, self._asking = Totals(), plan, asking
        self._outer = carried()
        self._values, self._tags = dict(plan.constant), dict(plan.constant_tags)
        self._left = {**plan.sought}
        self._left_tags = {**plan.sought_tags}

    def scope(self) -> Scope:
        """The scope for the work of the request."""
        headers, outer = self._asking.headers, self._outer
        trace = baggage.trace_of(headers.get("traceparent", "")) or (outer.trace_id, outer.span_id)
        foreign = outer.foreign
        if self._plan.trust_baggage:
            self._hear(baggage.from_baggage(headers.get("baggage", ""), NOBODY))
        elif "baggage" in headers:
            foreign = foreign | baggage.names_in(headers["baggage"])
        for word in self._plan.trusted:
            if headers.get(HEADER_OF[word]):
                self._hear(Scope({WORDS[word]: text(headers[HEADER_OF[word]])}))
        totals = (*outer.totals, self.totals)
        return Scope(trace_id=trace[0], span_id=trace[1], totals=totals, request=self, foreign=foreign)

    def said(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """What is known now; what could not be found before is looked for again."""
        if self._left or self._left_tags:
            self._plan.guard(self._look)
        outer = resolved(self._outer)
        return {**outer.values, **self._values}, fitting({**outer.tags, **self._tags})

    def say(self, values: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """What is said of the request from inside it is the last word."""
        self._hear(Scope(values, tags))

    def _hear(self, scope: Scope) -> None:
        self._values = {**self._values, **scope.values}
        self._tags = fitting({**self._tags, **scope.tags})
        for left, found in ((self._left, scope.values), (self._left_tags, scope.tags)):
            for name in found:
                left.pop(name, None)

    def _look(self) -> None:
        guard, asking = self._plan.guard, self._asking
        values = {name: guard(found, how, asking) for name, how in list(self._left.items())}
        tags = {name: guard(found, how, asking) for name, how in list(self._left_tags.items())}
        self._hear(
            Scope(
                {name: text(value) for name, value in values.items() if value is not None},
                {name: text(value) for name, value in tags.items() if value is not None},
            )
        )


def found(how: Any, asking: Asking) -> Any:
    """What a request says of one word; None where it does not say it (yet)."""
    if isinstance(how, Header):
        return asking.headers.get(how.name.lower())
    if isinstance(how, Path):
        return asking.path_params.get(how.name)
    if isinstance(how, Query):
        return asking.query.get(how.name)
    return how(asking) if callable(how) else how


def _constants(words: Mapping[str, Word]) -> dict[str, Word]:
    return {word: how for word, how in words.items() if not _looked_up(how)}


def _sought(words: Mapping[str, Word], where: str) -> dict[str, Word]:
    for word, how in words.items():
        if inspect.iscoroutinefunction(how):
            raise TypeError(f"{where}(): {word} is an async function: give a plain one, or say it with attribute()")
    return {word: how for word, how in words.items() if _looked_up(how)}


def _looked_up(how: Word) -> bool:
    return isinstance(how, (Header, Path, Query)) or callable(how)


def _trusted(trust_headers: bool | Collection[str], where: str) -> tuple[str, ...]:
    if isinstance(trust_headers, bool):
        return HEADERS if trust_headers else ()
    trusted = (trust_headers,) if isinstance(trust_headers, str) else tuple(trust_headers)
    for word in trusted:
        if word not in HEADERS:
            raise TypeError(f"{where}(): trust_headers has {word!r}: known are {', '.join(HEADERS)}")
    return trusted
