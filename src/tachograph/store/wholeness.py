"""What the engine does not say: a write that the disk did not take.

In: the engine's own count of writes that failed. Out: Busy where one failed; tables whose parts are whole.
What it must never know: what a table is for.

Why: where space runs out in the middle of a write, the embedded engine goes on as if the bytes were there. A part of an
insert, or one merged of many, becomes active with files that are cut short, and the insert says that it went well. But
each such write is counted. So after every write of ours that count is looked at: while it stands still, everything is
on the disk. Where it has grown nothing is acknowledged, and once there is room all tables are loaded anew: loading sets
aside the parts that are not whole, and takes back those that they were merged of, which are kept for eight minutes.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from collections.abc import Iterator

from tachograph.flow import Busy
from tachograph.store.engine import DATABASE, Engine
from tachograph.store.errors import RETRY_SECONDS

ROOM_BYTES_MIN = 16 * 2**20  # below it nothing is begun: it would be a question of bytes what is cut short
_FAILED = "SELECT sum(value) FROM system.events WHERE event = 'WriteBufferFromFileDescriptorWriteFailed'"
_TABLES = "SELECT name FROM system.tables WHERE database = {database:String} AND engine LIKE '%MergeTree' ORDER BY name"


class Wholeness:
    """Watches the writes of the embedded engine; of a server's own disk it knows nothing. Any thread may use it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Lock()
        self._tables = [name for (name,) in engine.query(_TABLES, {"database": DATABASE})] if engine.embedded else []
        self._failed = self._count()
        self.restored = 0  # how often the tables were loaded anew

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """One write. Busy where it may not be on the disk, or where an earlier one is not made good yet."""
        self.restore()
        yield
        self.check()

    def check(self) -> None:
        """Busy where a write failed that is not made good."""
        if self._count() != self._failed:
            raise self._busy()

    def restore(self) -> None:
        """Where a write failed: load all tables anew. Busy while there is no room, for that or for any write."""
        if self._engine.folder is None:
            return
        with self._turn:
            if shutil.disk_usage(self._engine.folder).free < ROOM_BYTES_MIN:
                raise self._busy()
            failed = self._count()
            if failed == self._failed:
                return
            for table in self._tables:
                self._engine.command(f"DETACH TABLE IF EXISTS {table}")
                self._engine.command(f"ATTACH TABLE IF NOT EXISTS {table}")
            self._failed = failed
            self.restored += 1
            logging.getLogger("tachograph").warning(
                "a write to the store at %s failed: its tables were loaded anew without what was not whole",
                self._engine.address,
            )

    def _count(self) -> int:
        if not self._engine.embedded:
            return 0
        ((failed,),) = self._engine.query(_FAILED)
        return int(failed)

    def _busy(self) -> Busy:
        return Busy(
            f"no space left for the store at {self._engine.address}: free some disk space, nothing else is needed",
            RETRY_SECONDS,
        )
