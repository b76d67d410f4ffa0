"""What a run adds up to: attempts, tokens, money, time, counts.

Tokens and money are summed over attempts only, so nested steps and agents never count twice. A figure nobody gave is
counted as missing and adds nothing: a sum is exact when its missing count is 0 and a lower bound otherwise. `Totals`
of different runs add with `+`; `Tally` adds one run up event by event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from msgspec import Struct
from msgspec.structs import astuple

from tachograph.events.call import CallEnded, CallMetered, CallRepriced, CallStarted
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.message import MessageAppended
from tachograph.events.run import RunEnded, RunResumed, RunStarted, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.events.usage import Cost, Usage
from tachograph.fold.steps import Open, closes, family_of, opened

GENERATING = frozenset({"chat", "completion"})
"""Operations whose requests are iterations; embeddings, transcriptions and the like are attempts only."""

TOKEN_CLASSES = ("input_uncached", "cache_read", "cache_write", "output", "reasoning")


class Totals(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Sums over one run, or over many added together. The maps hold ended things only, by how they ended."""

    runs: int = 0
    """Runs started."""
    steps: int = 0
    """Plain steps started (neither runs, model calls nor tool calls)."""
    iterations: int = 0
    """Model requests for text, each counted once however many attempts it took."""
    attempts: int = 0
    """HTTP requests started, retries and failures included: what `max_llm_calls` counts."""
    tool_calls: int = 0
    """Tool calls requested, refused ones included."""
    messages: int = 0
    """Messages appended to transcripts, reminders that live for one request apart."""
    run_ends: Mapping[str, int] = {}
    step_ends: Mapping[str, int] = {}
    call_ends: Mapping[str, int] = {}
    tool_ends: Mapping[str, int] = {}
    """Tool calls by final state."""
    limit_hits: Mapping[str, int] = {}
    """Limits reached, by mode."""
    input_uncached: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    """Part of `output`."""
    missing: Mapping[str, int] = {}
    """Token class → ended attempts whose figure nobody gave."""
    bases: Mapping[str, int] = {}
    """Ended attempts by where their usage comes from."""
    cost: int = 0
    """Nano-USD of all attempts that have a price: a lower bound while `unpriced` is not 0."""
    costs: Mapping[str, int] = {}
    """Ended attempts by the state of their cost: priced, estimated, reported, unpriced."""
    reported_cost: int = 0
    """Nano-USD as the other side said, over the attempts in `reported_calls`."""
    reported_calls: int = 0
    run_ns: int = 0
    """Monotonic time from start to end of the run, or to its last event while it is open; pauses are a part of it."""
    model_ns: int = 0
    """Time in ended attempts, added up: parallel ones exceed the run's time."""
    tool_ns: int = 0
    """Time in ended tool calls, added up."""

    def __add__(self, other: Totals) -> Totals:
        """The sums of both."""
        return Totals(**{name: _plus(a, b) for name, a, b in zip(_FIELDS, astuple(self), astuple(other), strict=True)})

    @property
    def unpriced(self) -> int:
        """Ended attempts without a price: their cost is unknown, not 0."""
        return self.costs.get("unpriced", 0)

    @property
    def input_total(self) -> int:
        """All input tokens that somebody counted."""
        return self.input_uncached + self.cache_read + self.cache_write

    @property
    def tokens(self) -> int:
        """Input and output together, of what somebody counted."""
        return self.input_total + self.output

    @property
    def errors(self) -> int:
        """Failed attempts and failed tool calls; the steps around them are not counted again."""
        return self.call_ends.get("failed", 0) + self.tool_ends.get("failed", 0)

    @property
    def interventions(self) -> int:
        """Limits that changed what happened: every mode but observe and warn."""
        return sum(count for mode, count in self.limit_hits.items() if mode not in ("observe", "warn"))

    def figure(self, token_class: str) -> int | None:
        """Sum of one token class; None when attempts have ended and not one of them said."""
        ended = sum(self.call_ends.values())
        return None if ended and self.missing.get(token_class, 0) == ended else int(getattr(self, token_class))


_FIELDS = Totals.__struct_fields__
_COUNTERS = ("run_ends", "step_ends", "call_ends", "tool_ends", "limit_hits", "missing", "bases", "costs")


def fold(events: Iterable[Event]) -> Totals:
    """Totals of one run from its events, in order."""
    tally = Tally()
    for event in events:
        tally.apply(event)
    return tally.totals()


