"""A place where runs are recorded, and what tests ask of what was recorded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tachograph.record.clock import SYSTEM
from tachograph.testing import Captured, capture


@pytest.fixture
def events() -> Iterator[Captured]:
    """Everything that the test records, on a real clock."""
    with capture(clock=SYSTEM) as found:
        yield found


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"
