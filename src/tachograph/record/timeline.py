"""When the chunks of a stream arrived, in bounded memory: full lists halve their resolution and go on."""

from __future__ import annotations

from tachograph.events.call import Timeline

_ENTRIES = 256


class Beats:
    """Collects arrival times."""

    __slots__ = ("_every", "_since", "_times", "chunks")

    def __init__(self) -> None:
        self.chunks = 0
        self._every = 1
        self._since = 0
        self._times: list[int] = []

    def beat(self, elapsed_ns: int) -> None:
        """A chunk arrived, this long after the start of the call."""
        self.chunks += 1
        self._since += 1
        if self._since < self._every:
            return
        self._since = 0
        self._times.append(elapsed_ns)
        if len(self._times) == _ENTRIES:
            self._times = self._times[1::2]
            self._every *= 2

    def timeline(self) -> Timeline | None:
        """The times as microsecond deltas; None without chunks."""
        if not self._times:
            return None
        micros = [time // 1000 for time in self._times]
        return Timeline(self._every, tuple(now - before for before, now in zip([0, *micros], micros, strict=False)))
