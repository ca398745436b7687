"""A real Envoy for tests: where it is, a plain configuration for it, and the folder that must be empty of processes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tachograph.capture.gateway.finding import Binary, find
from tachograph.capture.gateway.running import forget_chain, runs
from tachograph.flow import Refused

_FILTERS = "type.googleapis.com/envoy.extensions.filters"
_LOGGER = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"


def binary() -> Binary:
    try:
        return find(os.environ.get("TACHOGRAPH_GATEWAY_ENVOY", ""))
    except Refused as refused:
        pytest.skip(str(refused))


@dataclass(frozen=True)
class Plain:
    """A `process.Configuration`."""

    files: Mapping[str, str]
    whole: str


def plain(port: int, upstream: int, said: str = "hi", more: str = "", prefix: str = "") -> Plain:
    """A bootstrap that answers `/said` itself, passes the rest on without the prefix, and logs the header `x-n` of each
    request. more: a name that makes it another configuration.
    """
    routes = [
        {"match": {"path": "/said"}, "direct_response": {"status": 200, "body": {"inline_string": said}}},
        {
            "match": {"prefix": f"{prefix}/"},
            "route": {"cluster": "upstream", "timeout": "0s", "prefix_rewrite": "/"},
        },
    ]
    where = {"name": "routes", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}
    discovered = {"@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", **where}
    connections: dict[str, Any] = {
        "@type": f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "gateway",
        "rds": {"route_config_name": "routes", "config_source": {"path_config_source": {"path": "./routes.json"}}},
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{_FILTERS}.http.router.v3.Router"}},
        ],
        "access_log": [
            {
                "name": "log",
                "typed_config": {
                    "@type": _LOGGER,
                    "path": "./calls.jsonl",
                    "log_format": {"json_format": {"n": "%REQ(X-N)%", "status": "%RESPONSE_CODE%"}},
                },
            }
        ],
    }
    endpoint = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}}
    bootstrap = {
        "node": {"id": f"gateway{more}", "cluster": "gateway"},
        "admin": {"address": {"pipe": {"path": "./admin.sock", "mode": 0o600}}},
        "static_resources": {
            "listeners": [
                {
                    "name": "gateway",
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
                    "filter_chains": [{"filters": [{"name": "connections", "typed_config": connections}]}],
                }
            ],
            "clusters": [
                {
                    "name": "upstream",
                    "connect_timeout": "5s",
                    "type": "STATIC",
                    "load_assignment": {
                        "cluster_name": "upstream",
                        "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
                    },
                }
            ],
        },
    }
    text = json.dumps(bootstrap)
    del connections["rds"]
    connections["route_config"] = where
    whole = json.dumps(bootstrap)
    return Plain(
        {"routes.json": json.dumps({"resources": [discovered], "version_info": "1"}), "envoy.json": text}, whole
    )


def standing_in(folder: Path) -> list[int]:
    """The processes that stand in a folder or below it."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            stands = (place / "cwd").readlink()
        except OSError:
            continue
        if stands.is_relative_to(folder.resolve()):
            found.append(int(place.name))
    return found


def end_all(folder: Path) -> None:
    """Kill what stands in the folder, and remove what it shared."""
    for pid in standing_in(folder):
        os.kill(pid, signal.SIGKILL)
    for run in runs(folder) if folder.is_dir() else ():
        run.await_end(5)
        if run.chain is not None:
            forget_chain(folder, run.chain.base_id)
