"""The heartbeat: one thread holds the leases of this process, so that a blocked event loop does not lose them.

It also sees what became of them. A turn that was superseded by another process, or that lost its lease, is told within
a fraction of a second. A turn that nobody has in hand any more, or whose event loop is gone, gives its lease back.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from tachograph.errors import StoreError
from tachograph.store.sessions.head import Fate, Key
from tachograph.store.sessions.heads import Heads

LOOK_SECONDS = 0.1
"""How often the thread looks."""
_PART = 3
"""A lease is renewed when a third of its time is over."""
log = logging.getLogger("tachograph.session")


class Holder(Protocol):
    """A turn, as the heartbeat sees it."""

    key: Key
    epoch: int
    lasts: int
    """How long its lease lasts, in ns."""

    def told(self, fate: Fate) -> None:
        """Hear what became of the lease; from any thread."""
        ...

    def lives(self) -> bool:
        """Whether somebody can still end it."""
        ...


class _Held(NamedTuple):
    holder: weakref.ref[Holder]
    epoch: int
    lasts: int


class Heartbeat:
    """Holds the leases of one store's sessions. Thread-safe. A forked child has one of its own (see `local`)."""

    def __init__(self, heads: Heads, now: Callable[[], int]) -> None:
        self.heads, self._now = heads, now
        self._lock = threading.Lock()
        self._held: dict[Key, _Held] = {}
        self._renewed: dict[tuple[Key, int], int] = {}
        self._thread: threading.Thread | None = None

    def hold(self, holder: Holder) -> None:
        """Keep this lease until `drop`."""
        with self._lock:
            self._held[holder.key] = _Held(weakref.ref(holder), holder.epoch, holder.lasts)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="tachograph-sessions", daemon=True)
                self._thread.start()

    def drop(self, holder: Holder) -> None:
        """Keep it no more."""
        with self._lock:
            held = self._held.get(holder.key)
            if held is not None and held.epoch == holder.epoch:
                del self._held[holder.key]

    def supersede(self, key: Key, epoch: int) -> None:
        """Tell the turn that has this lease, if it is of this process: at once."""
        with self._lock:
            held = self._held.get(key)
        holder = held.holder() if held is not None and held.epoch == epoch else None
        if holder is not None:
            holder.told("superseded")

    # ---- the thread -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            time.sleep(LOOK_SECONDS)
            with self._lock:
                held = dict(self._held)
                if not held:
                    self._thread = None
                    return
            try:
                self._round(held)
            except StoreError as problem:
                log.warning("leases of sessions cannot be held, it is tried again: %s", problem)
            except Exception:  # the thread must live: without it every turn would lose its lease
                log.exception("leases of sessions cannot be held, it is tried again")

    def _round(self, held: Mapping[Key, _Held]) -> None:
        living: dict[Key, _Held] = {}
        for key, one in held.items():
            holder = one.holder()
            if holder is not None and holder.lives():
                living[key] = one
            else:
                self._give_up(key, one)
        now = self._now()
        self._renewed = {at: self._renewed.get(at, now) for at in ((key, one.epoch) for key, one in living.items())}
        fates: dict[Key, Fate] = {}
        for lasts in {one.lasts for one in living.values()}:
            due = {
                key: one.epoch
                for key, one in living.items()
                if one.lasts == lasts and not 0 <= now - self._renewed[key, one.epoch] < lasts // _PART
            }
            if due:
                fates |= self.heads.renew(due, now, lasts)
                self._renewed |= dict.fromkeys(due.items(), now)
        rest = {key: one.epoch for key, one in living.items() if key not in fates}
        fates |= self.heads.fates(rest) if rest else {}
        for key, fate in fates.items():
            holder = living[key].holder()
            if fate != "held" and holder is not None:
                holder.told(fate)

    def _give_up(self, key: Key, one: _Held) -> None:
        with self._lock:
            if self._held.get(key) == one:
                del self._held[key]
        self.heads.release(key, one.epoch)
