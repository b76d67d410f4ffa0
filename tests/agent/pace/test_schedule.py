from __future__ import annotations

import asyncio
import gc
import random
import selectors
import threading
import time
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.agent.pace import schedule
from tachograph.agent.pace.schedule import Scheduler
from tachograph.errors import SettingsError
from tachograph.providers.port import Exchange, Rate


class _Skipping(selectors.DefaultSelector):
    """Where a real selector would wait, the clock is put forward."""

    now = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready at once; else it is later."""
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing would ever happen"
            self.now += timeout
        return ready


class _Timeless(asyncio.SelectorEventLoop):
    """An event loop in which waiting takes no time."""

    def __init__(self) -> None:
        self.skipping = _Skipping()
        super().__init__(self.skipping)

    def time(self) -> float:
        """Its own time."""
        return self.skipping.now


class World:
    """A scheduler on an event loop whose time is its own."""

    def __init__(self, **figures: Any) -> None:
        self.loop = _Timeless()
        self.scheduler = Scheduler(**figures, clock=lambda: round(self.loop.time() * 1e9))
        self.sent: list[tuple[float, str]] = []
        self.peak: Counter[str] = Counter()
        self.active: Counter[str] = Counter()

    @property
    def at(self) -> float:
        """Seconds since the beginning."""
        return round(self.loop.time() - 1_000.0, 6)

    async def ask(
        self, name: str, *, model: str = "m", run: str = "r", tokens: int = 0, takes: float = 0.0,
        seconds: float | None = None,
    ) -> float:  # fmt: skip
        """One request: note when it goes out; how long it waited."""
        async with self.scheduler.permit(model, run, tokens, seconds) as permit:
            self.sent.append((self.at, name))
            for key in (model, "all"):
                self.active[key] += 1
                self.peak[key] = max(self.peak[key], self.active[key])
            try:
                await asyncio.sleep(takes)
            finally:
                for key in (model, "all"):
                    self.active[key] -= 1
        return permit.waited

    def run(self, program: Callable[[], Awaitable[Any]]) -> Any:
        """Run it, and look that nothing was left behind."""
        try:
            found = self.loop.run_until_complete(program())
        finally:
            self.loop.close()
        self.is_empty()
        return found

    def is_empty(self) -> None:
        """Nobody waits, nothing is under way, nothing of it is kept."""
        inside = self.scheduler
        assert (inside.active, inside.waiting, inside._shares, inside._queued) == (0, 0, {}, {})
        assert [lane.model for lane in inside._lanes.values() if lane.active or lane.waiting or lane.queue] == []


def together(*requests: Awaitable[Any]) -> Awaitable[Sequence[Any]]:
    """All of them at once."""
    return asyncio.gather(*requests)


def test_requests_under_way_are_bounded_together_and_for_each_model() -> None:
    """With 3 in all and 2 for one model, so many are under way at most, and as many when they can."""
    world = World(concurrency=3, per_model={"small": 2})

    async def program() -> None:
        names = [("small", i) for i in range(8)] + [("large", i) for i in range(8)]
        await together(*(world.ask(f"{m}{i}", model=m, run=f"{m}{i}", takes=1 + i % 3) for m, i in names))

    world.run(program)
    assert world.peak == {"all": 3, "small": 2, "large": 3}
    assert len(world.sent) == 16


def test_requests_inside_requests_end_with_a_limit_of_one() -> None:
    """Five levels of runs that each ask before and after their child, two children each, finish under a limit of 1."""
    world = World(concurrency=1)

    async def work(level: int, name: str) -> None:
        await world.ask(f"{name} before", run=name, takes=0.1)
        if level < 5:
            await together(*(work(level + 1, f"{name}.{child}") for child in range(2)))
        await world.ask(f"{name} after", run=name, takes=0.1)

    world.run(lambda: work(1, "run"))
    assert (world.peak["all"], len(world.sent)) == (1, 2 * 31)


def test_a_rate_of_requests_lets_a_minute_go_and_then_refills_evenly() -> None:
    """Of 6 a minute, 6 go at once and one every ten seconds after that; a pause fills it up to a minute's worth."""
    world = World(requests_per_minute=6)

    async def program() -> None:
        await together(*(world.ask(str(number)) for number in range(9)))
        await asyncio.sleep(600)
        await together(*(world.ask(str(number)) for number in range(7)))

    world.run(program)
    assert [round(when, 2) for when, _ in world.sent] == [0, 0, 0, 0, 0, 0, 10, 20, 30, *[630] * 6, 640]


