"""For tests: a clock that ticks, ids that count, a recorder whose events are plain values, models without a provider.

with capture() as events:
    with tachograph.run("answer"):
        ...
assert [type(event.body).__name__ for event in events] == ["RunStarted", "RunEnded"]

`ScriptedModel` says what a test writes down, `ReplayModel` what a recorded run says; both are loaded when first used.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tachograph import compose
from tachograph.events.envelope import Event
from tachograph.limits.guard import Guard
from tachograph.limits.limit import Limits
from tachograph.record.clock import Clock
from tachograph.settings import Settings

if TYPE_CHECKING:
    from tachograph.providers.replay import ReplayModel
    from tachograph.providers.scripted import Call, Endless, Say, ScriptedModel, Silent

__all__ = [
    "Call", "Captured", "CountIds", "Endless", "ReplayModel", "Say", "ScriptedModel", "Silent", "TickClock", "capture",
    "tick_clock",
]  # fmt: skip

_MODELS = {
    "Call": "scripted", "Endless": "scripted", "ReplayModel": "replay", "Say": "scripted", "ScriptedModel": "scripted",
    "Silent": "scripted",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """The models for tests, which load more than the rest of this module needs."""
    if name not in _MODELS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - see above

    value = getattr(import_module(f"tachograph.providers.{_MODELS[name]}"), name)
    globals()[name] = value
    return value


class TickClock:
    """A clock that moves by a fixed step each time it is read."""

    def __init__(self, start: int = 1_700_000_000_000_000_000, tick: int = 1_000_000) -> None:
        self.at, self.tick = start, tick

    def __call__(self) -> int:
        """The next reading, in nanoseconds."""
        self.at += self.tick
        return self.at


class CountIds:
    """Entropy that counts: 1, 2, 3, … as big-endian bytes."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, size: int) -> bytes:
        """The next number."""
        self.count += 1
        return self.count.to_bytes(size, "big")


def tick_clock() -> Clock:
    """A whole clock for tests: time ticks by a millisecond, ids count."""
    return Clock(TickClock(), TickClock(0), CountIds())


class Captured(Sequence[Event]):
    """Events recorded so far, oldest first."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def append(self, event: Event) -> None:
        """Take one."""
        self._events.append(event)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]  # Sequence has two overloads for int and slice
        """An event by its place, or a list of events by a slice."""
        return self._events[index]

    def __len__(self) -> int:
        """How many."""
        return len(self._events)

    def of(self, kind: type) -> list[Event]:
        """The events whose body is of this class."""
        return [event for event in self._events if isinstance(event.body, kind)]


@contextmanager
def capture(guard: Guard | None = None, clock: Clock | None = None, limits: Limits | None = None) -> Iterator[Captured]:
    """Record into memory while the block lasts; nothing reaches the configured store. `limits` as for `configure`."""
    events = Captured()
    # A tool that was left behind in its thread may still write.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        settings = Settings(home=Path(home), drain=False)
        system = compose.System(settings, guard=guard, clock=clock or tick_clock(), limits=limits)
        system.recorder.on_activity = None
        subscription = system.recorder.feed.subscribe(lambda event: events.append(event) or False)  # type: ignore[func-returns-value]
        try:
            with compose.using(system):
                yield events
        finally:
            subscription.close()
            system.recorder.close()
