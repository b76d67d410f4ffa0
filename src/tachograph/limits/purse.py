"""What one run may use and has used: its limits beside its counts, and what is set aside of tokens and money.

A run's purse is asked for everything that the run does and that the runs below it do. Nothing here is locked; whoever
asks several purses about one action holds the lock of their tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from tachograph.limits.guard import Notice
from tachograph.limits.limit import Limit, Limits
from tachograph.limits.money import nano_of, usd_of

QUIET: Final = ("observe", "warn", "nudge")
"""Modes in which an action is admitted beyond the limit."""
NEVER: Final = 1 << 63
"""A monotonic time that does not come."""
COUNTED: Mapping[str, str] = {
    "iteration": "max_iterations", "llm": "max_llm_calls", "tool": "max_tool_calls", "handoff": "max_handoffs",
}  # fmt: skip
"""Kind of an action → what counts it."""

_SECOND = 1_000_000_000
_UNITS: Mapping[str, str] = {
    "max_iterations": "iterations", "max_llm_calls": "model calls", "max_tool_calls": "tool calls",
    "token_budget": "tokens", "cost_budget": "USD", "deadline": "seconds",
}  # fmt: skip
"""What the model can be told of."""


class Hit(NamedTuple):
    """An action that a limit does not allow, or notices."""

    limit: Limit
    used: float
    requested: float
    above: int = 0
    """Whose it is: 0 the run's own, 1 that of the run above it, and so on."""

    def of(self, above: int) -> Hit:
        """The same of a run so far above. What bounds a single call is the affair of whoever makes it."""
        return self if self.limit.scope == "call" else self._replace(above=above)