def test_who_is_next_knows_when_it_may_go() -> None:
    """At ten a second, those who wait behind each other go out every tenth of a second."""
    world = World(requests_per_minute=600)

    async def program() -> None:
        await together(*(world.ask(str(number), run=str(number)) for number in range(605)))

    world.run(program)
    assert [round(when, 2) for when, _ in world.sent[600:]] == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_a_rate_of_tokens_counts_what_requests_may_come_to() -> None:
    """Requests go as their tokens come in; one that needs more than a minute brings goes when the bucket is full."""
    world = World(tokens_per_minute={"m": 600})

    async def program() -> None:
        for name, tokens in (("a", 500), ("b", 300), ("c", 1200), ("d", 10)):
            await world.ask(name, tokens=tokens)
        await world.ask("free", model="other", tokens=10**9)

    world.run(program)
    assert [(round(when, 1), name) for when, name in world.sent] == [
        (0, "a"), (20, "b"), (80, "c"), (141, "d"), (141, "free"),
    ]  # fmt: skip


@pytest.mark.parametrize(("used", "when"), [(100, 5.3), (257, 5.7), (600, 40.0)], ids=["few", "some", "all"])
def test_what_a_request_really_came_to_is_counted(used: int, when: float) -> None:
    """Tokens that were expected and not used are there for the next one, who goes as soon as that is enough."""
    world = World(tokens_per_minute=600)

    async def first() -> None:
        async with world.scheduler.permit("m", "a", 600) as permit:
            await asyncio.sleep(5.3)
            permit.used(500)
            permit.used(used)

    async def program() -> None:
        await together(first(), world.ask("next", tokens=400))

    world.run(program)
    assert [(round(at, 1), name) for at, name in world.sent] == [(when, "next")]


def test_a_large_request_is_not_passed_by_small_ones() -> None:
    """Whoever needs many tokens and is next is waited for, however many small requests follow."""
    world = World(tokens_per_minute=600)

    async def small(number: int) -> None:
        await asyncio.sleep(number)
        await world.ask("small", run=f"s{number}", tokens=20)

    async def program() -> None:
        await world.ask("first", tokens=600)
        await together(world.ask("large", run="large", tokens=500), *(small(number) for number in range(1, 60)))

    world.run(program)
    assert [name for _, name in world.sent[:2]] == ["first", "large"]
    assert round(world.sent[1][0], 3) == 50


@pytest.mark.parametrize(
    ("exchange", "wait"),
    [
        (Exchange(method="POST", url="u", status=429, retry_after=7.5), 7.5),
        (Exchange(method="POST", url="u", rates=(Rate("requests", 10, 0, 12.0),)), 12.0),
        (Exchange(method="POST", url="u", rates=(Rate("requests", 10, 0, 3.0), Rate("tokens", 99, 0, 4.0))), 4.0),
        (Exchange(method="POST", url="u", rates=(Rate("tokens", 99, 0, 4.0),), retry_after=9.0), 9.0),
        (Exchange(method="POST", url="u", rates=(Rate("requests", 10, 1, 12.0),)), 0.0),
        (Exchange(method="POST", url="u", rates=(Rate("requests", 10, 0, None), Rate("tokens", 9, None, 5.0))), 0.0),
        (Exchange(method="POST", url="u", retry_after=-5.0), 0.0),
        (Exchange(method="POST", url="u", retry_after=float("nan")), 0.0),
        (Exchange(method="POST", url="u", retry_after=1e12), schedule.LONGEST_PAUSE),
        (Exchange(method="POST", url="u"), 0.0),
    ],
    ids=[
        "retry-after", "no-requests", "longest", "both", "one-left", "no-reset", "negative", "no-number",
        "far-too-long", "nothing",
    ],
)  # fmt: skip
def test_what_a_response_says_of_its_model_is_heeded(exchange: Exchange, wait: float) -> None:
    """Until it may be asked again nobody asks that model, and every other one is asked at once."""
    world = World()

    async def program() -> Any:
        world.scheduler.learn("m", exchange)
        world.scheduler.learn("m", Exchange(method="POST", url="u", retry_after=0.001))
        return await together(world.ask("it"), world.ask("another", model="n"))

    waited, other = world.run(program)
    assert (round(waited, 2), other) == (wait, 0)


