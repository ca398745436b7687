"""What every test of the SDK's door needs: the simulated provider, and the Calls that the patched transports tell.

`provider` is running. `calls` is what has been delivered so far; while a test holds it all transports are patched, and
whatever fails in our code fails the test (a strict guard). `patches` is what they are patched with: its observer's
circumstances, price, ... may be set by a test that needs them otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tachograph.call import Call
from tachograph.capture.sdk.guard import Guard
from tachograph.capture.sdk.patching import Patches
from tachograph.capture.sdk.transports import TRANSPORTS
from tachograph.capture.sdk.watching import Observer
from tachograph.testing.provider import Provider


@pytest.fixture(scope="session")
def one_provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture
def provider(one_provider: Provider) -> Provider:
    """`provider.url` is where it is, `provider.served` what it was asked in this test."""
    one_provider.reset()
    return one_provider


@pytest.fixture
def delivered() -> Iterator[list[Call]]:
    """What `calls` is, before anything is patched. Of all of them the moments are in order."""
    found: list[Call] = []
    yield found
    for call in found:
        moments = [us for us in (0.0, call.headers_ms, call.ttft_ms, call.duration_ms) if us is not None]
        assert moments == sorted(moments)
        assert call.status is not None or call.headers_ms is None


@pytest.fixture
def patches(delivered: list[Call]) -> Iterator[Patches]:
    patched = Patches(Observer(delivered.extend), Guard(strict=True))
    for package, patch in TRANSPORTS:
        patched.when_imported(package, patch)
    yield patched
    patched.undo()


@pytest.fixture
def calls(patches: Patches, delivered: list[Call]) -> list[Call]:
    """The Calls delivered so far, in the order in which they ended."""
    assert patches.active
    return delivered
