"""What is acknowledged survives: kill -9 at random moments, a full disk."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.store.test_engine import ROOT, child
from tests.store.writes import batch

from tachograph.store import open_store
from tachograph.store.rollups import ROLLUPS

KILLS = 20


@pytest.mark.long
def test_kill_9_loses_no_acknowledged_call_and_doubles_none(tmp_path: Path) -> None:
    chance = random.Random(9)
    held: set[int] = set()
    begun = 0
    for _ in range(KILLS):
        # What was begun and never acknowledged is sent again, as a sender would.
        said = killed_after(tmp_path, begun, chance.uniform(0.0, 0.6))
        held |= {number for word, number in said if word == "holds"}
        begun = max([begun, *(number for word, number in said if word == "begins")])
    with open_store(f"chdb://{tmp_path}") as store:
        rows = store.engine.query("SELECT hex(call_id), count() FROM calls GROUP BY call_id")
        there = {call_id.lower() for call_id, _ in rows}
        assert all(count == 1 for _, count in rows)
        assert there >= {call.call_id for number in held for call in batch(number)}
        assert len(held) >= KILLS
        for rollup in ROLLUPS:
            assert store.engine.query(f"SELECT sum(calls) FROM {rollup.table}") == [(len(there),)]
        store.write(batch(begun), "again")
        assert store.stats().calls == len(there | {call.call_id for call in batch(begun)})


def killed_after(folder: Path, first: int, seconds: float) -> list[tuple[str, int]]:
    """What a writing child said before it was killed, `seconds` after its first batch was acknowledged."""
    command = [sys.executable, "-m", "tests.store.writes", "write", str(folder), str(first)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline(), process.stdout.readline()]
        time.sleep(seconds)
        process.kill()
        lines += process.stdout.readlines()
    words = [line.split() for line in lines if line.endswith("\n")]
    return [(word, int(number)) for word, number in words]


@pytest.mark.long
def test_a_full_disk_is_said_and_writing_goes_on_when_there_is_room(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(tmp_path)]
    mounted = subprocess.run(mount, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        told = child("fills", str(tmp_path))
        first, *rest = told.stdout.splitlines()
        assert first.startswith(f"Busy no space left for the store at chdb://{tmp_path}: free some disk space"), told
        assert rest == ["then 20000 0", "tables 20000 20000 20000 20000"]
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
