"""The budget of a run: what it refuses, what it sets aside, and that no order of events gets past it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.account import Account
from tachograph.events.budget import Reservation
from tachograph.events.limit import Mode
from tachograph.events.usage import Cost, Usage
from tachograph.fold.cost import price_book
from tachograph.limits.budget import Budget, World
from tachograph.limits.estimate import MOST_OUTPUT, tokens_of
from tachograph.limits.guard import PERSON, Intent, Notice, Refused, Settled, Spent, Ticket
from tachograph.limits.limit import Limits
from tachograph.limits.loops import Detector, Loops
from tachograph.limits.past import Past
from tachograph.store.ledgers.memory import MemoryLedger

BOOK = price_book(per_million={"m": {"input": 1000, "output": 2000}}, bundled=False)
WORLD = World(prices=lambda provider, model, tier: BOOK.schedule(provider, model, tier).at(0), lock=threading.RLock)
SECOND = 1_000_000_000
FREE: dict[str, Any] = {"llm_calls": None, "usd": None, "loops": Loops(warn=None, block=None, skip=None, stop=None)}


def budget(above: Budget | None = None, started: int = 0, **limits: Any) -> Budget:
    """A budget of these limits, with a price for the model m alone."""
    return Budget(Limits(**limits), started, above=above, world=WORLD)


def ask(guard: Budget, kind: str = "llm", name: str = "m", now: int = 0, **facts: Any) -> Ticket | Refused:
    """One question."""
    return guard.admit(Intent("run", kind, name, **facts), Spent(), now)


def admitted(guard: Budget, kind: str = "llm", name: str = "m", now: int = 0, **facts: Any) -> Ticket:
    """A question that is answered with a ticket."""
    answer = ask(guard, kind, name, now, **facts)
    assert isinstance(answer, Ticket), answer
    return answer


def refused(guard: Budget, kind: str = "llm", name: str = "m", now: int = 0, **facts: Any) -> Refused:
    """A question that is refused."""
    answer = ask(guard, kind, name, now, **facts)
    assert isinstance(answer, Refused), answer
    return answer


# ---- counts, depth and time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "figure", "metric"),
    [
        ("iteration", "iterations", "max_iterations"),
        ("llm", "llm_calls", "max_llm_calls"),
        ("tool", "tool_calls", "max_tool_calls"),
        ("handoff", "handoffs", "max_handoffs"),
    ],
)
def test_counts_are_exact(kind: str, figure: str, metric: str) -> None:
    """Three are admitted, the fourth is not, and what is over does not make room: a count is of what was begun."""
    guard = budget(**{**FREE, figure: 3})
    for _ in range(3):
        guard.settle(admitted(guard, kind), Settled(), 0)
    assert refused(guard, kind) == Refused(metric, 3, 1, 3, "run", "stop")
    assert guard.remaining(0)[metric] == 0


def test_a_run_inside_a_run_draws_from_both() -> None:
    """The child's own limit, then that of the run above it, which counts what all of its children do."""
    top = budget(tool_calls=3)
    one, other = budget(top, tool_calls=2), budget(top)
    admitted(one, "tool", "a")
    admitted(one, "tool", "b")
    assert refused(one, "tool", "c") == Refused("max_tool_calls", 2, 1, 2, "run", "stop", above=0)
    admitted(other, "tool", "d")
    assert refused(other, "tool", "e") == Refused("max_tool_calls", 3, 1, 3, "run", "stop", above=1)
    assert (one.remaining(0)["max_tool_calls"], other.remaining(0)["max_tool_calls"]) == (0, 0)


