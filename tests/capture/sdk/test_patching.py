"""Methods of other packages: wrapped once and put back, also where somebody else wrapped them or imports them later."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.watching import Observer

LATER = "later_package"


class Client:
    def send(self, word: str = "sent") -> str:
        """What a client does."""
        return word


class Child(Client):
    pass


def telling(patches: Patches, told: list[str]) -> Callable[[Any], Any]:
    def make(original: Any) -> Any:
        def send(client: Any, *given: Any) -> Any:
            if patches.active:
                told.append("told")
            return original(client, *given)

        return send

    return make


def made() -> Patches:
    return Patches(Observer(lambda calls: None), Guard(strict=True))


@pytest.fixture
def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package that is not imported yet, with a file of data and a part."""
    folder = tmp_path / LATER
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "import time\nclass Client:\n    def send(self): return 'sent'\ntime.sleep(0.02)\n"
    )
    (folder / "part.py").write_text("LOADER = __loader__\n")
    (folder / "data.txt").write_text("data")
    monkeypatch.syspath_prepend(tmp_path)
    yield LATER
    for name in [name for name in sys.modules if name.partition(".")[0] == LATER]:
        del sys.modules[name]


def test_wrapped_once_and_put_back() -> None:
    told: list[str] = []
    original, patches = Client.send, made()
    patches.wrap(Client, "send", telling(patches, told))
    patches.wrap(Client, "send", telling(patches, told))
    second = made()
    second.wrap(Client, "send", telling(second, told))
    assert Client().send("a") == "a" and told == ["told"]
    assert Client.send.__doc__ == "What a client does." and list(inspect.signature(Client.send).parameters) == [
        "self",
        "word",
    ]
    second.undo()
    patches.undo()
    assert Client.send is original
    assert Client().send() == "sent" and told == ["told"]


def test_an_owner_without_the_name_is_left_alone() -> None:
    patches = made()
    patches.wrap(Child, "send", telling(patches, []))
    patches.wrap(Client, "nothing", telling(patches, []))
    assert "send" not in vars(Child) and not hasattr(Client, "nothing")
    patches.undo()


def test_undone_is_undone() -> None:
    patches = made()
    patches.undo()
    patches.undo()
    patches.wrap(Client, "send", telling(patches, []))
    assert not hasattr(Client.send, "__tachograph__")


@pytest.mark.parametrize("copies", (True, False))
def test_somebody_wrapped_over_ours(copies: bool) -> None:
    """We hand on and tell nothing; and the next time we wrap what lies on top."""
    told: list[str] = []
    original, patches = Client.send, made()
    patches.wrap(Client, "send", telling(patches, told))
    ours = Client.send

    def theirs(client: Any, *given: Any) -> Any:
        return ours(client, *given) + "!"

    Client.send = functools.wraps(ours)(theirs) if copies else theirs  # type: ignore[method-assign]
    try:
        assert Client().send() == "sent!" and told == ["told"]
        patches.undo()
        assert Client().send() == "sent!" and told == ["told"]
        again = made()
        again.wrap(Client, "send", telling(again, told))
        assert Client().send() == "sent!" and told == ["told"] * 2
        again.undo()
        assert Client().send() == "sent!" and told == ["told"] * 2
    finally:
        Client.send = original  # type: ignore[method-assign]


def test_somebody_put_the_original_back() -> None:
    original, patches = Client.send, made()
    patches.wrap(Client, "send", telling(patches, []))
    Client.send = original  # type: ignore[method-assign]
    patches.undo()
    assert Client.send is original


def test_a_package_imported_later(later: str) -> None:
    told: list[str] = []
    patches = made()
    patches.when_imported(later, lambda module, given: given.wrap(module.Client, "send", telling(given, told)))
    module = importlib.import_module(later)
    assert module.Client().send() == "sent" and told == ["told"]
    assert type(module.__loader__).__name__ == type(module.__spec__.loader).__name__ == "SourceFileLoader"
    part = importlib.import_module(later + ".part")
    assert type(part.LOADER).__name__ == "SourceFileLoader"
    patches.undo()
    module.Client().send()
    assert told == ["told"] and not any(type(finder).__name__ == "_Awaited" for finder in sys.meta_path)


def test_who_only_looks_for_it_changes_nothing(later: str) -> None:
    """Libraries look whether an optional package is there before they import it."""
    seen: list[ModuleType] = []
    patches = made()
    patches.when_imported(later, lambda module, _: seen.append(module))
    for _ in range(2):
        spec = importlib.util.find_spec(later)
        assert spec is not None and spec.origin is not None and spec.loader is not None
        assert spec.loader.get_source(later).startswith("import time")  # type: ignore[attr-defined]
    module = importlib.import_module(later)
    assert importlib.reload(module) is module
    assert seen == [module]
    patches.undo()


def test_a_package_that_cannot_be_imported_is_awaited_on(later: str, tmp_path: Path) -> None:
    seen: list[ModuleType] = []
    patches = made()
    patches.when_imported(later, lambda module, _: seen.append(module))
    whole = (tmp_path / later / "__init__.py").read_text()
    (tmp_path / later / "__init__.py").write_text("raise ValueError('of theirs')\n")
    with pytest.raises(ValueError, match="of theirs"):
        importlib.import_module(later)
    (tmp_path / later / "__init__.py").write_text(whole + "# longer\n")
    importlib.invalidate_caches()
    assert [importlib.import_module(later)] == seen
    patches.undo()


def test_nothing_is_awaited_after_undo(later: str) -> None:
    seen: list[ModuleType] = []
    patches = made()
    patches.when_imported(later, lambda module, _: seen.append(module))
    spec = importlib.util.find_spec(later)  # found before, loaded after
    patches.undo()
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    importlib.import_module(later)
    assert seen == []


def test_two_that_wait_for_the_same(later: str) -> None:
    seen: list[str] = []
    one, two = made(), made()
    one.when_imported(later, lambda module, _: seen.append("one"))
    two.when_imported(later, lambda module, _: seen.append("two"))
    importlib.import_module(later)
    assert sorted(seen) == ["one", "two"]
    one.undo()
    two.undo()


def test_what_another_thread_is_importing_is_waited_for(later: str) -> None:
    """It is in `sys.modules` before it is whole."""
    whole: list[bool] = []
    patches = made()
    thread = threading.Thread(target=importlib.import_module, args=(later,))
    thread.start()
    while later not in sys.modules and thread.is_alive():
        pass
    patches.when_imported(later, lambda module, _: whole.append(hasattr(module, "Client")))
    thread.join()
    assert whole == [True]
    patches.undo()


def test_threads_wrap_once() -> None:
    told: list[str] = []
    patches = made()
    start = threading.Barrier(8)

    def wrap() -> None:
        start.wait()
        patches.wrap(Client, "send", telling(patches, told))

    threads = [threading.Thread(target=wrap) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Client().send()
    patches.undo()
    assert told == ["told"]


def test_a_package_that_is_forbidden_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "forbidden_package", None)
    patches = made()
    patches.when_imported("forbidden_package", lambda module, _: None)
    with pytest.raises(ImportError):
        importlib.import_module("forbidden_package")
    patches.undo()
