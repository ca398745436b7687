"""One Envoy is kept serving: begun, found again, replaced, revived, ended. Real Envoys, no stand-ins."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.capture.gateway.envoys import binary, end_all, plain, standing_in
from tests.ports import free_port

from tachograph.capture.gateway import launching
from tachograph.capture.gateway.finding import Binary
from tachograph.capture.gateway.process import Proxy, ProxyLimits
from tachograph.capture.gateway.running import Run
from tachograph.flow import Refused
from tachograph.health import Health

LIMITS = ProxyLimits(workers=1, drain_seconds_max=20, stop_seconds_max=2.0)


class Upstream:
    """Says a piece, then the rest when it is told to."""

    def __init__(self) -> None:
        self.door = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.door.getsockname()[1])
        self.go_on = threading.Event()
        self.threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.door.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self.threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            self.go_on.wait(20)
            connection.sendall(b"4\r\nlast\r\n0\r\n\r\n")
            connection.recv(1)

    def close(self) -> None:
        self.go_on.set()
        self.door.shutdown(socket.SHUT_RDWR)
        self.door.close()


class Place:
    """A folder, a port, what is served there, and whoever looks after it."""

    def __init__(self, folder: Path, envoy: Binary, upstream: int) -> None:
        self.folder, self.envoy, self.upstream = folder, envoy, upstream
        self.port = free_port()
        self.health = Health()
        self.said, self.more = "hi", ""
        self.proxies: list[Proxy] = []

    def proxy(self) -> Proxy:
        made = Proxy(
            self.folder,
            self.envoy,
            f"127.0.0.1:{self.port}",
            lambda _run: plain(self.port, self.upstream, self.said, self.more),
            lambda: (self.said, self.more),
            self.health,
            LIMITS,
        )
        self.proxies.append(made)
        return made

    def ask(self, path: str = "/said") -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers={"x-n": "1"})
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def await_said(self, text: str) -> None:
        until = time.monotonic() + 10
        while self.ask() != text:
            assert time.monotonic() < until
            time.sleep(0.05)

    def end(self) -> None:
        for proxy in self.proxies:
            proxy.leave()
        end_all(self.folder)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    upstream = Upstream()
    made = Place(tmp_path / "gateway", binary(), upstream.port)
    try:
        yield made
    finally:
        made.end()
        upstream.close()


@pytest.fixture
def upstream(place: Place) -> Iterator[Upstream]:
    made = Upstream()
    place.upstream = made.port
    yield made
    made.close()


def watched(proxy: Proxy) -> tuple[threading.Thread, threading.Event]:
    stopping = threading.Event()
    thread = threading.Thread(target=proxy.watch, args=(stopping,))
    thread.start()
    return thread, stopping


def test_it_serves_and_ends_without_leaving_anything(place: Place) -> None:
    proxy = place.proxy()
    proxy.start()
    assert place.ask() == "hi"
    assert place.health.snapshot()["gateway_up"] == 1
    assert [run.number for run in proxy.runs] == [1]
    assert proxy.pid is not None and os.getsid(proxy.pid) != os.getsid(0)  # a Ctrl-C does not reach it
    proxy.stop()
    assert place.health.snapshot()["gateway_up"] == 0
    assert (place.folder / "1" / "calls.jsonl").read_text() == '{"n":"1","status":200}\n'
    proxy.forget(proxy.runs[0])
    assert standing_in(place.folder) == []
    assert [path.name for path in place.folder.iterdir()] == ["lock"]


def test_two_cannot_have_one_folder(place: Place) -> None:
    place.proxy().start()
    with pytest.raises(Refused, match="another gateway runs in it"):
        place.proxy().start()


def test_whoever_comes_next_keeps_the_envoy_that_serves(place: Place) -> None:
    first = place.proxy()
    first.start()
    pid = first.pid
    first.leave()  # as if it had been killed
    second = place.proxy()
    second.start()
    assert second.pid == pid and place.ask() == "hi"
    second.stop()
    assert standing_in(place.folder) == []


def test_whoever_comes_next_with_other_settings_replaces_it_and_streams_end(place: Place, upstream: Upstream) -> None:
    first = place.proxy()
    first.start()
    stream = http.client.HTTPConnection("127.0.0.1", place.port, timeout=20)
    stream.request("GET", "/stream")
    answer = stream.getresponse()
    assert answer.read(5) == b"first"
    pid = first.pid
    first.leave()
    place.more, place.said = " more", "other"
    second = place.proxy()
    second.start()
    assert second.pid != pid and place.ask() == "other"
    upstream.go_on.set()
    assert answer.read() == b"last"
    stream.close()
    second.stop()
    assert standing_in(place.folder) == []


def test_an_envoy_that_dies_is_replaced_at_once(place: Place) -> None:
    proxy = place.proxy()
    proxy.start()
    thread, stopping = watched(proxy)
    try:
        assert proxy.pid is not None
        before = proxy.pid
        os.kill(before, signal.SIGKILL)
        until = time.monotonic() + 10
        while proxy.pid in (None, before):
            assert time.monotonic() < until
            time.sleep(0.02)
        assert place.ask() == "hi"
        assert place.health.snapshot()["gateway_restarts_total"] == {"died": 1}
    finally:
        stopping.set()
        thread.join()
        proxy.stop()


def test_new_routes_take_effect_without_a_restart_and_other_settings_by_a_hot_one(
    place: Place, upstream: Upstream
) -> None:
    proxy = place.proxy()
    proxy.start()
    thread, stopping = watched(proxy)
    try:
        pid = proxy.pid
        place.said = "other"
        place.await_said("other")
        assert proxy.pid == pid
        stream = http.client.HTTPConnection("127.0.0.1", place.port, timeout=20)
        stream.request("GET", "/stream")
        answer = stream.getresponse()
        assert answer.read(5) == b"first"
        place.more, place.said = " more", "restarted"
        place.await_said("restarted")
        until = time.monotonic() + 10
        while proxy.pid == pid:  # it serves before we know it
            assert time.monotonic() < until
            time.sleep(0.01)
        assert len(standing_in(place.folder)) == 2
        upstream.go_on.set()
        assert answer.read() == b"last"
        stream.close()
        assert place.health.snapshot()["gateway_restarts_total"] == {"changed": 1}
    finally:
        stopping.set()
        thread.join()
        proxy.stop()
    assert standing_in(place.folder) == []


def test_stopping_lets_streams_finish(place: Place, upstream: Upstream) -> None:
    proxy = place.proxy()
    proxy.start()
    stream = http.client.HTTPConnection("127.0.0.1", place.port, timeout=20)
    stream.request("GET", "/stream")
    answer = stream.getresponse()
    assert answer.read(5) == b"first"
    stopping = threading.Thread(target=proxy.stop)
    stopping.start()
    time.sleep(0.5)
    assert stopping.is_alive()
    upstream.go_on.set()
    assert answer.read() == b"last"
    stream.close()
    stopping.join(5)
    assert standing_in(place.folder) == []


def test_settings_that_envoy_refuses_leave_it_as_it_was(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    proxy = place.proxy()
    proxy.start()
    thread, stopping = watched(proxy)
    try:
        pid, place.upstream, place.more = proxy.pid, 99999999, " broken"
        until = time.monotonic() + 20
        while "Envoy refuses the configuration" not in caplog.text:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert proxy.pid == pid and place.ask() == "hi"
    finally:
        stopping.set()
        thread.join()
        proxy.stop()


def test_a_port_that_somebody_has_is_not_shared_with_him(place: Place) -> None:
    with (
        socket.create_server(("127.0.0.1", place.port), reuse_port=True),
        pytest.raises(Refused, match="Address already in use"),
    ):
        place.proxy().start()
    assert standing_in(place.folder) == []


def test_the_number_of_a_process_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    for number in range(40):
        folder = tmp_path / str(number)
        folder.mkdir()
        run = Run(folder)
        launcher = subprocess.Popen([sys.executable, "-I", "-S", launching.__file__, str(folder), "1000", "/bin/true"])
        said = None
        while said is None:
            said = run.file(launching.PID)
        assert said.strip().isdecimal()
        assert launcher.wait() == 0


def test_the_port_of_one_of_ours_that_was_killed_is_waited_for(place: Place) -> None:
    proxy = place.proxy()
    proxy.start()
    proxy.leave()
    end_all(place.folder)
    still = socket.create_server(("127.0.0.1", place.port), reuse_port=True)  # as the kernel keeps it for a moment
    threading.Timer(1.0, still.close).start()
    place.proxy().start()
    assert place.ask() == "hi"


def test_one_that_only_begins_is_waited_for_and_one_that_drains_is_not(place: Place) -> None:
    proxy = place.proxy()
    proxy.start()
    before = proxy.pid
    assert before is not None
    proxy.leave()
    os.kill(before, signal.SIGSTOP)
    threading.Timer(7.0, os.kill, (before, signal.SIGCONT)).start()
    after = place.proxy()
    after.start()
    assert after.pid == before
    after.runs[-1].drain()
    after.leave()
    began = time.monotonic()
    last = place.proxy()
    last.start()
    assert last.pid != before
    assert time.monotonic() - began < 15
    assert place.ask() == "hi"


def test_an_envoy_that_cannot_start_says_why_in_one_line(place: Place) -> None:
    place.upstream = 99999999
    with pytest.raises(Refused, match=r"Envoy refuses the configuration: .*port_value") as refused:
        place.proxy().start()
    assert "\n" not in str(refused.value)
    assert standing_in(place.folder) == []
