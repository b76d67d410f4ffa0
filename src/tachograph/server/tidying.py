"""After a deletion: what was erased leaves the store's files too, and its room goes back to the file system.

It takes longer than an answer should, so it is done by a thread, once for all deletions of a moment.
"""

from __future__ import annotations

import logging
import threading

from tachograph.errors import TachographError
from tachograph.store.ports import Store

log = logging.getLogger("tachograph.server")

PAUSE_SECONDS = 1.0
"""What is deleted within this is tidied up together."""


class Tidying:
    """Compacts a store some time after it is asked to. The thread starts with the first time."""

    def __init__(self, store: Store, *, pause: float = PAUSE_SECONDS) -> None:
        self._store, self._pause = store, pause
        self._wanted, self._stopping = threading.Event(), threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self.returned = 0
        """Bytes given back so far."""

    def ask(self) -> None:
        """Tidy up soon."""
        self._wanted.set()
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="tachograph-tidying", daemon=True)
                self._thread.start()

    def close(self, seconds: float = 5.0) -> None:
        """Tidy up what is still to be done, and end."""
        self._stopping.set()
        self._wanted.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def _work(self) -> None:
        while True:
            self._wanted.wait()
            self._stopping.wait(self._pause)
            self._wanted.clear()
            try:
                self.returned += self._store.compact()
            except TachographError as problem:
                log.warning("the store could not be compacted, it is tried again: %s", problem)
                self._wanted.set()
            if self._stopping.is_set():
                return
