"""The scheduler: when a request may go out, for every run of the process.

A permit covers one HTTP request and nothing else, so whoever waits for a child, a tool or a back-off holds none, and
requests inside requests cannot wait for each other. Waiting is in rounds: each run that waits has one request a round,
so a run with a hundred of them takes turns with a run with one. Within a run, requests for one model go out in the
order in which they came.

It starts no thread and no task. Whoever waits looks after the whole queue when a pause is over, from whichever event
loop; who is next is woken in the loop it waits in.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import math
import threading
from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tachograph.errors import SettingsError
from tachograph.providers.port import Exchange
from tachograph.record.clock import SYSTEM

MOST_IDLE = 1_000
"""Models that are remembered though nothing of theirs waits or is under way."""
LONGEST_PAUSE = 600.0
"""Seconds that one response's headers can keep a model from being asked."""
_LOOK_AGAIN = 1.0
"""Seconds after which somebody who waits looks again by himself, should the loop of who is next be stuck."""
_SHORTEST = 0.001

Figure = float | Mapping[str, float] | None
"""One figure for each model by itself, or a figure for those named; None: no bound."""


class Permit:
    """Leave to make one request."""

    def __init__(self, waited: float, settle: Callable[[int], None]) -> None:
        self.waited = waited
        """Seconds."""
        self._settle = settle

    def used(self, tokens: int) -> None:
        """What the request really came to, in place of what was expected: the rate of tokens goes on from there."""
        self._settle(tokens)


class Bucket:
    """A rate: a minute's worth at most, refilled evenly. More than a minute's worth is let through when it is full."""

    def __init__(self, per_minute: float, now: float) -> None:
        self.capacity, self._rate = per_minute, per_minute / 60.0
        self._level, self._at = per_minute, now

    def wait(self, amount: float, now: float) -> float:
        """Seconds until so much may be taken; 0 when it may be now."""
        return max(0.0, (min(amount, self.capacity) - self._filled(now)) / self._rate)

    def take(self, amount: float, now: float) -> None:
        """Take it, into debt if need be, of bounded length: usage can be a lie. A negative amount gives back."""
        level = max(-self._rate * LONGEST_PAUSE, self._filled(now) - amount)
        self._level, self._at = min(self.capacity, level), now

    def is_full(self, now: float) -> bool:
        """Whether nothing of it was taken lately."""
        return self._filled(now) >= self.capacity

    def _filled(self, now: float) -> float:
        return min(self.capacity, self._level + max(0.0, now - self._at) * self._rate)


@dataclass(eq=False)
class _Waiter:
    """Somebody who wants a permit."""

    loop: AbstractEventLoop
    lane: _Lane
    run: str
    tokens: int
    since: float
    turn: int = 0
    """The round in which it is its turn."""
    granted: bool = False
    gone: bool = False
    leads: bool = False
    """Whether it knows that it is the next one of its model."""
    woken: Future[None] | None = None


@dataclass(eq=False)
class _Lane:
    """One model: what is under way, what waits, and what it may do a minute."""

    model: str
    most: float
    requests: Bucket | None
    tokens: Bucket | None
    active: int = 0
    waiting: int = 0
    paused: float = -math.inf
    """Until when nobody asks it."""
    queue: list[tuple[int, int, _Waiter]] = field(default_factory=list)

    def head(self) -> _Waiter | None:
        """Whose turn is next."""
        while self.queue and self.queue[0][2].gone:
            heapq.heappop(self.queue)
        return self.queue[0][2] if self.queue else None

    def wait(self, tokens: int, now: float) -> float:
        """Seconds until its rates and pauses let a request through."""
        wait = self.paused - now
        if self.requests is not None:
            wait = max(wait, self.requests.wait(1, now))
        if self.tokens is not None:
            wait = max(wait, self.tokens.wait(tokens, now))
        return max(0.0, wait)

    def take(self, requests: int, tokens: float, now: float) -> None:
        """Count a request and its tokens."""
        if self.requests is not None:
            self.requests.take(requests, now)
        if self.tokens is not None:
            self.tokens.take(tokens, now)

    def is_idle(self, now: float) -> bool:
        """Whether it can be forgotten without changing anything."""
        full = all(bucket is None or bucket.is_full(now) for bucket in (self.requests, self.tokens))
        return not self.active and not self.waiting and self.paused <= now and full


@dataclass
class _Share:
    """What one run has waiting."""

    waiting: int = 0
    turn: int = 0
    """The round of its last request."""


