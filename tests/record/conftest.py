"""What is recorded in a test of the recorder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tachograph.testing import Captured, capture


@pytest.fixture
def events() -> Iterator[Captured]:
    """What the test records."""
    with capture() as captured:
        yield captured
