"""Waiting that ends: control comes back in time, whatever is waited for does.

What runs on the event loop is cancelled, and left behind if it does not end. What runs in a thread cannot be stopped:
it is left behind at once, and its thread replaced. Neither holds up the end of the loop or of the interpreter. A result
that comes all the same is told to `late`, and to nobody else.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

Result = TypeVar("Result")
log = logging.getLogger("tachograph.agent")

GRACE = 0.1
"""Seconds that a cancelled task has to end."""
THREADS_AT_ONCE = 32
MOST_LEFT = 100
"""Most threads left behind that are replaced; from then on they count as busy."""
IDLE_SECONDS = 30.0
MOST_ITEMS = 100_000
"""Most items that are taken from a generator."""


class Overdue(TimeoutError):
    """The time is over. `how`: the work stopped, it was left behind, or it never began."""

    def __init__(self, seconds: float, how: Literal["stopped", "left", "waiting"]) -> None:
        self.seconds, self.how = seconds, how
        super().__init__(f"not done within {seconds:g} s")


class Ended(NamedTuple):
    """How somebody's code ended: a value, or what it raised."""

    value: Any = None
    error: BaseException | None = None


class Items(list[Any]):
    """What a generator gave."""


Late = Callable[[Any], object]


async def bounded(
    awaitable: Awaitable[Result], seconds: float | None, *, grace: float = GRACE, late: Late | None = None
) -> Result:
    """The result of `awaitable`, if it has one within so many seconds; None: however long it takes.

    Then it is cancelled and has `grace` seconds to end, and `Overdue` (a TimeoutError) is raised; likewise when the
    caller is cancelled. `late` is called with a result, or an exception, that came after that.
    """
    task = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait((task,), timeout=None if seconds is None else max(seconds, 0))
    except asyncio.CancelledError:
        await _stop(task, grace, late)
        raise
    if task.done() or seconds is None:
        return task.result()
    raise Overdue(seconds, "stopped" if await _stop(task, grace, late) else "left")


async def outcome(call: Callable[[], Any]) -> Ended:
    """How a call ends, when everything is awaited that it returns.

    Raises only what is meant for the program itself: its own cancellation, and KeyboardInterrupt.
    """
    try:
        value = call()
        if isinstance(value, AsyncIterator):
            return Ended(await _drained(value))
        return Ended(await value if inspect.isawaitable(value) else value)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return Ended(error=error)  # something that it waited for was cancelled, not it
    except BaseException as error:  # noqa: BLE001 - somebody else's code: whatever it raises, `sys.exit` too
        return Ended(error=error)


async def in_thread(
    call: Callable[[], Any], seconds: float | None, *, late: Late | None = None, threads: Threads | None = None
) -> Ended:
    """How a call ends that runs in a thread, in a copy of the caller's context. Raises Overdue.

    `late` is called, in that thread, with the `Ended` of a call that was left behind.
    """
    pool = THREADS if threads is None else threads
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Ended] = loop.create_future()
    job = _Job(contextvars.copy_context(), call, loop, future, late)
    pool.submit(job)
    try:
        await asyncio.wait((future,), timeout=None if seconds is None else max(seconds, 0))
    except asyncio.CancelledError:
        pool.leave(job)
        raise
    if not future.done() and seconds is not None and (how := pool.leave(job)) is not None:
        raise Overdue(seconds, how)
    return await future


async def answer_of(
    function: Callable[..., Any], *args: Any, seconds: float | None, threads: Threads | None = None
) -> Ended:
    """How a call of the program's own function ends: an async one as a task, a plain one in a thread. Raises Overdue.

    Raises RuntimeError when no thread can be started.
    """
    if is_async(function):
        return await bounded(outcome(partial(function, *args)), seconds)
    clock = asyncio.get_running_loop().time
    end = None if seconds is None else clock() + seconds
    ended = await in_thread(partial(function, *args), seconds, threads=threads)
    if ended.error is not None or not inspect.isawaitable(ended.value):
        return ended
    # A plain function may return something to be awaited: a lambda around an async one.
    return await bounded(outcome(lambda: ended.value), None if end is None else end - clock())


def is_async(function: Any) -> bool:
    """Whether a call of it runs on the event loop."""
    while isinstance(function, partial):
        function = function.func
    kinds = (function, type(function).__call__)
    return any(inspect.iscoroutinefunction(kind) or inspect.isasyncgenfunction(kind) for kind in kinds)


async def _drained(items: AsyncIterator[Any]) -> Items:
    found = Items()
    try:
        async for item in items:
            found.append(item)
            if len(found) >= MOST_ITEMS:
                break
    finally:
        if (close := getattr(items, "aclose", None)) is not None:
            await close()
    return found


