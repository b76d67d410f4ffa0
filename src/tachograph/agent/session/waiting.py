"""Waiting for one's turn: asking for the lease again and again, but not often, until it is there or time is over."""

from __future__ import annotations

import asyncio
import logging

from tachograph.agent.session.terms import Terms
from tachograph.errors import SessionBusy, StoreError
from tachograph.store.sessions.head import Held, Key, Taken

_PAUSES = (0.01, 0.1)
"""Seconds between two looks, at first and later."""
_OTHERS = "others who came first"
log = logging.getLogger("tachograph.session")


async def taken(terms: Terms, key: Key, *, supersede: bool) -> Taken:
    """The lease of a session. Raises SessionBusy, SessionClosed, SessionHandedOff, StoreUnavailable."""
    heads, clock, lasts = terms.local.heads, terms.system.recorder.clock, int(terms.lease * 1e9)
    ticket, began = None, clock.mono()
    pause, most = _PAUSES
    try:
        while True:
            found = heads.acquire(
                key, clock.now(), lasts, ticket=ticket, supersede=supersede, handed_off=terms.allow_handed_off,
                about=terms.about,
            )  # fmt: skip
            if isinstance(found, Taken):
                return found
            ticket = found.ticket
            if supersede and found.lease is not None:
                terms.local.beat.supersede(key, found.lease.epoch)
            left = terms.wait - (clock.mono() - began) / 1e9
            _be_patient(key, found, left, terms.wait)
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.5, most)
    except BaseException:
        if ticket is not None:
            _withdraw(terms, key, ticket)
        raise


def _be_patient(key: Key, found: Held, left: float, wait: float) -> None:
    if left <= 0:
        holder = _OTHERS if found.lease is None else found.lease.holder or "another process"
        raise SessionBusy(key[1], holder, wait)


def _withdraw(terms: Terms, key: Key, ticket: int) -> None:
    try:
        terms.local.heads.withdraw(key, ticket)
    except StoreError as problem:  # it is passed over after a while
        log.warning("session %s: a ticket could not be given back: %s", key[1], problem)
