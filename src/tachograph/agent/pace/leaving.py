"""A process that was told to terminate begins nothing more: its runs are being closed, and in a moment it is gone.

Until then its event loops still turn. What is asked or run in that moment nobody would see, bound or record. A signal
may come just before a loop waits and be heard only when that wakes, so what counts is that it was heard: the thread
that closes the runs has perhaps not begun.
"""

from __future__ import annotations

import asyncio

from tachograph.record.worker import signalled


async def hold() -> None:
    """Return at once; in a process that is about to go, never."""
    if signalled:
        await asyncio.Event().wait()