class Tally:
    """Adds one run up as its events come, in order of seq: any prefix, any gap.

    `seq` is the last event seen, `open` the steps that have not ended, `costs` what each ended attempt was last priced
    at (state, nano-USD), `usages` what it was last said to have used, `root` the run as it began, also when it has
    ended, for it may go on. An attempt whose start was lost still counts with its end, for its money is spent; a second
    end of the same step does not.
    """

    def __init__(
        self,
        totals: Totals | None = None,
        open_steps: Iterable[Open] = (),
        costs: Mapping[int, tuple[str, int]] | None = None,
        usages: Mapping[int, Usage] | None = None,
        seq: int = -1,
        root: Open | None = None,
    ) -> None:
        start = totals or Totals()
        self.seq = seq
        self._sums: dict[str, Any] = dict(zip(_FIELDS, astuple(start), strict=True))
        for name in _COUNTERS:
            self._sums[name] = dict(self._sums[name])
        self.open: dict[int, Open] = {item.step: item for item in open_steps}
        self.root = root or self.open.get(0)
        self.costs: dict[int, tuple[str, int]] = dict(costs or {})
        self.usages: dict[int, Usage] = dict(usages or {})

    def totals(self) -> Totals:
        """The sums so far."""
        sums: dict[str, Any] = {name: dict(part) if type(part) is dict else part for name, part in self._sums.items()}
        return Totals(**sums)

    def apply(self, event: Event) -> bool:
        """Add one event; False, and nothing added, for one that was seen before (its seq is not beyond the last)."""
        if event.seq <= self.seq:
            return False
        self.seq = event.seq
        handler = self._handlers.get(type(event.body))
        if handler is not None:
            handler(self, event, event.body)
        run = self.open.get(0)
        if run is not None:
            self._sums["run_ns"] = max(self._sums["run_ns"], event.mono - run.mono)
        return True

    def _count(self, name: str, key: str, by: int = 1) -> None:
        counter = self._sums[name]
        counter[key] = counter.get(key, 0) + by
        if not counter[key]:
            del counter[key]

    def _start(self, event: Event, name: str) -> None:
        self._sums[name] += 1
        step = opened(event)
        if step is not None:
            self.open[step.step] = step

    def _end(self, event: Event, name: str, status: str, time: str = "") -> bool:
        """Close a step; False when no such step is open: it ended before, or its start was lost."""
        step = closes(event)
        start = None if step is None else self.open.get(step)
        if start is None or start.family != family_of(event.body):
            return False
        del self.open[start.step]
        self._count(name, status)
        if time:
            self._sums[time] += max(0, event.mono - start.mono)
        return True

    def _run_started(self, event: Event, body: RunStarted) -> None:
        self._start(event, "runs")
        self.root = self.open[0]

    def _run_ended(self, event: Event, body: RunEnded) -> None:
        run = self.open.get(0)
        if run is not None:
            self._sums["run_ns"] = max(0, event.mono - run.mono)
        self._end(event, "run_ends", body.status)

    def _run_resumed(self, event: Event, body: RunResumed) -> None:
        """The run is open again, as it began; it has not ended yet."""
        self._sums["run_ends"].clear()
        if self.root is not None:
            self.open = {0: self.root, **self.open}  # what is outside stands first

    def _step_started(self, event: Event, body: StepStarted) -> None:
        self._start(event, "steps")

    def _step_ended(self, event: Event, body: StepEnded) -> None:
        self._end(event, "step_ends", body.status)

    def _call_started(self, event: Event, body: CallStarted) -> None:
        self._start(event, "attempts")
        if body.retry_of is None and body.attempt <= 1 and body.operation in GENERATING:
            self._sums["iterations"] += 1

    def _call_ended(self, event: Event, body: CallEnded) -> None:
        if not self._end(event, "call_ends", body.status, "model_ns"):
            if event.step in self.costs:
                return
            self._sums["attempts"] += 1
            self._count("call_ends", body.status)
        self._use(event.step, body.usage)
        if body.reported_cost is not None:
            self._sums["reported_cost"] += body.reported_cost
            self._sums["reported_calls"] += 1
        self._price(event.step, body.cost)

    def _use(self, call: int, usage: Usage) -> None:
        """What an attempt used, in place of what it was said to have used before."""
        before = self.usages.get(call)
        if before is not None:
            self._spend(before, -1)
        self._spend(usage, 1)
        self.usages[call] = usage

    def _spend(self, usage: Usage, sign: int) -> None:
        self._count("bases", usage.basis, sign)
        for name in TOKEN_CLASSES:
            figure = getattr(usage, name)
            if figure is None:
                self._count("missing", name, sign)
            else:
                self._sums[name] += sign * figure

    def _price(self, call: int, cost: Cost | None) -> None:
        """What an attempt costs, in place of what it cost before."""
        if call in self.costs:
            state, total = self.costs[call]
            self._count("costs", state, -1)
            self._sums["cost"] -= total
        state, total = "unpriced", 0
        if cost is not None and cost.total is not None and cost.state != "unpriced":
            state, total = cost.state, cost.total
        self.costs[call] = (state, total)
        self._count("costs", state)
        self._sums["cost"] += total

    def _call_repriced(self, event: Event, body: CallRepriced) -> None:
        if body.call in self.costs:
            self._price(body.call, body.cost)

    def _call_metered(self, event: Event, body: CallMetered) -> None:
        if body.call in self.costs:
            self._use(body.call, body.usage)
            self._price(body.call, body.cost)

    def _tool_started(self, event: Event, body: ToolStarted) -> None:
        self._start(event, "tool_calls")

    def _tool_ended(self, event: Event, body: ToolEnded) -> None:
        self._end(event, "tool_ends", body.state, "tool_ns")

    def _message(self, event: Event, body: MessageAppended) -> None:
        self._sums["messages"] += not body.ephemeral

    def _limit_hit(self, event: Event, body: LimitHit) -> None:
        self._count("limit_hits", body.mode)

    _handlers: ClassVar[Mapping[type, Callable[[Tally, Event, Any], None]]] = {
        RunStarted: _run_started,
        RunEnded: _run_ended,
        RunResumed: _run_resumed,
        StepStarted: _step_started,
        StepEnded: _step_ended,
        CallStarted: _call_started,
        CallEnded: _call_ended,
        CallMetered: _call_metered,
        CallRepriced: _call_repriced,
        ToolStarted: _tool_started,
        ToolEnded: _tool_ended,
        MessageAppended: _message,
        LimitHit: _limit_hit,
    }


def _plus(one: Any, two: Any) -> Any:
    if isinstance(one, Mapping):
        return {key: one.get(key, 0) + two.get(key, 0) for key in (*one, *(key for key in two if key not in one))}
    return one + two
