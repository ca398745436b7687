"""Methods of other packages, wrapped once and put back: also in packages that are imported later.

In: a package's name and how to wrap it. Out: wrapped methods, until `undo`. Two wrappers of ours that tell never lie on
one method; a wrapper that somebody else has wrapped in turn cannot be taken out: it then hands on and tells nothing,
and the next `Patches` wraps what lies on top.
What it must never know: what a method does.
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any

from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.watching import Observer

_OURS = "__tachograph__"


class Patches:
    """What is wrapped now. observer, guard: what wrappers tell, and under what. active: until `undo`; wrappers ask."""

    def __init__(self, observer: Observer, guard: Guard) -> None:
        self.observer, self.guard = observer, guard
        self.active = True
        self._wrapped: list[tuple[Any, str, Any, Any]] = []
        self._awaited = _Awaited(guard)
        self._lock = threading.RLock()

    def wrap(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """`owner.name` becomes `make(original)`; an owner without that name, or wrapped already, is left alone."""
        with self._lock:
            original = vars(owner).get(name)
            maker = getattr(original, _OURS, None)  # of theirs over ours too: who wraps copies what he finds
            if original is None or not self.active or (isinstance(maker, Patches) and maker.active):
                return
            wrapper = functools.wraps(original)(make(original))
            setattr(wrapper, _OURS, self)
            setattr(owner, name, wrapper)
            self._wrapped.append((owner, name, wrapper, original))

    def when_imported(self, package: str, patch: Callable[[ModuleType, Patches], None]) -> None:
        """Run `patch` on a package: now where it is there already, else once the process imports it."""
        self._awaited.add(package, lambda loaded: self.guard(patch, loaded, self))
        if sys.modules.get(package) is not None:
            # Not from there: another thread may be in the middle of importing it. This waits until it is whole.
            module = self.guard(importlib.import_module, package)
            if module is not None:
                self._awaited.loaded(package, module)

    def undo(self) -> None:
        """Put everything back, in the opposite order."""
        self._awaited.stop()
        with self._lock:
            self.active = False
            while self._wrapped:
                owner, name, wrapper, original = self._wrapped.pop()
                if vars(owner).get(name) is wrapper:
                    setattr(owner, name, original)


class _Awaited(importlib.abc.MetaPathFinder):
    """Sees packages being imported, and lets those that are awaited be wrapped right after they have loaded."""

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self._actions: dict[str, Callable[[ModuleType], object]] = {}

    def add(self, package: str, action: Callable[[ModuleType], object]) -> None:
        self._actions[package] = action
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def stop(self) -> None:
        self._actions.clear()
        with suppress(ValueError):
            sys.meta_path.remove(self)

    def loaded(self, package: str, module: ModuleType) -> None:
        """It is there: once, however often it is found or loaded anew."""
        action = self._actions.pop(package, None)
        if action is not None:
            action(module)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """What the other finders find, with a loader that tells us. Who only asks whether it is there loads nothing."""
        if fullname not in self._actions:
            return None
        return self.guard(_told_spec, self, fullname, path, target)


def _told_spec(
    ours: _Awaited, fullname: str, path: Sequence[str] | None, target: ModuleType | None
) -> importlib.machinery.ModuleSpec | None:
    spec = _found_behind(ours, fullname, path, target)
    # One that cannot run a module (very old ones) is left alone: better not watched than not imported.
    if spec is not None and hasattr(spec.loader, "exec_module") and hasattr(spec.loader, "create_module"):
        spec.loader = _Told(spec.loader, functools.partial(ours.guard, ours.loaded, fullname))
    return spec


def _found_behind(
    ours: _Awaited, fullname: str, path: Sequence[str] | None, target: ModuleType | None
) -> importlib.machinery.ModuleSpec | None:
    """Of the finders after us: those before us were asked before us, and asking them again may go round in circles."""
    finders = list(sys.meta_path)
    behind = finders[finders.index(ours) + 1 :] if ours in finders else finders
    for finder in behind:
        find = getattr(finder, "find_spec", None)
        spec: importlib.machinery.ModuleSpec | None = find(fullname, path, target) if find is not None else None
        if spec is not None:
            return spec
    return None


class _Told(importlib.abc.Loader):
    """A loader that says when the module has been run; for everything else it is the one that it stands for."""

    def __init__(self, loader: Any, action: Callable[[ModuleType], object]) -> None:
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
