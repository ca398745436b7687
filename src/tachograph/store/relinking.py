"""Stored calls linked anew, so that being cut short leaves nothing half done.

In: `Changes`. Out: rows whose `same_as` says so, and roll-ups that count accordingly.
What it must never know: why calls are linked.

A call may be linked to one that is stored only in the next moment, and the roll-ups follow the rows. So what will be
changed is written down first, as it was and as it will be, with the new calls that it is for. Whoever finds the note
after an end in between (`heal`) goes on where these calls are there, and back where they are not: what was counted
once before is counted once again.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence

from tachograph.store.engine import Engine
from tachograph.store.linking import Changes
from tachograph.store.rollups import CELLS, filling, grouping, taking_back

NOTE = "relinking"  # the name under which the note is kept
_PIECE_IDS = 20_000
_THESE = "call_id IN (SELECT toFixedString(unhex(arrayJoin({ids:Array(String)})), 16))"
_TARGET = "transform(hex(call_id), {hexes:Array(String)}, {targets:Array(String)}, '')"
_LINK = f"UPDATE calls SET same_as = if({_TARGET} = '', NULL, toFixedString(unhex({_TARGET}), 16)) WHERE {_THESE}"

Targets = Mapping[bytes, bytes | None]


class Relinker:
    """Changes what is linked. One writer uses it at a time."""

    def __init__(self, engine: Engine, check: Callable[[], None] = lambda: None) -> None:
        """check: raises where what was written last may not be on the disk."""
        self._engine, self._check = engine, check
        # Where several write, each has a note of its own.
        self._note = NOTE if engine.embedded else f"{NOTE} {secrets.token_hex(8)}"

    def apply(self, changes: Changes) -> None:
        """First the note, then the rows, then what is counted. Cut short, `heal` puts it right."""
        if not changes.relinked:
            return
        self._write_down(changes)
        self._check()
        _link(self._engine, {call_id: after for call_id, (_, after) in changes.relinked.items()})
        for ids in _pieces(changes.counted):
            self._sum(taking_back(f"calls.{_THESE}"), ids)
        for ids in _pieces(changes.freed):
            self._sum(f"INSERT INTO {CELLS.table} {filling(CELLS)} AND calls.{_THESE} {grouping(CELLS)}", ids)

    def heal(self, *, all_notes: bool) -> list[str]:
        """Finish what the last note says, or undo it; the days that it touched. `all_notes`: those of others too."""
        rows = self._engine.query(
            "SELECT body FROM snapshots FINAL"
            " WHERE name = {note:String} OR ({all:UInt8} AND startsWith(name, {any:String}))",
            {"note": self._note, "all": int(all_notes), "any": NOTE},
        )
        return sorted({day for (body,) in rows for day in self._heal(json.loads(body))})

    def _write_down(self, changes: Changes) -> None:
        rows = [[call_id.hex(), *(_hex(one) for one in both)] for call_id, both in changes.relinked.items()]
        body = json.dumps({"for": [call_id.hex() for call_id in changes.compared], "rows": rows})
        self._engine.command(
            "INSERT INTO snapshots (name, taken_at, body) VALUES ({name:String}, now64(6), {body:String})",
            {"name": self._note, "body": body},
        )

    def _heal(self, note: Mapping[str, list[str] | list[list[str]]]) -> set[str]:
        awaited = {bytes.fromhex(str(one)) for one in note["for"]}
        rows = [[bytes.fromhex(one) or None for one in row] for row in note["rows"]]
        there = _linked(self._engine, [*awaited, *(row[0] for row in rows if row[0])])
        done: dict[bytes, bytes | None] = {}
        for call_id, before, after in rows:
            if call_id in there:
                forward = after in there if after in awaited else awaited <= there.keys()
                done[call_id] = after if forward else before
        wrong = {call_id: target for call_id, target in done.items() if there[call_id][0] != target}
        _link(self._engine, wrong)
        return {there[call_id][1] for call_id in {*done, *awaited} if call_id in there}

    def _sum(self, sql: str, ids: Sequence[bytes]) -> None:
        # The same sums may rightly come again: the engine must not take them for a repetition.
        self._engine.command(sql, {"ids": [one.hex() for one in ids]}, insert_deduplicate=0)


def _link(engine: Engine, targets: Targets) -> None:
    for ids in _pieces(list(targets)):
        hexes = [one.hex() for one in ids]
        engine.command(
            _LINK,
            {
                "ids": hexes,
                "hexes": [one.upper() for one in hexes],
                "targets": [_hex(targets[one]) for one in ids],
            },
        )


def _linked(engine: Engine, ids: Sequence[bytes]) -> dict[bytes, tuple[bytes | None, str]]:
    """Of those that are stored: what they are linked to, and their day."""
    sql = f"SELECT call_id, same_as, toString(toDate(started_at, 'UTC')) FROM calls WHERE {_THESE}"
    rows = (row for some in _pieces(ids) for row in engine.query(sql, {"ids": [one.hex() for one in some]}))
    return {call_id: (same_as, day) for call_id, same_as, day in rows}


def _hex(value: bytes | None) -> str:
    return value.hex() if value else ""


def _pieces(ids: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for place in range(0, len(ids), _PIECE_IDS):
        yield ids[place : place + _PIECE_IDS]
