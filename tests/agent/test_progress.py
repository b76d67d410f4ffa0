from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.agent import progress
from tachograph.agent.progress import Emitter, IterationBegan, Nudged, RunBegan, RunDone, StreamReset
from tachograph.errors import SettingsError
from tachograph.providers.port import TextDelta


def run(program: Callable[[], Awaitable[Any]]) -> Any:
    """Run it, within ten seconds."""

    async def bounded() -> Any:
        async with asyncio.timeout(10):
            return await program()

    return asyncio.run(bounded())


VALUES = (
    RunBegan(run_id="exec_1"),
    IterationBegan(iteration=1),
    TextDelta("he"),
    StreamReset(attempt=1),
    TextDelta("h"),
)


@pytest.mark.parametrize(
    ("kind", "positions"),
    [
        (TextDelta, [2, 4]),
        ((TextDelta, RunBegan), [0, 2, 4]),
        (object, [0, 1, 2, 3, 4]),
        (lambda value: getattr(value, "attempt", 0) == 1, [3]),
        ((), []),
        (RunDone, []),
    ],
    ids=["class", "classes", "everything", "filter", "nothing", "another"],
)
def test_a_subscription_is_told_what_it_wants(kind: Any, positions: list[int]) -> None:
    """A class, several, or a filter say which values reach a callback; they come in order."""
    told: list[object] = []
    emitter = Emitter()
    emitter.subscribe(kind, told.append)
    for value in VALUES:
        emitter.emit(value)
    assert told == [VALUES[position] for position in positions]
    assert emitter.failed == 0


def test_callbacks_are_called_in_the_order_in_which_they_subscribed() -> None:
    """First come, first told, whatever they subscribed for."""
    emitter, told = Emitter(), []
    for name, kind in (("a", object), ("b", RunDone), ("c", Nudged), ("d", lambda _: True)):
        emitter.subscribe(kind, lambda _, name=name: told.append(name))  # type: ignore[misc]
    emitter.emit(Nudged(kind="not_done"))
    assert told == ["a", "c", "d"]


def test_the_same_callback_twice_is_two_subscriptions() -> None:
    """Unsubscribing one leaves the other; unsubscribing again does nothing."""
    told: list[object] = []
    emitter = Emitter()
    first, second = emitter.subscribe(object, told.append), emitter.subscribe(object, told.append)
    emitter.emit(1)
    assert (first.unsubscribe(), first.unsubscribe()) == (True, False)
    emitter.emit(2)
    assert told == [1, 1, 2]
    assert (first.active, second.active, emitter.count()) == (False, True, 1)


def test_once_is_told_once_even_when_it_emits_itself() -> None:
    """A `once` callback is gone before it is called, and a value it does not want does not count."""
    emitter, told = Emitter(), []

    def again(value: object) -> None:
        told.append(value)
        emitter.emit(3)

    subscription = emitter.once(int, again)
    for value in ("text", 1, 2):
        emitter.emit(value)
    assert (told, subscription.active) == ([1], False)


def test_clear_and_count_go_by_the_kind_that_was_subscribed_for() -> None:
    """`clear(kind)` ends exactly the subscriptions made for that kind; without one, all."""
    emitter = Emitter()
    for kind in (TextDelta, TextDelta, object, (TextDelta, RunBegan)):
        emitter.subscribe(kind, print)
    assert [emitter.count(), emitter.count(TextDelta), emitter.count((TextDelta, RunBegan))] == [4, 2, 1]
    assert (emitter.clear(TextDelta), emitter.count()) == (2, 2)
    assert (emitter.clear(), emitter.count(), emitter.clear()) == (2, 0, 0)


def test_who_leaves_or_comes_during_a_value() -> None:
    """A callback that was unsubscribed by an earlier one is not called; one that came meanwhile waits for the next."""
    emitter, told = Emitter(), []

    def first(value: object) -> None:
        told.append(("first", value))
        last.unsubscribe()
        if value == 1:
            emitter.subscribe(object, lambda value: told.append(("new", value)))

    emitter.subscribe(object, first)
    last = emitter.subscribe(object, lambda value: told.append(("last", value)))
    emitter.emit(1)
    emitter.emit(2)
    assert told == [("first", 1), ("first", 2), ("new", 2)]


def test_an_error_stays_with_the_callback_that_made_it(caplog: pytest.LogCaptureFixture) -> None:
    """A callback or filter that raises is counted and logged; the others are told all the same."""
    told: list[object] = []
    emitter = Emitter()

    def cancelled(_: object) -> None:
        raise asyncio.CancelledError

    emitter.subscribe(object, lambda _: 1 / 0)
    emitter.subscribe(lambda value: bool(value.nothing), told.append)
    emitter.subscribe(object, cancelled)
    emitter.subscribe(object, told.append)
    with caplog.at_level(logging.WARNING, "tachograph.agent"):
        emitter.emit(1)
        emitter.emit(2)
    assert (told, emitter.failed, len(caplog.records)) == ([1, 2], 6, 6)


def test_control_c_in_a_callback_ends_the_program() -> None:
    """What is meant for the program itself is not taken for an error of the callback."""
    emitter = Emitter()

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    emitter.subscribe(object, interrupt)
    with pytest.raises(KeyboardInterrupt):
        emitter.emit(1)
    assert emitter.failed == 0


