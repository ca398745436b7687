"""SIGTERM under load: what is in flight is stored and answered, the exit code is 0, and in good time.

And a store that another process holds, or that cannot be written, is said in one line.
"""

from __future__ import annotations

import http.client
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tests.durability import truth
from tests.durability.process import Up, said
from tests.durability.sending import Senders
from tests.durability.traffic import Request, Traffic

from tachograph.store import open_store

STOP_SECONDS = 10.0
IN_FLIGHT = 12
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    service = Up(str(tmp_path / "data"), log=tmp_path / "log")
    service.start()
    yield service
    service.end()


def test_what_is_in_flight_at_sigterm_is_stored_and_answered(up: Up, tmp_path: Path) -> None:
    requests = traces(Traffic(1), IN_FLIGHT)
    over_http, over_grpc = requests[: IN_FLIGHT // 2], requests[IN_FLIGHT // 2 :]
    connections = [sent(up, request) for request in over_http]
    channel = grpc.insecure_channel(up.otlp_grpc)
    grpc.channel_ready_future(channel).result(10)
    answers = [channel.unary_unary(EXPORT).future(request.body, timeout=30) for request in over_grpc]
    time.sleep(0.1)  # they are gathered for longer than that
    code, seconds = up.stop()
    assert code == 0
    assert seconds < STOP_SECONDS
    assert [connection.getresponse().status for connection in connections] == [200] * len(over_http)
    assert [answer.result() for answer in answers] == [b""] * len(over_grpc)
    channel.close()
    for connection in connections:
        connection.close()
    with open_store(f"chdb://{tmp_path / 'data'}") as store:
        truth.assert_every_call_is_there_once(store, requests)
        assert store.repaired == {}


def test_a_stop_under_load_and_a_start_lose_and_double_nothing(up: Up, tmp_path: Path) -> None:
    traffic, senders = Traffic(2), Senders(up, 2)
    made = [request for _ in range(10) for request in traffic.wave()]
    senders.queue.extend(made)
    senders.start()
    senders.open.set()
    while len(senders.acknowledged) < len(made) // 3:
        time.sleep(0.01)
    code, seconds = up.stop()
    senders.open.clear()
    assert code == 0
    assert seconds < STOP_SECONDS
    up.start()
    senders.stop()
    assert senders.wrong == []
    assert up.stop()[0] == 0
    with open_store(f"chdb://{tmp_path / 'data'}") as store:
        truth.assert_every_call_is_there_once(store, made)
        truth.assert_rollups_equal_raw(store)


def test_a_store_that_another_process_holds_is_named_with_its_holder(up: Up) -> None:
    assert up.process is not None
    other = said(Up(up.store).command())
    assert other.returncode == 2
    assert len(other.stderr.splitlines()) == 1, other.stderr
    assert f"in use by process {up.process.pid}" in other.stderr
    assert up.ledger()["balanced"]


@pytest.mark.long
def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    mounted = said(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(tmp_path)])
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        ran = said(Up(str(tmp_path / "data")).command())
        assert ran.returncode == 2
        assert len(ran.stderr.splitlines()) == 1, ran.stderr
        assert "Read-only file system" in ran.stderr
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def traces(traffic: Traffic, count: int) -> list[Request]:
    found: list[Request] = []
    while len(found) < count:
        found += [request for request in traffic.wave() if request.signal == "traces"]
    return found[:count]


def sent(up: Up, request: Request) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", up.otlp_http, timeout=30)
    connection.request("POST", "/v1/traces", request.body, {"content-type": "application/x-protobuf"})
    return connection