def test_a_part_of_a_run_keeps_to_limits_of_its_own_too() -> None:
    """They count from when they begin, they widen nothing, and they are over with the part."""
    guard = budget(**{**FREE, "tool_calls": 6})
    admitted(guard, "tool", "a")
    guard.narrow(Limits(**{**FREE, "tool_calls": 2, "seconds": 9}), now=SECOND)
    assert guard.deadline == 10 * SECOND
    admitted(guard, "tool", "b", now=SECOND)
    admitted(guard, "tool", "c", now=SECOND)
    assert refused(guard, "tool", "d", now=SECOND) == Refused("max_tool_calls", 2, 1, 2, "run", "stop")
    assert refused(guard, "tool", "d", now=10 * SECOND).metric == "deadline"
    guard.narrow(Limits(**{**FREE, "tool_calls": 90}), now=10 * SECOND)
    for name in "efg":
        admitted(guard, "tool", name, now=10 * SECOND)
    assert refused(guard, "tool", "h", now=10 * SECOND).threshold == 6
    guard.narrow(None, now=11 * SECOND)
    assert (guard.deadline, guard.remaining(11 * SECOND)["max_tool_calls"]) == (1800 * SECOND, 0)


def test_what_a_part_set_aside_is_turned_in_to_it() -> None:
    """A request that is settled when the next part has begun leaves nothing set aside, and costs that part nothing."""
    guard = budget(usd=None, tokens=100_000)
    guard.narrow(Limits(usd=None, tokens=50_000), now=0)
    late = admitted(guard, max_output=100)
    guard.narrow(Limits(usd=None, tokens=40_000), now=0)
    before = guard.remaining(0)["token_budget"]
    guard.settle(late, Settled(usage=Usage(10, output=5, basis="provider")), 0)
    assert (before, guard.remaining(0)["token_budget"]) == (40_000, 40_000)
    guard.narrow(None, now=0)
    assert guard.room(Intent("run", "llm", "m")) == 100_000 - 15 - tokens_of(0, "m")


def test_a_part_is_no_deeper_than_its_run() -> None:
    """Runs inside it are counted as if there were none."""
    top = budget(depth=2)
    top.narrow(Limits(tool_calls=1), now=0)
    child = budget(top)
    admitted(child, "run", "child")
    assert refused(budget(child), "run", "grandchild").metric == "max_depth"


def test_a_hand_off_to_a_person_is_none_of_those_that_are_counted() -> None:
    """It may be made after the last one between agents, and past a deadline of that mode."""
    guard = budget(**{**FREE, "handoffs": 0, "seconds": 1, "modes": {"seconds": "handoff"}})
    assert refused(guard, "handoff", "billing").metric == "max_handoffs"
    admitted(guard, "person", "desk", now=2 * SECOND)


def test_what_a_child_is_refused_costs_its_parent_nothing() -> None:
    """All or nothing: the parent has as much as before."""
    top = budget(tokens=100_000, usd=None)
    child = budget(top, tokens=10, usd=None)
    refused(child)
    assert top.remaining(0)["token_budget"] == 100_000
    assert top.room(Intent("run", "llm", "m")) == 100_000 - tokens_of(0, "m")


def test_depth_counts_runs_inside_runs() -> None:
    """A run that has limits is at depth 1 of its own; runs without any are counted by those above them."""
    top = budget(depth=2)
    second = Budget(None, 0, above=top)
    third = budget(second, depth=9)
    assert isinstance(ask(top, "run"), Ticket)
    assert isinstance(ask(second, "run"), Ticket)
    assert refused(third, "run") == Refused("max_depth", 2, 1, 2, "run", "stop", above=2)


