"""All that Envoy needs, as the text of files: bootstrap, listeners, routes, clusters.

In: the gateway's settings, where things are, who may ask, the tap. Out: `Rendered`, and `write`, which replaces the
files of a running Envoy one by one, each at once.
What it must never know: a provider, what the tap's source says.

Envoy reads listeners, routes and clusters again when their file is renamed over. Routes and weights change so without
any stream noticing. A listener that changes takes its connections with it once they are drained, so what may change
stands in the routes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tachograph.capture.gateway.clusters import BUFFER_BYTES_MAX, TYPE, Reach, clusters, dns_cache
from tachograph.capture.gateway.routes import Routes, Variant, routes
from tachograph.capture.gateway.security import Access, asking, gate_filters, transport
from tachograph.capture.gateway.settings import GatewaySettings
from tachograph.capture.gateway.table import HOP, HOST, INNER, KEY, OUTER, PLACE, PUBLIC, TAP, Json, Table, tables

BOOTSTRAP, LISTENERS, CLUSTERS = "bootstrap.json", "listeners.json", "clusters.json"
ROUTES, INNER_ROUTES = f"{OUTER}.json", f"{INNER}.json"
HEADERS_KIB_MAX = 64  # of all headers of a request
HEADERS_MAX = 128
HEADERS_SECONDS_MAX = 10  # from a request's first byte to its last header
CONNECTION_IDLE_SECONDS = 300
STREAMS_MAX = 1024  # of one HTTP/2 connection of a client
_DECODERS = {"gzip": "gzip", "br": "brotli", "zstd": "zstd"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where things are. listen: `host:port`. folder: of the files, the admin's socket and the inner listener's.

    log: the file that exchanges are written to. ca: PEM file of the authorities that providers' certificates are of.
    """

    listen: str
    folder: Path
    log: Path
    ca: str

    @property
    def admin(self) -> Path:
        """The socket of Envoy's administration; nobody but its owner may use it."""
        return self.folder / "admin.sock"

    @property
    def again(self) -> Path:
        """The socket of the inner listener."""
        return self.folder / "inner.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """What records. source: the Lua of a variant. log_format: a line of the log, as Envoy's `json_format`."""

    source: Callable[[Variant], str]
    log_format: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """The files by name, and what they say about who is where."""

    files: Mapping[str, Json]
    routes: Routes


def rendered(settings: GatewaySettings, place: Place, access: Access, tap: Tap) -> Rendered:
    """The whole configuration. Pure: the same in, the same out. SettingsError for what cannot be."""
    known = routes(settings)
    reach = Reach(
        ca=settings.ca or place.ca,
        connect_seconds=settings.connect_seconds,
        connections_max=settings.connections_max,
        again=str(place.again),
    )
    table = Table(
        routes=known,
        experiments={experiment.route: experiment for experiment in settings.experiments},
        idle_seconds=settings.idle_seconds,
        tap=lambda variant: _tap_of(variant, tap),
    )
    host, _, port = place.listen.rpartition(":")
    address = {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}
    inner = {"pipe": {"path": str(place.again), "mode": 0o600}}
    outside, inside = tables(table, asking(access, host, settings))
    files = {
        BOOTSTRAP: _bootstrap(settings, place),
        CLUSTERS: _discovered("envoy.config.cluster.v3.Cluster", clusters(known, reach)),
        ROUTES: _discovered("envoy.config.route.v3.RouteConfiguration", [outside]),
        INNER_ROUTES: _discovered("envoy.config.route.v3.RouteConfiguration", [inside]),
        LISTENERS: _discovered(
            "envoy.config.listener.v3.Listener",
            [
                _listener("gateway", address, OUTER, settings, place, tap, reach, access),
                _listener("inner", inner, INNER, settings, place, tap, reach, None),
            ],
        ),
    }
    return Rendered(files, known)


def whole(done: Rendered) -> Json:
    """All in one bootstrap, for `envoy --mode validate`, which looks into no other file."""
    files = done.files
    tables = {table["name"]: table for name in (ROUTES, INNER_ROUTES) for table in files[name]["resources"]}
    listeners = json.loads(json.dumps(files[LISTENERS]["resources"]))
    for listener in listeners:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager["route_config"] = tables[manager.pop("rds")["route_config_name"]]
    resources = {"listeners": listeners, "clusters": files[CLUSTERS]["resources"]}
    bare = [{key: value for key, value in item.items() if key != "@type"} for item in resources["listeners"]]
    clusters = [{key: value for key, value in item.items() if key != "@type"} for item in resources["clusters"]]
    kept = {key: value for key, value in files[BOOTSTRAP].items() if key != "dynamic_resources"}
    for listener in bare:
        listener["filter_chains"][0]["filters"][0]["typed_config"]["route_config"].pop("@type")
    return {**kept, "static_resources": {"listeners": bare, "clusters": clusters}}


def write(done: Rendered, place: Place) -> None:
    """The files, in an order in which no route ever leads to a cluster that is not there.

    Clusters that nobody needs any more stay until the next start: their streams may still run.
    """
    place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = dict(done.files)
    files[CLUSTERS] = _joined(files[CLUSTERS], place.folder / CLUSTERS)
    for name in (CLUSTERS, INNER_ROUTES, ROUTES, LISTENERS, BOOTSTRAP):
        _replace(place.folder / name, json.dumps(files[name], indent=1))


