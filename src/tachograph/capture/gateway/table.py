"""Envoy's route tables: what comes in by which path, and what is done with it.

In: Routes, who may ask. Out: two route configurations, of the listener and of the inner one that attempts and copies
come back by.
What it must never know: how a host is reached, what the tap's source says.

Every route sets the host itself: none lets the client choose one. The client's key is passed on, or taken away where
another is put in its place or where the request goes elsewhere than the client meant.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tachograph.capture.gateway.clusters import AGAIN, INNER, TYPE, WEBSOCKET, cluster_of, has_twin
from tachograph.capture.gateway.experiments import copies, shadow_host, split
from tachograph.capture.gateway.routes import Arm, Route, Routes, Variant
from tachograph.capture.gateway.settings import ExperimentSettings

Json = dict[str, Any]

OUTER = "routes"
HEALTH_PATH = "/tachograph/health"
HOP = "x-tachograph-hop"  # on the way to the inner listener, where the exchange is recorded
BODY_BYTES_MAX = 32 * 1024 * 1024  # of a request that is held: to be changed, signed, copied or tried again
CREDENTIALS = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
_SIGNED = ("x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "amz-sdk-invocation-id", "amz-sdk-request")
_RETRIED = (408, 409, 429, 500, 502, 503, 504, 529)
_SIGNATURE = "AWS4-HMAC-SHA256"
# By which a client finds the call of its answer. Not by x-request-id: clients take that for the provider's.
_TRACE = [{"header": {"key": "traceparent", "value": "%REQ(traceparent)%"}, "append_action": "ADD_IF_ABSENT"}]

# Filters that stand in the chain switched off, for the routes that need them.
TAP, KEY, PLACE, HOST, PUBLIC = "tap", "key", "place", "host", "public"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How requests may come in. hosts: names by which we may be asked for, empty where any will do.

    gate: the filters that judge who asks, by name; empty on loopback.
    """

    hosts: tuple[str, ...] = ()
    gate: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What the routes are made of. tap: what the tap does for a variant, as configuration of a route."""

    routes: Routes
    experiments: Mapping[str, ExperimentSettings]  # by prefix
    idle_seconds: int
    tap: Callable[[Variant], Json]


def tables(table: Table, asking: Asking) -> list[Json]:
    """Both route configurations."""
    rows = [made for number, row in enumerate(table.routes.rows) for made in _outer(table, row, _number(table, number))]
    outer = {
        "name": OUTER,
        "virtual_hosts": [
            {
                "name": "asked",
                "domains": list(asking.hosts) or ["*"],
                "routes": [_healthy(asking), *_strangers(asking), *rows, _nothing()],
                "request_headers_to_remove": ["x-forwarded-proto"],
                "response_headers_to_add": _TRACE,
                "request_body_buffer_limit": BODY_BYTES_MAX,
                "typed_per_filter_config": dict(asking.gate),
            },
            *([_unknown_host()] if asking.hosts else []),
        ],
    }
    inner = {
        "name": INNER,
        "virtual_hosts": [
            *(_shadow(table, arm) for arms in table.routes.arms.values() for arm in arms if arm.shadow),
            {
                "name": "again",
                "domains": ["*"],
                "routes": [
                    made
                    for number, row in enumerate(table.routes.rows)
                    if row.retries or _asks(table, row)
                    for made in _rows(table, row, _number(table, number), bool(row.retries))
                ],
                "request_headers_to_remove": ["x-forwarded-proto", HOP],
                "response_headers_to_add": _TRACE,
                "request_body_buffer_limit": BODY_BYTES_MAX,
            },
        ],
    }
    return [outer, inner]


def _asks(table: Table, row: Route) -> bool:
    """Whether the tap may have to ask again: where a server refuses what was added to a request."""
    armed = (arm_row for arm in table.routes.arms.get(f"/{row.name}", ()) for arm_row in arm.routes)
    return any(each.variant.include_usage for each in (row, *armed))


def _number(table: Table, number: int) -> int:
    """Which of the rows with its name a row is."""
    row = table.routes.rows[number]
    return [other for other in table.routes.rows if other.name == row.name].index(row)


def _outer(table: Table, row: Route, number: int) -> Iterator[Json]:
    if not row.retries:
        yield from _rows(table, row, number, True)
        return
    yield {
        "name": row.name,
        "match": _match(row),
        "route": {
            "cluster": AGAIN,
            **_patience(table, row),
            "retry_policy": {
                "retry_on": "connect-failure,reset,retriable-status-codes",
                "retriable_status_codes": list(_RETRIED),
                "num_retries": row.retries,
                "retry_back_off": {"base_interval": "0.5s", "max_interval": "8s"},
                "rate_limited_retry_back_off": {
                    "reset_headers": [{"name": "retry-after", "format": "SECONDS"}],
                    "max_interval": "60s",
                },
            },
        },
        "request_headers_to_add": [_header(HOP, "1")],
        "typed_per_filter_config": {TAP: _DISABLED},
    }


_DISABLED = {"@type": TYPE + "envoy.config.route.v3.FilterConfig", "disabled": True}


def _rows(table: Table, row: Route, number: int, copied: bool) -> Iterator[Json]:
    """The routes of one row: the rule for requests that cannot work, for upgrades, and for the rest.

    copied: whether shadows get their copies here; they get one of each request.
    """
    if row.provider == "aws.bedrock" and not row.region and not row.own:
        yield _refused_signature(row)
    if has_twin(row):
        upgrade = {"headers": [{"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": True}}]}
        yield _row(table, row, upgrade, {"cluster": cluster_of(row) + WEBSOCKET}, _armed(table, row))
    arms = table.routes.arms.get(f"/{row.name}", ())
    if not arms:
        yield _row(table, row, {}, {"cluster": cluster_of(row)}, _armed(table, row))
        return
    experiment = table.experiments[f"/{row.name}"]
    action = split(arms, number, experiment, lambda armed: _weighted(table, armed))
    yield _row(table, row, {}, {**action, **(copies(arms) if copied else {})}, {})


def _row(table: Table, row: Route, match: Json, action: Json, more: Json) -> Json:
    split_up = "weighted_clusters" in action
    own = {} if split_up or not row.own else {"host_rewrite_literal": urlsplit(row.url).netloc}
    placed = {"host_rewrite_path_regex": _host(row)} if row.place else own
    return {
        "name": row.name,
        "match": {**_match(row), **match},
        "route": {
            **action,
            **placed,
            **_rewritten(row, "" if split_up else urlsplit(row.url).path),
            **_patience(table, row),
        },
        **more,
    }


def _match(row: Route) -> Json:
    return {"safe_regex": {"regex": row.pattern}} if row.place else {"prefix": row.prefix + "/"}


def _rewritten(row: Route, base: str) -> Json:
    if row.place:
        return {"regex_rewrite": {"pattern": {"regex": row.stripped}, "substitution": base}}
    return {"prefix_rewrite": base + "/"}


def _host(row: Route) -> Json:
    """The host, of what the path names. The pattern is that of the match, so nothing else can come of it."""
    host = urlsplit(row.url).netloc.replace("{}", r"\1")
    return {"pattern": {"regex": f"^{row.pattern}$"}, "substitution": host}


def _patience(table: Table, row: Route) -> Json:
    return {"timeout": "0s", "idle_timeout": f"{row.idle_seconds or table.idle_seconds}s"}


def _armed(table: Table, row: Route) -> Json:
    """What is done for one row: the tap, the host, the key."""
    removed = _removed(row)
    return {
        "typed_per_filter_config": {TAP: table.tap(row.variant), **_looked_up(row), **_key(row)},
        **({"request_headers_to_remove": removed} if removed else {}),
    }


def _weighted(table: Table, row: Route) -> Json:
    """The same for an arm, which sets its own host."""
    host = {} if row.place else {"host_rewrite_literal": urlsplit(row.url).netloc}
    return {**_armed(table, row), **host}


def _looked_up(row: Route) -> dict[str, Json]:
    """How the dynamic forward proxy learns the host: always from us."""
    if row.own:
        return {}
    proxy = {"@type": TYPE + "envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig"}
    if not row.place:
        return {PUBLIC: {**proxy, "host_rewrite_literal": urlsplit(row.url).netloc}}
    host = _host(row)
    host["pattern"] = {"regex": f"^{row.pattern.removesuffix('.*')}[^?]*(?:[?].*)?$"}
    kept = {"metadata_namespace": "tachograph.host", "key": "host", "regex_value_rewrite": host}
    rule = {"header": ":path", "on_header_present": kept}
    state = {
        "object_key": "envoy.upstream.dynamic_host",
        "format_string": {"text_format_source": {"inline_string": "%DYNAMIC_METADATA(tachograph.host:host)%"}},
    }
    return {
        PLACE: {"@type": TYPE + "envoy.extensions.filters.http.header_to_metadata.v3.Config", "request_rules": [rule]},
        HOST: {
            "@type": TYPE + "envoy.extensions.filters.http.set_filter_state.v3.Config",
            "on_request_headers": [state],
        },
        PUBLIC: proxy,
    }


def _key(row: Route) -> dict[str, Json]:
    """The provider's key, read by Envoy from its file: it stands in no configuration."""
    if not row.key_file:
        return {}
    kind = "Bearer " if row.key_header == "authorization" else ""
    header = _header(row.key_header, f"{kind}%FILE_CONTENT({row.key_file}:{_folder(row.key_file)})%")
    reading = {
        "name": "file",
        "typed_config": {"@type": TYPE + "envoy.extensions.formatter.file_content.v3.FileContent"},
    }
    taken = [{"remove": name} for name in CREDENTIALS if name != row.key_header]
    return {
        KEY: {
            "@type": TYPE + "envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute",
            "mutations": {"request_mutations": [*taken, {"append": header}], "formatters": [reading]},
        }
    }


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _removed(row: Route) -> list[str]:
    """The client's credentials where they are not for this host."""
    if row.region:
        return [*CREDENTIALS, *_SIGNED]
    if row.own and row.variant.arm and not row.key_file:
        return list(CREDENTIALS)
    return []


