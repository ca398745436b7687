"""The whole gateway but for the store: a real Envoy with the tap, and the Calls of the lines that it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proxying import Proxy

from tachograph import gateway, wire
from tachograph.call import Call
from tachograph.capture.gateway import lines


class Recording(Proxy):
    """told: what `gateway.toml` would hold."""

    def __init__(self, folder: Path, told: Mapping[str, Any], **more: Any) -> None:
        tap = gateway.tapping().tap
        super().__init__(folder, told, tap=tap, **more)
        self._read = 0

    def seen(self, count: int = 1) -> list[lines.Seen]:
        """What was written since the last time, as soon as it is so much."""
        self.lines(self._read + count)
        whole = self.log.read_bytes().rpartition(b"\n")[0].split(b"\n")[self._read :]
        self._read += len(whole)
        return [lines.seen(line, self.rendered.routes.behind) for line in whole]

    def calls(self, count: int = 1) -> list[Call]:
        """So many Calls, as soon as they were written; lines that are none are passed over."""
        found: list[Call] = []
        while len(found) < count:
            found += [call for seen in self.seen() if seen.is_call for call in wire.read(seen.exchange)]
        return found
