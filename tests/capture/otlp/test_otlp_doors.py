"""Opening and closing: addresses that cannot be had, doors that stay shut, certificates."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import grpc
import httpx2
import pytest
from grpc import aio
from tests.capture.otlp.intake import opened, run, traces
from tests.capture.otlp.test_otlp_grpc import export
from tests.capture.otlp.test_otlp_http import PROTOBUF

from tachograph.access import Tls
from tachograph.capture.otlp.limits import DoorLimits
from tachograph.capture.otlp.listen import door_socket, split
from tachograph.config import SettingsError
from tachograph.flow import Refused


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a server's and a client's certificate of it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, so there are no certificates to try")
    folder = tmp_path_factory.mktemp("tls")
    authority = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem"
    commands = [f"{authority} -days 2 -subj /CN=authority"]
    for name in ("server", "client"):
        (folder / f"{name}.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        commands += [
            f"openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr"
            f" -subj /CN={name}",
            f"openssl x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out {name}.pem"
            f" -extfile {name}.ext",
        ]
    for command in commands:
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True, timeout=60)
    return folder


def credentials(files: Path, *, client: bool) -> grpc.ChannelCredentials:
    authority = (files / "ca.pem").read_bytes()
    if not client:
        return grpc.ssl_channel_credentials(authority)
    return grpc.ssl_channel_credentials(
        authority, (files / "client.key").read_bytes(), (files / "client.pem").read_bytes()
    )


def context(files: Path, *, client: bool) -> ssl.SSLContext:
    trusting = ssl.create_default_context(cafile=str(files / "ca.pem"))
    if client:
        trusting.load_cert_chain(files / "client.pem", files / "client.key")
    return trusting


@pytest.mark.parametrize("mutual", [False, True])
def test_both_doors_speak_tls(files: Path, mutual: bool) -> None:
    tls = Tls(files / "server.pem", files / "server.key", files / "ca.pem" if mutual else None)

    async def test() -> None:
        async with opened(tls=tls) as doors:
            url = doors.url.replace("http:", "https:") + "/v1/traces"
            async with httpx2.AsyncClient(verify=context(files, client=mutual)) as client:
                assert (await client.post(url, content=traces("a"), headers=PROTOBUF)).status_code == 200
            async with aio.secure_channel(doors.target, credentials(files, client=mutual)) as channel:
                assert await export(channel, traces("b")) == b""
            assert doors.intake.span_names() == ["a", "b"]
            if mutual:
                async with httpx2.AsyncClient(verify=context(files, client=False)) as client:
                    with pytest.raises(httpx2.TransportError):
                        await client.post(url, content=traces("c"), headers=PROTOBUF)
                async with aio.secure_channel(doors.target, credentials(files, client=False)) as channel:
                    with pytest.raises(aio.AioRpcError):
                        await export(channel, traces("d"))
            async with httpx2.AsyncClient() as client:  # plain text to a TLS door
                with pytest.raises(httpx2.TransportError):
                    await client.post(doors.url + "/v1/traces", content=traces("e"), headers=PROTOBUF)
            assert doors.intake.span_names() == ["a", "b"]

    run(test())


@pytest.mark.parametrize("door", ["http", "grpc"])
def test_certificates_that_cannot_be_used_are_named(files: Path, door: str) -> None:
    async def test() -> None:
        shut = {"http": "", "grpc": "", door: "127.0.0.1:0"}
        for tls in (Tls(files / "none.pem", files / "server.key"), Tls(files / "server.pem", files / "client.key")):
            with pytest.raises(SettingsError, match="tls_certificate"):
                async with opened(tls=tls, **shut):
                    pass

    run(test())


@pytest.mark.parametrize("door", ["http", "grpc"])
def test_an_address_that_somebody_has_is_named(door: str) -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(Refused, match=f"{address}: Address already in use: choose another"):
                async with opened(**{door: address}):
                    pass
        async with opened() as first:  # a second collector does not share the port of the first
            port = first.running.http_port if door == "http" else first.running.grpc_port
            with pytest.raises(Refused, match="in use"):
                async with opened(**{door: f"127.0.0.1:{port}"}):
                    pass

    run(test())


def test_a_door_without_an_address_stays_shut() -> None:
    async def test() -> None:
        async with opened(http="") as doors:
            assert doors.running.http_port == 0 and doors.running.grpc_port > 0
        async with opened(grpc="", http="[::1]:0") as doors:
            assert doors.running.grpc_port == 0
            async with httpx2.AsyncClient() as client:
                url = f"http://[::1]:{doors.running.http_port}/v1/traces"
                assert (await client.post(url, content=b"", headers=PROTOBUF)).status_code == 200

    run(test())


def test_addresses() -> None:
    assert split("127.0.0.1:4318") == ("127.0.0.1", 4318)
    assert split("[::]:4317") == ("::", 4317)
    for wrong in ("4318", ":4318", "host", "host:port"):
        with pytest.raises(Refused, match="is not host:port"):
            split(wrong)


def test_an_answer_does_not_wait_until_its_first_piece_was_acknowledged() -> None:
    with door_socket("127.0.0.1", 0) as door:
        door.listen()
        with socket.create_connection(door.getsockname()):
            accepted, _ = door.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_doors_can_be_opened_again_at_once() -> None:
    async def test() -> None:
        async with opened() as doors:
            http, rpc = doors.running.http_port, doors.running.grpc_port
            async with httpx2.AsyncClient() as client:
                assert (await client.post(doors.url + "/v1/traces", content=b"", headers=PROTOBUF)).status_code == 200
        async with opened(http=f"127.0.0.1:{http}", grpc=f"127.0.0.1:{rpc}"):
            await asyncio.sleep(0)

    run(test())


def test_limits_that_let_nothing_through_are_named() -> None:
    assert DoorLimits(gather_seconds=0).gather_seconds == 0
    for field in dataclasses.fields(DoorLimits):
        with pytest.raises(ValueError, match=f"{field.name} is -1: give a number above 0"):
            DoorLimits(**{field.name: -1})
    with pytest.raises(ValueError, match="batch_requests_max is 0"):
        DoorLimits(batch_requests_max=0)
