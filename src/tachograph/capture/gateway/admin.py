"""Talks to the admin interface of one Envoy, which is a socket in its folder that only the owner can open.

In: a path of the interface. Out: its answer. Busy where nobody answers.
What it must never know: why it is asked.
"""

from __future__ import annotations

import http.client
import os
import socket
from pathlib import Path

from tachograph.flow import Busy

ADMIN = "admin.sock"
_SECONDS_MAX = 5.0
_ANSWER_BYTES_MAX = 4 << 20


class Admin:
    """The admin interface of the Envoy in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, path: str) -> str:
        """What it says."""
        return self._asked("GET", path)

    def post(self, path: str) -> str:
        """Have it do something."""
        return self._asked("POST", path)

    def numbers(self, pattern: str) -> dict[str, int]:
        """Its counters and gauges whose names match the pattern."""
        lines = (line.rpartition(": ") for line in self.get(f"/stats?usedonly&filter={pattern}").splitlines())
        return {name: int(value) for name, _, value in lines if value.isdecimal()}

    def _asked(self, method: str, path: str) -> str:
        connection = _Connection(self._folder)
        try:
            connection.request(method, path)
            with connection.getresponse() as answer:
                text = answer.read(_ANSWER_BYTES_MAX).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise Busy(f"Envoy in {self._folder} does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise Busy(f"Envoy in {self._folder} answered {answer.status} to {path}: {text.strip()[:200]}")
        return text


class _Connection(http.client.HTTPConnection):
    def __init__(self, folder: Path) -> None:
        super().__init__("localhost", timeout=_SECONDS_MAX)
        self._folder = folder

    def connect(self) -> None:
        # A path of a socket has room for 107 bytes; by way of the folder's number it is always short.
        place = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{place}/{ADMIN}")
        finally:
            os.close(place)
