"""The memory of what was stored lately may say yes in error, and never no."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.store import recent
from tachograph.store.recent import Recent, of_bytes, of_texts


def keys(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 2**63, count).astype(np.uint64)


def test_what_was_remembered_is_perhaps_there_and_hardly_anything_else() -> None:
    memory = Recent()
    assert not memory.perhaps(keys(1000)).any()
    for place in range(10):
        memory.add(keys(200_000, place), 1000 + place)
    for place in range(10):
        assert memory.perhaps(keys(200_000, place)).all()
    assert memory.perhaps(keys(1_000_000, 99)).sum() < 100  # two generations, both full
    assert memory.forgotten_until == 0
    assert memory.held_bytes < 10 * 2**20


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "GENERATION_KEYS", 1000)


@pytest.mark.usefixtures("small")
def test_the_oldest_is_forgotten_and_said_so() -> None:
    memory = Recent()
    for place in range(recent.GENERATIONS_MAX * 2):
        memory.add(keys(600, place), 1000 + place)
        assert memory.held_bytes <= recent.GENERATIONS_MAX * recent._BITS // 8
    kept = [memory.perhaps(keys(600, place)).all() for place in range(recent.GENERATIONS_MAX * 2)]
    assert kept == sorted(kept)  # first what was forgotten, then what was not
    gone = kept.count(False)
    assert gone == recent.GENERATIONS_MAX
    # Nothing that began later than this was forgotten.
    assert memory.forgotten_until == 1000 + gone - 1


@pytest.mark.usefixtures("small")
def test_memory_stands_still_from_the_second_generation_on() -> None:
    memory, held = Recent(), []
    for place in range(recent.GENERATIONS_MAX * 3):
        memory.add(keys(900, place), place)
        held.append(memory.held_bytes // (recent._BITS // 8))
    assert held == [1, *[recent.GENERATIONS_MAX] * (len(held) - 1)]


@pytest.mark.usefixtures("small")
def test_a_piece_larger_than_a_generation() -> None:
    memory, many = Recent(), 1000 * recent.GENERATIONS_MAX - 500
    memory.add(keys(many), 5)
    assert memory.perhaps(keys(many)).all()
    memory.add(keys(many, 2), 4)
    memory.add(keys(0), 9)
    assert memory.perhaps(keys(0)).shape == (0,)
    assert memory.forgotten_until == 5


def test_the_largest_time_counts() -> None:
    memory = Recent()
    memory.add(keys(10), 7)
    memory.add(keys(10, 2), 3)
    assert memory._generations[0].until == 7


octets = st.none() | st.binary(min_size=16, max_size=16)


@settings(max_examples=200, deadline=None)
@given(values=st.lists(octets, max_size=20), start=st.integers(0, 20), length=st.integers(0, 20))
def test_a_key_depends_on_the_value_alone(values: list[bytes | None], start: int, length: int) -> None:
    """Not on where in an array, a piece of one included, it stands."""
    array = pa.array(values, pa.binary(16)).slice(start, length)
    found = of_bytes(array, 16).tolist()
    assert found == [int(of_bytes(pa.array([value], pa.binary(16)), 16)[0]) for value in array.to_pylist()]
    assert all(
        (key == 0) == (value is None or value == bytes(16)) for key, value in zip(found, array.to_pylist(), strict=True)
    )


@settings(max_examples=200, deadline=None)
@given(values=st.lists(st.none() | st.text(max_size=8), max_size=20), start=st.integers(0, 20))
def test_a_key_of_a_text(values: list[str | None], start: int) -> None:
    array = pa.array(values, pa.string()).slice(start)
    found = of_texts(array).tolist()
    assert found == [int(of_texts(pa.array([value], pa.string()))[0]) for value in array.to_pylist()]
    assert all((key == 0) == (not value) for key, value in zip(found, array.to_pylist(), strict=True))


def test_keys_of_half_the_width_and_neighbours_differ() -> None:
    spans = pa.array([number.to_bytes(8, "big") for number in range(100_000)], pa.binary(8))
    ids = pa.array([number.to_bytes(16, "big") for number in range(100_000)], pa.binary(16))
    assert len(set(of_bytes(spans, 8).tolist())) == len(set(of_bytes(ids, 16).tolist())) == 100_000
