"""Heads of a `memory:` store: of this process, for as long as it lives. What it does, the others do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from tachograph.store.ledgers.turns import BUSY_SECONDS, Turns
from tachograph.store.sessions.head import Head, Key, Status
from tachograph.store.sessions.port import Table

T = TypeVar("T")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Head).decode


class MemoryCabinet:
    """Keeps heads in memory, as bytes: nobody can change one by what he was given."""

    def __init__(self) -> None:
        self._turns = Turns("memory:", BUSY_SECONDS)
        self._kept: dict[Key, bytes] = {}

    def change(self, work: Callable[[Table], T]) -> T:
        """See `port.Cabinet`."""
        return self._turns.take(partial(self._whole, work))

    def look(self, work: Callable[[Table], T]) -> T:
        """See `port.Cabinet`."""
        return self._turns.take(lambda: work(MemoryTable(self._kept)))

    def close(self) -> None:
        """Nothing to let go of."""

    def _whole(self, work: Callable[[Table], T]) -> T:
        changed = dict(self._kept)
        done = work(MemoryTable(changed))
        self._kept = changed
        return done


class MemoryTable:
    """Heads as bytes, by their names. See `port.Table`."""

    def __init__(self, kept: dict[Key, bytes]) -> None:
        self._kept = kept

    def get(self, key: Key) -> Head | None:
        """See `port.Table`."""
        found = self._kept.get(key)
        return None if found is None else _decode(found)

    def put(self, head: Head) -> None:
        """See `port.Table`."""
        self._kept[head.key] = _encode(head)

    def remove(self, key: Key) -> None:
        """See `port.Table`."""
        self._kept.pop(key, None)

    def told_by(self, runs: Collection[str]) -> Sequence[Key]:
        """See `port.Table`."""
        wanted = set(runs)
        return [head.key for head in self._all() if head.history is not None and head.history.run in wanted]

    def newest(self, tenant: str | None, status: Status | None, limit: int, offset: int) -> Sequence[Head]:
        """See `port.Table`."""
        found = [head for head in self._all() if tenant in (None, head.tenant) and status in (None, head.status)]
        found.sort(key=lambda head: (-head.updated_at, head.key))
        return found[offset : offset + limit]

    def _all(self) -> list[Head]:
        return [_decode(data) for data in self._kept.values()]
