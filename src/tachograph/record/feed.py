"""The feed: recorded events, in this process, as they happen.

A subscriber reads from a bounded buffer of its own. A slow one loses its oldest events and can see how many; it never
slows the program down, and no subscriber can break another. A listener is called instead, in the thread and the context
that records, with the events of every recorder of the process.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

from tachograph.events.envelope import Event

log = logging.getLogger("tachograph")

Filter = Callable[[Event], bool]


class Subscription:
    """One reader of the feed. Iterate over it, or ask `get`; close it when done (it is a context manager)."""

    def __init__(self, feed: Feed, wanted: Filter | None, limit: int) -> None:
        self._feed, self._wanted = feed, wanted
        self._buffer: deque[Event] = deque(maxlen=limit)
        self._ready = threading.Condition(threading.RLock())
        self._closed = False
        self.dropped = 0
        """Events this reader was too slow for, or whose filter raised."""

    def get(self, timeout: float | None = None) -> Event | None:
        """The next event; None when the time (seconds) is over or the subscription is closed."""
        with self._ready:
            self._ready.wait_for(lambda: self._buffer or self._closed, timeout)
            return self._buffer.popleft() if self._buffer else None

    def __iter__(self) -> Iterator[Event]:
        """Events until the subscription is closed."""
        while (event := self.get()) is not None:
            yield event

    def close(self) -> None:
        """Stop; what is buffered can still be read."""
        self._feed.remove(self)
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    def __enter__(self) -> Subscription:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def offer(self, event: Event) -> None:
        """Take an event if it is wanted. Never raises and never waits for the reader."""
        try:
            wanted = self._wanted is None or self._wanted(event)
        except Exception:  # noqa: BLE001 - a subscriber's filter must not reach the program; it is counted
            wanted = False
            self.dropped += 1
        if not wanted:
            return
        with self._ready:
            self.dropped += len(self._buffer) == self._buffer.maxlen
            self._buffer.append(event)
            self._ready.notify()


class Listener:
    """A function that hears the events of this process one by one, while they are recorded. It must be quick."""

    def __init__(self, hear: Callable[[Event], object], kinds: frozenset[type]) -> None:
        self._hear, self._kinds = hear, kinds
        self.failed = 0
        """Events at which the function raised; the first is logged."""

    def offer(self, events: Sequence[Event]) -> None:
        """Call the function for each event whose body is of one of the kinds. Never raises."""
        for event in events:
            if type(event.body) in self._kinds:
                try:
                    self._hear(event)
                except Exception:
                    self.failed += 1
                    if self.failed == 1:
                        log.exception("a listener failed at %s; the program is not affected", type(event.body).__name__)


class Feed:
    """All subscriptions of a recorder, and the listeners to all recorders."""

    listeners: ClassVar[tuple[Listener, ...]] = ()
    """Who hears every feed: those there are, those that a change of settings makes, those of forked children."""

    @classmethod
    def listen(cls, hear: Callable[[Event], object], kinds: frozenset[type]) -> Listener:
        """Call a function for every event with such a body from now on, in the thread and context that records it."""
        listener = Listener(hear, kinds)
        Feed.listeners = (*Feed.listeners, listener)
        return listener

    def __init__(self) -> None:
        self.subscriptions: tuple[Subscription, ...] = ()
        """Who listens; read on the hot path, replaced and never changed."""

    def subscribe(self, wanted: Filter | None = None, *, limit: int = 10_000) -> Subscription:
        """A new subscription to events for which `wanted` is true (all by default), buffering up to `limit`."""
        subscription = Subscription(self, wanted, limit)
        self.subscriptions = (*self.subscriptions, subscription)
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """Forget a subscription; unknown ones are fine."""
        self.subscriptions = tuple(known for known in self.subscriptions if known is not subscription)

    def publish(self, events: Sequence[Event]) -> None:
        """Hand events to every listener and every subscription."""
        for listener in self.listeners:
            listener.offer(events)
        for subscription in self.subscriptions:
            for event in events:
                subscription.offer(event)
