"""Before a question is answered: what journals still hold is moved into the store, if that is quickly done.

A program that was killed leaves its last events in its journal; a command that reads should show them. One round, within
a time that nobody notices; if another process is moving them already, it is left to it. A failure here never stops a
read: what could not be moved waits where it is, and `doctor` tells of it.
"""

from __future__ import annotations

import contextlib
import time

from tachograph.compose import admitter_for, journals_folder, scrubber_for
from tachograph.errors import TachographError
from tachograph.record.drain import Drain, Drained, find_journals
from tachograph.settings import Settings
from tachograph.store.ports import Store

SECONDS = 0.5
"""Most that a read waits for journals."""


def adopt(settings: Settings, store: Store, seconds: float = SECONDS) -> Drained:
    """One round of the drain, if there are journals and nobody else is at it."""
    folder = journals_folder(settings)
    if not find_journals(folder):
        return Drained()
    with contextlib.suppress(TachographError, OSError):
        drain = Drain(folder, store, admitter_for(settings, store, scrubber_for(settings)))
        if drain.elected():
            try:
                return drain.round(time.monotonic() + seconds)
            finally:
                drain.resign()
    return Drained(finished=False)
