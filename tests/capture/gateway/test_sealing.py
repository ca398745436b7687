"""A line that was glued of two is told from one that is whole, wherever they were cut."""

from __future__ import annotations

import json

import pytest

from tachograph.capture.gateway.lines import LOG_FORMAT
from tachograph.capture.gateway.sealing import OPENING, check, sealed
from tachograph.flow import Refused


def line(number: int) -> bytes:
    members = {name: f"{name} of {number}" for name in LOG_FORMAT}
    seal = f"179565699750877{number}.{number}"
    return json.dumps({"A": seal, **dict(sorted(members.items())), "z": seal}, separators=(",", ":")).encode()


def test_the_seal_is_first_and_last() -> None:
    told = json.loads(sealed(LOG_FORMAT))
    assert (next(iter(told)), next(reversed(told))) == ("A", "z")
    assert told["A"] == told["z"]
    assert sealed(LOG_FORMAT).encode().startswith(OPENING)
    assert sealed(LOG_FORMAT).endswith("}\n")


def test_a_whole_line_is_let_through() -> None:
    assert check(line(1)) == line(1)


def test_no_two_halves_make_a_line() -> None:
    one, other = line(1), line(2)
    for cut in range(1, len(one)):
        for begin in range(1, len(other) - 1, 3):
            glued = one[:cut] + other[begin:]
            if glued not in (one, other):
                with pytest.raises(Refused):
                    check(glued)
    with pytest.raises(Refused):
        check(b'{"a":1}')
