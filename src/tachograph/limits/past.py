"""What a run has used so far, read from its record: where its budget stands when the run goes on.

It is counted as a budget counts, and never less: what the record does not settle (a call without an end, usage that
nobody gave) was used up to what had been set aside. Time counts while the run goes on; while it was paused, or had
ended, it does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from msgspec import Struct

from tachograph.events.budget import Reservation
from tachograph.events.call import CallEnded, CallStarted, turned_away
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.run import RunEnded, RunResumed, RunStarted, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.fold.totals import Tally
from tachograph.limits.history import REFUSED
from tachograph.limits.purse import COUNTED
from tachograph.limits.reckon import is_sane

_NOTHING = Reservation(0, 0)


class Past(Struct, frozen=True):
    """What was used."""

    counts: Mapping[str, int] = {}
    """Metric → how many: iterations, model calls, tool calls, hand-offs."""
    tokens: int = 0
    nano: int = 0
    """Nano-USD."""
    ran_ns: int = 0
    """Nanoseconds that the run itself went on."""

    def with_runs(self, below: Iterable[Past]) -> Past:
        """The same with what runs below it used: they draw from it, but their time is no other than its own."""
        parts = [self, *below]
        counts: Counter[str] = Counter()
        for part in parts:
            counts.update(part.counts)
        return Past(counts, sum(part.tokens for part in parts), sum(part.nano for part in parts), self.ran_ns)


def past(events: Iterable[Event]) -> Past:
    """What one run used, by its events in order."""
    reader = _Reader()
    for event in events:
        reader.apply(event)
    return reader.past()


class _Reader:
    def __init__(self) -> None:
        self._tally = Tally()
        self._steps: Counter[str] = Counter()
        self._reserved: dict[int, Reservation] = {}
        self._free: set[int] = set()
        """Calls that the provider turned away."""
        self._tools: dict[int, str] = {}
        self._refusals: Counter[tuple[str, str]] = Counter()
        """(tool, why) → how often a limit said so."""
        self._refused: Counter[tuple[str, str]] = Counter()
        """(tool, why) → how many calls did not run because of that."""
        self._ran, self._last = 0, 0
        self._since: int | None = None

    def apply(self, event: Event) -> None:
        self._tally.apply(event)
        match event.body:
            case RunStarted() | RunResumed():
                self._stop(self._last)
                self._since = event.mono
            case RunEnded():
                self._stop(event.mono)
            case StepStarted(kind=kind):
                self._steps[kind] += 1
            case CallStarted(reserved=reserved):
                self._reserved[event.seq] = reserved or _NOTHING
            case CallEnded(status="failed", http_status=int(code)) if turned_away(code):
                self._free.add(event.step)
            case ToolStarted(name=name):
                self._tools[event.seq] = name
            case ToolEnded(state=state, reason=str(reason)) if state in REFUSED:
                self._refused[self._tools.get(event.step, ""), reason] += 1
            case LimitHit(refused_kind="tool") as hit:
                self._refusals[hit.refused_name or "", hit.reason or hit.metric] += 1
        self._last = event.mono

    def past(self) -> Past:
        self._stop(self._last)
        totals = self._tally.totals()
        by_kind = {
            **self._steps, "llm": totals.attempts,
            "tool": totals.tool_calls - sum((self._refusals & self._refused).values()),
        }  # fmt: skip
        counts = {metric: by_kind.get(kind, 0) for kind, metric in COUNTED.items()}
        calls = (self._reserved.keys() | self._tally.usages.keys()) - self._free
        return Past(counts, sum(map(self._tokens, calls)), sum(map(self._nano, calls)), self._ran)

    def _stop(self, mono: int) -> None:
        if self._since is not None:
            self._ran += max(0, mono - self._since)
            self._since = None

    def _tokens(self, call: int) -> int:
        reserved, usage = self._reserved.get(call, _NOTHING), self._tally.usages.get(call)
        if usage is None or not is_sane(usage):
            return reserved.input + reserved.output
        given, taken = usage.input_total, usage.output
        return (reserved.input if given is None else given) + (reserved.output if taken is None else taken)

    def _nano(self, call: int) -> int:
        state, total = self._tally.costs.get(call, ("unpriced", 0))
        return self._reserved.get(call, _NOTHING).nano or 0 if state == "unpriced" else total
