"""Outlets that do as they are told, for what stands before them."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from tachograph.call import Call
from tachograph.flow import Busy, Refused


class Scripted:
    """Takes what it is given, unless `away` or `refusing`; while `gate` is closed, `write` hangs."""

    def __init__(self) -> None:
        self.taken: list[Call] = []
        self.tokens: list[str] = []
        self.tries = 0
        self.away = False
        self.after_seconds = 0.0
        self.refusing = False
        self.gate = threading.Event()
        self.gate.set()

    def write(self, calls: Sequence[Call], token: str) -> int:
        self.tries += 1
        self.tokens.append(token)
        self.gate.wait(30)
        if self.away:
            raise Busy("nobody is there", self.after_seconds)
        if self.refusing:
            raise Refused("malformed", "it makes no sense")
        self.taken += calls
        return len(calls)

    def close(self) -> None:
        pass

    @property
    def ids(self) -> list[str]:
        return [call.call_id for call in self.taken]


def numbered(count: int, start: int = 0) -> list[Call]:
    return [Call(call_id=f"{start + place:032x}", request_model="gpt-4o") for place in range(count)]
