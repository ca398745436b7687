"""Every function of ours, and a way to make one raise wherever it is referred to: its code is replaced."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import pkgutil
import sys
import threading
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

# What hands on what is the caller's own, and does nothing else: where it fails, there is nothing to hand on.
SHELL = (
    "grpc._Rpc.__call__",
    "httpx._Watched.",
    "httpx.WatchedStream.",
    "httpx.WatchedAsyncStream.",
    "httpx.ReplayedStream.",
    "httpx.ReplayedAsyncStream.",
    "patching._Told.",
    "urllib3_usage.Sifted.",
    "patching._Awaited.find_spec",
)


@functools.cache
def modules(*rooms: str) -> list[ModuleType]:
    """The modules of these rooms."""
    found = []
    for room in rooms:
        top = importlib.import_module(room)
        found.append(top)
        for each in pkgutil.walk_packages(getattr(top, "__path__", []), room + "."):
            found.append(importlib.import_module(each.name))
    return found


def functions(*rooms: str) -> dict[str, FunctionType]:
    """name -> every function and method that is written in these rooms; generated ones (of dataclasses) too."""
    found: dict[str, FunctionType] = {}
    for module in modules(*rooms):
        for name, value in vars(module).items():
            if inspect.isclass(value) and value.__module__ == module.__name__:
                for member, inner in vars(value).items():
                    _add(found, f"{module.__name__}.{name}.{member}", inner)
            elif getattr(value, "__module__", None) == module.__name__:
                _add(found, f"{module.__name__}.{name}", value)
    return found


def forget(*rooms: str) -> None:
    """Empty the caches of these rooms: what is remembered does not run."""
    for module in modules(*rooms):
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def _add(found: dict[str, FunctionType], name: str, value: Any) -> None:
    value = getattr(value, "__func__", value)
    value = value.fget if isinstance(value, property) else value
    value = getattr(value, "__wrapped__", value)
    if isinstance(value, functools.partial):
        value = value.func
    written_here = isinstance(value, FunctionType) and name.startswith(value.__module__ + ".")  # not an Enum's own
    if written_here and not any(part in name for part in SHELL):
        found[name] = value


@contextlib.contextmanager
def raising(function: FunctionType) -> Iterator[None]:
    """While this lasts, `function` raises ZeroDivisionError, whoever calls it under whatever name."""
    code = function.__code__
    function.__code__ = _planted(code)
    try:
        yield
    finally:
        function.__code__ = code


def _planted(code: CodeType) -> CodeType:
    names = ", ".join(f"v{number}" for number in range(len(code.co_freevars)))
    source = f"def outer({names}):\n def planted(*a, **k):\n  if 0: return [{names}]\n  return 1 // 0\n return planted"
    space: dict[str, Any] = {}
    exec(source, space)
    inner = next(each for each in space["outer"].__code__.co_consts if isinstance(each, CodeType))
    return inner.replace(co_name=code.co_name, co_qualname=code.co_qualname)


@contextlib.contextmanager
def traced(names: dict[str, FunctionType]) -> Iterator[set[str]]:
    """Which of these functions run."""
    by_code = {function.__code__: name for name, function in names.items()}
    ran: set[str] = set()

    def look(frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in by_code:
            ran.add(by_code[frame.f_code])

    sys.setprofile(look)
    threading.setprofile(look)  # of those that start meanwhile
    try:
        yield ran
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
