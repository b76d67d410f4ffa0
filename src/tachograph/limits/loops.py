"""Loops: what repeats among the tool calls of a run, judged before a call is made.

A call is a tool and its arguments as a value, less the fields that its policy ignores. Repeating a call that always
has the same result is answered step by step: warn, block, skip, stop; a changed result begins anew.

    detector = Detector(Loops())
    place, verdict = detector.ask("search", {"q": "fares"}, now)     # before it runs
    detector.began(place, seq)                                       # its start was recorded
    detector.answered(place, Settled(result=found))                  # it is over

A result that is not known yet counts as equal until it turns out not to be, so asking for the same thing many times in
one reply is no way round. Failures, and equal results of different calls, that were asked for before the first of them
was known count once: nobody could have learned from what was not said yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from tachograph.events.limit import Mode
from tachograph.limits import reasons
from tachograph.limits.canonical import key_of, result_of, says_nothing, spelled
from tachograph.limits.guard import Notice, Refused, Settled
from tachograph.limits.streaks import PERIODS, Circle, Memory, Order, Place, Streak, Turn, steps_of


class Repeat(Struct, frozen=True, kw_only=True):
    """How one tool may repeat itself."""

    ignore: tuple[str, ...] = ()
    """Arguments that do not make a call another one: timestamps, request ids. `options.seed` lies deeper."""
    poll: bool = False
    """Asking again is its purpose: equal results are no sign of a loop."""
    every: float = 0.0
    """Seconds that must lie between two equal calls of a tool that polls."""
    most: int | None = None
    """Most equal calls of a tool that polls, whatever they return; None: no limit but that of tool calls."""


class Loops(Struct, frozen=True, kw_only=True):
    """When repetition is answered, and how. A threshold of None (or 0) takes that answer away."""

    warn: int | None = 2
    """The n-th equal call in a row of equal results: it runs, and the model is told."""
    block: int | None = 3
    """It does not run, and the model is told why."""
    skip: int | None = 4
    """It does not run, and the model is told no more than that."""
    stop: int | None = 6
    """The run ends: tool_loop."""
    news: int | None = 1
    """So much that is new since an equal call last ran lets it run once more, with a warning, where it would be
    refused: first calls that did not fail, and changed results, of any tool that does not poll. Each further time
    takes so much more. None: what is refused stays refused."""
    same_calls: int | None = None
    """The n-th equal call of a run ends it, whatever the results were."""
    cycle: int | None = 3
    """Rounds of a circle of 2 to 4 different calls with equal results, after which it counts as a repetition."""
    errors: int | None = 5
    """The same class of error from one tool, so often in a row, ends the run: tool_loop."""
    no_progress: int | None = 6
    """One tool with varying arguments and the same result so often in a row ends the run: no_progress."""
    mode: Mode = "stop"
    """What `stop`, `same_calls`, `errors` and `no_progress` do: stop, handoff, raise, wrap_up, or observe."""
    tools: Mapping[str, Repeat] = {}
    """Tool → its own policy."""


_PLAIN = Repeat()
_TOLD: frozenset[Mode] = frozenset(("observe", "warn", "nudge"))
"""Modes that let a call run."""
_STRENGTH: Mapping[Mode, int] = {"observe": 0, "warn": 1, "nudge": 1, "block": 2, "skip": 3}
_ENDS = 4
"""Strength of every mode that ends the run."""


class Found(Struct, frozen=True):
    """What a rule has to say about a request."""

    rule: str
    mode: Mode
    used: float
    threshold: float
    evidence: tuple[int, ...]
    reason: str
    metric: str = "tool_loop"

    @property
    def strength(self) -> int:
        """The stronger counts where several rules speak."""
        return _STRENGTH.get(self.mode, _ENDS)

    @property
    def verdict(self) -> Notice | Refused:
        """What whoever asked is told."""
        kind = Notice if self.mode in _TOLD else Refused
        return kind(self.metric, self.used, 1, self.threshold, "run", self.mode, self.reason, self.evidence)


class Detector:
    """Watches the tool calls of one run. Not thread-safe: whoever asks holds a lock."""

    def __init__(self, loops: Loops) -> None:
        self._loops = loops
        self._memory = Memory()
        self._order = Order(_looked_back(loops))
        self._rungs = _rungs(loops)
        self._first = min((threshold for mode, threshold in self._rungs if mode not in _TOLD), default=0)
        """Number of the first equal request that is refused; 0 when none is."""
        self._news = 0
        """How much was new so far."""
        self._rules = self._wanted()

    def ask(self, name: str, arguments: Any, now: int) -> tuple[Place, Notice | Refused | None]:
        """Before a call is made, at monotonic time `now` (ns): its place, and what stands against it.

        `arguments` is a value, or the JSON text of one. A request that is refused counts as a repetition all the same,
        so that insisting ends in a stop; one that came too soon for a tool that polls does not.
        """
        turn, policy = self._turn(name, arguments)
        found = self._polled(turn, policy, now) if policy.poll else self._judged(turn)
        verdict = None if found is None else found.verdict
        place = turn.place
        place.rule = "" if found is None else found.rule
        if place.rule == "renewed":
            place.call.renew(self._first - 1)
        if place.rule != "interval":
            self._enter(turn, now, poll=policy.poll, refused=isinstance(verdict, Refused))
        return place, verdict

    def asked(self, name: str, arguments: Any, now: int, *, refused: bool = False) -> Place:
        """A request whose fate was decided elsewhere, as a log tells it: it counts, and is not judged."""
        turn, policy = self._turn(name, arguments)
        call = turn.place.call
        if not refused and self._first and not policy.poll and call.count + 1 >= self._first:
            call.renew(self._first - 1)
        if not (refused and policy.poll):
            self._enter(turn, now, poll=policy.poll, refused=refused)
        return turn.place

    def began(self, place: Place, step: int | None) -> None:
        """Its start event has this seq; None when it could not be recorded."""
        place.step = step

    def answered(self, place: Place, settled: Settled) -> None:
        """The call is over. What was refused, or was answered before, has no second answer."""
        if not place.open:
            return
        call, tool, policy = place.call, place.tool, self._loops.tools.get(place.tool.name, _PLAIN)
        if settled.step is not None:
            place.step = settled.step
        failures, same = place.close()
        if settled.status in ("cancelled", "abandoned"):
            return
        before, after = call.result, result_of(settled.status, settled.error, settled.result)
        place.result = call.result = after
        if before is None:
            self._news += settled.status == "completed" and not policy.poll
        elif before != after:
            call.change()
            self._news += not policy.poll
        call.news = self._news
        tool.failures = tool.failures.after(settled.error or None, place, failures)
        silent = tool.same.said == after and says_nothing(settled.result)
        tool.same = tool.same.after(None if silent else after, place, same, others=True)

    def withdrawn(self, place: Place) -> None:
        """Something else than a repetition stood against it after all: it does not run, and has no answer."""
        if place.open:
            place.close()
            place.result = place.call.result

    # ---- what counts ----------------------------------------------------------------------------------------------

    def _turn(self, name: str, arguments: Any) -> tuple[Turn, Repeat]:
        policy = self._loops.tools.get(name, _PLAIN)
        spelling = spelled(arguments, policy.ignore)
        place = Place(self._memory.call(key_of(name, spelling)), self._memory.tool(name))
        return Turn(place, spelling), policy

    def _enter(self, turn: Turn, now: int, *, poll: bool, refused: bool) -> None:
        place, call = turn.place, turn.place.call
        call.count += 1
        call.total += 1
        call.places.append(place)
        if not poll:
            self._order.add(turn)
        if refused:
            place.result = call.result
        else:
            place.opened()
            call.last, call.news = now, self._news

    # ---- rules ----------------------------------------------------------------------------------------------------

    def _wanted(self) -> tuple[Callable[[Turn], Found | None], ...]:
        """The rules that have a threshold."""
        loops = self._loops
        rules: tuple[tuple[int | None, Callable[[Turn], Found | None]], ...] = (
            (loops.same_calls, self._counted),
            (len(self._rungs), self._repeated),
            (loops.cycle, self._circled),
            (loops.errors, self._failed),
            (loops.no_progress, self._stood),
        )
        return tuple(rule for threshold, rule in rules if threshold)

    def _judged(self, turn: Turn) -> Found | None:
        """The strongest of what the rules say; the first of equally strong ones."""
        best: Found | None = None
        for rule in self._rules:
            found = rule(turn)
            if found is not None and (best is None or found.strength > best.strength):
                best = found
        return best

    def _polled(self, turn: Turn, policy: Repeat, now: int) -> Found | None:
        """A tool whose purpose is to be asked again."""
        call, name = turn.place.call, turn.place.tool.name
        evidence = steps_of(call.places)
        if policy.every and call.last is not None and (since := (now - call.last) / 1e9) < policy.every:
            reason = reasons.too_soon(name, policy.every - since)
            return Found("interval", "block", since, policy.every, evidence, reason)
        if policy.most is not None and call.total >= policy.most:
            mode = self._mode_for(call.total + 1 - policy.most, "block")
            return Found("most", mode, call.total, policy.most, evidence, reasons.polled_enough(name, policy.most))
        return self._failed(turn) if self._loops.errors else None

    def _counted(self, turn: Turn) -> Found | None:
        """So many equal calls in a run, whatever they returned."""
        place, mode, threshold = turn.place, self._loops.mode, self._loops.same_calls or 0
        number = place.call.total + 1
        if not self._is_over(number, threshold):
            return None
        reason = reasons.asked_too_often(place.tool.name, number)
        return Found("same_calls", mode, number - 1, threshold, steps_of(place.call.places), reason)

    def _repeated(self, turn: Turn) -> Found | None:
        """Equal calls of equal results."""
        call, name = turn.place.call, turn.place.tool.name
        number = call.count + 1
        rung = next((rung for rung in self._rungs if number >= rung[1]), None)
        if rung is None:
            return None
        mode, threshold = rung
        if mode not in _TOLD and self._loops.news and self._news - call.news >= self._loops.news * (1 + call.renewed):
            return Found("renewed", "warn", number - 1, threshold, call.evidence, reasons.again(name, number))
        if mode == "observe" and number > threshold:
            return None
        reason = _WORDS.get(mode, reasons.looped)(name, number)
        return Found("repeat", mode, number - 1, threshold, call.evidence, reason)

    def _circled(self, turn: Turn) -> Found | None:
        """Two to four different calls, again and again in the same order, with the same results each round."""
        rounds = self._loops.cycle or 0
        for circle in self._order.circles(turn):
            over = circle.length - rounds * circle.period
            if over >= 1:
                return self._circle(circle, self._mode_for(over, self._loops.mode))
            if over == 1 - circle.period and self._loops.warn:
                return self._circle(circle, "warn")
        return None

    def _circle(self, circle: Circle, mode: Mode) -> Found:
        gone = (circle.length - 1) // circle.period
        words = reasons.circling if mode in _TOLD else reasons.circled
        evidence = steps_of(turn.place for turn in circle.turns)
        return Found("circle", mode, gone, self._loops.cycle or 0, evidence, words(circle.tools, gone))

    def _failed(self, turn: Turn) -> Found | None:
        """One class of error from one tool."""
        streak, threshold = turn.place.tool.failures, self._loops.errors or 0
        told = turn.place.tool.name, str(streak.said), streak.count
        if self._is_near(streak, threshold):
            reason = reasons.failing(*told, threshold)
            return Found("errors", "warn", streak.count, threshold, tuple(streak.steps), reason)
        if not self._is_over(streak.count, threshold):
            return None
        return Found("errors", self._loops.mode, streak.count, threshold, tuple(streak.steps), reasons.failed(*told))

    def _stood(self, turn: Turn) -> Found | None:
        """Different calls of one tool that all had the same result."""
        streak, threshold = turn.place.tool.same, self._loops.no_progress or 0
        told, steps = (turn.place.tool.name, streak.count), tuple(streak.steps)
        if self._is_near(streak, threshold):
            reason = reasons.standing(*told, threshold)
            return Found("no_progress", "warn", streak.count, threshold, steps, reason, "no_progress")
        if not self._is_over(streak.count, threshold):
            return None
        return Found(
            "no_progress", self._loops.mode, streak.count, threshold, steps, reasons.stood(*told), "no_progress"
        )

    def _is_near(self, streak: Streak, threshold: int) -> bool:
        """Whether one more of the kind is the last: then the model is told while it can still do otherwise."""
        return bool(self._loops.warn) and threshold > 2 and streak.count == threshold - 1

    def _is_over(self, count: int, threshold: int) -> bool:
        """Whether it has become too much; where that ends nothing, only the first time."""
        return count == threshold or (count > threshold and self._loops.mode not in _TOLD)

    def _mode_for(self, over: int, otherwise: Mode) -> Mode:
        """The answer to the n-th request that is too much: from the first refusal upwards; without any, `otherwise`."""
        if not self._first:
            return otherwise
        number = self._first - 1 + over
        return next(mode for mode, threshold in self._rungs if number >= threshold and mode not in _TOLD)


_WORDS: Mapping[Mode, Callable[[str, int], str]] = {
    "observe": reasons.again,
    "warn": reasons.again,
    "nudge": reasons.again,
    "block": reasons.not_run,
    "skip": reasons.skipped,
}


def _rungs(loops: Loops) -> Sequence[tuple[Mode, int]]:
    """Mode and threshold of each answer to equal calls, the strongest first.

    A `mode` that ends nothing takes the last rung away where lower ones refuse: to observe lets no call run again.
    """
    refuses = bool(loops.skip or loops.block)
    ladder: Sequence[tuple[Mode, int | None]] = (
        (loops.mode, None if refuses and loops.mode in _TOLD else loops.stop),
        ("skip", loops.skip),
        ("block", loops.block),
        ("warn", loops.warn),
    )
    return [(mode, threshold) for mode, threshold in ladder if threshold]


def _looked_back(loops: Loops) -> int:
    """Requests that circles look back: as many as it takes to be stopped for one."""
    most = max(loops.stop or 0, loops.skip or 0, loops.block or 0)
    return max(PERIODS) * (loops.cycle + 1) + most if loops.cycle else 0