def test_runs_that_wait_take_turns() -> None:
    """A run with many requests and one with few go in turns; requests of one run keep their order."""
    world = World(concurrency=1)

    async def program() -> None:
        many = [world.ask(f"a{number}", run="a", takes=1) for number in range(6)]
        await together(
            *many, *(world.ask(f"b{number}", run="b", takes=1) for number in range(3)), world.ask("c", run="c")
        )

    world.run(program)
    assert [name for _, name in world.sent] == ["a0", "a1", "b0", "c", "a2", "b1", "a3", "b2", "a4", "a5"]


def test_a_run_that_comes_late_does_not_wait_for_all_that_wait_already() -> None:
    """Somebody new has its turn in the round that follows, though another run has a hundred requests waiting."""
    world = World(concurrency=1)

    async def program() -> None:
        many = [asyncio.ensure_future(world.ask(f"a{number}", run="a", takes=1)) for number in range(100)]
        await asyncio.sleep(10.5)
        await together(*(world.ask(f"b{number}", run="b", takes=1) for number in range(2)), *many)

    world.run(program)
    names = [name for _, name in world.sent]
    assert names[:16] == [f"a{n}" for n in range(11)] + ["a11", "b0", "a12", "b1", "a13"]


def test_turns_are_taken_across_models() -> None:
    """Where all models share one bound, a run that waits for five models is one run."""
    world = World(concurrency=1)

    async def program() -> None:
        many = [world.ask("a", model=f"m{number}", run="a", takes=1) for number in range(5)]
        await together(world.ask("a", run="a", takes=1), *many, *(world.ask("b", run="b", takes=1) for _ in range(3)))

    world.run(program)
    assert [name for _, name in world.sent] == ["a", "a", "b", "a", "b", "a", "b", "a", "a"]


@settings(max_examples=60)
@given(
    requests=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 3)), min_size=1, max_size=30),
    most=st.integers(1, 4),
)
def test_nobody_waits_longer_than_a_round(requests: list[tuple[str, int]], most: int) -> None:
    """While a run waits, no other one is given more than two requests; the requests of each keep their order."""
    world = World(concurrency=most)

    async def program() -> None:
        await together(*(world.ask(f"{run}{n}", run=run, takes=t * 0.3701) for n, (run, t) in enumerate(requests)))

    world.run(program)
    order = [name for _, name in world.sent]
    left, given_while = Counter(name[0] for name in order[most:]), Counter[tuple[str, str]]()
    for name in order[most:]:  # the first ones did not wait
        for other in (run for run in left if left[run] and run != name[0]):
            given_while[name[0], other] += 1
            assert given_while[name[0], other] <= 2
        for pair in [pair for pair in given_while if pair[1] == name[0]]:
            given_while[pair] = 0
        left[name[0]] -= 1
    for run in "abcd":
        numbers = [int(name[1:]) for name in order if name[0] == run]
        assert numbers == sorted(numbers)


def test_who_waits_too_long_is_told_so_and_leaves_nothing_behind() -> None:
    """After its seconds a request that got no permit raises; with no seconds at all it does so at once."""
    world = World(concurrency=1)

    async def program() -> None:
        busy = asyncio.ensure_future(world.ask("busy", takes=10))
        await asyncio.sleep(1)
        with pytest.raises(TimeoutError, match="no permit to ask m in time"):
            await world.ask("late", seconds=2.5)
        assert (world.at, world.scheduler.waiting, world.scheduler.active) == (3.5, 0, 1)
        with pytest.raises(TimeoutError):
            await world.ask("never", seconds=0)
        assert world.at == 3.5
        await busy
        await world.ask("free", seconds=0)

    world.run(program)
    assert [name for _, name in world.sent] == ["busy", "free"]


def test_waits_can_be_seen() -> None:
    """How many wait, how many did so far and how long, and how long each one did."""
    world = World(concurrency=1)

    async def program() -> Any:
        asked = [asyncio.ensure_future(world.ask(str(number), takes=2)) for number in range(3)]
        await asyncio.sleep(1)
        seen = (world.scheduler.active, world.scheduler.waiting, world.scheduler.waits)
        return seen, await together(*asked)

    assert world.run(program) == ((1, 2, 2), [0, 2, 4])
    assert (world.scheduler.waits, world.scheduler.waited) == (2, 6)


