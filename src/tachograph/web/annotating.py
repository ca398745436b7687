"""What people say about moments: listed, made, forgotten.

In: a range; the texts of an annotation, also from the command line; an id. Out: annotations.
What it must never know: SQL, who may.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tachograph.annotation import KINDS, Annotation
from tachograph.flow import Refused
from tachograph.web import bodies, parameters
from tachograph.web.answers import error
from tachograph.web.parts import Annotations, Parts

TEXT_CHARACTERS_MAX = 500
NAME_CHARACTERS_MAX = 200
ANSWER_ANNOTATIONS_MAX = 1000
MEMBERS = ("text", "kind", "at", "service", "environment")
# What the store can hold as a moment.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


async def listed(parts: Parts, request: Request) -> Response:
    """Those of a range, oldest first; of too many the latest, and how many were left out."""
    since, until = parameters.moments(request.query_params, "30d", parts.now())
    found = await run_in_threadpool(_annotations(parts).annotations, since, until)
    shown = found[-ANSWER_ANNOTATIONS_MAX:]
    return JSONResponse({"annotations": list(map(to_dict, shown)), "left_out": len(found) - len(shown)})


async def made(parts: Parts, request: Request) -> Response:
    """Say something about a moment."""
    annotation = annotation_of(await bodies.texts(request, MEMBERS), parts.visitor.name, parts.now())
    await run_in_threadpool(_annotations(parts).annotate, annotation)
    parts.live.beat.annotated()
    return JSONResponse(to_dict(annotation), 201)


async def forgotten(parts: Parts, request: Request) -> Response:
    """Take one back."""
    annotation_id = request.path_params["annotation_id"]
    if not await run_in_threadpool(_annotations(parts).forget, annotation_id):
        return error(404, "not_found", f"no annotation {annotation_id[:60]} in the store")
    parts.live.beat.annotated()
    return Response(status_code=204)


def _annotations(parts: Parts) -> Annotations:
    if parts.annotations is None:
        raise Refused("not_here", "this process keeps no annotations: ask the one that `tachograph up` started")
    return parts.annotations


def annotation_of(told: Mapping[str, str], by: str, now: datetime) -> Annotation:
    """What was told, checked. ValueError in one line for what cannot be kept."""
    kind = told.get("kind", "note")
    if kind not in KINDS:
        raise ValueError(f"kind is {kind[:60]!r}: give one of {', '.join(KINDS)}")
    text = _line("text", told.get("text", ""), TEXT_CHARACTERS_MAX)
    if not text:
        raise ValueError("text has no words: say in a line what happened")
    at = parameters.moment(told.get("at", "now"), now)
    if not EARLIEST <= at < LATEST:
        raise ValueError(f"at is {told['at'][:60]!r}, which is outside the calendar: give a nearer time")
    service, environment = (_line(name, told.get(name, ""), NAME_CHARACTERS_MAX) for name in ("service", "environment"))
    return Annotation(secrets.token_hex(16), at, kind, text, service, environment, by)


def _line(name: str, text: str, characters_max: int) -> str:
    """One line that any store can hold."""
    if len(text) > characters_max:
        raise ValueError(f"{name} has {len(text)} characters: {characters_max} are the most")
    return " ".join(text.encode("utf-8", "replace").decode().split())


def to_dict(annotation: Annotation) -> dict[str, Any]:
    """JSON-ready."""
    return {
        "annotation_id": annotation.annotation_id,
        "at": annotation.at.isoformat().replace("+00:00", "Z"),
        "kind": annotation.kind,
        "text": annotation.text,
        "service": annotation.service,
        "environment": annotation.environment,
        "by": annotation.by,
    }
