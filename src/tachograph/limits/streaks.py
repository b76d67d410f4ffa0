"""What a detector of loops keeps in mind: calls, tools, and the last few requests in order.

All of it is bounded, however long a run is: so many different calls and tools, the ones not asked for longest going
first, and so many pieces of evidence of each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from tachograph.limits.canonical import words_of

EVIDENCE = 16
"""Repeated calls that are named as evidence: the last ones."""
CALLS = 4_096
"""Different calls that are kept in mind; one not made for so many others counts as new."""
TOOLS = 512
PERIODS = (2, 3, 4)
"""Different calls in a circle, as far as circles are looked for."""
_LONGEST = 4_000
"""Bytes of arguments up to which two calls may be nearly the same."""


class Streak:
    """The same thing said by one tool in a row. Another thing makes another streak."""

    __slots__ = ("count", "last", "said", "steps")

    def __init__(self, said: object = None) -> None:
        self.said = said
        self.count = 0
        self.steps: deque[int] = deque(maxlen=EVIDENCE)
        self.last: Call | None = None
        """The call that said it last."""

    def after(self, said: object, place: Place, then: tuple[Streak, int] | None, *, others: bool = False) -> Streak:
        """The streak after one more answer; None said nothing that could be repeated, and ends it.

        `then` is the streak and its length when the call was asked for: answers to calls that were asked for together
        count once. With `others` a call that says it again does not count; only another one does.
        """
        if said is None or said != self.said:
            streak = Streak(said)
            return streak._longer(place, 1) if said is not None else streak
        if others and self.last is place.call:
            return self
        known = then[1] if then is not None and then[0] is self else 0
        return self._longer(place, max(self.count, known + 1))

    def _longer(self, place: Place, count: int) -> Streak:
        self.count, self.last = count, place.call
        if place.step is not None:
            self.steps.append(place.step)
        return self


class Call:
    """One call: a tool with its arguments, however often it is asked for."""

    __slots__ = ("count", "last", "news", "open", "places", "renewed", "result", "total")

    def __init__(self) -> None:
        self.count = 0
        """Requests since its result was last another one; those that were refused, too."""
        self.total = 0
        """Requests of the run."""
        self.open = 0
        """Requests that have not been answered."""
        self.result: bytes | None = None
        """Of the last answer; None before the first."""
        self.last: int | None = None
        """When it was last admitted, ns."""
        self.renewed = 0
        """How often it was let run once more because of what was new."""
        self.news = 0
        """How much was new in the run when it was last admitted, or answered."""
        self.places: deque[Place] = deque(maxlen=EVIDENCE)

    def renew(self, count: int) -> None:
        """It may run once more, as if it had been asked for less than `count` times so far."""
        self.count = count - 1
        self.renewed += 1

    def change(self) -> None:
        """Its result is another one: only the request that brought it, and those still open, count from here on."""
        self.count = 1 + self.open
        self.renewed = 0

    @property
    def evidence(self) -> tuple[int, ...]:
        """Seqs of the requests that count, the last ones."""
        return steps_of(list(self.places)[-self.count :]) if self.count else ()


class Tool:
    """One tool."""

    __slots__ = ("failures", "name", "same")

    def __init__(self, name: str) -> None:
        self.name = name
        self.failures = Streak()
        """Errors of one class."""
        self.same = Streak()
        """One result of different calls."""


class Place:
    """One request among those of a run. Whoever asked hands it back with the answer."""

    __slots__ = ("call", "failures", "open", "result", "rule", "same", "step", "tool")

    def __init__(self, call: Call, tool: Tool) -> None:
        self.call, self.tool = call, tool
        self.step: int | None = None
        """Seq of its start event."""
        self.result: bytes | None = None
        """None while nobody knows it."""
        self.open = False
        self.rule = ""
        """What spoke: repeat, renewed, circle, errors, no_progress, same_calls, interval, most; else empty."""
        self.failures: tuple[Streak, int] | None = None
        """What its tool had said, and how often, when it was asked for: what the model could know."""
        self.same: tuple[Streak, int] | None = None

    def opened(self) -> None:
        """It runs."""
        self.open = True
        self.call.open += 1
        self.failures = self.tool.failures, self.tool.failures.count
        self.same = self.tool.same, self.tool.same.count

    def close(self) -> tuple[tuple[Streak, int] | None, tuple[Streak, int] | None]:
        """It is over: what its tool had said of failures and results when it was asked for.

        They are forgotten here, else each place would hold the streaks before it, and those their places, for ever.
        """
        self.open = False
        self.call.open -= 1
        known = self.failures, self.same
        self.failures = self.same = None
        return known


def steps_of(places: Iterable[Place]) -> tuple[int, ...]:
    """Seqs of those that were recorded."""
    return tuple(place.step for place in places if place.step is not None)


class Memory:
    """Calls and tools by name."""

    def __init__(self) -> None:
        self._calls: dict[bytes, Call] = {}
        self._tools: dict[str, Tool] = {}

    def call(self, key: bytes) -> Call:
        """The call of that key; a new one when it was not asked for, or not for long."""
        found = self._calls.pop(key, None) or Call()
        self._calls[key] = found
        if len(self._calls) > CALLS:
            # Calls and places hold each other: cut here, they go at once, and not when Python looks for circles.
            self._calls.pop(next(iter(self._calls))).places.clear()
        return found

    def tool(self, name: str) -> Tool:
        """The tool of that name."""
        found = self._tools.pop(name, None) or Tool(name)
        self._tools[name] = found
        if len(self._tools) > TOOLS:
            gone = self._tools.pop(next(iter(self._tools)))
            gone.same.last = gone.failures.last = None
        return found


class Turn:
    """A request as circles see it: alike another when both have the same words, or are the same call."""

    __slots__ = ("_spelling", "_words", "place")

    def __init__(self, place: Place, spelling: bytes) -> None:
        self.place = place
        self._spelling = spelling if len(spelling) <= _LONGEST else b""
        self._words: str | None = None

    def is_alike(self, other: Turn) -> bool:
        """Whether it is nearly the same call."""
        if self.place.call is other.place.call:
            return True
        if self.place.tool.name != other.place.tool.name or not (self._spelling and other._spelling):
            return False
        return self.words == other.words

    @property
    def words(self) -> str:
        """Words of its arguments."""
        if self._words is None:
            self._words = words_of(self._spelling)
        return self._words

    def repeats(self, other: Turn) -> bool:
        """Whether both are alike, with the same result as far as that is known."""
        mine, its = self.place.result, other.place.result
        return (mine is None or its is None or mine == its) and self.is_alike(other)


class Circle:
    """Different calls that come round again and again, up to the request that would go on with it."""

    __slots__ = ("length", "period", "turns")

    def __init__(self, period: int, turns: list[Turn]) -> None:
        self.period, self.turns = period, turns
        self.length = len(turns) + 1
        """Requests in it, this one too."""

    @property
    def tools(self) -> list[str]:
        """The tools of one round."""
        return [turn.place.tool.name for turn in self.turns[-self.period :]]


class Order:
    """The last requests in order."""

    def __init__(self, kept: int) -> None:
        self._turns: deque[Turn] = deque(maxlen=kept)

    def add(self, turn: Turn) -> None:
        """It was asked for."""
        self._turns.append(turn)

    def circles(self, turn: Turn) -> Iterator[Circle]:
        """Circles that this request would go on with, the smallest first."""
        for period in PERIODS:
            if len(self._turns) < period or not turn.is_alike(self._turns[-period]):
                continue
            turns = self._stretch(period)
            if len(turns) > period and _all_differ(turns[-period:]):
                yield Circle(period, turns)

    def _stretch(self, period: int) -> list[Turn]:
        """The longest end of the order in which each repeats the one `period` places before."""
        turns, start = self._turns, len(self._turns) - period
        while start > 0 and turns[start + period - 1].repeats(turns[start - 1]):
            start -= 1
        return [turns[place] for place in range(start, len(turns))]


def _all_differ(turns: list[Turn]) -> bool:
    return not any(turn.is_alike(other) for place, turn in enumerate(turns) for other in turns[:place])