# ---- tasks ----------------------------------------------------------------------------------------------------------


async def _stop(task: asyncio.Future[Any], grace: float, late: Late | None) -> bool:
    """Cancel a task; whether it ended within the grace."""
    task.cancel()
    try:
        await asyncio.wait((task,), timeout=grace)
    finally:
        if task.done():
            _tell(late, task)
        else:
            _leave(task, late)
    return task.done()


def _leave(task: asyncio.Future[Any], late: Late | None) -> None:
    """Whoever closes the loop cancels what it still knows, and waits for it: this task has shown what that comes to."""
    task.add_done_callback(lambda done: _tell(late, done))
    if isinstance(task, asyncio.Task):
        asyncio._unregister_task(task)  # noqa: SLF001 - documented for those who extend asyncio, under this name
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - as asyncio.gather does


def _tell(late: Late | None, task: asyncio.Future[Any]) -> None:
    if task.cancelled():
        return
    error = task.exception()  # asked for in any case: asyncio complains of those that nobody asked for
    _say(late, task.result() if error is None else error)


def _say(late: Late | None, result: Any) -> None:
    if late is None:
        return
    try:
        late(result)
    except Exception:
        log.exception("what came too late could not be told")


# ---- threads --------------------------------------------------------------------------------------------------------


class _Job:
    """One call for a thread."""

    __slots__ = ("call", "context", "future", "late", "loop", "replaced", "state")

    def __init__(
        self,
        context: contextvars.Context,
        call: Callable[[], Any],
        loop: asyncio.AbstractEventLoop,
        future: asyncio.Future[Ended],
        late: Late | None,
    ) -> None:
        self.context, self.call, self.loop, self.future, self.late = context, call, loop, future, late
        self.state: Literal["waiting", "running", "left", "done"] = "waiting"
        self.replaced = False

    def run(self) -> Ended:
        try:
            return Ended(self.context.run(self.call))
        except BaseException as error:  # noqa: BLE001 - no signal arrives here: `sys.exit` and ^C are the code's own
            return Ended(error=error)

    def post(self, ended: Ended) -> None:
        try:
            self.loop.call_soon_threadsafe(self._resolve, ended)
        except RuntimeError:  # the loop is closed: nobody waits any more
            _say(self.late, ended)

    def _resolve(self, ended: Ended) -> None:
        if not self.future.done():
            self.future.set_result(ended)


class Threads:
    """Daemon threads, started as they are needed. One that is left behind is replaced; none holds up the exit."""

    def __init__(self, size: int = THREADS_AT_ONCE, most_left: int = MOST_LEFT, idle: float = IDLE_SECONDS) -> None:
        self._size, self._most_left, self._idle_seconds = size, most_left, idle
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._count = self._idle = self._left = 0

    @property
    def left(self) -> int:
        """Threads that were replaced and still run."""
        return self._left

    def submit(self, job: _Job) -> None:
        """Run it as soon as a thread is free. Raises RuntimeError when no thread can be started."""
        if self._pid != os.getpid():
            self._begin()  # a fork has none of its parent's threads
        with self._changed:
            self._waiting.append(job)
            try:
                self._serve()
            except RuntimeError:
                if self._count == 0:
                    self._waiting.remove(job)
                    raise

    def leave(self, job: _Job) -> Literal["left", "waiting"] | None:
        """Nobody waits for it any more; None when it is done, and its result on the way."""
        with self._changed:
            if job.state == "done":
                return None
            was, job.state = job.state, "left"
            if was == "waiting":
                self._waiting.remove(job)
                return "waiting"
            if self._left < self._most_left:
                job.replaced = True
                self._left += 1
                self._count -= 1
                if self._waiting:
                    self._serve()
            return "left"

    def _serve(self) -> None:
        if self._idle >= len(self._waiting):
            self._changed.notify()
        elif self._count < self._size:
            threading.Thread(target=self._work, name="tachograph-tool", daemon=True).start()
            self._count += 1

    def _work(self) -> None:
        while (job := self._next()) is not None:
            ended = job.run()
            with self._changed:
                left = job.state == "left"
                job.state = "done"
                if job.replaced:
                    self._left -= 1
            if left:
                _say(job.late, ended)
            else:
                job.post(ended)
            if job.replaced:
                return
            del job, ended  # nothing is kept alive by a thread that waits

    def _next(self) -> _Job | None:
        with self._changed:
            self._idle += 1
            found = self._changed.wait_for(lambda: self._waiting, self._idle_seconds)
            self._idle -= 1
            if not found:
                self._count -= 1
                return None
            job = self._waiting.popleft()
            job.state = "running"
            return job


THREADS = Threads()
"""Those of this process; the first call starts the first one."""
