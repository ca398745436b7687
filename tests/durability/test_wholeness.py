"""A disk that fills up in the middle of a write, which the engine does not say: nothing is acknowledged, all healed."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.durability import truth
from tests.durability.test_outage import fill, small_disk

from tachograph.call import EPOCH, Call
from tachograph.flow import Busy
from tachograph.store import Store, StoreError, open_store
from tachograph.store.wholeness import ROOM_BYTES_MIN

ROUNDS = 30
CALLS = 6_000
LEFT_BYTES = ROOM_BYTES_MIN + 8 * 2**20
FILL_SECONDS = 0.25  # a write takes longer than that
pytestmark = pytest.mark.long


def test_space_that_runs_out_in_the_middle_of_a_write(tmp_path: Path) -> None:
    chance = random.Random(5)
    with small_disk(tmp_path / "disk", 256) as disk, open_store(f"chdb://{disk / 'data'}") as store:
        ids: set[str] = set()
        busy = 0
        for number in range(ROUNDS):
            calls = batch(number)
            ids |= {call.call_id for call in calls}
            fill_but(disk / "ballast", LEFT_BYTES)
            filling = threading.Timer(chance.uniform(0.0, FILL_SECONDS), fill, [disk / "ballast"])
            filling.start()
            taken = is_taken(store, calls, number)
            filling.join()
            (disk / "ballast").unlink()
            busy += not taken
            assert taken or is_taken(store, calls, number)
            if number % 5 == 4:
                store.engine.command("OPTIMIZE TABLE calls")
        found = Counter(call_id.hex() for (call_id,) in store.engine.query("SELECT call_id FROM calls"))
        assert found.keys() == ids and set(found.values()) == {1}
        truth.assert_rollups_equal_raw(store)
        restored = store._writer.whole.restored
        assert 0 < restored <= busy, (restored, busy)


def test_a_merge_that_runs_out_of_space_gives_back_what_it_was_made_of(tmp_path: Path) -> None:
    chance = random.Random(6)
    with small_disk(tmp_path / "disk", 256) as disk, open_store(f"chdb://{disk / 'data'}") as store:
        store.engine.command("SYSTEM STOP MERGES calls")
        written = 0
        for number in range(ROUNDS):
            written += store.write(batch(number), str(number))
            store.engine.command("SYSTEM START MERGES calls")
            fill_but(disk / "ballast", ROOM_BYTES_MIN + 2**20 * (8 + number * 2))
            filling = threading.Timer(chance.uniform(0.0, FILL_SECONDS), fill, [disk / "ballast"])
            filling.start()
            with contextlib.suppress(Busy, StoreError):
                store.engine.command("OPTIMIZE TABLE calls FINAL")
            filling.join()
            (disk / "ballast").unlink()
            store.save_snapshot("x", "any write does")
            assert store.engine.query("SELECT count(), uniqExact(call_id) FROM calls") == [(written, written)]
            sums = store.engine.query("SELECT sum(length(usage_raw)) FROM calls")
            assert sums == [(written * len(batch(0, 1)[0].usage_raw or ""),)]
            if store._writer.whole.restored >= 3:
                break
        assert store._writer.whole.restored > 0


def is_taken(store: Store, calls: list[Call], number: int) -> bool:
    try:
        store.write(calls, str(number))
    except (Busy, StoreError):
        return False
    return True


def batch(number: int, calls: int = CALLS) -> list[Call]:
    """Calls that cannot be compressed well."""
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=number)
    start = ((now - EPOCH) // timedelta(milliseconds=1)).to_bytes(6, "big").hex()
    return [
        Call(
            call_id=f"{start}{number:010x}{place:010x}",
            started_at=now,
            received_at=now,
            model=f"m{place % 7}",
            operation="chat",
            usage_raw=os.urandom(400).hex(),
        )
        for place in range(calls)
    ]


def fill_but(ballast: Path, left_bytes: int) -> None:
    state = os.statvfs(ballast.parent)
    with ballast.open("wb", buffering=0) as file:
        for _ in range(max(0, state.f_bavail * state.f_frsize - left_bytes) // 2**20):
            file.write(b"\0" * 2**20)
    time.sleep(0.01)
