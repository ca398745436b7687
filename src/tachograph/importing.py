"""Files -> complete Calls -> a sink, in batches that count once.

In: paths (files or folders), the door that reads them, the price book, a sink. Out: what was accepted, stored, already
there, and which lines were bad. Ids and batch tokens are derived from what is read, so that an import that was
interrupted is simply run again; where the sink remembers positions, it continues there.
What it must never know: SQL, providers.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tachograph.call import NO_ID, Call, to_json
from tachograph.capture import recordings
from tachograph.capture.lines import Line, TraceMapping, load_mapping, read_calls, read_trace
from tachograph.flow import Refused, Sink
from tachograph.health import Health
from tachograph.normalise import Circumstances, complete, from_exchange
from tachograph.pricing import PriceBook
from tachograph.summary import Summary
from tachograph.version import VERSION

BATCH_CALLS_MAX = 5000
BAD_LINES_MAX = 1000  # kept in words; more are only counted

Tick = Callable[[str, int, int, int], None]  # (file, bytes done, bytes in all, calls so far)


@dataclass(slots=True)
class Imported:
    """What came of it: accepted = stored + deduplicated; bad lines stand beside."""

    files: int = 0
    accepted: int = 0
    stored: int = 0
    refused: int = 0
    skipped: int = 0
    bad: list[str] = field(default_factory=list)
    summary: Summary = field(default_factory=Summary)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "files": self.files,
            "accepted": self.accepted,
            "stored": self.stored,
            "deduplicated": self.accepted - self.stored,
            "refused": self.refused,
            "skipped_lines": self.skipped,
            "errors": self.bad,
        }

    def line(self) -> str:
        """One line for a person."""
        skipped = f", {self.skipped:,} lines skipped that an earlier import had stored" if self.skipped else ""
        return (
            f"{self.stored:,} calls stored from {self.files:,} files, "
            f"{self.accepted - self.stored:,} were there already, {self.refused:,} lines refused{skipped}"
        )

    def add(self, other: Imported) -> None:
        """Count another import in."""
        self.files += other.files
        self.accepted += other.accepted
        self.stored += other.stored
        self.refused += other.refused
        self.skipped += other.skipped
        self.bad += other.bad
        self.summary.merge(other.summary)

    def wrong(self, reason: str) -> None:
        """Count a line or a file that could not be taken."""
        self.refused += 1
        if len(self.bad) < BAD_LINES_MAX:
            self.bad.append(reason)


_Placed = tuple[Call, str]  # a call, and where it was read: `file:line`


@dataclass(frozen=True, slots=True)
class Importer:
    """The parts of an import. tick: told how far it is. positions: a file that remembers how far each file was stored,
    so that an interrupted import continues there; None: it begins again, and the store counts nothing twice.
    """

    book: PriceBook
    target: Sink
    health: Health
    attribution: Mapping[str, str]
    received_at: datetime
    tick: Tick
    positions: Path | None = None

    def run(self, paths: Sequence[Path], mapping: str | None = None) -> Imported:
        """Import everything. Refused for a path or a mapping that cannot be used at all."""
        result = Imported()
        trace = load_mapping(mapping) if mapping else None
        files = list(expanded(paths))
        exchanges = [path for path in files if trace is None and path.suffix == ".json"]
        if exchanges:
            self._recordings(exchanges, result)
        for path in files:
            if path not in exchanges:
                self._lines(path, trace, result)
        result.files = len(files)
        return result

    def calls(self, calls: Iterable[Call], name: str, total: int) -> Imported:
        """Import Calls that are at hand, `total` of them."""
        result = Imported()
        source = iter(calls)
        while batch := list(itertools.islice(source, BATCH_CALLS_MAX)):
            complete(batch, self.book, self._circumstances("import"), seed=b"")
            self._store([(call, name) for call in batch], result)
            self.tick(name, result.accepted, total, result.accepted)
        return result

    def _recordings(self, paths: Sequence[Path], result: Imported) -> None:
        circumstances = self._circumstances("recording")
        batch: list[_Placed] = []
        for number, path in enumerate(paths, 1):
            try:
                calls = from_exchange(recordings.load(path), self.book, circumstances)
            except Refused as refused:
                self._wrong(result, str(refused), refused.reason)
                continue
            batch += [(call, str(path)) for call in calls]
            if len(batch) >= BATCH_CALLS_MAX or number == len(paths):
                self._store(batch, result)
                batch = []
            self.tick("recordings", number, len(paths), result.accepted)
        self._store(batch, result)

    def _lines(self, path: Path, trace: TraceMapping | None, result: Imported) -> None:
        total = path.stat().st_size
        circumstances = self._circumstances(f"import {trace.name}" if trace else "import")
        position = Position(self.positions, path, trace.name if trace else "")
        batch: list[_Placed] = []
        number = 0
        for line in read_trace(path, trace) if trace else read_calls(path):
            number = line.number
            if number <= position.lines:
                continue
            if line.call is None:
                self._wrong(result, line.error, "bad_line")
                continue
            seed = _seed(line, trace) if line.call.call_id == NO_ID else b""
            batch += [(call, f"{path}:{number}") for call in complete([line.call], self.book, circumstances, seed=seed)]
            if len(batch) >= BATCH_CALLS_MAX:
                self._store(batch, result)
                position.reached(number)
                batch = []
                self.tick(str(path), line.at, total, result.accepted)
        self._store(batch, result)
        if number > position.lines:
            position.reached(number)
        result.skipped += position.skipped
        self.tick(str(path), total, total, result.accepted)

    def _store(self, batch: Sequence[_Placed], result: Imported) -> None:
        """Write a batch; where the store refuses it, its halves: one impossible call does not hold up the others."""
        if not batch:
            return
        calls = [call for call, _ in batch]
        try:
            stored = self.target.write(calls, token(calls))
        except Refused as refused:
            if len(batch) == 1:
                self._wrong(result, f"{batch[0][1]}: {refused}", refused.reason)
                return
            middle = len(batch) // 2
            self._store(batch[:middle], result)
            self._store(batch[middle:], result)
            return
        result.accepted += len(calls)
        result.stored += stored
        self.health.took("import", calls, stored)
        for call in calls:
            result.summary.add(call)

    def _wrong(self, result: Imported, message: str, reason: str) -> None:
        result.wrong(message)
        self.health.refused("import", reason)

    def _circumstances(self, source: str) -> Circumstances:
        return Circumstances(self.received_at, f"{source} {VERSION}", attribution=self.attribution)


class Position:
    """How many lines of a file are stored already. Known by path, mapping and first line: another file under the same
    name begins anew.
    """

    def __init__(self, memory: Path | None, path: Path, mapping: str) -> None:
        self._memory = memory
        self._key = f"{path.resolve()} {mapping} {_first_line(path)}"
        self.lines = self.skipped = int(self._all().get(self._key, 0))

    def reached(self, lines: int) -> None:
        """Remember; the file of positions is replaced whole, so that it is never half written."""
        self.lines = lines
        if self._memory is not None:
            aside = self._memory.with_suffix(".new")
            aside.write_text(json.dumps({**self._all(), self._key: lines}))
            aside.replace(self._memory)

    def _all(self) -> dict[str, int]:
        """What is remembered; nothing where the memory is damaged, since reading again stores nothing twice."""
        try:
            found = json.loads(self._memory.read_text()) if self._memory else {}
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _first_line(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.blake2b(file.readline(1024 * 1024), digest_size=8).hexdigest()


def expanded(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as they are; of folders all that can be read, in order. Refused for a path that is not there."""
    for path in paths:
        if path.is_dir():
            below = sorted(file for file in path.rglob("*") if file.is_file() and _readable(file))
            if not below:
                raise Refused("empty", f"{path}: no .json, .jsonl or .csv file below this folder")
            yield from below
        elif path.exists():
            yield path
        else:
            raise Refused("unreadable", f"{path}: no such file or folder")


def _readable(path: Path) -> bool:
    suffixes = [suffix for suffix in path.suffixes if suffix != ".gz"]
    kept = bool(suffixes) and suffixes[-1] in (".json", ".jsonl", ".ndjson", ".csv")
    return kept and not path.name.endswith((".expected.json", "index.jsonl"))


def token(calls: Sequence[Call]) -> str:
    """Names a batch by what is in it: the same calls again are the same batch."""
    digest = hashlib.blake2b(digest_size=16)
    for call in calls:
        digest.update(bytes.fromhex(call.call_id))
    return digest.hexdigest()


def _seed(line: Line, trace: TraceMapping | None) -> bytes:
    """Of a trace's row: its number and its values, so that equal rows of a trace stay different calls."""
    assert line.call is not None
    if trace is None:
        return to_json(line.call).encode()
    return f"{trace.name}/{line.number}/{to_json(line.call)}".encode()
