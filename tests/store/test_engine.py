"""The engine and its folder: who may hold it, and what is said when it cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from tachograph.flow import Busy
from tachograph.store import StoreError, open_store
from tachograph.store.errors import explain

ROOT = Path(__file__).parents[2]


def child(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.store.writes", *arguments]
    paths = {**os.environ, "PYTHONPATH": str(ROOT)}
    # The engine itself may print what no UTF-8 is.
    return subprocess.run(
        command, cwd=cwd, env=paths, check=False, capture_output=True, text=True, errors="replace", timeout=120
    )


def test_a_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    with open_store(f"chdb://{tmp_path}"):
        told = child("opens", str(tmp_path))
        with pytest.raises(StoreError, match=f"in use by process {os.getpid()}"):
            open_store(f"chdb://{tmp_path}")
    assert told.returncode == 2
    assert told.stdout == (
        f"InUse {tmp_path} is in use by process {os.getpid()}: stop it, or choose another data folder\n"
    )
    assert child("opens", str(tmp_path)).stdout == "calls 0\n"


def test_threads_ask_side_by_side(tmp_path: Path) -> None:
    found: list[Sequence[Sequence[int]]] = []
    with open_store(f"chdb://{tmp_path}") as store:
        workers = [
            threading.Thread(target=lambda n=n: found.append(store.engine.query(f"SELECT {n}"))) for n in range(4)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert sorted(found) == [[(n,)] for n in range(4)]
    with pytest.raises(StoreError, match="is closed"):
        store.stats()
    store.close()


def test_what_a_failed_query_had_answered_is_in_no_later_answer(tmp_path: Path) -> None:
    with open_store(f"chdb://{tmp_path}") as store:
        with pytest.raises(StoreError):
            store.engine.arrow(
                "SELECT repeat('x', 100), throwIf(number = 99999) FROM numbers(100000)", max_block_size=1000
            )
        assert store.engine.query("SELECT 7") == [(7,)]
        assert store.engine.arrow("SELECT 'a' AS a").to_pylist() == [{"a": "a"}]


def test_a_forked_child_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    assert "not to its forked child: open it here" in child("forks", str(tmp_path)).stdout


def test_a_configuration_in_the_working_directory_is_not_read(tmp_path: Path) -> None:
    broken = "<max_server_memory_usage>broken</max_server_memory_usage>"
    (tmp_path / "config.xml").write_text(f"<clickhouse>{broken}</clickhouse>")
    told = child("opens", str(tmp_path / "data"), cwd=tmp_path)
    assert told.stdout == "calls 0\n", told.stderr


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot be used: .*: choose another folder"):
        open_store(f"chdb://{tmp_path / 'file'}")


def test_a_damaged_folder_is_one_line(tmp_path: Path) -> None:
    with open_store(f"chdb://{tmp_path}"):
        pass
    for definition in (tmp_path / "store").rglob("*.sql"):
        definition.write_bytes(b"\0\xff damaged")
    told = child("opens", str(tmp_path))
    assert told.returncode == 2
    assert told.stdout.startswith("StoreError the store at chdb://")
    assert told.stdout.count("\n") == 1


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(Busy, match="does not answer: start it, or correct its address"):
        open_store("http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("Code: 243. DB::Exception: Cannot reserve 1.00 MiB (NOT_ENOUGH_SPACE)", Busy, "no space left"),
        ("Code: 75. DB::ErrnoException: write: errno: 28, No space left on device", Busy, "no space left"),
        ("Code: 252. DB::Exception: Too many parts (300)", Busy, "is merging"),
        ("Code: 241. DB::Exception: memory limit exceeded", StoreError, "more memory"),
        ("Code: 40. DB::Exception: Checksum doesn't match: corrupted data", StoreError, "is damaged: restore"),
        ("std::exception: Permission denied", StoreError, "cannot be written"),
        ("Code: 47. DB::Exception: Unknown\nidentifier", StoreError, "failed: Unknown identifier"),
    ],
)
def test_an_engines_error_becomes_one_line(text: str, kind: type[Exception], words: str) -> None:
    found = explain(RuntimeError(text), "chdb:///data")
    assert type(found) is kind
    assert words in str(found)
    assert "\n" not in str(found)
