"""Annotations in the store: kept over an end, changed, forgotten, and found by their moment."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tachograph.annotation import Annotation
from tachograph.store import Store, open_store

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
DAY = {"since": NOON - timedelta(hours=12), "until": NOON + timedelta(hours=12)}


def said(number: int, text: str = "a new prompt", **more: str) -> Annotation:
    return Annotation(f"{number:032x}", NOON + timedelta(minutes=number, microseconds=7), "note", text, **more)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    address = f"chdb://{tmp_path_factory.mktemp('annotations')}"
    with open_store(address) as store:
        store.annotate(said(9, "before the end"))
    with open_store(address) as store:
        assert store.annotations(**DAY) == [said(9, "before the end")]
        yield store


@pytest.fixture
def store(opened: Store) -> Store:
    opened.engine.command("TRUNCATE TABLE annotations")
    return opened


def test_what_was_said_comes_back_as_it_was_said_in_the_order_of_time(store: Store) -> None:
    nasty = said(2, "it's \\N {p0:String} ' OR 1=1 --\n\U0001f600", service="a'b", environment="\\", by='"c"')
    for one in (nasty, said(1), dataclasses.replace(said(3), kind="deployment")):
        store.annotate(one)
    assert store.annotations(**DAY) == [said(1), nasty, dataclasses.replace(said(3), kind="deployment")]


def test_the_range_is_half_open(store: Store) -> None:
    store.annotate(said(1))
    assert store.annotations(said(1).at, NOON + timedelta(hours=1)) == [said(1)]
    assert store.annotations(NOON, said(1).at) == []
    with pytest.raises(ValueError, match="is not before"):
        store.annotations(NOON, NOON)


def test_the_last_word_counts(store: Store) -> None:
    store.annotate(said(1))
    store.annotate(said(1, "corrected"))
    assert store.annotations(**DAY) == [said(1, "corrected")]


def test_what_is_forgotten_is_gone_once(store: Store) -> None:
    store.annotate(said(1))
    store.annotate(said(2))
    assert store.forget(said(1).annotation_id)
    assert not store.forget(said(1).annotation_id)
    assert store.annotations(**DAY) == [said(2)]
    store.engine.command("OPTIMIZE TABLE annotations FINAL")
    assert store.annotations(**DAY) == [said(2)]


def test_it_is_forgotten_also_where_the_clock_was_set_back(store: Store) -> None:
    store.engine.command(
        "INSERT INTO annotations SELECT unhex(repeat('ab', 16)), toDateTime64('2026-11-26 12:00:00', 6, 'UTC'),"
        " 'note', 'from the future', '', '', '', 0, now64(6, 'UTC') + toIntervalHour(3)"
    )
    assert store.forget("ab" * 16)
    assert store.annotations(**DAY) == []


@pytest.mark.parametrize("wrong", ["", "ab", "zz" * 16, "ab" * 17])
def test_what_is_no_id_is_refused(store: Store, wrong: str) -> None:
    with pytest.raises(ValueError, match="is no annotation id"):
        store.forget(wrong)
    with pytest.raises(ValueError, match="is no annotation id"):
        store.annotate(dataclasses.replace(said(1), annotation_id=wrong))
