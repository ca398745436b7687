"""Latency facts from stamps, also from poor ones."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.call import ITL_BUCKETS
from tachograph.wire.timing import Timing


def timed(*stamps: int | None) -> Timing:
    timing = Timing()
    for at_us in stamps:
        timing.content(at_us)
    return timing


def facts(timing: Timing) -> tuple[object, ...]:
    return (timing.first_content_us, timing.contents, timing.mean_ms(), timing.max_ms(), timing.clock_skew)


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ((), (None, 0, None, None, False)),
        ((500,), (500, 1, None, None, False)),
        ((500, 2500, 6500), (500, 3, 3.0, 4.0, False)),
        ((None, None), (None, 2, None, None, False)),
        ((None, 500, 1500), (None, 3, 1.0, 1.0, False)),  # the first was not seen: nobody knows when it came
        ((500, None, 2500, 3500), (500, 4, 1.0, 1.0, False)),  # two gaps are not one
        ((500, 400, 1400), (500, 3, 1.0, 1.0, True)),  # the clock went back: one gap is unknown
        ((-5, 1000, 2000), (None, 3, 1.0, 1.0, True)),
        ((7, 7, 7), (7, 3, 0.0, 0.0, False)),
    ],
)
def test_facts(stamps: tuple[int | None, ...], expected: tuple[object, ...]) -> None:
    assert facts(timed(*stamps)) == expected


@given(st.lists(st.one_of(st.none(), st.integers(-3, 5_000_000)), max_size=60), st.integers(0, 60), st.booleans())
def test_many_contents_at_once_are_each_counted(stamps: list[int | None], first: int, ordered: bool) -> None:
    if ordered:
        stamps = sorted(at_us for at_us in stamps if at_us is not None)
    timing = timed(*stamps[:first])
    timing.all_content(stamps[first:])
    assert vars(timing) == vars(timed(*stamps))


@pytest.mark.parametrize(
    ("stamps", "buffered"),
    [((7, 7), True), ((7, 7, 7), True), ((7,), False), ((7, 7, 8), False), ((None, None), False), ((), False)],
)
def test_a_stream_whose_contents_came_at_one_moment_was_held_back(
    stamps: tuple[int | None, ...], buffered: bool
) -> None:
    assert timed(*stamps).buffered is buffered


def test_buckets_end_with_the_last_gap() -> None:
    assert timed(0, 1000, 3000).buckets() == [1, 0, 0, 0, 1]
    assert timed(0).buckets() is None
    assert timed(0, 10**12).buckets() == [0] * (ITL_BUCKETS - 1) + [1]


@given(st.lists(st.integers(1_000, 10**9), min_size=1, max_size=400))
def test_p99_is_near_and_never_above_the_longest(gaps: list[int]) -> None:
    timing, at_us = Timing(), 0
    timing.content(at_us)
    for gap in gaps:
        at_us += gap
        timing.content(at_us)
    true = sorted(gaps)[math.ceil(99 * len(gaps) / 100) - 1] / 1000
    stated = timing.p99_ms()
    assert stated is not None
    assert stated <= max(gaps) / 1000
    assert abs(stated - true) <= 0.0906 * true + 0.001 or true == 1.0
    assert sum(timing.buckets() or []) == len(gaps)


def test_p99_of_gaps_beyond_the_last_bucket_is_the_longest() -> None:
    assert timed(0, 10**10).p99_ms() == 10**7
    assert timed(0, 400).p99_ms() == 0.4
    assert timed(0).p99_ms() is None


@given(st.lists(st.none() | st.integers(-(10**6), 10**13), max_size=30))
def test_no_stamps_raise_and_no_figure_is_negative(stamps: list[int | None]) -> None:
    timing = timed(*stamps)
    figures = [timing.mean_ms(), timing.max_ms(), timing.p99_ms(), timing.first_content_us, *(timing.buckets() or [])]
    assert all(figure >= 0 for figure in figures if figure is not None)
    assert timing.contents == len(stamps)