class Scheduler:
    """Admits requests. One object serves any number of runs, event loops and threads. Raises SettingsError.

    `concurrency` bounds requests under way, all models together; `per_model` those of each. Rates are a minute, for
    each model by itself; what is a minute's worth may go at once after a pause. `clock` is monotonic nanoseconds.
    """

    def __init__(
        self,
        concurrency: int = 50,
        per_model: Figure = None,
        requests_per_minute: Figure = None,
        tokens_per_minute: Figure = None,
        *,
        clock: Callable[[], int] = SYSTEM.mono,
    ) -> None:
        if concurrency < 1:
            raise SettingsError("concurrency", concurrency, "a number from 1 on")
        self.concurrency = concurrency
        self._per_model = _figures("per_model", per_model, 1)
        self._requests = _figures("requests_per_minute", requests_per_minute, 0)
        self._tokens = _figures("tokens_per_minute", tokens_per_minute, 0)
        self._clock = clock
        self._lock = threading.Lock()
        self._owner = 0
        """The thread that holds it."""
        self._ended: deque[tuple[_Waiter, bool]] = deque()
        """Who needs no permit any more, and whether a request was sent with it."""
        self._lanes: dict[str, _Lane] = {}
        self._queued: dict[str, _Lane] = {}
        """Those that somebody waits for."""
        self._shares: dict[str, _Share] = {}
        self._round = 0
        self._arrivals = itertools.count()
        self.active = 0
        """Requests under way."""
        self.waiting = 0
        """Requests that wait for a permit."""
        self.waits = 0
        """Requests that had to wait, so far."""
        self.waited = 0.0
        """Seconds that requests have waited, all together."""

    @contextlib.asynccontextmanager
    async def permit(
        self, model: str, run: str = "", tokens: int = 0, seconds: float | None = None
    ) -> AsyncIterator[Permit]:
        """Wait for leave to make one request of `model`, which may come to so many tokens; hold it inside the block.

        `seconds` is how long to wait at most. Raises TimeoutError.
        """
        waiter = self._arrive(model, run, tokens)
        try:
            if not waiter.granted:
                await self._wait(waiter, None if seconds is None else waiter.since + seconds)
        except BaseException:
            self._end(waiter, sent=False)
            raise
        permit = Permit(self._now() - waiter.since, lambda used: self._correct(waiter, used))
        try:
            yield permit
        finally:
            self._end(waiter, sent=True)

    def learn(self, model: str, exchange: Exchange) -> None:
        """Heed what a response's headers say: when to come back, and that nothing is left of a rate until then."""
        pauses = [rate.reset for rate in exchange.rates if rate.remaining == 0 and rate.reset is not None]
        pauses.append(exchange.retry_after or 0.0)
        pause = min(max((pause for pause in pauses if pause > 0), default=0.0), LONGEST_PAUSE)
        if pause:
            with self._held():
                lane = self._lane(model)
                lane.paused = max(lane.paused, self._now() + pause)

    # ---- one who waits ----------------------------------------------------------------------------------------------

    def _arrive(self, model: str, run: str, tokens: int) -> _Waiter:
        loop = asyncio.get_running_loop()
        with self._held():
            lane = self._lane(model)
            waiter = _Waiter(loop, lane, run, max(0, tokens), self._now())
            share = self._shares.setdefault(run, _Share())
            waiter.turn = share.turn = max(self._round, share.turn) + 1
            share.waiting += 1
            lane.waiting += 1
            self.waiting += 1
            self._queued[lane.model] = lane
            heapq.heappush(lane.queue, (waiter.turn, next(self._arrivals), waiter))
            self._admit()
            self.waits += not waiter.granted
        return waiter

    async def _wait(self, waiter: _Waiter, deadline: float | None) -> None:
        while True:
            with self._held():
                self._admit()
                if waiter.granted:
                    return
                woken = waiter.woken = waiter.loop.create_future()
                pause = self._pause(waiter)
            left = math.inf if deadline is None else deadline - self._now()
            if left <= 0:
                raise TimeoutError(f"no permit to ask {waiter.lane.model} in time")
            with contextlib.suppress(TimeoutError):  # not `wait_for`: in Python 3.11 it can swallow a cancellation
                async with asyncio.timeout(min(pause, left)):
                    await woken

    def _pause(self, waiter: _Waiter) -> float:
        """Seconds after which to look again, unless woken before."""
        waiter.leads = waiter.lane.head() is waiter
        wait = waiter.lane.wait(waiter.tokens, self._now()) if waiter.leads else 0.0
        return max(_SHORTEST, min(wait, _LOOK_AGAIN)) if wait else _LOOK_AGAIN

    def _end(self, waiter: _Waiter, *, sent: bool) -> None:
        """Whoever needs no permit any more, has it or not, leaves nothing behind."""
        if self._owner == threading.get_ident():  # a forgotten task, collected as garbage while this thread is inside
            self._ended.append((waiter, sent))
            return
        with self._held():
            self._ended.append((waiter, sent))

    def _correct(self, waiter: _Waiter, used: int) -> None:
        with self._held():
            waiter.lane.take(0, used - waiter.tokens, self._now())
            waiter.tokens = used
            if (head := waiter.lane.head()) is not None:
                head.leads = False  # its turn may come at another time now
                self._admit()

    # ---- all of them, under the lock --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        with self._lock:
            self._owner = threading.get_ident()
            try:
                yield
            finally:
                while self._ended:
                    self._forget(*self._ended.popleft())
                    self._admit()
                self._owner = 0

    def _forget(self, waiter: _Waiter, sent: bool) -> None:
        if not waiter.granted:
            self._dequeue(waiter)
            return
        if not sent:
            waiter.lane.take(-1, -waiter.tokens, self._now())
        self._free(waiter)

    def _admit(self) -> None:
        """Give a permit to everyone whose turn it is, and wake who is next."""
        now = self._now()
        while self.active < self.concurrency:
            ready = [head for lane in self._queued.values() if (head := self._ready(lane, now)) is not None]
            if not ready:
                break
            self._grant(min(ready, key=lambda head: head.lane.queue[0][:2]), now)
        for lane in self._queued.values():
            head = lane.head()
            if head is not None and not head.leads:
                head.leads = True
                _wake(head)

    def _ready(self, lane: _Lane, now: float) -> _Waiter | None:
        head = lane.head()
        if head is None or lane.active >= lane.most or lane.wait(head.tokens, now) > 0:
            return None
        return head

    def _grant(self, waiter: _Waiter, now: float) -> None:
        self._dequeue(waiter)
        self._round = max(self._round, waiter.turn)
        waiter.granted = True
        waiter.lane.active += 1
        waiter.lane.take(1, waiter.tokens, now)
        self.active += 1
        if not _wake(waiter):  # nobody will ever come for it
            self._forget(waiter, sent=False)

    def _dequeue(self, waiter: _Waiter) -> None:
        if waiter.gone:
            return
        waiter.gone = True
        lane, share = waiter.lane, self._shares[waiter.run]
        lane.waiting -= 1
        self.waiting -= 1
        self.waited += self._now() - waiter.since
        share.waiting -= 1
        if not share.waiting:
            del self._shares[waiter.run]
        if not lane.waiting:
            del self._queued[lane.model]
            lane.queue.clear()
        elif len(lane.queue) > 2 * lane.waiting + 16:  # many have left without it being their turn
            lane.queue = [entry for entry in lane.queue if not entry[2].gone]
            heapq.heapify(lane.queue)

    def _free(self, waiter: _Waiter) -> None:
        if waiter.granted:
            waiter.granted = False
            waiter.lane.active -= 1
            self.active -= 1

    def _lane(self, model: str) -> _Lane:
        lane = self._lanes.get(model)
        if lane is None:
            now = self._now()
            if len(self._lanes) >= MOST_IDLE:
                self._lanes = {name: one for name, one in self._lanes.items() if not one.is_idle(now)}
            requests, tokens = _of(self._requests, model), _of(self._tokens, model)
            lane = self._lanes[model] = _Lane(
                model,
                _of(self._per_model, model) or math.inf,
                Bucket(requests, now) if requests else None,
                Bucket(tokens, now) if tokens else None,
            )
        return lane

    def _now(self) -> float:
        return self._clock() / 1e9


def _wake(waiter: _Waiter) -> bool:
    """Have it look again; False when its event loop is no more."""
    woken = waiter.woken
    if woken is None:  # it has not begun to wait, and will look by itself
        return True
    try:
        waiter.loop.call_soon_threadsafe(_tell, woken)
    except RuntimeError:
        return False
    return True


def _tell(woken: Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


def _figures(name: str, figure: Figure, least: float) -> Figure:
    for value in figure.values() if isinstance(figure, Mapping) else () if figure is None else (figure,):
        if not (value >= least and value > 0):
            raise SettingsError(name, figure, "numbers above 0" if not least else f"numbers from {least:g} on")
    return figure


def _of(figure: Figure, model: str) -> float | None:
    return figure.get(model) if isinstance(figure, Mapping) else figure


SHARED = Scheduler()
"""The one of the process, where nobody brings another."""
