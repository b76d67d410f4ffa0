"""The outcome of a run: what `run()` returns, whatever happened. Never an error text posing as an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Generic, TypeVar

from tachograph.errors import RunFailed
from tachograph.events.chat import Message
from tachograph.events.run import Status, is_billable
from tachograph.events.usage import Cost, Usage
from tachograph.fold.approvals import Approval
from tachograph.fold.cost import usd
from tachograph.fold.totals import TOKEN_CLASSES

Answer = TypeVar("Answer")

RESUMABLE = frozenset({"failed", "cancelled", "abandoned", "paused"})
NOT_RESUMABLE = frozenset({"internal_error", "superseded", "content_filter"})
"""Stop reasons after which going on from the log would meet the same end, or is not wanted."""


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What the attempts of a run used, added up. A figure that nobody gave adds nothing and is counted."""

    llm_calls: int = 0
    tool_calls: int = 0
    usage: Usage = field(default_factory=Usage)
    """Sums over all attempts; None for a class of which nobody gave any figure."""
    nano_usd: int = 0
    """A lower bound while `unpriced` is not 0."""
    unpriced: int = 0
    """Attempts whose cost is not known."""

    @property
    def cost(self) -> Decimal:
        """USD; see `nano_usd`."""
        return usd(self.nano_usd)

    def plus_call(self, usage: Usage, cost: Cost) -> Spending:
        """With one more attempt."""
        return replace(
            self,
            llm_calls=self.llm_calls + 1,
            usage=_plus(self.usage, usage),
            nano_usd=self.nano_usd + (cost.total or 0),
            unpriced=self.unpriced + (cost.total is None),
        )

    def plus(self, other: Spending) -> Spending:
        """Both together."""
        return Spending(
            llm_calls=self.llm_calls + other.llm_calls,
            tool_calls=self.tool_calls + other.tool_calls,
            usage=_plus(self.usage, other.usage),
            nano_usd=self.nano_usd + other.nano_usd,
            unpriced=self.unpriced + other.unpriced,
        )

    def plus_tool_call(self) -> Spending:
        """With one more tool call."""
        return replace(self, tool_calls=self.tool_calls + 1)


@dataclass(frozen=True, kw_only=True)
class Outcome(Generic[Answer]):
    """How a run ended."""

    status: Status
    stop_reason: str
    answer: str | None = None
    """The model's words; None when there is no answer. A run that was wrapped up has one though it is `failed`."""
    output: Answer | None = None
    """The answer as the type that was asked for."""
    detail: str = ""
    """What happened, in a few words, for people who run agents; not for those who talk with them."""
    message: str | None = None
    """What to tell the customer beside the answer, in a text that was approved for it; None when there is none."""
    waiting: tuple[Approval, ...] = ()
    """Of a paused run: the tool calls that somebody has to decide about."""
    error: BaseException | None = None
    """What ended it, where that was an exception."""
    spent: Spending = field(default_factory=Spending)
    """By its own loop, without its delegates (see `total`). What tools spend by `LLM` is in the totals of the run."""
    iterations: int = 0
    seconds: float = 0.0
    agent: str = ""
    """Who was at work at the end."""
    run_id: str | None = None
    execution_id: str | None = None
    session: str | None = None
    last_seq: int = -1
    """The last event of the run; -1 when it could not be recorded."""
    messages: tuple[Message, ...] = ()
    """The conversation as it stands: what a next run may begin with."""
    children: tuple[Outcome[Any], ...] = ()
    """What its delegates came to, in the order in which they ended."""
    metadata: Mapping[str, object] = field(default_factory=dict)

    @property
    def completed(self) -> bool:
        """Whether there is an answer that was accepted."""
        return self.status == "completed"

    @property
    def discarded(self) -> bool:
        """Whether a newer message came, so that nothing it said counts."""
        return self.stop_reason == "superseded"

    @property
    def billable(self) -> bool:
        """Whether it is a credit: completed, and not given to a person."""
        return is_billable(self.status, self.stop_reason)

    @property
    def resumable(self) -> bool:
        """Whether the run may go on from its log."""
        return self.status in RESUMABLE and self.stop_reason not in NOT_RESUMABLE

    @property
    def usage(self) -> Usage:
        """Tokens of all attempts."""
        return self.spent.usage

    @property
    def cost(self) -> Decimal:
        """USD of all attempts that have a price."""
        return self.spent.cost

    @property
    def total(self) -> Spending:
        """What it spent together with its delegates, and theirs."""
        found = self.spent
        for child in self.children:
            found = found.plus(child.total)
        return found

    def or_raise(self) -> Outcome[Answer]:
        """Itself when completed. Raises RunFailed else."""
        if self.completed:
            return self
        raise RunFailed(self.status, self.stop_reason, self.detail, self) from self.error


def _plus(a: Usage, b: Usage) -> Usage:
    if b.basis == "missing":
        return a
    sums: dict[str, Any] = {}
    for name in TOKEN_CLASSES:
        one, other = getattr(a, name), getattr(b, name)
        sums[name] = other if one is None else one if other is None else one + other
    return Usage(**sums, basis=b.basis if a.basis == "missing" else a.basis)
