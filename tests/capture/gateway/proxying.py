"""A real Envoy with our configuration, and servers behind it that say what reached them.

In: what `gateway.toml` would hold. Out: `Proxy`, a running Envoy; `Behind`, a server that echoes requests as JSON.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tachograph.capture.gateway import envoy, finding, settings
from tachograph.capture.gateway.routes import Variant
from tachograph.capture.gateway.security import Access, system_ca
from tachograph.flow import Refused

WAIT_SECONDS_MAX = 20.0
LOG = {
    "route": "%ROUTE_NAME%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "protocol": "%UPSTREAM_PROTOCOL%",
    "id": "%REQ(X-REQUEST-ID)%",
    "failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "kept": "%DYNAMIC_METADATA(tachograph)%",
}


def marking(variant: Variant) -> str:
    """A tap that only says which variant it is of, upwards and in the log."""
    kind = "asking" if variant.include_usage else "watching"
    mark = f"{kind}/{variant.model}/{variant.experiment}/{variant.arm}/{','.join(variant.required)}"
    return f"""
    function envoy_on_request(handle)
      handle:headers():replace("x-variant", "{mark}")
      handle:streamInfo():dynamicMetadata():set("tachograph", "q", "{mark}")
    end
    """


def scripted(source: Callable[[Variant], str] = marking, log_format: Mapping[str, Any] = LOG) -> envoy.Tap:
    """A tap in Lua, for what has nothing to do with recording."""
    lua = envoy.TYPE + "envoy.extensions.filters.http.lua.v3.Lua"
    return envoy.Tap(
        filter={"@type": lua},
        route=lambda variant: {"@type": lua + "PerRoute", "source_code": {"inline_string": source(variant)}},
        log_format={"json_format": dict(log_format)},
    )


def binary() -> Path:
    """The Envoy of the tests; they are skipped where there is none."""
    try:
        return finding.find("").path
    except Refused as refused:
        pytest.skip(str(refused))


def eventually(true: Callable[[], Any], what: str = "") -> Any:
    until = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < until:
        if found := true():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not in {WAIT_SECONDS_MAX:.0f} s: {what}")


class Proxy:
    """Envoy in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        told: Mapping[str, Any],
        *,
        listen: str = "127.0.0.1:0",
        access: Access | None = None,
        tap: envoy.Tap | None = None,
        altered: Callable[[str, str], str] = lambda name, text: text,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.log = folder, folder / "calls.jsonl"
        self._place = envoy.Place(listen=listen, ca=system_ca())
        self._access = access or Access()
        self._tap = tap or scripted()
        self._altered = altered
        path, folder_made = binary(), folder.mkdir(parents=True, exist_ok=True)
        assert folder_made is None
        self.rendered = self.change(told)
        command = [
            str(path),
            "-c",
            "envoy.json",
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--file-flush-interval-msec",
            "20",
            "--log-level",
            "warning",
        ]
        self._said = (folder / "stderr").open("w")
        self.process = subprocess.Popen(
            command, cwd=folder, stderr=self._said, stdout=self._said, env=dict(environment) if environment else None
        )
        eventually(self._is_ready, "Envoy is ready")
        self.port = self._port()
        assert self.rejected() == [], self.said()

    def change(self, told: Mapping[str, Any]) -> envoy.Rendered:
        """What gateway.toml says from now on."""
        clusters = self.folder / envoy.CLUSTERS
        before = clusters.read_text() if clusters.exists() else ""
        done = envoy.rendered(settings.parsed(told), self._place, self._access, self._tap, before)
        for name, text in done.files.items():
            draft = self.folder / f".{name}.new"
            draft.write_text(self._altered(name, text))
            if not (self.folder / name).exists() or (self.folder / name).read_text() != draft.read_text():
                draft.rename(self.folder / name)
        return done

    def admin(self, path: str, method: str = "GET") -> str:
        with socket.socket(socket.AF_UNIX) as reached:
            reached.settimeout(5)
            reached.connect(str(self.folder / envoy.ADMIN))
            reached.sendall(f"{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n".encode())
            answer = http.client.HTTPResponse(reached)
            answer.begin()
            return answer.read().decode()

    def stats(self, words: str) -> dict[str, int]:
        lines = (line.split(": ") for line in self.admin(f"/stats?filter={words}").splitlines())
        return {name: int(value) for name, value in lines if value.isdecimal()}

    def rejected(self) -> list[str]:
        return [name for name, count in self.stats("update_rejected").items() if count]

    def logged(self, path: str, **told: Any) -> tuple[Asked, dict[str, Any]]:
        """A request's answer and its line."""
        name = str(uuid.uuid4())
        answer = self.ask(path, headers={**(told.pop("headers", None) or {}), "x-request-id": name}, **told)
        return answer, self.lines_of(name, 1)[0]

    def lines_of(self, name: str, count: int) -> list[dict[str, Any]]:
        """The lines with an `x-request-id`, as soon as there are so many."""
        found = lambda: [line for line in self.lines() if line["id"] == name]  # noqa: E731
        eventually(lambda: len(found()) >= count, f"{count} lines of {name}")
        return found()

    def lines(self, count: int = 0) -> list[dict[str, Any]]:
        """The log, as soon as it has so many lines."""
        self.admin("/reopen_logs", "POST")  # which writes what is buffered
        eventually(lambda: len(self._lines()) >= count, f"{count} lines")
        return self._lines()

    def _lines(self) -> list[dict[str, Any]]:
        whole = self.log.read_text().rpartition("\n")[0] if self.log.exists() else ""
        return [json.loads(line) for line in whole.splitlines()]

    def said(self) -> str:
        return (self.folder / "stderr").read_text()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self._said.close()

    def ask(
        self, path: str, body: bytes = b"{}", method: str = "POST", headers: Mapping[str, str] | None = None
    ) -> Asked:
        """A request, and what came back."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, {"content-type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            return Asked(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def raw(self, sent: bytes) -> Asked:
        """Bytes as they are, and the first answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as reached:
            reached.sendall(sent)
            with http.client.HTTPResponse(reached) as answer:
                answer.begin()
                return Asked(answer.status, dict(answer.getheaders()), answer.read())

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self.said()
        try:
            return self.admin("/ready").startswith("LIVE")
        except OSError:
            return False

    def _port(self) -> int:
        listeners = json.loads(self.admin("/listeners?format=json"))["listener_statuses"]
        ports = [
            item["local_address"]["socket_address"]["port_value"] for item in listeners if item["name"] == "gateway"
        ]
        return int(ports[0])


