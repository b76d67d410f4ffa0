"""A process that was told to terminate begins nothing more: its runs are closed already, and in a moment it is gone.

Until then its event loops still turn. What is asked or run in that moment nobody would see, bound or record.
"""

from __future__ import annotations

import asyncio
from threading import Event

from tachograph.record.worker import terminating

_told = Event()


def heed() -> None:
    """Hear of it when the process is told to terminate."""
    if _told.set not in terminating:
        terminating.append(_told.set)


async def hold() -> None:
    """Return at once; in a process that is about to go, never."""
    if _told.is_set():
        await asyncio.Event().wait()
