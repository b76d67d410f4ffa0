"""One run as a tree: its steps as a flat list, parents first, each with its depth and what it adds up to."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from tachograph.events import ids
from tachograph.fold.repeats import Repeats
from tachograph.queries import run as runs
from tachograph.queries.answers.limits import Limit, limit
from tachograph.queries.answers.receipts import RunReceipt, run_receipt
from tachograph.queries.answers.runs import RunOverview, overview
from tachograph.queries.answers.scores import GivenScore, given_score
from tachograph.queries.logs.failures import ErrorDetail
from tachograph.queries.steps import Below, Repeated, Step
from tachograph.queries.units import Time, maybe_ms, maybe_time, maybe_usd, ms, usd
from tachograph.store.ports import Reading


class RunTreeAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of a run."""

    preview: Annotated[
        int, Meta(ge=0, le=10_000, description="Characters of each step's content to give; 0 for none.")
    ] = runs.PREVIEW
    limit: Annotated[int, Meta(ge=1, le=10_000, description="Most steps to give.")] = 2_000
    offset: Annotated[int, Meta(ge=0, le=2**31, description="Steps to leave out before the first.")] = 0


class Sums(Struct, frozen=True, kw_only=True):
    """What a step and everything below it adds up to, runs it started included."""

    llm_calls: Annotated[int, Meta(description="Attempts.")]
    tool_calls: int
    input_tokens: Annotated[int, Meta(description="Of all classes, as far as somebody counted.")]
    output_tokens: int
    usage_missing: int
    total_cost: Annotated[float, Meta(description="USD of all attempts that have a price.")]
    unpriced: int


class TreeStep(Struct, frozen=True, kw_only=True):
    """One step of the tree. Fields that do not fit its kind are null."""

    id: str
    run_id: Annotated[str, Meta(description="Its run: the one that is shown, or one below it.")]
    step: Annotated[int, Meta(description="Its number in its run; 0 is the run itself.")]
    depth: Annotated[int, Meta(description="0 for the run that is shown.")]
    kind: str
    name: Annotated[str, Meta(description="For a model call its model.")]
    status: Annotated[str, Meta(description="`started` while it is open; for a tool call its state.")]
    stop_reason: str
    agent_type: str | None
    iteration: int | None
    start_time: Annotated[Time | None, Meta(description="Null when its start was lost.")]
    begin_ms: Annotated[float, Meta(description="Since the start of the run that is shown.")]
    duration_ms: Annotated[float | None, Meta(description="Null while it is open.")]
    error: ErrorDetail | None
    reason: Annotated[str | None, Meta(description="Why a tool call was rejected or skipped.")]
    orphan: Annotated[bool, Meta(description="Its parent, or its own start, is not there.")]
    provider: str | None
    attempt: int | None
    retry_of: Annotated[str | None, Meta(description="`id` of the attempt that this one repeats.")]
    finish_reason: str | None
    first_token_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    total_cost: float | None
    cost_state: str | None
    repeat: Annotated[Repeated | None, Meta(description="Of a tool call that was made more than once.")]
    input: Annotated[str | None, Meta(description="The beginning of what went in, as JSON text.")]
    output: Annotated[str | None, Meta(description="The beginning of what came out, as JSON text.")]
    below: Sums


class RunTree(Struct, frozen=True, kw_only=True):
    """A run with everything that hangs below it."""

    run: RunOverview
    steps: Annotated[tuple[TreeStep, ...], Meta(description="Parents first, in the order they began.")]
    total_count: Annotated[int, Meta(ge=1, description="Steps there are.")]
    limit: Annotated[int, Meta(ge=1)]
    offset: Annotated[int, Meta(ge=0)]
    children: Annotated[
        tuple[RunOverview, ...], Meta(description="Runs that it started, and those that these started.")
    ]
    repeats: Repeats
    receipt: RunReceipt
    limits: tuple[Limit, ...]
    scores: tuple[GivenScore, ...]


def run_tree(store: Reading, name: str, asked: RunTreeAsked) -> RunTree:
    """The run that `name` means: an id, an execution id, first digits of either, or `last`.

    Raises NotFound, Ambiguous.
    """
    found = runs.run(store, name, preview=asked.preview)
    shown = found.steps[asked.offset : asked.offset + asked.limit]
    return RunTree(
        run=overview(found.run),
        steps=tuple(map(_step, shown)),
        total_count=len(found.steps),
        limit=asked.limit,
        offset=asked.offset,
        children=tuple(map(overview, found.children)),
        repeats=found.repeats,
        receipt=run_receipt(found.receipt),
        limits=tuple(map(limit, found.limits)),
        scores=tuple(map(given_score, found.scores)),
    )


def _step(step: Step) -> TreeStep:
    usage, cost, error = step.usage, step.cost, step.error
    return TreeStep(
        **{name: getattr(step, name) for name in _SAME},
        run_id=step.run,
        agent_type=step.agent,
        start_time=maybe_time(step.at),
        begin_ms=ms(step.begin_ns),
        duration_ms=maybe_ms(step.duration_ns),
        error=None
        if error is None
        else ErrorDetail(error.type, error.category or None, error.message, error.traceback),
        retry_of=None if step.retry_of is None else ids.step_id(step.run, step.retry_of),
        first_token_ms=maybe_ms(step.first_token_ns),
        input_tokens=None if usage is None else usage.input_total,
        output_tokens=None if usage is None else usage.output,
        cache_read_tokens=None if usage is None else usage.cache_read,
        cache_write_tokens=None if usage is None else usage.cache_write,
        reasoning_tokens=None if usage is None else usage.reasoning,
        total_cost=None if cost is None or cost.state == "unpriced" else maybe_usd(cost.total),
        cost_state=None if cost is None else cost.state,
        below=_sums(step.below),
    )


_SAME = (
    "id", "step", "depth", "kind", "name", "status", "stop_reason", "iteration", "reason", "orphan", "provider",
    "attempt", "finish_reason", "repeat", "input", "output",
)  # fmt: skip


def _sums(below: Below) -> Sums:
    return Sums(
        llm_calls=below.llm_calls,
        tool_calls=below.tool_calls,
        input_tokens=below.input,
        output_tokens=below.output,
        usage_missing=below.usage_missing,
        total_cost=usd(below.cost),
        unpriced=below.unpriced,
    )
