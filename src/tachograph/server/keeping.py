"""One keeper a store: of several servers, the first prunes and watches, and when it goes another takes over."""

from __future__ import annotations

import os
from pathlib import Path

from tachograph.record import journal
from tachograph.upkeep.keeper import Health, Keeper

LOCK = "keeper.lock"


class Keeping:
    """A keeper that starts when this process holds the lock in `folder`."""

    def __init__(self, folder: Path, keeper: Keeper) -> None:
        self._folder, self._keeper = folder, keeper
        self._lock: int | None = None

    @property
    def health(self) -> Health:
        """What the keeper has done."""
        return self._keeper.health

    @property
    def holds(self) -> bool:
        """Whether it is this process that keeps the store."""
        return self._lock is not None

    def take(self) -> None:
        """Start the keeper if there is anything to keep and nobody else does it yet. Raises OSError."""
        if self._lock is not None or self._keeper.idle:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        if journal.lock(descriptor):
            self._lock = descriptor
            self._keeper.start()
        else:
            os.close(descriptor)

    def close(self) -> None:
        """Stop the keeper, and let another server take over."""
        self._keeper.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
