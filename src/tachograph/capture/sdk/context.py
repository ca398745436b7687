"""Who is asking: told once around the work, found again wherever a model is called below it.

    with tachograph.context(team="search", customer="acme", tags={"tier": "gold"}):
        client.chat.completions.create(...)

In: words of the user, OpenTelemetry's baggage where the process has it. Out: the `Scope` in force. It follows tasks and
`asyncio.to_thread` by itself; `threads` takes it over to threads and executors, `baggage` to other services. The one
state of this room: a context variable, which is what it is for (each greenlet of gevent and eventlet begins without).
What it must never know: HTTP, a provider, where Calls go.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast
from weakref import WeakKeyDictionary

from tachograph.call import Call
from tachograph.capture.sdk.guard import LOG
from tachograph.capture.words import TAGS_MAX, WORD_CHARS_MAX, WORDS


class Adds(Protocol):
    """Counts the Calls made inside a scope."""

    def add(self, call: Call) -> None:
        """One more."""
        ...


class Request(Protocol):
    """A request that this process serves: who is asking may be known only once it has been routed, or authenticated."""

    def said(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """(values by field of Call, tags) as far as they are known now."""
        ...

    def say(self, values: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """More is known."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Scope:
    """Who is asking, here and now. values: by field of Call. trace_id, span_id: what caused this, where it is known.

    totals: what counts the calls made inside. request: what else is known of the request that is being served, which
    `values` and `tags` win over. owner: the `context` that put this in force. foreign: members of OpenTelemetry's
    baggage that came from outside and are not trusted.
    """

    values: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    trace_id: str | None = None
    span_id: str | None = None
    totals: tuple[Adds, ...] = ()
    request: Request | None = None
    owner: context | None = None
    foreign: frozenset[str] = frozenset()


NOBODY = Scope()
_SCOPE: ContextVar[Scope] = ContextVar("tachograph.scope", default=NOBODY)


def current() -> Scope:
    """The scope in force, with all that is known by now of the request that is being served."""
    scope = _SCOPE.get()
    return scope if scope.request is None else resolved(scope)


def resolved(scope: Scope) -> Scope:
    """`scope` with what its request says by now."""
    if scope.request is None:
        return scope
    values, tags = scope.request.said()
    return dataclasses.replace(
        scope, values={**values, **scope.values}, tags=fitting({**tags, **scope.tags}), request=None, owner=None
    )


def carried() -> Scope:
    """The scope in force as it is handed to other threads: its request may go on to say more."""
    return _SCOPE.get()


def entered(scope: Scope) -> Token[Scope]:
    """Put a scope in force; `left` with what this returns ends it, in the same task."""
    return _SCOPE.set(scope)


def left(token: Token[Scope]) -> None:
    """End a scope."""
    _SCOPE.reset(token)


def attribute(*, tags: Mapping[str, Any] | None = None, **words: Any) -> bool:
    """Say more about the request that is being served, for all its calls from now on, from anywhere in it: words as in
    `context`. False, and a warning, where no middleware of ours serves one.
    """
    values, named = spoken("attribute", words, tags)
    request = _SCOPE.get().request
    if request is None:
        LOG.warning("attribute(%s) is not heard: no TachographMiddleware around this", ", ".join(words) or "tags")
        return False
    request.say(values, named)
    return True


def spoken(
    where: str, words: Mapping[str, Any], tags: Mapping[str, Any] | None = None
) -> tuple[dict[str, str], dict[str, str]]:
    """(values by field of Call, tags). A word that is None says nothing. TypeError for what cannot be said."""
    for word in words:
        if word not in WORDS:
            raise TypeError(unknown(where, word))
    if tags is not None and (not isinstance(tags, Mapping) or len(tags) > TAGS_MAX):
        raise TypeError(f"{where}(): tags is {type(tags).__name__}: give a dict of at most {TAGS_MAX} texts")
    values = {WORDS[word]: text(value) for word, value in words.items() if value is not None}
    return values, {text(name): text(value) for name, value in (tags or {}).items() if value is not None}


def unknown(where: str, word: str) -> str:
    """The one line about a word that nobody knows."""
    near = difflib.get_close_matches(word, WORDS, 1, 0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(WORDS)};"
    return f"{where}() has no word {word!r}: {hint} words of your own go into tags={{{word!r}: ...}}"


def text(value: Any) -> str:
    """A value as it is kept: short, and writable as UTF-8."""
    kept = str(value)[:WORD_CHARS_MAX]
    return kept if kept.isascii() else kept.encode("utf-8", "replace").decode()


def over(scope: Scope, values: Mapping[str, str], tags: Mapping[str, str], **more: Any) -> Scope:
    """`scope` with more said. more: other fields of Scope."""
    return dataclasses.replace(
        scope, values={**scope.values, **values}, tags=fitting({**scope.tags, **tags}), **{"owner": None, **more}
    )


def fitting(tags: dict[str, str]) -> dict[str, str]:
    """As many tags as are kept."""
    return tags if len(tags) <= TAGS_MAX else dict(list(tags.items())[-TAGS_MAX:])