@dataclasses.dataclass(frozen=True)
class Asked:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def echo(self) -> dict[str, Any]:
        assert self.status == 200, self.body
        return json.loads(self.body)


class Behind:
    """A server that answers every request with what it got. `do` may answer in its place: it says whether it has."""

    def __init__(
        self, tls: ssl.SSLContext | None = None, do: Callable[[BaseHTTPRequestHandler, bytes], bool] | None = None
    ) -> None:
        self.seen: list[dict[str, Any]] = []
        behind = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                body = self._body()
                got = {
                    "method": self.command,
                    "path": self.path,
                    "headers": {name.lower(): value for name, value in self.headers.items()},
                    "body": body.decode("latin-1"),
                }
                behind.seen.append(got)
                if do is not None and do(self, body):
                    return
                answer = json.dumps(got).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_DELETE = handle_any  # noqa: N815

            def _body(self) -> bytes:
                if self.headers.get("transfer-encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length") or 0))
                pieces = []
                while size := int(self.rfile.readline(), 16):
                    pieces.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(pieces)

            def log_message(self, *_: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: object) -> None: ...

            def get_request(self) -> tuple[socket.socket, Any]:
                accepted, address = super().get_request()
                return (tls.wrap_socket(accepted, server_side=True) if tls else accepted), address

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@dataclasses.dataclass(frozen=True)
class Certificate:
    """Files in PEM."""

    certificate: Path
    key: Path

    def server(self, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


class Authority:
    """Makes certificates that it signs."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        if shutil.which("openssl") is None:
            pytest.skip("no openssl command to make certificates with")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.name = folder, name
        self._openssl("req", "-x509", *self._new(name), "-days", "2", "-subj", f"/CN={name}")
        self.ca = folder / f"{name}.pem"

    def issue(self, name: str, *names: str) -> Certificate:
        """names: as openssl spells subjectAltName, such as `DNS:localhost`."""
        self._openssl("req", *self._new(name), "-subj", f"/CN={name}")
        (self.folder / f"{name}.ext").write_text("subjectAltName=" + ",".join(names or ("DNS:localhost",)) + "\n")
        signed = ["-CA", self.name + ".pem", "-CAkey", self.name + ".key", "-extfile", name + ".ext", "-days", "2"]
        request = self.folder / f"{name}.pem"
        request.rename(self.folder / f"{name}.csr")
        self._openssl("x509", "-req", "-in", name + ".csr", *signed, "-out", name + ".pem")
        return Certificate(self.folder / f"{name}.pem", self.folder / f"{name}.key")

    def _new(self, name: str) -> list[str]:
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        return [*curve, "-keyout", f"{name}.key", "-out", f"{name}.pem"]

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True, timeout=20)
