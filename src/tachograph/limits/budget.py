"""The budget of one run: asked before all it does, told what came of it. Budgets of runs inside runs form a tree.

An action draws from the purse of its run and from those of all runs above it, at once: it fits into each of them, or
nothing is taken from any. Counts, depth and time are exact. A model request sets aside the most it may use before it
leaves, and what it did use replaces that afterwards, so what is used and set aside never exceeds a limit when something
is admitted. A provider that reports more than was set aside is an overrun: it is marked, and where the request itself
stated the bound that was broken, the run's next request is refused.

One lock serves a tree. Whoever makes the first budget brings it, for this room knows no threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import accumulate

from msgspec import Struct, structs

from tachograph.errors import StoreUnavailable
from tachograph.fold.price_rates import unpriced
from tachograph.limits.accounts import Accounts, Line, Taken, lines_of
from tachograph.limits.guard import PERSON, Intent, Notice, Refused, Settled, Spent, Ticket
from tachograph.limits.ledger import Ledger
from tachograph.limits.limit import Limit, Limits
from tachograph.limits.loops import Detector
from tachograph.limits.money import Prices, Rate
from tachograph.limits.past import Past
from tachograph.limits.purse import COUNTED, NEVER, QUIET, Hit, Purse, least, urge
from tachograph.limits.reckon import Asked, Used, breaks_its_word, overruns, reckon, used
from tachograph.limits.streaks import Place

_FAMILIAR = 256
"""Models whose estimates are corrected, or whose missing price was told of."""
_NOTHING = Used(0, 0)


class Held(Struct):
    """What an admitted action holds until it is settled."""

    kind: str
    asked: Asked | None = None
    began: int = 0
    """Monotonic ns of the admission."""
    place: Place | None = None
    taken: Taken | None = None
    purses: tuple[Purse, ...] = ()
    """What it draws from."""
    open: bool = True

    def claim(self) -> bool:
        """Whether the caller may settle it: true once."""
        was, self.open = self.open, False
        return was


@dataclass(frozen=True)
class World:
    """What a budget needs to know of the world outside this room; one for all runs of a recorder."""

    prices: Prices = lambda provider, model, tier: unpriced("no_price")
    ledger: Callable[[], Ledger] | None = None
    """Where limits of sessions and tenants are kept; None: they cannot be."""
    utc: Callable[[], int] = lambda: 0
    """UTC nanoseconds, for the ledger."""
    lock: Callable[[], AbstractContextManager[object]] = nullcontext
    """Makes the lock of a tree of budgets."""


class Tree:
    """What the budgets of a tree share."""

    __slots__ = ("lock", "seen", "told")

    def __init__(self, lock: AbstractContextManager[object]) -> None:
        self.lock = lock
        self.seen: dict[str, float] = {}
        """Model → tokens a byte, where requests came to more than their estimate."""
        self.told: set[str] = set()
        """Models of which it was said that they have no price."""

    def remember(self, model: str, ratio: float) -> None:
        """A request came to so many tokens a byte."""
        if model in self.seen or len(self.seen) < _FAMILIAR:
            # No tokenizer makes more than a token of a byte: what is reported beyond that is no measure.
            self.seen[model] = min(1.0, max(ratio, self.seen.get(model, 0.0)))

    def tell(self, model: str) -> bool:
        """Whether it is to be said that a model has no price: once, and of so many models."""
        if model in self.told or len(self.told) >= _FAMILIAR:
            return False
        self.told.add(model)
        return True


class Budget:
    """Guards one run. `above` is the budget of the run that started it; `started` is monotonic, in nanoseconds."""

    def __init__(
        self,
        limits: Limits | None,
        started: int,
        *,
        above: Budget | None = None,
        world: World | None = None,
        tenant: str = "default",
        session: str | None = None,
    ) -> None:
        self.world: World = world or (above.world if above else World())
        self.tree: Tree = above.tree if above else Tree(self.world.lock())
        self._above = above
        self.own = limits
        """As stated for this run itself."""
        self.limits: Limits = limits or (above.limits if above else Limits())
        """Those nearest to it."""
        self.tenant: str = above.tenant if above and tenant == "default" else tenant
        self.session = session
        self.policies: tuple[Limits, ...] = ((limits,) if limits else ()) + (above.policies if above else ())
        self._purse = Purse(limits, started)
        self._outer: tuple[Purse, ...] = above.purses if above else ()
        self._detector = Detector(self.limits.loops)
        self._strict = any(policy.strict for policy in self.policies)
        self._draw(self._purse, *self._outer)
        self._refused: tuple[Refused | None, Place | None] = (None, None)
        """The last call that the detector refused, and its place there."""
        self._broken = ""
        """How a provider went beyond what a request had stated; the next request is refused."""
        self.lines: tuple[Line, ...] = tuple(self._lines(above))
        """Its limits of sessions and tenants, and those of the runs above it."""
        self._accounts = Accounts(self.lines, self._ledger, self.world.utc)

    def narrow(self, limits: Limits | None, now: int) -> None:
        """From now on (monotonic ns) it also keeps to these, which count from now; None: to its own alone again."""
        with self.tree.lock:
            parts = () if limits is None else (Purse(limits, now, part=True),)
            self._draw(*parts, self._purse, *self._outer)

    def _draw(self, *purses: Purse) -> None:
        """What it draws from, and what follows from that."""
        self.purses: tuple[Purse, ...] = purses
        above = accumulate((not purse.part for purse in purses), initial=0)
        self._levels: tuple[tuple[int, Purse], ...] = tuple(zip(above, purses, strict=False))
        """How many runs above this one each belongs to, and it: that of a part of a run to the run."""
        deadline = min(purse.deadline for purse in purses)
        self.deadline: int | None = None if deadline == NEVER else deadline
        """Monotonic nanoseconds at which its time is over, and that of whatever is inside it; None: never."""
        self._ends = min(purse.ends for purse in purses)
        self._early = any(purse.early for purse in purses)
        self._call_ends = min(purse.call_ns for purse in purses)
        """Nanoseconds that a model request may take."""

    def go_on(self, past: Past, detector: Detector) -> None:
        """The run was taken over when it had used so much; the detector knows its calls. Said before it is asked."""
        purse = self._purse
        purse.counts.update(past.counts)
        purse.tokens, purse.nano = past.tokens, past.nano
        self._detector = detector

    # ---- asked before ---------------------------------------------------------------------------------------------

    def admit(self, intent: Intent, spent: Spent, now: int) -> Ticket | Refused:
        """Permission for an action at monotonic time `now` (ns). It counts itself; `spent` is not asked."""
        asked = self._reckon(intent) if intent.kind == "llm" else None
        held, notices = Held(intent.kind, asked, now), list[Notice]()
        with self.tree.lock:
            for hit, reason in self._hits(intent, asked, now):
                if hit.limit.mode not in QUIET:
                    return _refused(hit, reason)
                notices.append(_notice(hit, reason or urge(hit.limit, hit.used)))
            if intent.kind == "tool":
                held.place, verdict = self._detector.ask(intent.name, intent.arguments, now)
                if isinstance(verdict, Refused):
                    self._refused = verdict, held.place
                    return verdict
                if verdict is not None:
                    notices.append(verdict)
            self._take(held)
            notices.extend(self._hints(intent.kind, now))
        if self._accounts.concerns(intent.kind):
            taken = self._claim(held, now)
            if isinstance(taken, Refused):
                if held.place is not None:
                    with self.tree.lock:
                        self._detector.withdrawn(held.place)
                return taken
            notices.extend(taken.notices)
        return Ticket(held, tuple(notices), None if asked is None else asked.reserved)

    def began(self, ticket: Ticket, step: int | None) -> None:
        """The action's start event has this seq, which evidence names."""
        held = ticket.reserved
        if isinstance(held, Held) and held.place is not None:
            with self.tree.lock:
                self._detector.began(held.place, step)

    def recorded(self, refused: Refused, step: int) -> None:
        """The call that was refused so stands in the record with this seq, which later evidence names."""
        with self.tree.lock:
            last, place = self._refused
            if last is refused and place is not None:
                self._detector.began(place, step)

    def settle(self, ticket: Ticket, settled: Settled, now: int) -> tuple[Notice, ...]:
        """The action is over. A ticket counts once, however often it is handed in."""
        held = ticket.reserved
        if not isinstance(held, Held) or not held.open:
            return ()
        asked = held.asked
        found = _NOTHING if asked is None else used(asked, settled, self.world.prices)
        notices: tuple[Notice, ...] = ()
        with self.tree.lock:
            if not held.claim():
                return ()
            if asked is not None:
                for purse in held.purses:
                    purse.turn_in((asked.tokens, asked.nano), (found.tokens, found.nano))
                notices = (*self._learn(asked, found), *self._slow(held, now))
            elif held.place is not None:
                self._detector.answered(held.place, settled)
        if held.taken is None:
            return notices
        return (*notices, *self._accounts.settle(held.taken, found.tokens, found.nano))

    def room(self, intent: Intent) -> int | None:
        """Most tokens of output that this request may ask for, a reply, and still fit; None: nothing limits them."""
        asked = self._reckon(intent)
        with self.tree.lock:
            rooms = [purse.room() for purse in self.purses]
        if self._accounts.concerns("llm"):
            rooms.append(self._accounts.room())
        most: int | None = None
        for tokens, nano in rooms:
            if tokens is not None:
                most = least(most, max(0, tokens - asked.reserved.input))
            if nano is not None and isinstance(asked.rate, Rate):
                afford = asked.rate.afford(asked.reserved.input, nano)
                most = most if afford is None else least(most, max(0, afford))
        return most if most is None else most // max(1, intent.replies)

    def remaining(self, now: int) -> Mapping[str, float]:
        """Metric → how much of it is left, by the strictest limit: counts, tokens, USD, seconds."""
        found: dict[str, float] = {}
        with self.tree.lock:
            for purse in self.purses:
                for metric, left in purse.left(now):
                    found[metric] = min(left, found.get(metric, left))
        return found

    def until(self, kind: str, now: int) -> int | None:
        """When an action that begins now must be over: at the run's deadline; a model request also by its own."""
        own = None if kind != "llm" or self._call_ends == NEVER else now + self._call_ends
        return least(self.deadline, own)

    def after_fork(self) -> None:
        """In a forked child: whoever held the lock is not here."""
        self.tree.lock = self.world.lock()

    def _reckon(self, intent: Intent) -> Asked:
        return reckon(intent, self.world.prices, strict=self._strict, seen=self.tree.seen)

    def _learn(self, asked: Asked, found: Used) -> tuple[Notice, ...]:
        """What a request used beyond what was set aside for it: the next estimate knows of it, or there is no next."""
        came = found.usage.input_total if found.usage is not None else None
        if came is not None and asked.size and came > asked.reserved.input:
            self.tree.remember(asked.model, came / asked.size)
        notices = tuple(overruns(asked, found))
        if notices and breaks_its_word(asked, found, strict=self._strict):
            self._broken = notices[0].reason
        return notices

    # ---- what stands against it -----------------------------------------------------------------------------------

    def _hints(self, kind: str, now: int) -> Iterator[Notice]:
        """What there is to say to the model of an action that is admitted."""
        if kind == "iteration":
            for purse in self.purses:
                yield from purse.last_turns()
        if self._early:
            for purse in self.purses:
                yield from purse.hints(now)

    def _slow(self, held: Held, now: int) -> Iterator[Notice]:
        """A model request took all the time that a limit on calls leaves it."""
        if now - held.began >= self._call_ends:
            for purse in self.purses:
                if purse.call_ns == self._call_ends:
                    limit, took = purse.calls["deadline"], (now - held.began) / 1e9
                    yield Notice(limit.metric, took, 0, limit.threshold, limit.scope, limit.mode)
                    return

    def _hits(self, intent: Intent, asked: Asked | None, now: int) -> Iterator[tuple[Hit, str]]:
        """Limits that do not allow an action, with what there is to say beside the figures; the nearest run's first."""
        if now >= self._ends:
            for above, purse in self._levels:
                hit = purse.over_time(now)
                # Handing over is what a limit of that mode asks for: it does not stand in its way.
                if hit is not None and not (intent.kind in ("handoff", PERSON) and hit.limit.mode == "handoff"):
                    yield hit.of(above), ""
        metric = COUNTED.get(intent.kind)
        if metric is not None:
            for above, purse in self._levels:
                if (hit := purse.over_count(metric)) is not None:
                    yield hit.of(above), ""
        if asked is not None:
            yield from self._dear(asked)
        elif intent.kind == "run":
            yield from self._deep()

    def _dear(self, asked: Asked) -> Iterator[tuple[Hit, str]]:
        """Limits on tokens and money that a model request does not fit into."""
        if self._broken:
            caps = ((purse, metric) for metric in ("token_budget", "cost_budget") for purse in self.purses)
            for purse, metric in [(purse, metric) for purse, metric in caps if metric in purse.caps][:1]:
                yield Hit(purse.caps[metric], purse.used(metric, 0) or 0, 0), self._broken
        for above, purse in self._levels:
            for hit in purse.over_tokens(asked.tokens):
                yield hit.of(above), ""
        if asked.reserved.nano is None:
            yield from self._unpriced(asked)
            return
        for above, purse in self._levels:
            for hit in purse.over_money(asked.reserved.nano):
                yield hit.of(above), ""

    def _unpriced(self, asked: Asked) -> Iterator[tuple[Hit, str]]:
        """A limit on money that somebody stated cannot hold without a price; of the shipped one, we say so once."""
        whose = f"{asked.model!r} of {asked.provider!r}" if asked.provider else repr(asked.model)
        why = (
            f"no price is known for the model {whose} ({asked.rate}): state one with token_prices, million_prices or "
            "prices.toml, or remove the limit with usd=None"
        )
        limits = [limit for purse in self.purses for limit in purse.costs()] + list(self._accounts.costs)
        for limit in limits:
            if limit.stated:
                yield Hit(limit, 0, 0), why
        if limits and not any(limit.stated for limit in limits) and self.tree.tell(asked.model):
            yield Hit(_warning(limits[0]), 0, 0), f"{why}; until then its calls are bounded by tokens alone"

    def _deep(self) -> Iterator[tuple[Hit, str]]:
        """Runs inside runs: a run with limits is at depth 1 of its own."""
        for above, purse in self._levels:
            limit = None if purse.part else purse.caps.get("max_depth")
            if limit is not None and above + 1 > limit.threshold:
                yield Hit(limit, above, 1, above), ""

    # ---- taking ---------------------------------------------------------------------------------------------------

    def _take(self, held: Held) -> None:
        metric = COUNTED.get(held.kind)
        tokens, nano = (held.asked.tokens, held.asked.nano) if held.asked else (0, 0)
        held.purses = self.purses
        for purse in held.purses:
            purse.take(metric, tokens, nano)

    def _claim(self, held: Held, now: int) -> Taken | Refused:
        """Set aside what it needs of the counts that are shared; when that does not fit, give back all the rest."""
        tokens, nano = (held.asked.tokens, held.asked.nano) if held.asked else (0, 0)
        lasts = None if self.deadline is None else self.deadline - now
        taken: Taken | Refused | None = None
        try:
            taken = self._accounts.take(held.kind, tokens, nano, lasts)
        finally:
            if not isinstance(taken, Taken):
                with self.tree.lock:
                    for purse in held.purses:
                        purse.untake(COUNTED.get(held.kind), tokens, nano)
        held.taken = taken if isinstance(taken, Taken) else None
        return taken if isinstance(taken, Taken) else structs.replace(taken, above=self._whose(taken))

    def _whose(self, refused: Refused) -> int:
        """How far above the shared limit was stated that refuses: it is the affair of the topmost run that has it."""
        key, above, budget = (refused.metric, refused.threshold, refused.scope, refused.mode), 0, self._above
        while budget is not None and any(
            (limit.metric, limit.threshold, limit.scope, limit.mode) == key
            for limit in (line.limit for line in budget.lines if line.account.of != "runs")
        ):
            above, budget = above + 1, budget._above  # noqa: SLF001 - of its own kind
        return above

    def _lines(self, above: Budget | None) -> Iterable[Line]:
        inside = above is not None and above.session == self.session
        same = above is not None and above.tenant == self.tenant
        counted = [scope for scope, counts in (("session", not inside), ("tenant", not same)) if counts]
        inherited = () if above is None else above.lines
        return lines_of(self.policies, self.tenant, self.session, runs=counted, above=inherited)

    def _ledger(self) -> Ledger:
        if self.world.ledger is None:
            raise StoreUnavailable("none", "no ledger is wired, so limits of sessions and tenants cannot be kept")
        return self.world.ledger()


def _refused(hit: Hit, reason: str) -> Refused:
    limit = hit.limit
    said = limit.metric, hit.used, hit.requested, limit.threshold, limit.scope, limit.mode
    return Refused(*said, reason, above=hit.above)


def _notice(hit: Hit, reason: str) -> Notice:
    limit = hit.limit
    return Notice(limit.metric, hit.used, hit.requested, limit.threshold, limit.scope, limit.mode, reason)


def _warning(limit: Limit) -> Limit:
    return structs.replace(limit, mode="warn")
