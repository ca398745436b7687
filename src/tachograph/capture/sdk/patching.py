"""Methods of other packages, wrapped once and put back: also in packages that are imported later.

In: a package's name and how to wrap it. Out: wrapped methods, until `undo`. Two wrappers of ours never lie on one
method; a wrapper that somebody else has wrapped in turn cannot be taken out: it then hands on and tells nothing.
What it must never know: what a method does.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.watching import Observer

_OURS = "__tachograph__"


class Patches:
    """What is wrapped now. observer, guard: what wrappers tell, and under what."""

    def __init__(self, observer: Observer, guard: Guard) -> None:
        self.observer, self.guard = observer, guard
        self.active = True
        self._wrapped: list[tuple[Any, str, Any, Any]] = []
        self._awaited = _Awaited(guard)

    def wrap(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """`owner.name` becomes `make(original)`; an owner without that name, or wrapped already, is left alone."""
        original = vars(owner).get(name)
        if original is None or getattr(original, _OURS, False):
            return
        wrapper = functools.wraps(original)(make(original))
        setattr(wrapper, _OURS, True)
        setattr(owner, name, wrapper)
        self._wrapped.append((owner, name, wrapper, original))

    def when_imported(self, package: str, patch: Callable[[ModuleType, Patches], None]) -> None:
        """Run `patch` on a package: now where it is there already, else once the process imports it."""
        module = sys.modules.get(package)
        if module is not None:
            self.guard(patch, module, self)
        else:
            self._awaited.add(package, lambda loaded: self.guard(patch, loaded, self))

    def undo(self) -> None:
        """Put everything back, in the opposite order."""
        self.active = False
        self._awaited.stop()
        while self._wrapped:
            owner, name, wrapper, original = self._wrapped.pop()
            if vars(owner).get(name) is wrapper:
                setattr(owner, name, original)


class _Awaited(importlib.abc.MetaPathFinder):
    """Sees packages being imported, and lets those that are awaited be wrapped right after they have loaded."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._actions: dict[str, Callable[[ModuleType], None]] = {}

    def add(self, package: str, action: Callable[[ModuleType], None]) -> None:
        self._actions[package] = action
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def stop(self) -> None:
        self._actions.clear()
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """What the other finders find, with a loader that tells us."""
        if fullname not in self._actions:
            return None
        spec = self._guard(_found_by_others, self, fullname, path, target)
        if spec is not None and spec.loader is not None:
            action = self._actions.pop(fullname)
            spec.loader = _Told(spec.loader, action)
        return spec


def _found_by_others(
    ours: _Awaited, fullname: str, path: Sequence[str] | None, target: ModuleType | None
) -> importlib.machinery.ModuleSpec | None:
    for finder in list(sys.meta_path):
        find = getattr(finder, "find_spec", None)
        if finder is ours or find is None:
            continue
        spec: importlib.machinery.ModuleSpec | None = find(fullname, path, target)
        if spec is not None:
            return spec
    return None


class _Told(importlib.abc.Loader):
    """A loader that says when the module has been run; for everything else it is the one that it stands for."""

    def __init__(self, loader: Any, action: Callable[[ModuleType], None]) -> None:
        self._loader, self._action = loader, action

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """As the loader does."""
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, give it its own loader back, tell."""
        self._loader.exec_module(module)
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._action(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
