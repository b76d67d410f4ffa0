"""One keeper a store: of several servers, the first prunes and watches, and when it goes another takes over."""

from __future__ import annotations

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
        self._lock = journal.hold(self._folder / LOCK)
        if self._lock is not None:
            self._keeper.start()

    def close(self) -> None:
        """Stop the keeper, and let another server take over."""
        self._keeper.close()
        if self._lock is not None:
            journal.let_go(self._folder / LOCK, self._lock)
            self._lock = None