def test_deadlines_nest() -> None:
    """A child may have less time than is left, and never more; after it nothing begins, of whatever kind."""
    top = budget(started=SECOND, seconds=10)
    hasty, slow = budget(top, started=2 * SECOND, seconds=3), budget(top, started=2 * SECOND, seconds=60)
    assert (top.deadline, hasty.deadline, slow.deadline) == (11 * SECOND, 5 * SECOND, 11 * SECOND)
    assert isinstance(ask(hasty, "custom", now=5 * SECOND - 1), Ticket)
    assert refused(hasty, "custom", now=5 * SECOND) == Refused("deadline", 3, 0, 3, "run", "stop")
    assert refused(slow, "tool", now=11 * SECOND) == Refused("deadline", 10, 0, 10, "run", "stop", above=1)
    assert (slow.until("tool", 3 * SECOND), slow.until("llm", 3 * SECOND)) == (11 * SECOND, 11 * SECOND)
    assert budget(seconds=None, call_seconds=5).until("llm", SECOND) == 6 * SECOND
    assert budget(seconds=None).deadline is None


@pytest.mark.parametrize("mode", ["observe", "warn", "nudge"])
def test_quiet_modes_admit_and_say_so(mode: Mode) -> None:
    """Beyond the limit each action carries a notice; a deadline that only warns is no deadline."""
    guard = budget(tool_calls=1, seconds=1, modes={"tool_calls": mode, "seconds": mode})
    assert admitted(guard, "tool", "a").notices == ()
    first, late = (f"{used} are used. Come to an end now." for used in ("1 of 1 tool calls", "2 of 1 seconds"))
    said = [first, late] if mode == "nudge" else ["", ""]
    assert admitted(guard, "tool", "b").notices == (Notice("max_tool_calls", 1, 1, 1, "run", mode, said[0]),)
    assert guard.deadline is None
    assert admitted(guard, "custom", now=2 * SECOND).notices == (Notice("deadline", 2, 0, 1, "run", mode, said[1]),)


def test_other_modes_refuse_with_their_name() -> None:
    """What is done about it is the caller's; the refusal carries the word."""
    modes: Sequence[Mode] = ("block", "skip", "wrap_up", "stop", "handoff", "raise")
    found = [refused(budget(tool_calls=0, modes={"tool_calls": mode}), "tool", "a").mode for mode in modes]
    assert found == [*modes]


# ---- tokens and money ------------------------------------------------------------------------------------------------


def test_a_request_sets_aside_the_most_it_may_use() -> None:
    """Input by estimate, output as stated or 4,096, money at the dearest rates; given back when it is over."""
    guard = budget(tokens=10_000, usd=20)
    size = tokens_of(1000, "m")
    ticket = admitted(guard, input_bytes=1000, max_output=500)
    assert ticket.reservation == Reservation(size, 500, size * 1_000_000 + 500 * 2_000_000, "stated")
    assert refused(guard, input_bytes=0, max_output=9_999 - size - 500) == Refused(
        "token_budget", size + 500, tokens_of(0, "m") + 9_499 - size, 10_000, "run", "stop"
    )
    guard.settle(ticket, Settled(usage=Usage(10, 0, 0, 20, basis="provider")), 0)
    assert guard.remaining(0)["token_budget"] == 9_970
    unstated = admitted(guard, input_bytes=0).reservation
    assert unstated is not None
    assert (unstated.output, unstated.basis) == (MOST_OUTPUT, "estimated")


def test_strict_takes_every_byte_for_a_token() -> None:
    """No estimate is needed where nothing may be exceeded."""
    reserved = admitted(budget(strict=True, usd=9), input_bytes=5_000, max_output=1).reservation
    assert reserved is not None
    assert reserved.input >= 5_000


def test_money_runs_out_as_tokens_do() -> None:
    """$1 buys 500 tokens of output at $2,000 a million; a request for more does not leave."""
    guard = budget(usd=1)
    frame = tokens_of(0, "m")
    most = (1_000_000 - frame * 1000) // 2000
    assert guard.room(Intent("run", "llm", "m")) == most
    found = refused(guard, max_output=most + 1)
    assert (found.metric, found.used, found.threshold) == ("cost_budget", 0, 1)
    assert isinstance(ask(guard, max_output=most), Ticket)
    assert guard.room(Intent("run", "llm", "m")) == 0


