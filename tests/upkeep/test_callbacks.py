from __future__ import annotations

import logging
import threading
import time

import pytest

from tachograph.errors import SettingsError
from tachograph.upkeep.alert import Alert, Firing
from tachograph.upkeep.callbacks import WAITING, Callback, callback_of

FIRING = Firing(
    alert="spend",
    metric="cost",
    scope="everything",
    value=2.0,
    threshold=1.0,
    window_ns=3_600_000_000_000,
    count=1,
    at=5,
)
heard: list[Firing] = []


def test_a_callback_hears_every_firing_in_order() -> None:
    """One after the other, in a thread that leaves when there is nothing left to tell."""
    told: list[int] = []
    callback = Callback("spend", lambda firing: told.append(firing.at))
    before = threading.active_count()
    for at in range(50):
        callback.give(Firing(**{name: getattr(FIRING, name) for name in Firing.__struct_fields__} | {"at": at}))
    assert callback.settle(5)
    assert (told, callback.failures) == (list(range(50)), 0)
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_one_that_raises_is_counted_and_heard_of(caplog: pytest.LogCaptureFixture) -> None:
    """The next firing reaches it all the same."""
    told = []

    def broken(firing: Firing) -> None:
        told.append(firing)
        raise ValueError("no such channel")

    callback = Callback("spend", broken)
    with caplog.at_level(logging.WARNING, "tachograph.alerts"):
        callback.give(FIRING)
        callback.give(FIRING)
        assert callback.settle(5)
    assert (len(told), callback.failures) == (2, 2)
    assert caplog.messages == ["callback of alert spend failed: ValueError('no such channel')"] * 2


def test_one_that_leaves_its_thread_is_called_again() -> None:
    """`sys.exit` in a callback is a failure as any other: neither what waits nor what comes later is lost."""
    told = []

    def leaving(firing: Firing) -> None:
        told.append(firing)
        if len(told) < 3:
            raise SystemExit

    callback = Callback("spend", leaving)
    callback.give(FIRING)
    callback.give(FIRING)
    assert callback.settle(5)
    callback.give(FIRING)
    assert callback.settle(5)
    assert (len(told), callback.failures) == (3, 2)


def test_a_slow_one_holds_up_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    """Giving never waits; what is too much for one that hangs is dropped and counted, others go on."""
    go = threading.Event()
    quick: list[Firing] = []
    hanging = Callback("slow", lambda firing: go.wait(10))
    other = Callback("quick", quick.append)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING, "tachograph.alerts"):
        for _ in range(WAITING + 5):
            hanging.give(FIRING)
            other.give(FIRING)
            assert other.settle(5)
    assert time.monotonic() - started < 5
    assert not hanging.settle(0.01)
    assert (len(quick), hanging.failures in (4, 5)) == (WAITING + 5, True)
    assert set(caplog.messages) == {"callback of alert slow is too slow: a firing was not told"}
    go.set()
    assert hanging.settle(10)


def test_a_callback_is_itself_or_a_name() -> None:
    """A function, or `module:function`, resolved when the watch begins."""

    def call(firing: Firing) -> None:
        """Somebody's."""

    assert callback_of(Alert(name="a", metric="cost", threshold=1)) is None
    assert callback_of(Alert(name="a", metric="cost", threshold=1, callback=call)) is call
    assert callback_of(Alert(name="a", metric="cost", threshold=1, callback="os.path:join")) is not None


@pytest.mark.parametrize("name", ["no_such_module:call", "os:no_such_function", "os:sep"])
def test_a_name_that_leads_nowhere_is_refused(name: str) -> None:
    """At once, with the alert's name, and not when it first fires."""
    with pytest.raises(SettingsError, match="alert a: callback="):
        callback_of(Alert(name="a", metric="cost", threshold=1, callback=name))
