"""One real store for each file of tests of the API (a process has one at a time), filled with a generated day."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.web.serving import CALLS

from tachograph.store import Store, open_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(f"chdb://{tmp_path_factory.mktemp('web')}") as opened:
        opened.write(CALLS, "generated")
        yield opened