def _header(name: str, value: str) -> Json:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _shadow(table: Table, arm: Arm) -> Json:
    """Copies for an arm. They come with the path as it was rewritten, and know no place: the first row has them."""
    row = arm.routes[0]
    action = {"cluster": cluster_of(row), "host_rewrite_literal": urlsplit(row.url).netloc, **_patience(table, row)}
    return {
        "name": shadow_host(arm),
        "domains": [shadow_host(arm)],
        "routes": [{"name": row.name, "match": {"prefix": "/"}, "route": action, **_armed(table, row)}],
        "request_headers_to_remove": ["x-forwarded-proto", HOP],
        "request_body_buffer_limit": BODY_BYTES_MAX,
    }


def _refused_signature(row: Route) -> Json:
    """A client's own AWS signature covers host and path as it sees them, so it is void behind any proxy."""
    signed = {"headers": [{"name": "authorization", "string_match": {"prefix": _SIGNATURE}}]}
    text = (
        "the signature of this request is for the gateway's host, and AWS would refuse it: use a Bedrock API key "
        "(AWS_BEARER_TOKEN_BEDROCK), or let the gateway sign (sign = true in its file)"
    )
    return {"name": "refused", "match": {**_match(row), **signed}, **_said(400, "invalid_request_error", text)}


