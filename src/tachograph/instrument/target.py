"""Where a logger records: the process's own system, or the one of the store it was given."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from tachograph import compose
from tachograph.errors import LimitExceeded
from tachograph.instrument.databases import store_url
from tachograph.record import scope
from tachograph.record.clock import SYSTEM, Clock
from tachograph.record.recorder import Recorder

if TYPE_CHECKING:
    from tachograph.fold.cost import PriceBook

log = logging.getLogger("tachograph")
T = TypeVar("T")


class Target:
    """A store to record into, made from what a logger was given. Raises SettingsError for what names none."""

    def __init__(self, db: object = None) -> None:
        self.url = store_url(db)
        self._warned = False
        if self.url is not None:
            compose.system_for(self.url)

    def recorder(self) -> Recorder | None:
        """The recorder as things stand now; None when there cannot be one, which the log says once."""
        if self.url is None:
            return scope.recorder_or_none()
        try:
            return compose.system_for(self.url).recorder
        except Exception:  # rule: instrumentation never breaks what it wraps; it may work next time
            if not self._warned:
                self._warned = True
                log.exception("nothing is recorded into %s", self.url)
            return None

    def clock(self) -> Clock:
        """The recorder's clock."""
        recorder = self.recorder()
        return SYSTEM if recorder is None else recorder.clock

    def moment(self) -> tuple[int, int]:
        """Now, by the recorder's clock: UTC and monotonic nanoseconds."""
        clock = self.clock()
        read = self.safely("log_clock", lambda: (clock.now(), clock.mono()), None)
        return read or (SYSTEM.now(), SYSTEM.mono())

    def prices(self) -> PriceBook:
        """The price list that recorded calls will be priced by. Raises SettingsError."""
        return (compose.current() if self.url is None else compose.system_for(self.url)).prices

    def safely(self, place: str, action: Callable[[], T], otherwise: T) -> T:
        """What an action gives. A failure of ours is counted and gives `otherwise`; only LimitExceeded passes."""
        try:
            return action()
        except LimitExceeded:
            raise
        except Exception as problem:  # noqa: BLE001 - rule: instrumentation never breaks what it wraps
            recorder = self.recorder()
            if recorder is None:
                log.warning("logger fault in %s: %r; the program is not affected", place, problem)
            else:
                recorder.fault(place, problem)
            return otherwise
