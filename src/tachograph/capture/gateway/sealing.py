"""Tells a line that was written whole from one that was glued of two.

In: the members of a line as Envoy's `json_format`; a line. Out: the members with a seal at both ends; the line, or
Refused.
What it must never know: what stands between.

Where the disk is full, Envoy writes what fits and drops the rest of a piece of its buffer, so that the beginning of one
line can run into the end of another; where both are cut inside a text, what comes of it is JSON, and a call that never
was. Envoy sorts members by name: the seal is the first and the last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tachograph.flow import Refused

FIRST, LAST = "A", "z"
OPENING = b'{"A":"'
_SEAL = "%START_TIME(%s%6f)%.%CONNECTION_ID%"
_BEGIN = re.compile(rb'\{"A":"([0-9.-]+)"')


def sealed(members: Mapping[str, Any]) -> dict[str, Any]:
    """The members, between two that are the same."""
    if not all(FIRST < name < LAST for name in members):
        raise ValueError(f"members of a line must come after {FIRST} and before {LAST}")
    return {FIRST: _SEAL, **members, LAST: _SEAL}


def check(line: bytes) -> bytes:
    """The line. Refused where its ends do not belong together."""
    begin = _BEGIN.match(line)
    if begin is None or not line.endswith(b',"z":"' + begin[1] + b'"}'):
        raise Refused("line_damaged", "gateway log: a line is not whole: was the disk full?")
    return line
