"""Where Envoy's requests go: clusters, with TLS that is verified, names that are looked up when first needed.

In: routes, where the certificate authorities are, limits. Out: clusters as Envoy's JSON.
What it must never know: a provider, a path, a key.

Known providers share dynamic forward proxies: a host is looked up when it is first asked, not all of them every few
seconds. Which host is never the client's to say: each route sets it (`table`). A server of the user's own is a cluster
with all its addresses. Upgrades to WebSocket go by HTTP/1.1, as few servers take them over HTTP/2.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tachograph.capture.gateway.routes import Route, Routes

TYPE = "type.googleapis.com/"
Json = dict[str, Any]
BUFFER_BYTES_MAX = 1024 * 1024  # kept of one connection before its sender has to wait
WEBSOCKET = ".http1"  # ending of the twin of a cluster that speaks HTTP/1.1 only
INNER = "inner"  # the listener that only Envoy itself can reach
AGAIN = "again"  # the cluster that leads there: for attempts and copies that are exchanges of their own
_PUBLIC = "providers"
_KEPT_SECONDS = 55  # an idle connection, less than servers keep theirs
_OWN_KEPT_SECONDS = 4  # less than uvicorn's five


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How everything is reached. ca: PEM file of the authorities."""

    ca: str
    connect_seconds: int
    connections_max: int


def cluster_of(route: Route) -> str:
    """The cluster that a route's requests go to. An arm's names experiment and arm, so that the log does."""
    if route.variant.arm:
        region = f".{route.region}" if route.region else ""
        return f"arm.{route.variant.experiment}.{route.variant.arm}{region}"
    if route.own:
        return f"route.{route.name}"
    if route.region:
        return f"signed.{route.name}.{route.region}"
    return _PUBLIC + ("" if route.url.startswith("https:") else ".plain") + (f".{route.name}" if route.ca else "")


def clusters(table: Routes, reach: Reach) -> list[Json]:
    """All of them, each once."""
    armed = [row for arms in table.arms.values() for arm in arms for row in arm.routes]
    found = {name: made for row in (*table.rows, *armed) for name, made in _both(row, reach)}
    return [*found.values(), _again(reach)]


def is_public(route: Route) -> bool:
    """Whether its host is looked up by the dynamic forward proxy."""
    return not route.own


def has_twin(route: Route) -> bool:
    """Whether upgrades go to a cluster of their own."""
    return route.url.startswith("https:")


def _both(route: Route, reach: Reach) -> Iterator[tuple[str, Json]]:
    name = cluster_of(route)
    yield name, _cluster(name, route, reach, has_twin(route))
    if has_twin(route):
        yield name + WEBSOCKET, _cluster(name + WEBSOCKET, route, reach, False)


def _cluster(name: str, route: Route, reach: Reach, negotiated: bool) -> Json:
    where: Json = _own(name, route) if route.own else {"lb_policy": "CLUSTER_PROVIDED", "cluster_type": _dynamic(reach)}
    encrypted = route.url.startswith("https:")
    return {
        "name": name,
        **where,
        **_limits(reach),
        **({"transport_socket": _tls(route, reach)} if encrypted else {}),
        "typed_extension_protocol_options": _protocols(route, negotiated, _filters(route)),
    }


def _limits(reach: Reach) -> Json:
    most = reach.connections_max
    thresholds = {"max_connections": most, "max_pending_requests": most, "max_requests": most, "max_retries": most}
    return {
        "connect_timeout": f"{reach.connect_seconds}s",
        "per_connection_buffer_limit_bytes": BUFFER_BYTES_MAX,
        "circuit_breakers": {"thresholds": [thresholds]},
        "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 60}},
    }


def dns_cache(reach: Reach) -> Json:
    """What clusters and filter of the dynamic forward proxy share; it must be the same text in both."""
    return {
        "name": "providers",
        "dns_lookup_family": "ALL",
        "dns_query_timeout": f"{reach.connect_seconds}s",
        "host_ttl": "3600s",
        "max_hosts": 1024,
        "dns_cache_circuit_breaker": {"max_pending_requests": reach.connections_max},
    }


