"""The table of paths as an OpenAPI 3.1 document, so that the description cannot differ from what is served.

In: the endpoints that this process has. Out: the document, JSON-ready.
What it must never know: how a question is answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tachograph.access import is_loopback
from tachograph.version import VERSION
from tachograph.web import schemas
from tachograph.web.endpoint import Endpoint
from tachograph.web.parameters import Parameter, Schema

_MEANINGS = {
    400: "the request makes no sense: the message names the parameter, the value and the remedy",
    401: "no valid key",
    403: "the key lacks the scope, or the request comes from a foreign page",
    404: "not here",
    413: "the body is too large",
    415: "the body is compressed, or of another type",
    429: "too many failed: try again after `Retry-After` seconds",
    500: "the store failed, and a person must act",
    503: "try again after `Retry-After` seconds",
}
_ANY_PATH = (400, 401, 403, 500, 503)


def document(endpoints: Iterable[Endpoint], listen_host: str) -> dict[str, Any]:
    """The whole description. listen_host: beyond loopback a key is required, and the page says so."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    key: list[dict[str, list[str]]] = [{"key": []}]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tachograph",
            "version": VERSION,
            "description": "What every call to a language model did: tokens, latency, model version, cost, who asked.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": dict(schemas.COMPONENTS),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "`tachograph key add`"}},
        },
        "security": [{}, *key] if is_loopback(listen_host) else key,
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _name(endpoint),
        "summary": endpoint.summary,
        "description": f"Scope of the key: {endpoint.scope}." if endpoint.scope else "Needs no key.",
        "parameters": [_parameter(parameter) for parameter in endpoint.parameters],
        "responses": {
            str(endpoint.status): _success(endpoint),
            **{str(status): _failure(status) for status in sorted({*_ANY_PATH, *endpoint.failures})},
        },
    }
    if not endpoint.scope:
        operation["security"] = []
    if endpoint.body:
        operation["requestBody"] = {"required": True, "content": _content(endpoint.body)}
    return operation


def _success(endpoint: Endpoint) -> dict[str, Any]:
    return {"description": "as asked", **({"content": _content(endpoint.answer)} if endpoint.answer else {})}


def _content(by_media_type: Mapping[str, Schema]) -> dict[str, Any]:
    return {media_type: {"schema": schema} for media_type, schema in by_media_type.items()}


def _name(endpoint: Endpoint) -> str:
    words = endpoint.path.removeprefix("/api/v1").replace(".json", "").replace("{", "by/").replace("}", "")
    return endpoint.method.lower() + "".join(word.title() for word in words.replace("_", "/").split("/"))


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = parameter.schema
    if parameter.many:
        schema = {"type": "array", "items": schema, "uniqueItems": True}
        schema |= {"maxItems": parameter.values_max} if parameter.values_max else {}
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.required,
        "description": parameter.meaning,
        "schema": schema,
    }


def _failure(status: int) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": _MEANINGS[status],
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    if status in (429, 503):
        answer["headers"] = {"Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}}}
    if status == 401:
        answer["headers"] = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
    return answer