def _said(status: int, kind: str, text: str) -> Json:
    body = json.dumps({"error": {"type": kind, "message": text}})
    as_json = {
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        "header": {"key": "content-type", "value": "application/json"},
    }
    return {
        "direct_response": {"status": status, "body": {"inline_string": body}},
        "response_headers_to_add": [as_json],
    }


def _healthy(asking: Asking) -> Json:
    off = dict.fromkeys(asking.gate, _DISABLED)
    answer = {"direct_response": {"status": 200, "body": {"inline_string": "ok\n"}}}
    return {"name": "health", "match": {"path": HEALTH_PATH}, **answer, "typed_per_filter_config": off}


def _unknown_host() -> Json:
    """A name that others have pointed at this machine, to reach it through its user's browser."""
    text = "this gateway is asked for as localhost; other names of this machine are listed as `hosts` in its file"
    route = {"name": "refused", "match": {"prefix": "/"}, **_said(421, "invalid_request_error", text)}
    return {"name": "strangers", "domains": ["*"], "routes": [route]}


def _strangers(asking: Asking) -> list[Json]:
    """On loopback a page of another host must not ask by way of the user's browser."""
    if not asking.hosts:
        return []
    hosts = "|".join(re.escape(host) for host in asking.hosts)
    ours = {"safe_regex": {"regex": rf"https?://(?:{hosts})(?::\d+)?"}}
    foreign = [
        {"name": "origin", "present_match": True},
        {"name": "origin", "string_match": ours, "invert_match": True},
    ]
    said = _said(403, "permission_error", "pages of other hosts may not use this gateway")
    return [{"name": "refused", "match": {"prefix": "/", "headers": foreign}, **said}]


def _nothing() -> Json:
    text = "no such route: a path begins with the provider's, such as /openai/v1/chat/completions"
    return {"name": "refused", "match": {"prefix": "/"}, **_said(404, "not_found_error", text)}