def test_room_is_what_fits_every_limit() -> None:
    """Of tokens and money, of this run, the runs above and one call; none where nothing limits it."""
    top = budget(tokens=1_000, usd=None)
    frame = tokens_of(0, "m")
    assert budget(top, usd=None, call_tokens=300).room(Intent("run", "llm", "m")) == 300 - frame
    assert budget(top, usd=None).room(Intent("run", "llm", "m")) == 1_000 - frame
    assert budget(top, usd=None).room(Intent("run", "llm", "m", input_bytes=100_000)) == 0
    assert budget(top, usd=None).room(Intent("run", "llm", "m", replies=3)) == (1_000 - frame) // 3
    assert budget(tokens=None, usd=None).room(Intent("run", "llm", "m")) is None
    assert budget(tokens=5, usd=None, modes={"tokens": "warn"}).room(Intent("run", "llm", "m")) is None


def test_one_call_has_limits_of_its_own() -> None:
    """However much the run has left."""
    found = refused(budget(call_usd=0.5), max_output=1_000)
    assert (found.metric, found.scope, found.threshold) == ("cost_budget", "call", 0.5)
    assert refused(budget(call_tokens=100), max_output=200).scope == "call"


@pytest.mark.parametrize(
    ("settled", "used"),
    [
        (Settled("failed", sent=False), 0),
        (Settled("failed", error="RateLimitError", sent=False, usage=Usage(9, 0, 0, 9)), 0),
        (Settled("failed", error="ReadTimeout"), 64 + 100),
        (Settled("cancelled"), 64 + 100),
        (Settled(usage=Usage(output=7, basis="provider")), 64 + 7),
        (Settled(usage=Usage(input_uncached=5, cache_read=6, basis="provider")), 11 + 100),
        (Settled(usage=Usage(input_uncached=-5, output=7, basis="provider")), 64 + 100),
    ],
)
def test_what_nobody_counted_was_all_used(settled: Settled, used: int) -> None:
    """A request that did not leave, or was refused, costs nothing; one that did costs what was set aside for it."""
    guard = budget(tokens=10_000)
    guard.settle(admitted(guard, max_output=100), settled, 0)
    assert guard.remaining(0)["token_budget"] == 10_000 - used


def test_a_program_may_say_what_a_call_cost() -> None:
    """Its own figure counts, and the price of the model that served it where it says none."""
    guard = budget(usd=10)
    guard.settle(admitted(guard, max_output=1), Settled(cost=Cost("reported", total=3 * SECOND)), 0)
    assert guard.remaining(0)["cost_budget"] == 7
    guard.settle(admitted(guard, max_output=1), Settled(usage=Usage(1000, 0, 0, 0), served_model="m-2026"), 0)
    assert guard.remaining(0)["cost_budget"] == 6


def test_a_ticket_counts_once() -> None:
    """Handed in twice, it changes nothing more; a ticket of another guard changes nothing at all."""
    guard = budget(tokens=10_000)
    ticket = admitted(guard, max_output=100)
    for _ in range(2):
        guard.settle(ticket, Settled(usage=Usage(10, 0, 0, 10)), 0)
    assert guard.settle(Ticket(), Settled(), 0) == ()
    assert guard.remaining(0)["token_budget"] == 9_980


def test_a_provider_that_breaks_its_bound_gets_no_further_request() -> None:
    """More output than the request allowed is an overrun, and stops the run; other actions go on."""
    guard = budget()
    notices = guard.settle(admitted(guard, max_output=100), Settled(usage=Usage(10, 0, 0, 900, basis="provider")), 0)
    assert [(notice.metric, notice.mode, notice.scope, notice.used) for notice in notices] == [
        ("token_budget", "observe", "call", 910), ("cost_budget", "observe", "call", 1.81),
    ]  # fmt: skip
    found = refused(guard, max_output=1)
    assert (found.metric, found.reason) == ("token_budget", "overrun: 910 tokens were used, and 164 had been set aside")
    assert isinstance(ask(guard, "tool", "a"), Ticket)


