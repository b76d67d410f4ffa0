"""The feed: bounded, isolated, in order."""

from __future__ import annotations

import threading

import pytest

from tachograph.events.envelope import Event
from tachograph.events.note import Note, Score
from tachograph.record.feed import Feed


def event(seq: int) -> Event:
    """A note."""
    return Event("run", seq, 0, 0, 0, Note(name=str(seq)))


def test_a_subscriber_gets_what_it_asked_for_in_order() -> None:
    """The filter decides; closing ends the iteration after what was buffered."""
    feed = Feed()
    with feed.subscribe(lambda found: found.seq % 2 == 0) as subscription:
        feed.publish([event(0), event(1)])
        feed.publish([event(2)])
    assert [found.seq for found in subscription] == [0, 2]
    feed.publish([event(4)])
    assert subscription.get(timeout=0) is None


def test_a_slow_subscriber_loses_its_oldest_and_knows_how_many() -> None:
    """The buffer is bounded; nothing waits for the reader."""
    feed = Feed()
    subscription = feed.subscribe(limit=3)
    feed.publish([event(number) for number in range(10)])
    assert ([subscription.get(0), subscription.dropped], len(feed.subscriptions)) == ([event(7), 7], 1)


def test_a_filter_that_raises_hurts_nobody() -> None:
    """It counts as dropped for that reader alone."""
    feed = Feed()
    broken = feed.subscribe(lambda found: found.seq / 0 > 1)
    fine = feed.subscribe()
    feed.publish([event(0)])
    assert (broken.dropped, broken.get(0), fine.get(0)) == (1, None, event(0))


def test_a_waiting_reader_is_woken() -> None:
    """`get` blocks until something comes."""
    feed = Feed()
    subscription = feed.subscribe()
    threading.Timer(0.05, lambda: feed.publish([event(1)])).start()
    assert subscription.get(timeout=5) == event(1)


def test_a_listener_hears_every_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feeds that were there and feeds to come, the kinds it asked for, in the thread that publishes, one by one."""
    monkeypatch.setattr(Feed, "listeners", ())
    heard: list[tuple[int, int]] = []
    old = Feed()
    listener = Feed.listen(lambda found: heard.append((found.seq, threading.get_ident())), frozenset({Note}))
    score = Event("run", 2, 0, 0, 0, Score(name="s"))
    old.publish([event(0), event(1), score])
    Feed().publish([event(3)])
    assert heard == [(seq, threading.get_ident()) for seq in (0, 1, 3)]
    assert (listener.failed, old.subscriptions) == (0, ())


def test_a_listener_that_raises_hurts_nobody(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is counted, logged once, and neither another listener nor a subscription misses anything."""
    monkeypatch.setattr(Feed, "listeners", ())
    broken = Feed.listen(lambda found: found.seq / 0, frozenset({Note}))
    heard: list[int] = []
    Feed.listen(lambda found: heard.append(found.seq), frozenset({Note}))
    feed = Feed()
    subscription = feed.subscribe()
    feed.publish([event(0), event(1)])
    assert (broken.failed, heard, subscription.get(0)) == (2, [0, 1], event(0))
    assert [record.message for record in caplog.records] == ["a listener failed at Note; the program is not affected"]
