"""An event loop in a thread of its own: where models are asked for a program that cannot await.

A process has one, shared by all who ask, so that connections to providers outlive a call. It starts with the first of
them and ends with the program; a forked child begins without, and starts its own. Called from inside a running event
loop it blocks that loop, as any plain call does, but needs nothing of it.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")

_LEAVING = 2.0
"""Seconds that ending may take: what is not closed by then goes with the process."""
_Life = tuple[asyncio.AbstractEventLoop, asyncio.Event]
"""The loop, and what ends it."""


class LoopThread:
    """One thread with one event loop, from the first call until `close`; a call after that starts another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._life: _Life | None = None
        self._inner: LoopThread | None = None

    @property
    def running(self) -> bool:
        """Whether there is a thread."""
        return self._thread is not None

    def call(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """What a coroutine returns or raises, run over there in a copy of the caller's context.

        Whatever ends the waiting here (Ctrl-C) cancels it there. Raises `concurrent.futures.CancelledError` when it
        was cancelled there, by `close` for one, and RuntimeError or OSError when no thread or loop can be had.
        """
        here = threading.current_thread()
        one: LoopThread | None = self
        while one is not None:
            if here is one._thread:  # noqa: SLF001 - one of ours
                # Who was asked over there asks in turn, without awaiting: that loop stands still until we return.
                one._inner = one._inner or LoopThread()  # noqa: SLF001 - as above
                return one._inner.call(work)  # noqa: SLF001 - as above
            one = one._inner  # noqa: SLF001 - as above
        with self._lock:
            loop, _ = self._alive() or self._start()
            answer = asyncio.run_coroutine_threadsafe(work(), loop)
        try:
            return answer.result()
        except BaseException:
            answer.cancel()
            raise

    def close(self) -> None:
        """Cancel what is going on, close connections, end the thread. Takes two seconds at most."""
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.close()
        with self._lock:
            thread, self._thread = self._thread, None
            life, self._life = self._life, None
            if life is not None and thread is not None and thread.is_alive():
                life[0].call_soon_threadsafe(life[1].set)
        if thread is not None:
            thread.join(_LEAVING)

    def _alive(self) -> _Life | None:
        """The loop, unless what it ran has ended it (SystemExit does)."""
        return self._life if self._thread is not None and self._thread.is_alive() else None

    def _start(self) -> _Life:
        ready: Future[_Life] = Future()

        async def live() -> None:
            over = asyncio.Event()
            ready.set_result((asyncio.get_running_loop(), over))
            await over.wait()

        def work() -> None:
            try:
                asyncio.run(live())
            except BaseException as error:  # noqa: BLE001 - it is raised where somebody waits for it
                if not ready.done():
                    ready.set_exception(error)

        thread = threading.Thread(target=work, name="tachograph-calls", daemon=True)
        thread.start()
        atexit.unregister(_leave)
        atexit.register(_leave)
        self._life = ready.result()
        self._thread = thread
        return self._life


_shared = LoopThread()
_left: list[LoopThread] = []
"""In a forked child, the parent's: closing what crossed a fork could harm the parent, so it is kept and not touched."""


def shared() -> LoopThread:
    """The one of this process."""
    return _shared


def _leave() -> None:
    _shared.close()


def _forked() -> None:
    global _shared  # noqa: PLW0603 - the one of the process
    _left.append(_shared)
    _shared = LoopThread()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forked)