def test_an_estimate_that_was_too_low_is_marked_and_not_made_again() -> None:
    """Nobody broke a promise, so the run goes on, and the next request of the model is reckoned by what came."""
    guard = budget(usd=None)
    notices = guard.settle(admitted(guard, input_bytes=1000), Settled(usage=Usage(900, 0, 0, 9_000)), 0)
    assert [(notice.metric, notice.mode) for notice in notices] == [
        ("token_budget", "observe"), ("cost_budget", "observe"),
    ]  # fmt: skip
    again = admitted(guard, input_bytes=2000).reservation
    assert again is not None
    assert again.input == 1800 + tokens_of(0, "m")


def test_more_than_the_limit_is_the_end() -> None:
    """Whatever the estimate was: what was used counts, and no request fits any more."""
    guard = budget(tokens=5_000, usd=None)
    guard.settle(admitted(guard), Settled(usage=Usage(10, 0, 0, 9_000)), 0)
    assert refused(guard, max_output=1).used == 9_010


def test_a_stated_cost_limit_refuses_what_has_no_price() -> None:
    """The refusal names the model and what to do; the shipped limit says so once, and tokens bound the run."""
    found = refused(budget(usd=1), name="nobody-knows", provider="acme")
    assert found.metric == "cost_budget"
    assert found.reason == (
        "no price is known for the model 'nobody-knows' of 'acme' (unknown_model): state one with token_prices, "
        "million_prices or prices.toml, or remove the limit with usd=None"
    )
    shipped = budget()
    first, second = admitted(shipped, name="nobody-knows"), admitted(shipped, name="nobody-knows")
    assert [(notice.metric, notice.mode) for notice in first.notices] == [("cost_budget", "warn")]
    assert "bounded by tokens alone" in first.notices[0].reason
    assert (second.notices, first.reservation and first.reservation.nano) == ((), None)
    assert isinstance(ask(budget(usd=1), name="nobody-knows", kind="tool"), Ticket)


# ---- hints and loops -------------------------------------------------------------------------------------------------


def test_early_warnings_are_given_once_each() -> None:
    """At 70 and at 90 per cent of each of six limits, to those who asked for it; of two at once the larger one."""
    guard = budget(iterations=10, seconds=100, tokens=1_000, usd=None, early=(0.7, 0.9))
    said = [admitted(guard, "iteration", now=n).notices for n in range(10)]
    assert [[notice.used for notice in notices] for notices in said] == [[]] * 6 + [[7], [], [9], []]
    assert said[6][0] == Notice(
        "max_iterations", 7, 0, 10, "run", "nudge",
        "7 of 10 iterations are used. Come to an end in what is left.",
    )  # fmt: skip
    late = admitted(guard, "custom", now=95 * SECOND).notices
    assert [(notice.metric, notice.mode) for notice in late] == [("deadline", "nudge")]
    guard.settle(admitted(guard, max_output=1), Settled(usage=Usage(800, 0, 0, 0)), 0)
    assert [notice.metric for notice in admitted(guard, "custom", now=96 * SECOND).notices] == ["token_budget"]
    assert not any(admitted(budget(iterations=3), "iteration").notices for _ in range(3))


def test_loops_are_asked_about_at_tool_calls() -> None:
    """A repeated call is warned of, then refused, with the steps of those before; a refused one is not counted."""
    guard = budget(tool_calls=3)
    warned = []
    for step in (5, 9):
        ticket = admitted(guard, "tool", "look", arguments={"q": 1})
        guard.began(ticket, step)
        guard.settle(ticket, Settled("completed", step, result="same"), 0)
        warned.append([notice.mode for notice in ticket.notices])
    assert warned == [[], ["warn"]]
    found = refused(guard, "tool", "look", arguments={"q": 1})
    assert (found.metric, found.mode, found.evidence) == ("tool_loop", "block", (5, 9))
    assert guard.remaining(0)["max_tool_calls"] == 1