class Inside:
    """`inside(work, ...)` runs work in a scope, and leaves outside what was in force there.

    What the work has entered and not left by its end (a generator between two items) is in force again at the next run.
    """

    __slots__ = ("scope",)

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def __call__(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
        """What `work` returns."""
        outside = _SCOPE.get()
        _SCOPE.set(self.scope)
        try:
            return work(*arguments, **named)
        finally:
            self.scope = _SCOPE.get()
            _SCOPE.set(outside)

    async def awaited(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
        """What the coroutine of `work` returns."""
        outside = _SCOPE.get()
        _SCOPE.set(self.scope)
        try:
            return await work(*arguments, **named)
        finally:
            self.scope = _SCOPE.get()
            _SCOPE.set(outside)


F = TypeVar("F", bound=Callable[..., Any])


class context:  # noqa: N801  (it reads as a word at the place of use)
    """`with context(team=...):`, `async with`, or `@context(team=...)` over functions, coroutines and generators.

    service, environment, region, team, project, feature, customer, user, conversation, prompt_name, prompt_version,
    prompt_hash, experiment, arm: text, or None for "as before". tags: anything else, text to text. Inner ones win.
    One context may be in force many times at once, in one task or in many. Over a generator it is in force while the
    generator's own code runs, not while its consumer's does; a `with` inside a generator holds for both, as any `with`.
    """

    def __init__(self, *, tags: Mapping[str, Any] | None = None, **words: Any) -> None:
        self._values, self._tags = spoken("context", words, tags)
        # Each scope that this has put in force -> what was in force before. One that ends in a task that has never
        # seen it begin is forgotten with that task.
        self._outer: WeakKeyDictionary[Scope, Scope] = WeakKeyDictionary()

    def __enter__(self) -> Scope:
        outer = _SCOPE.get()
        scope = self._over(outer)
        _SCOPE.set(scope)
        return scope

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        _SCOPE.set(self._out_of(_SCOPE.get()))

    async def __aenter__(self) -> Scope:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, failure, trace)

    def __call__(self, work: F) -> F:
        """`work`, every run of which is inside this context."""
        if isinstance(work, type) or not callable(work):
            raise TypeError(f"context() is put over functions, not over {work!r}: put it over its methods")
        decorated: Any = functools.wraps(work)(_decorated(work, self._inside))
        return cast(F, decorated)

    def _over(self, outer: Scope) -> Scope:
        scope = over(outer, self._values, self._tags, owner=self)
        self._outer[scope] = outer
        return scope

    def _out_of(self, scope: Scope) -> Scope:
        """What is in force once this has ended: mostly what was before, but others may have begun since and go on (a
        generator that is closed late). Where it never began, nothing changes.
        """
        owner = scope.owner
        outer = None if owner is None else owner._outer.get(scope)
        if owner is None or outer is None:
            return scope
        if owner is self:
            del self._outer[scope]
            return outer
        lower = self._out_of(outer)
        if lower is outer:
            return scope
        del owner._outer[scope]
        return owner._over(lower)

    def _inside(self) -> Inside:
        return Inside(over(_SCOPE.get(), self._values, self._tags))


def _decorated(work: Any, inside: Callable[[], Inside]) -> Any:
    if inspect.isasyncgenfunction(work):
        return _async_generator(work, inside)
    if inspect.iscoroutinefunction(work) or inspect.iscoroutinefunction(type(work).__call__):

        async def awaited(*arguments: Any, **named: Any) -> Any:
            return await inside().awaited(work, *arguments, **named)

        return awaited
    if inspect.isgeneratorfunction(work):
        return _generator(work, inside)

    def plain(*arguments: Any, **named: Any) -> Any:
        return inside()(work, *arguments, **named)

    return plain


def _generator(work: Any, inside: Callable[[], Inside]) -> Any:
    """The generator's steps are inside; whatever is sent or thrown to it is handed on."""

    def generated(*arguments: Any, **named: Any) -> Generator[Any, Any, Any]:
        run = inside()
        body = run(work, *arguments, **named)
        step, told = body.send, None
        try:
            while True:
                try:
                    item = run(step, told)
                except StopIteration as stop:
                    return stop.value
                try:
                    step, told = body.send, (yield item)
                except GeneratorExit:
                    raise
                except BaseException as failure:
                    step, told = body.throw, failure
        finally:
            run(body.close)

    return generated


def _async_generator(work: Any, inside: Callable[[], Inside]) -> Any:
    async def stream(*arguments: Any, **named: Any) -> AsyncGenerator[Any, Any]:
        run = inside()
        body = run(work, *arguments, **named)
        step, told = body.asend, None
        try:
            while True:
                try:
                    item = await run.awaited(step, told)
                except StopAsyncIteration:
                    return
                try:
                    step, told = body.asend, (yield item)
                except GeneratorExit:
                    raise
                except BaseException as failure:
                    step, told = body.athrow, failure
        finally:
            await run.awaited(body.aclose)

    return stream
