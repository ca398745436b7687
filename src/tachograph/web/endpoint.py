"""One method of one path: how it is reached, who may, what it takes and gives.

In: nothing. Out: `Endpoint`, the row of the table in `endpoints`.
What it must never know: how a question is answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from tachograph.web.parameters import Parameter, Schema
from tachograph.web.parts import Parts

Handler = Callable[[Parts, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """answer: schema of a success by its media type; body: of what is sent.

    failures: statuses beyond those that any path may answer. optional: the part without which the path is not there.
    scope: empty for what anybody may. status: of a success. whole: tells of all teams, so not to a key of certain ones.
    shared: the same question is answered once for all who ask it at the same time.
    """

    method: str
    path: str
    handler: Handler
    scope: str
    summary: str
    answer: Mapping[str, Schema]
    parameters: tuple[Parameter, ...] = ()
    body: Mapping[str, Schema] | None = None
    failures: tuple[int, ...] = ()
    optional: str = ""
    status: int = 200
    whole: bool = False
    shared: bool = False
