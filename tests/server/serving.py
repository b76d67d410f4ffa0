"""A service for tests: over a store in memory or the one that is given, with a clock that ticks."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tachograph.compose import admitter_for, scrubber_for
from tachograph.server.service import Service
from tachograph.settings import Settings
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Store
from tachograph.testing import tick_clock


def service_over(store: Store | None = None, *, home: Path | None = None, **facts: Any) -> Service:
    """A service whose token is `token`."""
    store = store or MemoryStore()
    settings = Settings(home=home or Path(tempfile.gettempdir(), "tachograph-nowhere"), store=store.url)
    facts = {"clock": tick_clock(), "token": "token", **facts}
    return Service(
        settings=settings, store=store, admitter=admitter_for(settings, store, scrubber_for(settings)), **facts
    )
