"""Before a question is answered: what journals still hold is moved into the store, if that is quickly done.

A program that was killed leaves its last events in its journal; a command that reads should show them. One round,
within a time that nobody notices; if another process is moving them already, it is left to it. A failure here never
stops a read: what could not be moved waits where it is, and `doctor` tells of it.
"""

from __future__ import annotations

import time

from tachograph.compose import admitter_for, journals_folder, scrubber_for
from tachograph.errors import TachographError
from tachograph.record.drain import Drain, Drained, find_journals
from tachograph.settings import Settings
from tachograph.store.ports import Store

SECONDS = 0.5
"""Most that a read waits for journals."""
NOTHING, NOT_NOW = Drained(), Drained(finished=False)


class Adoption:
    """Rounds of the drain on behalf of a reader: elected for a round only, so that no recording process is held up."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._folder = journals_folder(settings)
        self._drain: Drain | None = None
        self.problem: TachographError | OSError | None = None
        """Why the last round failed; None when it did not."""

    def round(self, seconds: float | None = SECONDS) -> Drained:
        """Move what is there, for at most so many seconds (None: until it is done). Failures are kept in `problem`."""
        if not find_journals(self._folder):
            return NOTHING
        self.problem = None
        try:
            drain = self._drain = self._drain or self._open()
            until = None if seconds is None else time.monotonic() + seconds
            done = drain.once(lambda: until is not None and time.monotonic() > until)
            self.problem = drain.refused
            return done
        except (TachographError, OSError) as problem:
            self.problem = problem
            return NOT_NOW

    def _open(self) -> Drain:
        return Drain(self._folder, self._store, admitter_for(self._settings, self._store, scrubber_for(self._settings)))
