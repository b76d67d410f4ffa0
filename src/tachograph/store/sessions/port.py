"""What a backend of session heads can do: keep them by name, in transactions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol, TypeVar

from tachograph.store.sessions.head import Head, Key, Status

T = TypeVar("T")


class Table(Protocol):
    """The heads, within one transaction."""

    def get(self, key: Key) -> Head | None:
        """The head of this name."""
        ...

    def put(self, head: Head) -> None:
        """Keep it, in place of the one of its name."""
        ...

    def remove(self, key: Key) -> None:
        """Keep none of this name."""
        ...

    def told_by(self, runs: Collection[str]) -> Sequence[Key]:
        """Names of those whose history is in one of these runs."""
        ...

    def newest(self, tenant: str | None, status: Status | None, limit: int, offset: int) -> Sequence[Head]:
        """Those of a tenant (None: of all) that stand so (None: anyhow), the one that changed last first."""
        ...


class Cabinet(Protocol):
    """Where heads are kept. Safe for threads; raises StoreUnavailable, and what the work raises."""

    def change(self, work: Callable[[Table], T]) -> T:
        """Do it alone, all of it or nothing."""
        ...

    def look(self, work: Callable[[Table], T]) -> T:
        """Do it on everything as it is at one moment; it must change nothing."""
        ...

    def close(self) -> None:
        """Let go of files; the next use opens them again."""
        ...
