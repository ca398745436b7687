"""Every path of the API in one table, from which routing, access, checks and the OpenAPI page are all taken.

In: nothing. Out: `ENDPOINTS`. What it must never know: how a question is answered.
To add a path: a handler in its file, and an entry here.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tachograph.web import (
    annotating,
    calls,
    connect,
    login,
    looking,
    openapi,
    parameters,
    pulse,
    questions,
    schemas,
    stream,
)
from tachograph.web.endpoint import Endpoint
from tachograph.web.parts import Parts

JSON = "application/json"


async def description(parts: Parts, _request: Request) -> Response:
    """This page of this table."""
    return JSONResponse(openapi.document(present(parts), parts.listen_host))


def present(parts: Parts) -> tuple[Endpoint, ...]:
    """The entries whose part this process has."""
    return tuple(
        endpoint for endpoint in ENDPOINTS if not endpoint.optional or getattr(parts, endpoint.optional) is not None
    )


QUESTION = (
    parameters.MEASURE,
    parameters.BY,
    parameters.WHERE,
    parameters.SINCE,
    parameters.UNTIL,
    parameters.STEP,
    parameters.ROWS,
    parameters.ORDER,
)

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/v1/ask",
        questions.ask,
        "read",
        "Measures by dimensions over time.",
        {JSON: schemas.SERIES},
        QUESTION,
        shared=True,
    ),
    Endpoint(
        "GET",
        "/api/v1/ask/text",
        looking.text,
        "read",
        "The same question as SQL that runs as it stands, and as PromQL over the metrics of this process.",
        {JSON: schemas.ASK_TEXT},
        QUESTION,
        optional="promql",
    ),
    Endpoint(
        "GET",
        "/api/v1/vocabulary",
        looking.vocabulary,
        "read",
        "Every measure and every dimension that may be asked.",
        {JSON: schemas.VOCABULARY},
    ),
    Endpoint(
        "GET",
        "/api/v1/heat",
        looking.heat,
        "read",
        "Latency over time: how many calls in which bucket of a quarter doubling.",
        {JSON: schemas.HEAT},
        (parameters.LATENCY, parameters.WHERE, parameters.SINCE, parameters.UNTIL, parameters.STEP),
        optional="views",
        shared=True,
    ),
    Endpoint(
        "GET",
        "/api/v1/models",
        looking.models,
        "read",
        "Every version of a model that was seen.",
        {JSON: schemas.MODELS},
        (parameters.WHERE, parameters.SINCE, parameters.UNTIL),
        optional="prices",
        shared=True,
    ),
    Endpoint(
        "GET",
        "/api/v1/changes",
        looking.changes,
        "read",
        "When one version of a model took over from another.",
        {JSON: schemas.CHANGES},
        (parameters.WHERE, parameters.SINCE, parameters.UNTIL),
        optional="views",
        shared=True,
    ),
    Endpoint(
        "GET",
        "/api/v1/prices",
        looking.prices,
        "read",
        "The dated rows of the price book for one model of one provider.",
        {JSON: schemas.PRICES},
        (parameters.PROVIDER, parameters.MODEL),
        optional="prices",
    ),
    Endpoint(
        "GET",
        "/api/v1/headroom",
        looking.headroom,
        "read",
        "What is left of the rate limits, as the last answers stated them.",
        {JSON: schemas.HEADROOM},
        (parameters.WHERE, parameters.SINCE, parameters.UNTIL),
        optional="views",
        shared=True,
    ),
    Endpoint(
        "GET",
        "/api/v1/calls",
        calls.page,
        "read",
        "The newest calls first, page by page.",
        {JSON: schemas.PAGE},
        (parameters.WHERE, parameters.SINCE, parameters.UNTIL, parameters.PAGE, parameters.AFTER),
    ),
    Endpoint(
        "POST",
        "/api/v1/calls",
        calls.write,
        "ingest",
        "Take a batch of Calls, one JSON object per line, whole or not at all; answered when the store has it.",
        {JSON: schemas.WRITTEN},
        (parameters.TOKEN,),
        body={"application/x-ndjson": schemas.LINES},
        failures=(413, 415),
    ),
    # before the path with an id, which would take `stream` for one
    Endpoint(
        "GET",
        "/api/v1/calls/stream",
        stream.stream,
        "read",
        "Calls as they are stored, as server-sent events: `call`, and `dropped` for what a slow reader missed.",
        {"text/event-stream": {"type": "string"}},
        (parameters.WHERE, parameters.LAST_EVENT),
    ),
    Endpoint(
        "GET",
        "/api/v1/calls/{call_id}",
        calls.one,
        "read",
        "One call with its explanation, its raw usage, and its other sightings.",
        {JSON: schemas.ONE},
        (parameters.CALL_ID,),
        failures=(404,),
    ),
    Endpoint(
        "GET",
        "/api/v1/ledger",
        questions.ledger,
        "read",
        "What became of everything that was accepted.",
        {JSON: schemas.LEDGER},
        optional="ledger",
        whole=True,
    ),
    Endpoint(
        "GET",
        "/api/v1/reported",
        questions.reported,
        "read",
        "The GenAI metrics that services report about themselves, which are never added to calls.",
        {JSON: schemas.REPORTED},
        (parameters.SINCE, parameters.UNTIL),
        optional="reported",
        whole=True,
    ),
    Endpoint(
        "GET",
        "/api/v1/health",
        questions.health,
        "read",
        "Doors, lag, store and every counter.",
        {JSON: schemas.HEALTH},
        whole=True,
    ),
    Endpoint(
        "GET",
        "/api/v1/annotations",
        annotating.listed,
        "read",
        "What people said about moments: deployments, notes.",
        {JSON: schemas.ANNOTATIONS},
        (parameters.SINCE, parameters.UNTIL),
        optional="annotations",
    ),
    Endpoint(
        "POST",
        "/api/v1/annotations",
        annotating.made,
        "edit",
        "Say something about a moment.",
        {JSON: schemas.ANNOTATION},
        body={JSON: schemas.SAID},
        failures=(413, 415),
        optional="annotations",
        status=201,
    ),
    Endpoint(
        "DELETE",
        "/api/v1/annotations/{annotation_id}",
        annotating.forgotten,
        "edit",
        "Take back what was said.",
        {},
        (parameters.ANNOTATION_ID,),
        failures=(404,),
        optional="annotations",
        status=204,
        whole=True,
    ),
    Endpoint(
        "GET",
        "/api/v1/connect",
        connect.connect,
        "read",
        "How calls come here: the doors, what the gateway offers, how many calls there are.",
        {JSON: schemas.CONNECT},
    ),
    Endpoint(
        "GET",
        "/api/v1/pulse",
        pulse.pulse,
        "read",
        "That something is new, as server-sent events: `stored`, twice a second at most, and `annotated`.",
        {"text/event-stream": {"type": "string"}},
    ),
    Endpoint(
        "GET",
        "/api/v1/session",
        login.shown,
        "",
        "Who asks: the role, the name and the teams of the key or the session.",
        {JSON: schemas.SESSION},
    ),
    Endpoint(
        "POST",
        "/api/v1/session",
        login.begun,
        "",
        "Sign in with the token of a key; the answer sets a cookie. What is changed with that cookie needs `csrf` as "
        "the header X-Tachograph-CSRF.",
        {JSON: schemas.SESSION},
        body={JSON: schemas.TOKEN},
        failures=(413, 415, 429),
    ),
    Endpoint(
        "DELETE",
        "/api/v1/session",
        login.ended,
        "",
        "Sign out.",
        {},
        status=204,
    ),
    Endpoint(
        "GET",
        "/api/v1/openapi.json",
        description,
        "read",
        "This description.",
        {JSON: {"type": "object"}},
    ),
    Endpoint(
        "GET",
        "/metrics",
        questions.metrics,
        "read",
        "The page that Prometheus scrapes.",
        {"text/plain": {"type": "string"}, "application/openmetrics-text": {"type": "string"}},
        optional="metrics",
        whole=True,
    ),
)