# ---- what must hold --------------------------------------------------------------------------------------------------


class Open(NamedTuple):
    """An admitted model request."""

    whose: int
    ticket: Ticket


figures = st.one_of(st.none(), st.integers(0, 5))
policies = st.builds(
    lambda iterations, calls, tools, depth, tokens, usd, seconds, strict: Limits(
        iterations=iterations, llm_calls=calls, tool_calls=tools, depth=depth, tokens=tokens, usd=usd, seconds=seconds,
        strict=strict, loops=Loops(warn=None, block=None, skip=None, stop=None),
    ),
    figures, figures, figures, figures, st.one_of(st.none(), st.integers(0, 3_000)),
    st.one_of(st.none(), st.integers(0, 3)), figures, st.booleans(),
)  # fmt: skip
amounts = st.one_of(st.none(), st.integers(-10, 5_000))
lies = st.builds(
    lambda uncached, read, output, sent: Settled(usage=Usage(uncached, read, 0, output, basis="provider"), sent=sent),
    amounts, amounts, amounts, st.booleans(),
)  # fmt: skip
moves = st.one_of(
    st.tuples(st.just("run"), st.integers(0, 9), st.one_of(st.none(), policies)),
    st.tuples(st.sampled_from(["iteration", "tool", "custom"]), st.integers(0, 9), st.none()),
    st.tuples(st.just("llm"), st.integers(0, 9), st.tuples(st.integers(0, 2_000), amounts)),
    st.tuples(st.just("settle"), st.integers(0, 9), lies),
    st.tuples(st.just("wait"), st.integers(0, 9), st.none()),
)
COUNTS = {"iteration": "iterations", "llm": "llm_calls", "tool": "tool_calls"}


class Family:
    """A tree of runs, and beside it a plain account of what each of them was admitted."""

    def __init__(self, first: Limits) -> None:
        self.now = 0
        self.runs = [Budget(first, 0, world=WORLD)]
        self.families: list[list[int]] = [[0]]
        """Of each run: itself and the runs above it."""
        self.policies: list[Limits | None] = [first]
        self.started = [0]
        self.counts: dict[tuple[int, str], int] = {}
        self.reserved: dict[int, int] = {}
        self.used: dict[int, int] = {}
        self.open: list[Open] = []

    def move(self, kind: str, number: int, what: Any) -> None:
        """One thing happens."""
        whose = number % len(self.runs)
        if kind == "wait":
            self.now += number * SECOND // 4
        elif kind == "run":
            self._begin(whose, what)
        elif kind == "settle":
            self._settle(number, what)
        else:
            size, most = what if what is not None else (0, None)
            answer = ask(self.runs[whose], kind, "m", self.now, input_bytes=size, max_output=most)
            if isinstance(answer, Ticket):
                self._admitted(whose, kind, answer)

    def _begin(self, whose: int, policy: Limits | None) -> None:
        run = Budget(policy, self.now, above=self.runs[whose])
        if isinstance(ask(run, "run", now=self.now), Ticket):
            self.families.append([len(self.runs), *self.families[whose]])
            self.runs.append(run)
            self.policies.append(policy)
            self.started.append(self.now)
            for depth, member in enumerate(self.families[-1], 1):
                limits = self.policies[member]
                assert limits is None or limits.depth is None or depth <= limits.depth

    def _admitted(self, whose: int, kind: str, ticket: Ticket) -> None:
        reservation = ticket.reservation
        tokens = 0 if reservation is None else reservation.input + reservation.output
        if reservation is not None:
            self.open.append(Open(whose, ticket))
        for member in self.families[whose]:
            self.counts[member, kind] = count = self.counts.get((member, kind), 0) + 1
            self.reserved[member] = self.reserved.get(member, 0) + tokens
            limits = self.policies[member]
            if limits is None:
                continue
            most = getattr(limits, COUNTS[kind]) if kind in COUNTS else None
            assert most is None or count <= most
            assert limits.seconds is None or self.now - self.started[member] < limits.seconds * SECOND
            total = self.reserved[member] + self.used.get(member, 0)
            assert kind != "llm" or limits.tokens is None or total <= limits.tokens
        for purse in self.runs[whose].purses:
            assert kind != "llm" or purse.most_nano is None or purse.nano + purse.held_nano <= purse.most_nano

    def _settle(self, number: int, settled: Settled) -> None:
        if not self.open:
            return
        whose, ticket = self.open.pop(number % len(self.open))
        self.runs[whose].settle(ticket, settled, self.now)
        reservation, usage = ticket.reservation, settled.usage
        assert reservation is not None
        assert usage is not None
        said = (usage.input_uncached, usage.cache_read, usage.output)
        known = any(figure is not None for figure in said) and not any(figure and figure < 0 for figure in said)
        total, output = (usage.input_total, usage.output) if known else (None, None)
        # cache_write is always stated as 0, so the input is never missing where anything is known.
        used = (reservation.input if total is None else total) + (reservation.output if output is None else output)
        if usage.input_uncached is None and usage.cache_read is None and usage.output is None:
            used = reservation.output  # the zero that was stated stands for the input
        for member in self.families[whose]:
            self.reserved[member] -= reservation.input + reservation.output
            self.used[member] = self.used.get(member, 0) + (used if settled.sent else 0)