class Purse:
    """Limits and use of one run. No limits: it counts, and allows everything."""

    __slots__ = (
        "call_ns", "calls", "caps", "counts", "deadline", "early", "ends", "given", "held_nano", "held_tokens",
        "most_nano", "most_tokens", "nano", "part", "started", "tokens",
    )  # fmt: skip

    def __init__(self, limits: Limits | None, started: int, *, part: bool = False) -> None:
        self.part = part
        """Whether it is of a part of a run, and no run's own."""
        each = () if limits is None else tuple(limits.each())
        self.caps = {limit.metric: limit for limit in each if limit.scope == "run"}
        self.calls = {limit.metric: limit for limit in each if limit.scope == "call"}
        seconds = self.calls.get("deadline")
        self.call_ns = NEVER if seconds is None or seconds.mode in QUIET else int(seconds.threshold * _SECOND)
        self.early = () if limits is None else tuple(sorted(limits.early, reverse=True))
        self.given: set[tuple[str, float]] = set()
        self.counts = dict.fromkeys(COUNTED.values(), 0)
        self.tokens = self.nano = 0
        """Used, as settled."""
        self.held_tokens = self.held_nano = 0
        """Set aside."""
        self.started = started
        seconds = self.caps.get("deadline")
        self.ends = NEVER if seconds is None else started + int(seconds.threshold * _SECOND)
        self.deadline = NEVER if seconds is None or seconds.mode in QUIET else self.ends
        self.most_tokens = _threshold(self.caps.get("token_budget"))
        self.most_nano = _nano(self.caps.get("cost_budget"))

    def over_time(self, now: int) -> Hit | None:
        """Its time is over."""
        if now < self.ends:
            return None
        return Hit(self.caps["deadline"], (now - self.started) / _SECOND, 0)

    def over_count(self, metric: str) -> Hit | None:
        """One more is too many."""
        limit, used = self.caps.get(metric), self.counts[metric]
        return None if limit is None or used + 1 <= limit.threshold else Hit(limit, used, 1)

    def over_tokens(self, tokens: int) -> Iterator[Hit]:
        """So many more do not fit, into the run or into one call."""
        used = self.tokens + self.held_tokens
        if self.most_tokens is not None and used + tokens > self.most_tokens:
            yield Hit(self.caps["token_budget"], used, tokens)
        if self.calls and (limit := self.calls.get("token_budget")) is not None and tokens > limit.threshold:
            yield Hit(limit, 0, tokens)

    def over_money(self, nano: int) -> Iterator[Hit]:
        """So much more does not fit."""
        used = self.nano + self.held_nano
        if self.most_nano is not None and used + nano > self.most_nano:
            yield Hit(self.caps["cost_budget"], usd_of(used), usd_of(nano))
        if self.calls and (limit := self.calls.get("cost_budget")) is not None and nano > nano_of(limit.threshold):
            yield Hit(limit, 0, usd_of(nano))

    def costs(self) -> Iterator[Limit]:
        """Its limits on money."""
        for limits in (self.caps, self.calls):
            if (limit := limits.get("cost_budget")) is not None:
                yield limit

    def take(self, metric: str | None, tokens: int, nano: int) -> None:
        """The action is admitted. With negative amounts and `untake`, it is not after all."""
        if metric is not None:
            self.counts[metric] += 1
        self.held_tokens += tokens
        self.held_nano += nano

    def untake(self, metric: str | None, tokens: int, nano: int) -> None:
        """It was not admitted after all."""
        if metric is not None:
            self.counts[metric] -= 1
        self.held_tokens -= tokens
        self.held_nano -= nano

    def turn_in(self, held: tuple[int, int], used: tuple[int, int]) -> None:
        """(tokens, nano) that were set aside become what was used."""
        self.held_tokens -= held[0]
        self.held_nano -= held[1]
        self.tokens += used[0]
        self.nano += used[1]

    def room(self) -> tuple[int | None, int | None]:
        """Tokens and nano-USD that a next call may use; None where nothing limits them."""
        tokens = _left(self.caps, "token_budget", self.most_tokens, self.tokens + self.held_tokens)
        nano = _left(self.caps, "cost_budget", self.most_nano, self.nano + self.held_nano)
        if self.calls:
            tokens = least(tokens, _left(self.calls, "token_budget", _threshold(self.calls.get("token_budget")), 0))
            nano = least(nano, _left(self.calls, "cost_budget", _nano(self.calls.get("cost_budget")), 0))
        return tokens, nano

    def left(self, now: int) -> Iterator[tuple[str, float]]:
        """What is left of each limit: metric, and how much in its unit."""
        for metric, limit in self.caps.items():
            used = self.used(metric, now)
            if used is not None:
                yield metric, max(0.0, limit.threshold - used)

    def used(self, metric: str, now: int) -> float | None:
        """How much of a metric is used, what is set aside not counted; None for one that has no count."""
        if metric in self.counts:
            return self.counts[metric]
        amounts = {"token_budget": self.tokens, "cost_budget": usd_of(self.nano)}
        return (now - self.started) / _SECOND if metric == "deadline" else amounts.get(metric)

    def last_turns(self) -> Iterator[Notice]:
        """Limits of mode `wrap_up` that leave one request and no more: the iteration that begins is the last one."""
        for metric, left in (("max_iterations", 0), ("max_llm_calls", 1)):
            limit = self.caps.get(metric)
            if limit is not None and limit.mode == "wrap_up" and 0 <= limit.threshold - self.counts[metric] <= left:
                said = "This is the last turn that the limits allow."
                yield Notice(metric, self.counts[metric], 0, limit.threshold, limit.scope, "wrap_up", said)

    def hints(self, now: int) -> Iterator[Notice]:
        """For the model: parts of a limit that are used up by now, each said once, the largest of several at a time."""
        for metric, unit in _UNITS.items():
            limit = self.caps.get(metric)
            used = None if limit is None else self.used(metric, now)
            if limit is None or used is None:
                continue
            reached = {(metric, part) for part in self.early if used >= part * limit.threshold}
            if passed := reached - self.given:
                self.given |= passed
                said = f"{_part(used, limit, unit)} Come to an end in what is left."
                yield Notice(metric, used, 0, limit.threshold, limit.scope, "nudge", said)


def urge(limit: Limit, used: float) -> str:
    """What a run's limit of mode `nudge` has the model told once it is passed; nothing of other limits."""
    if limit.mode != "nudge" or limit.scope != "run" or limit.metric not in _UNITS:
        return ""
    return f"{_part(used, limit, _UNITS[limit.metric])} Come to an end now."


def _part(used: float, limit: Limit, unit: str) -> str:
    return f"{used:.12g} of {limit.threshold:.12g} {unit} are used."


def least(one: int | None, other: int | None) -> int | None:
    """The smaller one; None is no bound."""
    return other if one is None else one if other is None else min(one, other)


def _threshold(limit: Limit | None) -> int | None:
    return None if limit is None else int(limit.threshold)


def _nano(limit: Limit | None) -> int | None:
    return None if limit is None else nano_of(limit.threshold)


def _left(limits: Mapping[str, Limit], metric: str, most: int | None, used: int) -> int | None:
    limit = limits.get(metric)
    return None if limit is None or most is None or limit.mode in QUIET else max(0, most - used)