def test_async_callbacks_run_as_tasks_and_their_errors_are_counted() -> None:
    """Emitting does not wait for async callbacks; `settle` does, and who hangs is told by it."""

    async def program() -> None:
        emitter, told = Emitter(), []

        async def slow(value: object) -> None:
            await asyncio.sleep(0.01)
            told.append(value)

        async def fails(_: object) -> None:
            await asyncio.sleep(0)
            raise ValueError("no")

        async def hangs(_: object) -> None:
            await asyncio.sleep(60)

        emitter.subscribe(object, slow)
        emitter.subscribe(object, fails)
        for value in (1, 2, 3):
            emitter.emit(value)
        assert told == []
        assert await emitter.settle(5)
        assert (told, emitter.failed) == ([1, 2, 3], 3)
        emitter.subscribe(object, hangs)
        emitter.emit(4)
        assert await emitter.settle(0.05) is False
        assert await Emitter().settle()

    run(program)


def test_a_cancelled_callback_is_no_failure() -> None:
    """At the end of an event loop its tasks are cancelled; that is nobody's error."""
    emitter = Emitter()

    async def program() -> None:
        async def hangs(_: object) -> None:
            await asyncio.sleep(60)

        emitter.subscribe(object, hangs)
        emitter.emit(1)
        await asyncio.sleep(0)

    run(program)
    assert emitter.failed == 0


def test_whatever_can_be_awaited_is(caplog: pytest.LogCaptureFixture) -> None:
    """A callback may return a future as well as a coroutine."""

    async def program() -> int:
        emitter = Emitter()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        emitter.subscribe(object, lambda _: future)
        emitter.emit(1)
        future.set_exception(ValueError("from the future"))
        await emitter.settle()
        return emitter.failed

    assert run(program) == 1
    assert "from the future" in caplog.text


def test_values_from_other_threads_reach_async_callbacks_where_they_subscribed() -> None:
    """Emitted in a thread without an event loop, a value goes to the loop in which the subscription was made."""

    async def program() -> list[tuple[object, str]]:
        emitter, told, done = Emitter(), [], asyncio.Event()

        async def hear(value: object) -> None:
            told.append((value, threading.current_thread().name))
            done.set()

        emitter.subscribe(object, hear)
        await asyncio.to_thread(emitter.emit, 1)
        await done.wait()
        return told

    assert run(program) == [(1, "MainThread")]


def test_an_async_callback_that_nobody_can_run_is_counted() -> None:
    """Without an event loop, now or when it subscribed, an async callback fails and leaves no coroutine behind."""
    emitter = Emitter()

    async def never(_: object) -> None:
        raise AssertionError

    emitter.subscribe(object, never)
    emitter.emit(1)
    assert emitter.failed == 1


def test_a_flood_for_a_slow_async_callback_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a bound of callbacks at work, values are not told, and counted."""
    monkeypatch.setattr(progress, "MOST_WAITING", 10)

    async def program() -> tuple[int, int]:
        emitter, told = Emitter(), []

        async def slow(value: object) -> None:
            await asyncio.sleep(0.01)
            told.append(value)

        emitter.subscribe(object, slow)
        for value in range(25):
            emitter.emit(value)
        await emitter.settle()
        return len(told), emitter.failed

    assert run(program) == (10, 15)


@pytest.mark.parametrize("kind", ["text", 3, (int, "text"), None], ids=["text", "number", "mixed", "none"])
def test_what_is_no_kind_is_refused(kind: Any) -> None:
    """A kind that no value could have raises, with what would do; so does a callback that cannot be called."""
    emitter = Emitter()
    with pytest.raises(SettingsError, match=r"kind=.* cannot be used: a class, several classes, or a function"):
        emitter.subscribe(kind, print)
    with pytest.raises(SettingsError, match="callback=7 cannot be used"):
        emitter.once(object, 7)  # type: ignore[arg-type]
    assert emitter.count() == 0


def test_several_threads_may_subscribe_emit_and_leave_at_once() -> None:
    """Threads that come, tell and go at the same time lose no subscription and tell a `once` exactly once."""
    emitter, told = Emitter(), []
    lock = threading.Lock()

    def hear(value: object) -> None:
        with lock:
            told.append(value)

    for _ in range(50):
        emitter.once(int, hear)
    kept = emitter.subscribe(str, hear)

    def work() -> None:
        for _ in range(50):
            mine = emitter.subscribe(float, hear)
            emitter.emit(1)
            assert mine.unsubscribe()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (told, emitter.count(), kept.active, emitter.failed) == ([1] * 50, 1, True, 0)


@given(steps=st.lists(st.sampled_from(["subscribe", "once", "emit", "drop", "clear"]), max_size=40))
def test_the_emitter_is_a_list_of_callbacks(steps: list[str]) -> None:
    """Whatever is done in whatever order, who is told is who would be in a plain list."""
    emitter, told, model, wanted = Emitter(), [], [], []
    for number, step in enumerate(steps):
        if step in ("subscribe", "once"):
            add = emitter.once if step == "once" else emitter.subscribe
            subscription = add(object, lambda value, number=number: told.append((number, value)))  # type: ignore[misc]
            model.append((number, step, subscription))
        elif step == "emit":
            emitter.emit(number)
            wanted += [(who, number) for who, _, _ in model]
            model = [entry for entry in model if entry[1] != "once"]
        elif step == "drop" and model:
            assert model.pop(len(model) // 2)[2].unsubscribe()
        elif step == "clear":
            assert emitter.clear() == len(model)
            model = []
    assert (told, emitter.count()) == (wanted, len(model))


def test_an_emitter_passes_on_what_it_is_told() -> None:
    """One beyond it hears everything first, also when a callback here fails."""
    heard: list[tuple[str, object]] = []

    def fail(value: object) -> None:
        heard.append(("here", value))
        raise ValueError("no")

    beyond = Emitter()
    beyond.subscribe(object, lambda value: heard.append(("beyond", value)))
    emitter = Emitter(beyond)
    emitter.subscribe(object, fail)
    emitter.emit(VALUES[0])
    assert heard == [("beyond", VALUES[0]), ("here", VALUES[0])]
    assert (beyond.failed, emitter.failed) == (0, 1)