@given(policies, st.lists(moves, max_size=60))
def test_nothing_gets_past_a_budget(first: Limits, what: list[tuple[str, int, Any]]) -> None:
    """No order of runs, questions, lies and delays exceeds a count, a depth or a deadline, or admits what does not fit.

    For every run of the tree, at every admission: what is used and set aside is within its limit.
    """
    family = Family(first)
    for kind, number, facts in what:
        family.move(kind, number, facts)


def test_threads_cannot_share_the_last_place() -> None:
    """Eight threads in four runs below one: as many are admitted as fit, not one more, and nothing stays set aside."""
    frame = tokens_of(0, "m")
    top = budget(llm_calls=200, tool_calls=150, tokens=(frame + 10) * 20, usd=None)
    runs = [Budget(None, 0, above=top) for _ in range(4)]
    barrier = threading.Barrier(8)
    most = [0]

    def work(number: int) -> tuple[int, int]:
        guard, calls, tools = runs[number % 4], 0, 0
        barrier.wait()
        for turn in range(100):
            answer = ask(guard, max_output=10)
            if isinstance(answer, Ticket):
                calls += 1
                most[0] = max(most[0], int((frame + 10) * 20 - top.remaining(0)["token_budget"]))
                guard.settle(answer, Settled(sent=False), 0)
            tools += isinstance(ask(guard, "tool", "t", arguments=(number, turn)), Ticket)
        return calls, tools

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(8)))
    assert (sum(calls for calls, _ in found), sum(tools for _, tools in found)) == (200, 150)
    assert (top.remaining(0)["token_budget"], most[0]) == ((frame + 10) * 20, 0)
    assert top.room(Intent("run", "llm", "m")) == (frame + 10) * 20 - frame


def test_of_two_times_for_a_call_the_shorter_holds() -> None:
    """A run inside may take less for a request than the one above it, not more; a time that only warns cuts none."""
    top = budget(call_seconds=60)
    assert budget(top, iterations=5).until("llm", SECOND) == 61 * SECOND
    assert budget(top, call_seconds=30).until("llm", SECOND) == 31 * SECOND
    assert Budget(None, 0, above=top).until("llm", SECOND) == 61 * SECOND
    assert top.until("tool", SECOND) == 1_800 * SECOND
    assert budget(call_seconds=60, seconds=None, modes={"call_seconds": "warn"}).until("llm", SECOND) is None


