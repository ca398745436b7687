"""A child process of the tests: opens a store on a folder and does one thing, telling its parent line by line."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta

from tachograph.call import Call
from tachograph.flow import Busy
from tachograph.store import StoreError, open_store


def batch(number: int, calls: int = 200) -> list[Call]:
    """The calls of batch `number`: the same whenever they are made."""
    day = datetime(2026, 6, 1, tzinfo=UTC) + timedelta(days=number % 3)
    first = number * calls + 1
    return [
        Call(call_id=f"{first + i:032x}", started_at=day + timedelta(seconds=i), received_at=day, model="m")
        for i in range(calls)
    ]


def say(*words: object) -> None:
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


def write(folder: str, first: str) -> None:
    """Write batch after batch from `first` on, each named once before and once after, until killed."""
    with open_store(f"chdb://{folder}") as store:
        number = int(first)
        while True:
            say("begins", number)
            store.write(batch(number), f"batch {number}")
            say("holds", number)
            number += 1


def opens(folder: str) -> None:
    """Open the store, say what it holds, and close it."""
    try:
        with open_store(f"chdb://{folder}") as store:
            say("calls", store.stats().calls)
    except (StoreError, Busy) as error:
        say(type(error).__name__, error)
        sys.exit(2)


def fills(folder: str) -> None:
    """Write until the disk is full; then free it and go on without opening anew."""
    ballast = os.path.join(folder, "ballast")  # noqa: PTH118
    with open_store(f"chdb://{folder}") as store:
        with open(ballast, "wb") as file:  # noqa: PTH123
            try:
                while file.write(b"\0" * 2**20):
                    file.flush()
            except OSError:
                pass
        try:
            store.write(batch(0, 20_000), "batch 0")
            say("took it")
        except Busy as error:
            say("Busy", error)
        os.unlink(ballast)  # noqa: PTH108
        say("then", store.write(batch(0, 20_000), "batch 0"), store.write(batch(0, 20_000), "batch 0"))
        (tables,) = store.engine.query(
            "SELECT count(), (SELECT sum(calls) FROM calls_minute), (SELECT sum(calls) FROM calls_hour),"
            " (SELECT sum(calls) FROM calls_day) FROM calls"
        )
        say("tables", *tables)


def forks(folder: str) -> None:
    """Use the store in a forked child."""
    with open_store(f"chdb://{folder}") as store:
        child = os.fork()
        if child == 0:
            try:
                store.stats()
                say("answered")
            except StoreError as error:
                say(error)
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    {"write": write, "opens": opens, "fills": fills, "forks": forks}[sys.argv[1]](*sys.argv[2:])
