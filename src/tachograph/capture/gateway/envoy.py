"""All that Envoy needs, as the text of files: bootstrap, listeners, routes, clusters.

In: the gateway's settings, where things are, who may ask, the tap. Out: `Rendered`.
What it must never know: a provider, what the tap's source says, where the files lie.

Envoy stands in the folder of its files, so they name one another and the sockets without it. It reads listeners, routes
and clusters again when their file is renamed over. Routes and weights change so without any stream noticing. A listener
that changes takes its connections with it once they are drained, so what may change stands in the routes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tachograph.capture.gateway.clusters import BUFFER_BYTES_MAX, INNER, TYPE, Reach, clusters, dns_cache
from tachograph.capture.gateway.routes import Routes, Variant, routes
from tachograph.capture.gateway.security import Access, asking, gate_filters, secrets, transport
from tachograph.capture.gateway.settings import GatewaySettings
from tachograph.capture.gateway.table import HOP, HOST, KEY, OUTER, PLACE, PUBLIC, TAP, Json, Table, tables

BOOTSTRAP, LISTENERS, CLUSTERS = "envoy.json", "listeners.json", "clusters.json"
ADMIN = "admin.sock"
ROUTES, INNER_ROUTES = f"{OUTER}.json", f"{INNER}.json"
HEADERS_KIB_MAX = 64  # of all headers of a request
HEADERS_MAX = 128
HEADERS_SECONDS_MAX = 10  # from a request's first byte to its last header
CONNECTION_IDLE_SECONDS = 300
STREAMS_MAX = 1024  # of one HTTP/2 connection of a client
_DECODERS = {"gzip": "gzip", "br": "brotli"}  # each costs a microsecond a request


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where things are. listen: `host:port`. ca: PEM file of the authorities that providers' certificates are of.

    log: the file that exchanges are written to.
    """

    listen: str
    ca: str
    log: str = "calls.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """What records. filter: of all listeners. route: what it is told for a variant. Both as Envoy's `typed_config`.

    log_format: a line of the log, as Envoy's `log_format`.
    """

    filter: Json
    route: Callable[[Variant], Json]
    log_format: Json


def module_tap(module: str, lists: str, told: Callable[[Variant], str], line: str) -> Tap:
    """The tap that is a dynamic module of Envoy. module: its file. lists: what it reads by. told: for a variant.

    line: of the log, as text with Envoy's operators: to write it as JSON costs Envoy more.
    """
    ours = TYPE + "envoy.extensions.filters.http.dynamic_modules.v3."
    loaded = {"dynamic_module_config": {"module": {"local": {"filename": module}}, "do_not_close": True}}

    def text(value: str) -> Json:
        return {"@type": TYPE + "google.protobuf.StringValue", "value": value}

    return Tap(
        filter={"@type": ours + "DynamicModuleFilter", **loaded, "filter_name": TAP, "filter_config": text(lists)},
        route=lambda variant: {
            "@type": ours + "DynamicModuleFilterPerRoute",
            **loaded,
            "filter_config": text(told(variant)),
        },
        log_format={"text_format_source": {"inline_string": line}},
    )


@dataclass(frozen=True, slots=True)
class Rendered:
    """The files by name, and what they say about who is where.

    files: in the order in which they are to be replaced, so that no route leads to a cluster that is not there.
    whole: all in one bootstrap, for `envoy --mode validate`, which looks into no other file.
    """

    files: Mapping[str, str]
    whole: str
    routes: Routes


def rendered(settings: GatewaySettings, place: Place, access: Access, tap: Tap, before: str = "") -> Rendered:
    """The whole configuration. Pure: the same in, the same out. SettingsError for what cannot be.

    before: the text of the clusters' file of the Envoy that is to take this over. Its clusters stay, used or not: their
    streams may still run.
    """
    known = routes(settings)
    reach = Reach(
        ca=settings.ca or place.ca,
        connect_seconds=settings.connect_seconds,
        connections_max=settings.connections_max,
    )
    table = Table(
        routes=known,
        experiments={experiment.route: experiment for experiment in settings.experiments},
        idle_seconds=settings.idle_seconds,
        tap=tap.route,
    )
    host, _, port = place.listen.rpartition(":")
    outer, inner = tables(table, asking(access, host, settings))
    address = {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}
    listener = _Listener(settings, place, tap, reach)
    listeners = [listener.made("gateway", address, OUTER, access), listener.made(INNER, None, INNER, None)]
    bootstrap, made = _bootstrap(settings), clusters(known, reach)
    held = secrets(access)
    files = {
        **{f"{name}.json": _discovered(_SECRET, [secret]) for name, secret in held.items()},
        CLUSTERS: _discovered("envoy.config.cluster.v3.Cluster", _joined(made, before)),
        INNER_ROUTES: _discovered("envoy.config.route.v3.RouteConfiguration", [inner]),
        ROUTES: _discovered("envoy.config.route.v3.RouteConfiguration", [outer]),
        LISTENERS: _discovered("envoy.config.listener.v3.Listener", listeners),
        BOOTSTRAP: json.dumps({**bootstrap, **_DISCOVERY}, indent=1),
    }
    return Rendered(files, _whole(bootstrap, listeners, {OUTER: outer, INNER: inner}, made, list(held.values())), known)


def _joined(made: list[Json], before: str) -> list[Json]:
    try:
        old = json.loads(before or "{}").get("resources", [])
    except ValueError:
        old = []
    named = {cluster["name"] for cluster in made}
    return [*made, *(cluster for cluster in old if cluster["name"] not in named)]


def _whole(
    bootstrap: Json, listeners: list[Json], known: Mapping[str, Json], made: list[Json], held: list[Json]
) -> str:
    listeners = json.loads(json.dumps(listeners), object_hook=_unnamed)
    for listener in listeners:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager["route_config"] = known[manager.pop("rds")["route_config_name"]]
    resources = {"listeners": listeners, "clusters": made, "secrets": held}
    return json.dumps({**bootstrap, "static_resources": resources}, indent=1)


def _unnamed(found: Json) -> Json:
    """Without the file that a secret is in."""
    return {key: value for key, value in found.items() if key != "sds_config"}


def _discovered(kind: str, resources: list[Json]) -> str:
    return json.dumps({"resources": [{"@type": TYPE + kind, **resource} for resource in resources]}, indent=1)


_SECRET = "envoy.extensions.transport_sockets.tls.v3.Secret"


def _source(name: str) -> Json:
    return {"resource_api_version": "V3", "path_config_source": {"path": f"./{name}"}}


_DISCOVERY = {"dynamic_resources": {"lds_config": _source(LISTENERS), "cds_config": _source(CLUSTERS)}}


def _bootstrap(settings: GatewaySettings) -> Json:
    inner = TYPE + "envoy.extensions.bootstrap.internal_listener.v3.InternalListener"
    return {
        "node": {"id": "tachograph", "cluster": "tachograph"},
        "admin": {"address": {"pipe": {"path": ADMIN, "mode": 0o600}}},
        "bootstrap_extensions": [
            {"name": "envoy.bootstrap.internal_listener", "typed_config": {"@type": inner}},
        ],
        "overload_manager": _overload(settings),
    }


def _overload(settings: GatewaySettings) -> Json:
    """Near the end of its memory Envoy gives back what is free, refuses requests, takes no more of those that come."""
    monitors = "envoy.extensions.resource_monitors."
    actions = {"shrink_heap": 0.80, "stop_accepting_requests": 0.90, "stop_accepting_connections": 0.95}
    return {
        "refresh_interval": "0.1s",
        "resource_monitors": [
            {
                "name": "envoy.resource_monitors.fixed_heap",
                "typed_config": {
                    "@type": TYPE + monitors + "fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": settings.memory_bytes_max,
                },
            },
            {
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": TYPE + monitors + "downstream_connections.v3.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": settings.connections_max,
                },
            },
        ],
        "actions": [
            {
                "name": f"envoy.overload_actions.{name}",
                "triggers": _at(share),
            }
            for name, share in actions.items()
        ],
        "loadshed_points": [{"name": "envoy.load_shed_points.http1_server_abort_dispatch", "triggers": _at(0.95)}],
    }


def _at(share: float) -> list[Json]:
    return [{"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": share}}]


@dataclass(frozen=True, slots=True)
class _Listener:
    """What both listeners have."""

    settings: GatewaySettings
    place: Place
    tap: Tap
    reach: Reach

    def made(self, name: str, address: Json | None, table: str, access: Access | None) -> Json:
        """address: None for the inner one, which Envoy alone can reach. access: who may ask; None for ourselves."""
        manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
        http = {
            "@type": TYPE + manager,
            "stat_prefix": name,
            "rds": {"route_config_name": table, "config_source": _source(f"{table}.json")},
            "http_filters": [*(gate_filters() if access else []), *_filters(self.tap, self.reach)],
            "access_log": [_log(self.place, self.tap)],
            **_manners(self.settings),
            **({"early_header_mutation_extensions": [_STRIPPED]} if access else {}),
        }
        return {
            "name": name,
            **({"address": address} if address else {"internal_listener": {}}),
            "per_connection_buffer_limit_bytes": BUFFER_BYTES_MAX,
            "filter_chains": [
                {"filters": [{"name": "http", "typed_config": http}], **(transport(access) if access else {})}
            ],
        }


# What would tell Envoy what to do: it may come from ourselves only.
_STRIPPED = {
    "name": "stripped",
    "typed_config": {
        "@type": TYPE + "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        "mutations": [{"remove": HOP}, {"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}}],
    },
}


def _manners(settings: GatewaySettings) -> Json:
    """How HTTP is spoken with clients: limits, and headers as the provider has them."""
    return {
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "server_header_transformation": "PASS_THROUGH",
        "skip_xff_append": True,
        "normalize_path": True,
        "merge_slashes": True,
        "strip_any_host_port": True,
        "max_request_headers_kb": HEADERS_KIB_MAX,
        "common_http_protocol_options": {
            "idle_timeout": f"{CONNECTION_IDLE_SECONDS}s",
            "max_headers_count": HEADERS_MAX,
        },
        "http_protocol_options": {"allow_absolute_url": False},
        "http2_protocol_options": {"max_concurrent_streams": STREAMS_MAX},
        "request_headers_timeout": f"{HEADERS_SECONDS_MAX}s",
        "request_timeout": f"{settings.request_seconds}s",
        "stream_idle_timeout": f"{settings.idle_seconds}s",
        "delayed_close_timeout": "0.1s",  # so late, and not a second, a client hears that its stream has broken off
        "upgrade_configs": [{"upgrade_type": "websocket"}],
    }


def _filters(tap: Tap, reach: Reach) -> list[Json]:
    """The tap first: it sees requests before a key is put in, and answers after they were decompressed."""
    ours = "envoy.extensions.filters.http."
    decoders = [
        {
            "name": f"decode.{name}",
            "typed_config": {
                "@type": TYPE + ours + "decompressor.v3.Decompressor",
                "decompressor_library": {
                    "name": name,
                    "typed_config": {
                        "@type": TYPE + f"envoy.extensions.compression.{kind}.decompressor.v3.{kind.title()}"
                    },
                },
                "request_direction_config": {"common_config": {"enabled": _OFF}},
                "response_direction_config": {"common_config": {"ignore_no_transform_header": True}},
            },
        }
        for name, kind in _DECODERS.items()
    ]
    return [
        {"name": TAP, "typed_config": tap.filter},
        _switched_off(PLACE, ours + "header_to_metadata.v3.Config"),
        _switched_off(HOST, ours + "set_filter_state.v3.Config"),
        _switched_off(
            PUBLIC,
            ours + "dynamic_forward_proxy.v3.FilterConfig",
            {"dns_cache_config": dns_cache(reach), "allow_dynamic_host_from_filter_state": True},
        ),
        _switched_off(KEY, ours + "header_mutation.v3.HeaderMutation"),
        *decoders,
        {"name": "router", "typed_config": {"@type": TYPE + ours + "router.v3.Router", **_ROUTER}},
    ]


# Envoy's own counters of statuses and times by cluster would be counted up with each request, and nobody reads them.
_ROUTER = {"suppress_envoy_headers": True, "dynamic_stats": False}
_OFF = {"default_value": False, "runtime_key": "tachograph.never"}


def _switched_off(name: str, kind: str, config: Json | None = None) -> Json:
    """A filter that runs only where a route has something for it."""
    return {"name": name, "disabled": True, "typed_config": {"@type": TYPE + kind, **(config or {})}}


def _log(place: Place, tap: Tap) -> Json:
    """One line for each exchange. One that only hops to the inner listener has its line there."""
    hop = {"name": HOP, "present_match": True, "invert_match": True}
    return {
        "name": "log",
        "filter": {"header_filter": {"header": hop}},
        "typed_config": {
            "@type": TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": place.log,
            "log_format": tap.log_format,
        },
    }
