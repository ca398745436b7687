"""Who is asking: `with`, decorators, many users of one context at once, baggage in and out."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import inspect
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.capture.sdk import context as room
from tachograph.capture.sdk.baggage import (
    BAGGAGE_BYTES_MAX,
    BAGGAGE_MEMBERS_MAX,
    asking,
    from_baggage,
    to_baggage,
    to_opentelemetry,
    trace_of,
)
from tachograph.capture.sdk.context import NOBODY, TAGS_MAX, WORD_CHARS_MAX, Scope, carried, context, current


def team() -> str | None:
    return current().values.get("team")


@pytest.fixture(autouse=True)
def nobody_before_and_after() -> Iterator[None]:
    assert carried() is NOBODY
    yield
    assert carried() is NOBODY


# with


def test_inner_words_win_and_the_outer_ones_come_back() -> None:
    with context(team="a", user=7, tags={"tier": "gold", "x": 1}):
        with context(team="b", user=None, tags={"x": 2}):
            assert current().values == {"team": "b", "user_id": "7"}
            assert current().tags == {"tier": "gold", "x": "2"}
        assert current().values == {"team": "a", "user_id": "7"}
        assert current().tags == {"tier": "gold", "x": "1"}
    assert current().values == {}


def test_it_ends_when_the_work_raises() -> None:
    with pytest.raises(ZeroDivisionError), context(team="a"):
        _ = 1 / 0
    assert team() is None


def test_one_context_is_entered_again_inside_itself() -> None:
    outer, inner = context(team="a"), context(team="b")
    with outer, inner, outer:
        assert team() == "a"
        with inner:
            assert team() == "b"
        assert team() == "a"
    assert team() is None


def test_many_tasks_use_one_context_at_once() -> None:
    shared, seen = context(team="shared"), []

    async def one(number: int) -> None:
        async with context(feature=str(number)):
            for _ in range(3):
                async with shared:
                    await asyncio.sleep(0)
                    seen.append((number, current().values["feature"], team()))
                await asyncio.sleep(0)
                assert team() is None

    async def all_of_them() -> None:
        await asyncio.gather(*(one(number) for number in range(50)))

    asyncio.run(all_of_them())
    assert len(seen) == 150
    assert {(number, feature, name) for number, feature, name in seen} == {(n, str(n), "shared") for n in range(50)}
    assert len(shared._outer) == 0


def test_many_threads_use_one_context_at_once() -> None:
    shared, wrong = context(team="shared"), []

    def work() -> None:
        for _ in range(200):
            with shared, context(team="own"), shared:
                if team() != "shared":
                    wrong.append(team())
            if carried() is not NOBODY:
                wrong.append("left over")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(shared._outer) == 0


def test_a_task_keeps_what_it_began_with_after_its_maker_has_left() -> None:
    async def work(go_on: asyncio.Event) -> list[str | None]:
        await go_on.wait()
        seen = [team()]
        with context(feature="f"):
            seen.append(team())
        return [*seen, team()]

    async def main() -> list[str | None]:
        go_on = asyncio.Event()
        with context(team="a"):
            task = asyncio.create_task(work(go_on))
            await asyncio.sleep(0)
        assert team() is None
        go_on.set()
        return await task

    assert asyncio.run(main()) == ["a", "a", "a"]


def test_tasks_that_make_one_another_keep_nothing_alive() -> None:
    scopes: list[weakref.ref[Scope]] = []
    alive: list[int] = []

    async def main() -> None:
        finished = asyncio.Event()

        async def turn(left: int) -> None:
            async with context(team="a"):
                scopes.append(weakref.ref(carried()))
                gc.collect()
                alive.append(sum(scope() is not None for scope in scopes))
                if left == 0:
                    finished.set()
                else:
                    going[0] = asyncio.create_task(turn(left - 1))

        going = [asyncio.create_task(turn(30))]
        await asyncio.wait_for(finished.wait(), 30)
        await going[0]

    asyncio.run(main())
    gc.collect()
    assert len(alive) == 31
    assert max(alive) <= 3
    assert [scope for scope in scopes if scope() is not None] == []


def test_a_generator_that_is_closed_late_takes_only_its_own_words_out() -> None:
    def numbers() -> Iterator[int]:
        with context(team="generator"):
            yield 1

    going = numbers()
    next(going)
    with context(feature="consumer"):
        assert current().values == {"team": "generator", "feature": "consumer"}  # as any `with` in a generator
        going.close()
        assert current().values == {"feature": "consumer"}
    assert carried() is NOBODY


def test_an_end_in_a_context_that_never_saw_it_begin_changes_nothing() -> None:
    here = context(team="a")
    contextvars.copy_context().run(here.__enter__)
    with context(team="b"):
        here.__exit__(None, None, None)
        assert team() == "b"


def test_an_end_in_a_task_that_inherited_it_ends_it_there() -> None:
    here = context(team="a")
    before = contextvars.copy_context()
    before.run(here.__enter__)
    after = before.copy()
    after.run(here.__exit__, None, None, None)
    assert after.run(team) is None


# decorators


def test_over_a_function() -> None:
    @context(team="a")
    def work(x: int, *, y: int = 0) -> tuple[int, str | None]:
        """What it does."""
        return x + y, team()

    assert work(1, y=2) == (3, "a")
    assert (work.__name__, work.__doc__) == ("work", "What it does.")
    assert team() is None


def test_over_a_coroutine() -> None:
    @context(team="a")
    async def work() -> str | None:
        await asyncio.sleep(0)
        return team()

    async def main() -> list[str | None]:
        return [*await asyncio.gather(work(), work()), team()]

    assert inspect.iscoroutinefunction(work)
    assert asyncio.run(main()) == ["a", "a", None]


def test_over_an_object_whose_call_is_a_coroutine_and_over_a_partial() -> None:
    class Work:
        async def __call__(self, x: int) -> tuple[int, str | None]:
            await asyncio.sleep(0)
            return x, team()

    async def plain(x: int) -> tuple[int, str | None]:
        await asyncio.sleep(0)
        return x, team()

    assert asyncio.run(context(team="a")(Work())(1)) == (1, "a")
    assert asyncio.run(context(team="a")(functools.partial(plain, 2))()) == (2, "a")


def test_over_a_recursive_function() -> None:
    @context(tags={"deep": "yes"})
    def down(left: int) -> int:
        return 1 + down(left - 1) if left else len(current().tags)

    assert down(200) == 201


def test_over_methods() -> None:
    class Service:
        @context(team="a")
        def method(self) -> str | None:
            return team()

        @classmethod
        @context(team="b")
        def of_class(cls) -> str | None:
            return team()

        @staticmethod
        @context(team="c")
        def static() -> str | None:
            return team()

    assert (Service().method(), Service.of_class(), Service.static()) == ("a", "b", "c")


def test_over_a_generator_it_holds_for_its_own_code_only() -> None:
    seen = []

    @context(team="a")
    def numbers() -> Iterator[int]:
        for number in range(3):
            seen.append(team())
            yield number
        seen.append(team())

    for _ in numbers():
        assert team() is None
        with context(team="consumer"):
            assert team() == "consumer"
    assert seen == ["a"] * 4
    assert inspect.isgeneratorfunction(numbers)


def test_what_a_generator_entered_is_there_again_after_each_item() -> None:
    @context(team="a")
    def numbers() -> Iterator[dict[str, str]]:
        with context(feature="f"):
            yield dict(current().values)
            yield dict(current().values)
        yield dict(current().values)

    both = {"team": "a", "feature": "f"}
    got = []
    for item in numbers():
        got.append(item)
        assert carried() is NOBODY
    assert got == [both, both, {"team": "a"}]


def test_a_generator_hears_what_is_sent_and_thrown_to_it() -> None:
    @context(team="a")
    def echo() -> Iterator[Any]:
        told: Any = "begin"
        while True:
            try:
                told = yield told, team()
            except ValueError as failure:
                told = str(failure)
            if told == "end":
                return "returned", team()

    going: Any = echo()
    assert next(going) == ("begin", "a")
    assert going.send("x") == ("x", "a")
    assert going.throw(ValueError("y")) == ("y", "a")
    with pytest.raises(StopIteration) as stopped:
        going.send("end")
    assert stopped.value.value == ("returned", "a")

    going = echo()
    next(going)
    with pytest.raises(KeyError, match="out"):
        going.throw(KeyError("out"))


def test_a_generator_that_is_closed_or_dropped_is_cleaned_up_inside() -> None:
    seen = []

    @context(team="a")
    def numbers() -> Iterator[int]:
        try:
            yield 1
        finally:
            seen.append(team())

    going: Any = numbers()
    next(going)
    going.close()
    next(numbers())
    gc.collect()
    assert seen == ["a", "a"]


def test_over_an_async_generator() -> None:
    seen = []

    @context(team="a")
    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(3):
                await asyncio.sleep(0)
                seen.append(team())
                yield number
        finally:
            await asyncio.sleep(0)
            seen.append("end " + str(team()))

    async def main() -> None:
        got = []
        async for number in numbers():
            assert team() is None
            got.append(number)
        assert got == [0, 1, 2]
        async with contextlib.aclosing(numbers()) as going:
            async for _ in going:
                break
        assert carried() is NOBODY

    asyncio.run(main())
    assert inspect.isasyncgenfunction(numbers)
    assert seen == ["a", "a", "a", "end a", "a", "end a"]


def test_an_async_generator_hears_what_is_sent_and_thrown_to_it() -> None:
    @context(team="a")
    async def echo() -> AsyncIterator[Any]:
        told: Any = "begin"
        while True:
            try:
                told = yield told, team()
            except asyncio.CancelledError:
                told = "cancelled"

    async def main() -> None:
        going: Any = echo()
        assert await anext(going) == ("begin", "a")
        assert await going.asend("x") == ("x", "a")
        assert await going.athrow(asyncio.CancelledError()) == ("cancelled", "a")
        with pytest.raises(KeyError):
            await going.athrow(KeyError("out"))

    asyncio.run(main())


def test_over_what_becomes_a_context_manager() -> None:
    seen = []

    @contextlib.contextmanager
    @context(team="a")
    def opened() -> Iterator[str | None]:
        try:
            yield team()
        except ValueError:
            seen.append(team())

    with opened() as inside:
        assert (inside, team()) == ("a", None)
        raise ValueError
    assert seen == ["a"]


# words


@pytest.mark.parametrize(
    ("word", "near"), [("usr", "user"), ("user_id", "user"), ("teams", "team"), ("conversation_id", "conversation")]
)
def test_an_unknown_word_is_an_error_that_names_the_nearest(word: str, near: str) -> None:
    with pytest.raises(TypeError, match=rf"no word '{word}': did you mean '{near}'\?"):
        context(**{word: "x"})


def test_a_word_that_is_near_none_is_told_where_to_go() -> None:
    with pytest.raises(TypeError, match=r"known are service, .*tags=\{'zzzz': \.\.\.\}"):
        context(zzzz="x")


def test_what_is_no_context_is_said_at_once() -> None:
    with pytest.raises(TypeError, match="tags is list: give a dict"):
        context(tags=["a"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="tags is dict: give a dict of at most 32"):
        context(tags={str(number): "x" for number in range(TAGS_MAX + 1)})
    with pytest.raises(TypeError, match="put it over its methods"):
        context(team="a")(int)
    with pytest.raises(TypeError, match="over functions"):
        context(team="a")(3)  # type: ignore[type-var]


def test_values_are_short_text_that_can_be_written() -> None:
    with context(team="x" * 1000, customer="\ud800é", tags={"n": 1.5}):
        assert len(current().values["team"]) == WORD_CHARS_MAX
        assert current().values["customer"] == "?é"
        assert current().tags == {"n": "1.5"}


def test_the_innermost_tags_are_kept() -> None:
    with context(tags={f"outer{n}": n for n in range(TAGS_MAX)}), context(tags={"inner": 1}):
        assert len(current().tags) == TAGS_MAX
        assert current().tags["inner"] == "1"
        assert "outer0" not in current().tags


def test_attribute_without_a_request_is_not_heard_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert room.attribute(customer="acme") is False
    assert "attribute(customer) is not heard" in caplog.text
    with pytest.raises(TypeError, match="did you mean 'customer'"):
        room.attribute(custmer="acme")


# baggage

words = st.dictionaries(st.sampled_from(sorted(room.WORDS)), st.text(min_size=1, max_size=40), max_size=8)
tags = st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=20), max_size=8)


@given(words, tags)
def test_baggage_carries_every_text(said: dict[str, str], named: dict[str, str]) -> None:
    values, kept = room.spoken("context", said, named)
    header = to_baggage(Scope(values, kept))
    assert header.isascii() and len(header) <= BAGGAGE_BYTES_MAX
    assert not set(header) & set(' "\\;')
    back = from_baggage(header, NOBODY)
    assert (back.values, back.tags) == (values, kept)


@given(st.text(max_size=300))
def test_any_header_can_be_read(header: str) -> None:
    from_baggage(header, NOBODY)
    from_baggage("tachograph." + header, NOBODY)
    trace_of(header)


def test_baggage_of_others_is_not_read_and_stays() -> None:
    header = "team=evil , other=1;p=2,tachograph.team=old, tachograph.nothing=x,tachograph.tags.a%20b=%C3%A9;p"
    scope = from_baggage(header, NOBODY)
    assert (scope.values, scope.tags) == ({"team": "old"}, {"a b": "é"})
    with context(team="new"):
        assert to_baggage(header=header) == "team=evil,other=1;p=2,tachograph.team=new"


def test_baggage_may_use_the_words_of_context() -> None:
    scope = from_baggage("tachograph.user=7,tachograph.conversation=c", NOBODY)
    assert scope.values == {"user_id": "7", "conversation_id": "c"}


def test_baggage_over_a_scope() -> None:
    with context(team="a", feature="f"):
        assert from_baggage("tachograph.team=b").values == {"team": "b", "feature": "f"}
        assert from_baggage("x=1") is current()


def test_baggage_keeps_the_limits() -> None:
    full = {f"{number:03}": "é" * WORD_CHARS_MAX for number in range(TAGS_MAX)}
    header = to_baggage(Scope({"team": "t"}, full))
    assert BAGGAGE_BYTES_MAX - 1700 < len(header) <= BAGGAGE_BYTES_MAX
    theirs = ",".join(f"k{number}=v" for number in range(60))
    assert to_baggage(Scope(tags=dict.fromkeys(map(str, range(10)), "x")), header=theirs).count(",") == (
        BAGGAGE_MEMBERS_MAX - 1
    )
    cut = "x=" + "y" * (BAGGAGE_BYTES_MAX - 30) + ",tachograph.team=" + "long" * 10
    assert from_baggage(cut, NOBODY).values == {}  # a member that was cut is no member


def test_traceparent() -> None:
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    assert trace_of(f"00-{trace}-{span}-01") == (trace, span)
    assert trace_of(f" cc-{trace}-{span}-01-more ") == (trace, span)
    for wrong in (f"ff-{trace}-{span}-01", f"00-{'0' * 32}-{span}-01", f"00-{trace}-{'0' * 16}-01", "", f"00-{trace}"):
        assert trace_of(wrong) is None
    assert trace_of(f"00-{trace.upper()}-{span}-01") is None


# OpenTelemetry


def test_what_opentelemetry_holds_is_heard_where_nobody_said_more() -> None:
    baggage, attached = pytest.importorskip("opentelemetry.baggage"), pytest.importorskip("opentelemetry.context")
    held = baggage.set_baggage("tachograph.team", "otel")
    held = baggage.set_baggage("tachograph.user", 7, held)
    held = baggage.set_baggage("tachograph.tags.tier", "gold", held)
    held = baggage.set_baggage("team", "not ours", held)
    token = attached.attach(held)
    try:
        assert (asking().values, asking().tags) == ({"team": "otel", "user_id": "7"}, {"tier": "gold"})
        with context(team="said", tags={"tier": "silver"}):
            assert asking().values == {"team": "said", "user_id": "7"}
            assert asking().tags == {"tier": "silver"}
        foreign = room.entered(Scope(foreign=frozenset({"tachograph.team"})))
        assert asking().values == {"user_id": "7"}
        room.left(foreign)
    finally:
        attached.detach(token)
    assert asking() is NOBODY


def test_opentelemetry_is_told_only_when_asked() -> None:
    baggage = pytest.importorskip("opentelemetry.baggage")
    with context(team="a", tags={"x y": "é"}):
        assert baggage.get_all() == {}
        told = to_opentelemetry()
        assert dict(baggage.get_all(told)) == {"tachograph.team": "a", "tachograph.tags.x y": "é"}
        assert baggage.get_all() == {}


def test_without_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "opentelemetry.baggage", raising=False)
    with context(team="a"):
        assert asking().values == {"team": "a"}