def test_a_permit_that_was_not_used_costs_no_rate() -> None:
    """Whoever is cancelled when its permit is already there gives back the permit, the request and the tokens."""
    world = World(concurrency=1, requests_per_minute=2, tokens_per_minute=100)

    async def program() -> None:
        holder = world.scheduler.permit("m", "a", 10)
        await holder.__aenter__()
        waiting = asyncio.ensure_future(world.ask("cancelled", run="b", tokens=90))
        await asyncio.sleep(1)
        await holder.__aexit__(None, None, None)  # gives the permit to who waits
        assert (world.scheduler.active, world.scheduler.waiting) == (1, 0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await world.ask("next", tokens=90)

    world.run(program)
    assert world.sent == [(1, "next")]


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32), most=st.integers(1, 4), rate=st.sampled_from([None, 30.0, 600.0]))
def test_no_permit_is_lost_whoever_is_cancelled_when(seed: int, most: int, rate: float | None) -> None:
    """Requests that are cancelled, time out or fail at any moment leave every permit where it was."""
    dice, world = random.Random(seed), World(concurrency=most, per_model=3, requests_per_minute=rate)

    async def one(number: int) -> None:
        seconds = dice.choice([None, None, dice.uniform(0, 3)])
        takes = dice.choice([0.0, dice.uniform(0, 2)])
        async with world.scheduler.permit(f"m{number % 2}", f"r{number % 5}", 1, seconds):
            assert world.scheduler.active <= most
            await asyncio.sleep(takes)
            if dice.random() < 0.1:
                raise ValueError("in the middle")

    async def program() -> None:
        tasks = [asyncio.ensure_future(one(number)) for number in range(40)]
        for _ in range(60):
            await asyncio.sleep(dice.choice([0, 0, dice.uniform(0, 0.4)]))
            dice.choice(tasks).cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        wanted = (type(None), asyncio.CancelledError, TimeoutError, ValueError)
        assert {type(result) for result in results} <= set(wanted)
        world.is_empty()
        await asyncio.sleep(600)
        await together(*(world.ask(str(number), model=f"x{number}", takes=1, seconds=0) for number in range(most)))

    world.run(program)


def test_one_scheduler_serves_several_event_loops_in_several_threads() -> None:
    """Loops in four threads share one bound, wake each other, cancel at random, and all of it ends."""
    scheduler, lock = Scheduler(concurrency=3), threading.Lock()
    active, peak, done = 0, 0, 0

    async def one(number: int, dice: random.Random) -> None:
        nonlocal active, peak, done
        async with scheduler.permit(f"m{number % 2}", f"r{number % 7}", 1, 30):
            with lock:
                active += 1
                peak = max(peak, active)
            try:
                await asyncio.sleep(dice.uniform(0, 0.003))
            finally:
                with lock:
                    active -= 1
                    done += 1

    async def program(seed: int) -> int:
        dice = random.Random(seed)
        tasks = [asyncio.ensure_future(one(number, dice)) for number in range(80)]
        for task in dice.sample(tasks, 20):
            await asyncio.sleep(0.001)
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
        return sum(result is None for result in results)

    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda seed=seed: counts.append(asyncio.run(program(seed)))) for seed in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(counts) == 4
    assert 4 * 60 <= sum(counts) <= done
    assert (peak, active, scheduler.active, scheduler.waiting, scheduler._shares) == (3, 0, 0, 0, {})


