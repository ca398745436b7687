"""Starts Envoy so that nobody is above it: it goes on serving when the process that started it is killed.

In: `FOLDER FILE_BYTES_MAX COMMAND...`. Out: a process that stands in the folder (by which it is found again), with its
number in the file `pid` and what it says in the file `stderr`.
What it must never know: this package. It runs as a file, with the standard library alone, to be quick.

Why a program of its own: an Envoy that can be restarted hot asks the kernel to be told when its parent is gone, and
then leaves. So it gets a parent that is gone before it asks. Its files end at FILE_BYTES_MAX: with nobody there to
rotate them they would else grow until the disk is full.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from pathlib import Path

PID = "pid"
STDERR = "stderr"


def launch(folder: str, file_bytes_max: int, command: list[str]) -> None:
    """Leave a grandchild behind that becomes `command`; nothing is said of how that goes."""
    parent = os.getpid()
    if os.fork():
        return
    os.setsid()  # a Ctrl-C is for us alone: we drain it
    while os.getppid() == parent:
        time.sleep(0.001)
    os.chdir(folder)
    quiet = os.open(os.devnull, os.O_RDWR)
    told = os.open(STDERR, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for place, standard in ((quiet, 0), (told, 1), (told, 2)):
        os.dup2(place, standard)
    # A file that has reached its bound is a write that fails, which Envoy counts, not a signal that ends it.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    if most == resource.RLIM_INFINITY or file_bytes_max < most:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, file_bytes_max))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)  # a stream takes two, its client's and its provider's
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Whole or not at all: whoever waits for the file reads it at once.
    Path(f"{PID}.new").write_text(f"{os.getpid()}\n")
    Path(f"{PID}.new").replace(PID)
    try:
        os.execv(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201
        os._exit(127)


if __name__ == "__main__":
    launch(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
