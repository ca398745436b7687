"""Tells a line that was written whole from one that was glued of two.

In: the members of a line by Envoy's operators; a line. Out: a format with a seal at both ends; the line, or Refused.
What it must never know: what stands between.

Where the disk is full, Envoy writes what fits and drops the rest of a piece of its buffer, so that the beginning of one
line can run into the end of another; where both are cut inside a text, what comes of it is JSON, and a call that never
was. So the seal is the first member and the last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tachograph.flow import Refused

FIRST, LAST = "A", "z"
OPENING = b'{"A":"'
_SEAL = "%START_TIME(%s%6f)%.%CONNECTION_ID%"
_BEGIN = re.compile(rb'\{"A":"([0-9.-]+)"')


def sealed(members: Mapping[str, str]) -> str:
    """A line as Envoy's text format. It is JSON, for no value of the members holds a quote or a backslash."""
    told = {FIRST: _SEAL, **members, LAST: _SEAL}
    return "{" + ",".join(f'"{name}":"{value}"' for name, value in told.items()) + "}\n"


def check(line: bytes) -> bytes:
    """The line. Refused where its ends do not belong together."""
    begin = _BEGIN.match(line)
    if begin is None or not line.endswith(b',"z":"' + begin[1] + b'"}'):
        raise Refused("line_damaged", "gateway log: a line is not whole: was the disk full?")
    return line