def start(done: Rendered, place: Place) -> Path:
    """The files as a new Envoy wants them, with nothing of before; the path of the bootstrap, for `envoy -c`."""
    (place.folder / CLUSTERS).unlink(missing_ok=True)
    write(done, place)
    return place.folder / BOOTSTRAP


def _joined(new: Json, file: Path) -> Json:
    try:
        before = json.loads(file.read_text("utf-8"))["resources"]
    except (OSError, ValueError, KeyError):
        return new
    named = {cluster["name"] for cluster in new["resources"]}
    return {**new, "resources": [*new["resources"], *(old for old in before if old["name"] not in named)]}


def _replace(path: Path, text: str) -> None:
    if path.exists() and path.read_text("utf-8") == text:
        return  # Envoy would go through it for nothing
    draft = path.with_name(path.name + ".new")
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as opened:
        opened.write(text)
    draft.replace(path)


def _discovered(kind: str, resources: list[Json]) -> Json:
    return {"resources": [{"@type": TYPE + kind, **resource} for resource in resources]}


def _source(place: Place, name: str) -> Json:
    return {"resource_api_version": "V3", "path_config_source": {"path": str(place.folder / name)}}


def _bootstrap(settings: GatewaySettings, place: Place) -> Json:
    return {
        "node": {"id": "tachograph", "cluster": "tachograph"},
        "admin": {"address": {"pipe": {"path": str(place.admin), "mode": 0o600}}},
        "dynamic_resources": {
            "lds_config": _source(place, LISTENERS),
            "cds_config": _source(place, CLUSTERS),
        },
        "overload_manager": _overload(settings),
        "layered_runtime": {"layers": [{"name": "static", "static_layer": {"re2.max_program_size.error_level": 1000}}]},
    }


def _overload(settings: GatewaySettings) -> Json:
    """Near the end of its memory Envoy first gives back what is free, then refuses: a flood does not end it."""
    monitors = "envoy.extensions.resource_monitors."
    actions = {"shrink_heap": 0.85, "stop_accepting_requests": 0.93, "stop_accepting_connections": 0.97}
    return {
        "refresh_interval": "0.25s",
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
                "triggers": [{"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": share}}],
            }
            for name, share in actions.items()
        ],
    }


def _listener(
    name: str,
    address: Json,
    table: str,
    settings: GatewaySettings,
    place: Place,
    tap: Tap,
    reach: Reach,
    access: Access | None,
) -> Json:
    """access: who may ask; None for ourselves."""
    manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    chain = [*(gate_filters(access) if access else []), *_filters(tap, reach)]
    return {
        "name": name,
        "address": address,
        "per_connection_buffer_limit_bytes": BUFFER_BYTES_MAX,
        **({} if access else {"ignore_global_conn_limit": True}),
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "http",
                        "typed_config": {
                            "@type": TYPE + manager,
                            "stat_prefix": name,
                            "rds": {"route_config_name": table, "config_source": _source(place, f"{table}.json")},
                            "http_filters": chain,
                            "access_log": [_log(place, tap)],
                            **_manners(settings),
                        },
                    }
                ],
                **(transport(access) if access else {}),
            }
        ],
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
        {
            "name": TAP,
            "typed_config": {
                "@type": TYPE + ours + "lua.v3.Lua",
                "clear_route_cache": False,
                "source_codes": {
                    variant.name: {"inline_string": tap.source(variant)}
                    for variant in (Variant(), Variant(include_usage=True))
                },
            },
        },
        _switched_off(PLACE, ours + "header_to_metadata.v3.Config"),
        _switched_off(HOST, ours + "set_filter_state.v3.Config"),
        _switched_off(
            PUBLIC,
            ours + "dynamic_forward_proxy.v3.FilterConfig",
            {"dns_cache_config": dns_cache(reach), "allow_dynamic_host_from_filter_state": True},
        ),
        _switched_off(KEY, ours + "header_mutation.v3.HeaderMutation"),
        *decoders,
        {"name": "router", "typed_config": {"@type": TYPE + ours + "router.v3.Router", "suppress_envoy_headers": True}},
    ]


_OFF = {"default_value": False, "runtime_key": "tachograph.never"}


def _switched_off(name: str, kind: str, config: Json | None = None) -> Json:
    """A filter that runs only where a route has something for it."""
    return {"name": name, "disabled": True, "typed_config": {"@type": TYPE + kind, **(config or {})}}


def _tap_of(variant: Variant, tap: Tap) -> Json:
    per_route = {"@type": TYPE + "envoy.extensions.filters.http.lua.v3.LuaPerRoute"}
    if variant.shared:
        return {**per_route, "name": variant.name}
    return {**per_route, "source_code": {"inline_string": tap.source(variant)}}


def _log(place: Place, tap: Tap) -> Json:
    """One line for each exchange. One that only hops to the inner listener has its line there."""
    hop = {"name": HOP, "present_match": True, "invert_match": True}
    return {
        "name": "log",
        "filter": {"header_filter": {"header": hop}},
        "typed_config": {
            "@type": TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(place.log),
            "log_format": {"json_format": dict(tap.log_format)},
        },
    }