def test_who_is_next_is_served_though_its_neighbours_loop_is_stuck() -> None:
    """When the loop of the one in front is blocked, those of other loops go on as soon as their turn comes."""
    scheduler, stuck = Scheduler(requests_per_minute=600), threading.Event()
    for _ in range(600):
        scheduler._lane("m").take(1, 0, scheduler._now())

    async def blocks() -> None:
        waiting = asyncio.ensure_future(scheduler.permit("m", "a").__aenter__())
        await asyncio.sleep(0)
        stuck.set()
        time.sleep(2.5)  # noqa: ASYNC251 - that is the point
        await waiting

    thread = threading.Thread(target=lambda: asyncio.run(blocks()))
    thread.start()
    stuck.wait(10)

    async def goes_on() -> float:
        async with scheduler.permit("m", "b", 0, 10) as permit:
            return permit.waited

    assert asyncio.run(goes_on()) < 2
    thread.join(30)


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_event_loop_that_is_gone_holds_no_permit() -> None:
    """Who waited in a loop that was closed is passed over; a permit that was held there comes back in time."""
    scheduler = Scheduler(concurrency=2)
    gone = asyncio.new_event_loop()

    async def hold() -> None:
        async with scheduler.permit("m", "a"):
            await asyncio.sleep(60)

    tasks = [gone.create_task(hold()) for _ in range(4)]
    gone.run_until_complete(asyncio.sleep(0))
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    gone.close()
    watched = [weakref.ref(task) for task in tasks]
    assert (scheduler.active, scheduler.waiting) == (2, 2)
    del tasks, task
    gc.collect()

    async def asks() -> None:
        async with scheduler.permit("m", "b", 0, 5):
            pass

    asyncio.run(asks())
    gc.collect()
    assert [ref() for ref in watched] == [None] * 4
    assert (scheduler.active, scheduler.waiting, scheduler._shares) == (0, 0, {})


def test_a_forgotten_request_that_is_collected_inside_the_scheduler_does_not_lock_it_up() -> None:
    """A permit that ends in the thread that is just giving out another one waits for it, and is counted after."""
    scheduler = Scheduler()

    async def program() -> None:
        holder = scheduler.permit("m", "a")
        await holder.__aenter__()
        with scheduler._held():
            await holder.__aexit__(None, None, None)
            assert scheduler.active == 1
        assert scheduler.active == 0

    asyncio.run(program())


def test_models_that_are_idle_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of models leave a bounded number behind; one that is paused, or whose rate is not full, is kept."""
    monkeypatch.setattr(schedule, "MOST_IDLE", 10)
    world = World(requests_per_minute={"rated": 1})

    async def program() -> int:
        world.scheduler.learn("paused", Exchange(method="POST", url="u", retry_after=50))
        await world.ask("rated", model="rated")
        for number in range(100):
            await world.ask("x", model=f"m{number}")
        assert {"paused", "rated"} <= world.scheduler._lanes.keys()
        return len(world.scheduler._lanes)

    assert world.run(program) <= 10


def test_what_waits_and_leaves_does_not_pile_up() -> None:
    """Requests that give up before their turn leave no trace in the queue."""
    world = World(concurrency=1)

    async def program() -> int:
        busy = asyncio.ensure_future(world.ask("busy", takes=100))
        await asyncio.sleep(0)
        for number in range(500):
            with pytest.raises(TimeoutError):
                await world.ask("late", run=f"r{number % 3}", seconds=0)
        kept = asyncio.ensure_future(world.ask("kept"))
        await asyncio.sleep(0)
        for number in range(500):
            with pytest.raises(TimeoutError):
                await world.ask("late", run=f"r{number % 3}", seconds=0)
        entries = len(world.scheduler._lanes["m"].queue)
        await together(busy, kept)
        return entries

    assert world.run(program) <= 20


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        ({"concurrency": 0}, "concurrency=0 cannot be used: a number from 1 on"),
        ({"per_model": 0.5}, "per_model=0.5 cannot be used: numbers from 1 on"),
        ({"requests_per_minute": 0}, "requests_per_minute=0 cannot be used: numbers above 0"),
        ({"tokens_per_minute": {"m": -1}}, r"tokens_per_minute=\{'m': -1\} cannot be used: numbers above 0"),
    ],
    ids=["concurrency", "per-model", "requests", "tokens"],
)
def test_what_would_let_nothing_through_is_refused(figures: dict[str, Any], told: str) -> None:
    """Figures with which no request could ever go out raise, with what would do."""
    with pytest.raises(SettingsError, match=told):
        Scheduler(**figures)


def test_a_thousand_that_wait_are_no_burden() -> None:
    """A thousand requests of a hundred runs under a rate are all served, in turns, in bounded time."""
    world = World(concurrency=5, requests_per_minute=600)

    async def program() -> None:
        await together(*(world.ask(str(n), run=f"r{n % 100}", takes=0.1) for n in range(1000)))

    began = time.monotonic()
    world.run(program)
    assert len(world.sent) == 1000
    assert world.at == pytest.approx(40.1, abs=0.2)
    assert time.monotonic() - began < 30
