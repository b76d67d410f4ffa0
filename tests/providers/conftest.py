"""One server for all exchanges, and what every test of a provider asks with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.providers.replay_server import ReplayServer, serving


@pytest.fixture(scope="session")
def provider_server() -> Iterator[ReplayServer]:
    """A provider on loopback that says what a test tells it to."""
    with serving() as server:
        yield server
