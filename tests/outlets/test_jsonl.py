"""The file of JSON lines: whole batches or none, in files of a bounded size, whoever writes beside us."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.outlets.doubles import numbered
from tests.strategies import calls

from tachograph.call import Call, from_dict, to_dict, to_json
from tachograph.capture.lines import read_calls
from tachograph.flow import Busy, Refused
from tachograph.outlets.jsonl import JsonLines


def lines(path: Path) -> list[Call]:
    found = [line.call for line in read_calls(path)]
    assert None not in found
    return [call for call in found if call is not None]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(calls(), max_size=5))
def test_a_call_is_a_line_which_is_that_call(tmp_path_factory: pytest.TempPathFactory, found: list[Call]) -> None:
    path = tmp_path_factory.mktemp("lines") / "calls.jsonl"
    outlet = JsonLines(path)
    assert outlet.write(found, "") == len(found)
    assert outlet.write(found, "") == len(found)
    outlet.close()
    assert [from_dict(json.loads(line)) for line in path.read_bytes().split(b"\n")[:-1]] == found * 2


@given(calls())
def test_the_line_is_what_the_library_writes(call: Call) -> None:
    assert to_json(call) == json.dumps(to_dict(call), ensure_ascii=False, separators=(",", ":"))


def test_the_summary_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "calls.jsonl"
    JsonLines(path, fsync=True).write(numbered(3), "")
    words = [sys.executable, "-m", "tachograph", "summary", str(path), "--json"]
    ran = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert '"calls": 3' in ran.stdout or '"calls":3' in ran.stdout


def test_files_rotate_by_size_and_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    one = len(to_json(Call(request_model="gpt-4o"))) + 1
    outlet = JsonLines(path, bytes_max=3 * one, files_max=3)
    for call in numbered(20):
        outlet.write([call], "")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["calls.1.jsonl", "calls.2.jsonl", "calls.jsonl"]
    kept = [lines(tmp_path / name) for name in ("calls.2.jsonl", "calls.1.jsonl", "calls.jsonl")]
    assert [len(file) for file in kept] == [3, 3, 2]
    assert [call for file in kept for call in file] == numbered(8, 12)
    outlet.close()
    single = JsonLines(path, bytes_max=one, files_max=1)
    single.write(numbered(2), "")  # a batch is never torn apart
    assert lines(path) == numbered(2)
    single.close()


def _write(path: Path, process: int) -> None:
    outlet = JsonLines(path, bytes_max=200_000, files_max=100)
    for batch in range(40):
        outlet.write(numbered(7, process * 1000 + batch * 7), "")


def test_processes_write_the_same_file_and_rotate_it_together(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(tmp_path / "calls.jsonl", place)) for place in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    files = list(tmp_path.iterdir())
    assert len(files) > 5
    assert all(file.stat().st_size <= 200_000 for file in files)
    ids = sorted(int(call.call_id, 16) for file in files for call in lines(file))
    assert ids == [process * 1000 + place for process in range(4) for place in range(280)]


def test_a_child_writes_beside_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    outlet = JsonLines(path)
    outlet.write(numbered(1), "")
    child = os.fork()
    if not child:
        outlet.write(numbered(1, 1), "")
        os._exit(0)
    os.waitpid(child, 0)
    outlet.write(numbered(1, 2), "")
    assert lines(path) == numbered(3)
    outlet.close()


def test_a_full_disk_is_busy_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    outlet = JsonLines(path)
    outlet.write(numbered(2), "")
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, hard))
    try:
        with pytest.raises(Busy, match="make room on the disk"):
            outlet.write(numbered(2, 2), "")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    outlet.write(numbered(2, 2), "")
    assert lines(path) == numbered(4)
    outlet.close()


def test_a_line_that_breaks_off_is_taken_back_and_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    whole = to_json(Call())
    path.write_text(whole + "\n" + whole[:70])
    JsonLines(path).write(numbered(1), "")
    assert lines(path) == [Call(), *numbered(1)]
    path.write_text("# notes")
    JsonLines(path).write(numbered(1), "")
    assert path.read_text().splitlines() == ["# notes", to_json(numbered(1)[0])]


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="calls cannot be written there"):
        JsonLines(tmp_path).write(numbered(1), "")


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    outlet = JsonLines(path)
    outlet.write(numbered(1), "")
    path.rename(tmp_path / "moved")
    outlet.write(numbered(1, 1), "")
    assert lines(path) == numbered(1, 1)
    outlet.close()