def _dynamic(reach: Reach) -> Json:
    return {
        "name": "envoy.clusters.dynamic_forward_proxy",
        "typed_config": {
            "@type": TYPE + "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
            "dns_cache_config": dns_cache(reach),
        },
    }


def _own(name: str, route: Route) -> Json:
    """A server of the user's: an address, or a name with all the addresses that it has."""
    parts = urlsplit(route.url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    endpoint = {"address": {"socket_address": {"address": host, "port_value": port}}}
    looked_up = {
        "@type": TYPE + "envoy.extensions.clusters.dns.v3.DnsCluster",
        "dns_refresh_rate": "30s",
        "dns_lookup_family": "V4_PREFERRED",
    }
    named: Json = {"cluster_type": {"name": "envoy.cluster.dns", "typed_config": looked_up}}
    return {
        **({"type": "STATIC"} if _is_address(host) else named),
        "wait_for_warm_on_init": False,
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
    }


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _tls(route: Route, reach: Reach) -> Json:
    """The certificate must be of one of the authorities and name the host that is asked."""
    context: Json = {"trusted_ca": {"filename": route.ca or reach.ca}}
    named: Json = {}
    if route.own:
        host = urlsplit(route.url).hostname or ""
        kind = "IP_ADDRESS" if _is_address(host) else "DNS"
        context["match_typed_subject_alt_names"] = [{"san_type": kind, "matcher": {"exact": host}}]
        named = {} if _is_address(host) else {"sni": host}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": TYPE + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            **named,
            "common_tls_context": {
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "validation_context": context,
            },
        },
    }


def _protocols(route: Route, negotiated: bool, filters: Iterable[Json]) -> Json:
    """HTTP/2 where the server offers it while TLS is agreed on."""
    plain: Json = {"http_protocol_options": {}}
    both: Json = {**plain, "http2_protocol_options": {"max_concurrent_streams": 1000}}
    public: Json = {"auto_sni": True, "auto_san_validation": True} if is_public(route) else {}
    last = {"name": "codec", "typed_config": {"@type": TYPE + _UPSTREAM_CODEC}}
    chain = list(filters)
    return {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            **({"auto_config": both} if negotiated else {"explicit_http_config": plain}),
            **({"upstream_http_protocol_options": public} if public else {}),
            "common_http_protocol_options": {"idle_timeout": f"{_OWN_KEPT_SECONDS if route.own else _KEPT_SECONDS}s"},
            **({"http_filters": [*chain, last]} if chain else {}),
        }
    }


_UPSTREAM_CODEC = "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"


# Nothing else may change the path once a cluster has been chosen. Of the path that is put in, no character is special.
_BASED = """function envoy_on_request(handle)
  local headers = handle:headers()
  headers:replace(":path", "%s" .. headers:get(":path"))
end
"""


def _filters(route: Route) -> Iterator[Json]:
    """What is done to a request whose path and host have been rewritten.

    Arms may have different paths before what the client asks, so an arm's cluster adds its own. Signing covers path
    and host as they are sent.
    """
    if route.variant.arm and urlsplit(route.url).path:
        source = _BASED % urlsplit(route.url).path
        lua = {"@type": TYPE + "envoy.extensions.filters.http.lua.v3.Lua"}
        yield {"name": "path", "typed_config": {**lua, "default_source_code": {"inline_string": source}}}
    if route.region:
        file = {"credentials_data_source": {"filename": route.credentials_file}}
        provider = {"credential_provider": {"credentials_file_provider": file}} if route.credentials_file else {}
        yield {
            "name": "signing",
            "typed_config": {
                "@type": TYPE + "envoy.extensions.filters.http.aws_request_signing.v3.AwsRequestSigning",
                "service_name": "bedrock",
                "region": route.region,
                **provider,
            },
        }


def _again(reach: Reach) -> Json:
    endpoint = {"address": {"envoy_internal_address": {"server_listener_name": INNER, "endpoint_id": INNER}}}
    return {
        "name": AGAIN,
        "type": "STATIC",
        **_limits(reach),
        "load_assignment": {"cluster_name": AGAIN, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
    }