def test_who_is_inside_a_strict_run_is_strict() -> None:
    """Its requests draw from a budget that allows no estimate."""
    strict, plain = budget(strict=True, usd=None), budget(usd=None)
    found = [
        admitted(guard, input_bytes=10_000, max_output=0).reservation
        for guard in (budget(strict, usd=None), budget(plain, usd=None))
    ]
    assert [known.input if known else None for known in found] == [
        tokens_of(10_000, "m", strict=True), tokens_of(10_000, "m"),
    ]  # fmt: skip


def test_a_call_that_the_ledger_refuses_is_open_no_longer() -> None:
    """It was never run, so it has no answer to wait for: the next changed result begins anew all the same."""
    ledger = MemoryLedger()
    policy = Limits(session_tool_calls=1, loops=Loops(warn=3, block=9, skip=None, stop=None))
    guard = Budget(policy, 0, world=World(ledger=lambda: ledger), session="s")
    account = Account.of_session("default", "s", "tool_calls")
    guard.settle(admitted(guard, "tool"), Settled(result="a"), 0)
    assert refused(guard, "tool").metric == "session_limit"
    told = []
    for _ in range(3):
        ledger.reset(account, 0)
        ticket = admitted(guard, "tool")
        told.append([notice.mode for notice in ticket.notices])
        guard.settle(ticket, Settled(result="b"), 0)
    assert told == [["warn"], [], ["warn"]]


@pytest.mark.parametrize(("mode", "expected"), [("handoff", Ticket), ("stop", Refused)])
def test_handing_over_is_let_through_by_the_deadline_that_asks_for_it(mode: Mode, expected: type) -> None:
    """With the time over and mode `handoff`, everything is refused but handing over; another mode refuses that too."""
    guard = budget(seconds=1, modes={"seconds": mode})
    assert refused(guard, "tool", now=2 * SECOND).metric == "deadline"
    assert isinstance(ask(guard, "handoff", "desk", now=2 * SECOND), expected)
    assert isinstance(ask(guard, PERSON, "desk", now=2 * SECOND), expected)


def test_giving_a_run_to_a_person_is_no_hand_off_between_agents() -> None:
    """The count of those stands in its way no more than it is counted in it."""
    guard = budget(handoffs=1)
    assert [isinstance(ask(guard, kind), Ticket) for kind in (PERSON, "handoff", "handoff", PERSON)] == [
        True, True, False, True
    ]  # fmt: skip


def test_a_run_that_goes_on_has_used_what_it_had_used() -> None:
    """Counts, tokens, money and time; from there on it counts as ever, and so do the runs above it."""
    lead = budget(tool_calls=9, usd=None)
    guard = budget(lead, -4 * SECOND, llm_calls=3, tool_calls=2, tokens=10_000, usd=50, seconds=60)
    detector = Detector(Loops())
    guard.go_on(Past({"max_llm_calls": 2, "max_tool_calls": 1}, 3_000, 2_000_000_000, 4 * SECOND), detector)
    left = guard.remaining(0)
    names = ("max_llm_calls", "max_tool_calls", "token_budget", "cost_budget", "deadline")
    assert [left[name] for name in names] == [1, 1, 7_000, 48, 56]
    assert isinstance(ask(guard, "tool", "t"), Ticket)
    assert isinstance(ask(guard, "tool", "t"), Refused)
    assert lead.remaining(0)["max_tool_calls"] == 8


def test_a_run_that_goes_on_knows_its_calls() -> None:
    """The detector that is brought along is asked."""
    guard, detector = budget(loops=Loops(block=2)), Detector(Loops(block=2))
    detector.asked("look", {"q": 1}, 0)
    guard.go_on(Past(), detector)
    said = ask(guard, "tool", "look", arguments={"q": 1})
    assert isinstance(said, Refused)
    assert said.mode == "block"
