"""Events in, row changes out: the one place that says what an event means to the tables.

Pure apart from the questions put to `changes.Known`, so every backend projects alike and a rebuild gives the rows that
live recording gave. Every event counts once: the totals of a run's row grow event by event, and they count what
`fold.totals` counts.

    iterations   model requests for text, however many attempts each took
    steps        plain steps: neither the run, nor model calls, nor tool calls
    errors       failed attempts and failed tool calls, not the steps around them
    durations    monotonic time from start to end, at least 0; `ended_at` is the start plus that

A run that pauses has not ended: it has no duration yet, and neither has its own step. One that is resumed is open
again, as if its end had not been; what its end added to its metadata stays.

An end whose start was lost changes nothing, except for a run (it has ended) and a model call (its money is spent).
A run of source `audit` says what was done to the store: it has a row, but no step stands for it, so nothing counts it.
Whatever an event names by hash is kept for its run, also where no row shows it. Events of unknown types are kept in the
log and mean nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isnan
from typing import Any

import msgspec

from tachograph.errors import SequenceGap
from tachograph.events.call import CallEnded, CallMetered, CallRepriced, CallStarted
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.message import MessageAppended
from tachograph.events.note import Loss, Note, Score
from tachograph.events.run import RunEnded, RunResumed, RunStarted, StepEnded, StepStarted, is_billable
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.events.usage import Cost, Usage
from tachograph.fold.totals import GENERATING
from tachograph.store.changes import Changes, RunState, fail, forgive, receive, same_bytes, session_of, totals
from tachograph.store.named import named
from tachograph.store.ports import Position
from tachograph.store.rows import CallRow, LimitRow, RunRow, ScoreRow, StepRow, ToolRow

TOOL_STATUS: Mapping[str, str] = {"rejected": "failed", "skipped": "cancelled"}
"""Status of a tool call's step, where it is not the state's own name."""

_encode = msgspec.json.Encoder(order="sorted").encode


def project(changes: Changes, state: RunState, events: Sequence[Event]) -> None:
    """Take in events of one run, in order of seq, that follow on those it has."""
    row = state.row
    before = totals(row)
    new = row.next_seq == 0
    changes.messages = []
    use = changes.known.use
    for event in events:
        for content in named(event.body):
            use(content, row.pk)
        handler = _HANDLERS.get(type(event.body))
        if handler is not None:
            handler(changes, state, event, event.body)
        row.updated_at = max(row.updated_at, event.at)
    row.next_seq += len(events)
    if session_of(row) is not None:
        changes.count(row, before, new=new)


def following(row: RunRow, events: Iterable[Event]) -> list[Event]:
    """The events that follow on those a run has, without those it has already. Raises SequenceGap."""
    expected = row.next_seq
    fresh = []
    for event in events:
        if event.seq < expected:
            continue
        if event.seq > expected:
            raise SequenceGap(row.id, expected, event.seq)
        fresh.append(event)
        expected += 1
    return fresh


def taken_over(owner: str, epoch: int, position: Position | None) -> bool:
    """Whether a batch from this place in a journal comes too late for a run of this owner and epoch.

    A journal that came from elsewhere stands under its tenant's name as well.
    """
    return position is not None and epoch > 0 and owner not in ("", position.journal.rpartition("/")[2])


# ---- runs and steps --------------------------------------------------------------------------------------------------


def _run_started(changes: Changes, state: RunState, event: Event, body: RunStarted) -> None:
    row = state.row
    for name in _RUN_FACTS:
        setattr(row, name, getattr(body, name))
    row.tags = _encode(body.tags).decode() if body.tags else None
    row.started_at = event.at
    row.input, row.input_payload = changes.place(row, body.input)
    row.metadata, row.metadata_payload = changes.place(row, body.metadata)
    step = StepRow(
        run=row.pk, step=0, kind="run", name=body.name, action_type=body.action_type, started_at=event.at
    )  # fmt: skip
    changes.start(state, event, step, refs=body.refs)


def _run_ended(changes: Changes, state: RunState, event: Event, body: RunEnded) -> None:
    row = state.row
    duration = changes.close(state, 0, event.mono)
    if duration is None:
        if row.status != "started":
            return
        duration = max(0, event.at - row.started_at)
    lasted = None if body.status == "paused" else duration
    row.status, row.stop_reason, row.duration_ns = body.status, body.stop_reason, lasted
    row.discarded = body.discarded
    row.billable = is_billable(
        body.status, body.stop_reason, discarded=body.discarded, failed=body.error is not None
    )  # fmt: skip
    row.output, row.output_payload = changes.place(row, body.output)
    changes.add_metadata(row, row, body.metadata)
    fail(row, body.error)
    changes.end(state, 0, body.status, lasted, body.error)


def _run_resumed(changes: Changes, state: RunState, event: Event, body: RunResumed) -> None:
    row = state.row
    row.owner, row.epoch = body.owner, body.epoch
    if body.limits is not None:
        receive(row, body.limits)
    if row.status == "started":
        return
    row.status, row.stop_reason, row.duration_ns = "started", "", None
    row.discarded = row.billable = False
    row.output = row.output_payload = None
    forgive(row)
    changes.reopen(state)


def _step_started(changes: Changes, state: RunState, event: Event, body: StepStarted) -> None:
    state.row.steps += 1
    row = StepRow(
        run=state.row.pk, step=event.seq, parent=body.parent, kind=body.kind, name=body.name,
        agent_type=body.agent_type, action_type=body.action_type, iteration=body.iteration, started_at=event.at,
    )  # fmt: skip
    row.input, row.input_payload = changes.place(state.row, body.input)
    changes.start(state, event, row, body.metadata, body.refs)


def _step_ended(changes: Changes, state: RunState, event: Event, body: StepEnded) -> None:
    duration = changes.close(state, event.step, event.mono)
    if duration is None:
        return
    row = changes.end(state, event.step, body.status, duration, body.error)
    if row is not None:
        changes.add_metadata(state.row, row, body.metadata)
        row.output, row.output_payload = changes.place(state.row, body.output)


# ---- model calls -----------------------------------------------------------------------------------------------------


def _call_started(changes: Changes, state: RunState, event: Event, body: CallStarted) -> None:
    run = state.row
    run.llm_calls += 1
    if body.retry_of is None and body.attempt <= 1 and body.operation in GENERATING:
        run.iterations += 1
    step = StepRow(
        run=run.pk, step=event.seq, parent=body.parent, kind="llm", name=body.model, agent_type=body.agent_type,
        iteration=body.iteration, started_at=event.at,
    )  # fmt: skip
    changes.start(state, event, step, body.metadata, body.refs)
    call = CallRow(
        run=run.pk, step=event.seq, provider=body.provider, model=body.model, operation=body.operation,
        agent_type=step.agent_type, purpose=body.purpose, started_at=event.at, attempt=body.attempt,
        retry_of=body.retry_of, streaming=body.streaming, tier=body.tier,
    )  # fmt: skip
    if body.input is not None:
        call.input_node = changes.node(state, body.input)
    call.tools, call.tools_payload = changes.place(run, body.tools)
    call.params, call.params_payload = changes.place(run, body.params)
    changes.calls.new[run.pk, event.seq] = call


def _call_ended(changes: Changes, state: RunState, event: Event, body: CallEnded) -> None:
    run = state.row
    duration = changes.close(state, event.step, event.mono)
    if duration is None and not _lost_start(changes, run, event, body):
        return
    call = changes.calls.get((run.pk, event.step))
    if call is None:
        return
    changes.add_metadata(run, changes.end(state, event.step, body.status, duration, body.error), body.metadata)
    call.status, call.duration_ns = body.status, duration
    run.errors += body.status == "failed"
    for name in _END_FACTS:
        setattr(call, name, getattr(body, name))
    call.reported_cost_nano = body.reported_cost
    run.reported_cost_nano += body.reported_cost or 0
    if body.output is not None:
        call.output_node = changes.node(state, body.output)
    if body.timeline is not None:
        call.timeline = _encode(body.timeline).decode()
    _use(run, call, body.usage)
    _price(changes, run, call, body.cost)


def _lost_start(changes: Changes, run: RunRow, event: Event, body: CallEnded) -> bool:
    """Make up the start of an attempt whose start was lost; False when it has simply ended before."""
    key = (run.pk, event.step)
    if not 0 < event.step < event.seq or changes.steps.get(key) is not None:
        return False
    run.llm_calls += 1
    model = body.served_model or ""
    changes.steps.new[key] = StepRow(
        run=run.pk, step=event.step, parent=0, kind="llm", name=model, agent_type=run.agent_type, started_at=event.at
    )
    changes.calls.new[key] = CallRow(
        run=run.pk, step=event.step, provider="", model=model, agent_type=run.agent_type, started_at=event.at
    )
    return True


def _use(run: RunRow, call: CallRow, usage: Usage) -> None:
    """What an attempt used, in place of what its row said before."""
    if call.usage_basis is not None:
        for name in _TOKENS:
            setattr(run, name, getattr(run, name) - (getattr(call, name) or 0))
        run.usage_missing -= call.usage_basis == "missing"
    call.uncached_tokens = usage.input_uncached
    call.cache_read_tokens, call.cache_write_tokens = usage.cache_read, usage.cache_write
    call.cache_write_1h_tokens = usage.cache_write_1h
    call.output_tokens, call.reasoning_tokens = usage.output, usage.reasoning
    call.usage_basis = usage.basis
    call.usage_extra = _encode(usage.extra).decode() if usage.extra else None
    for name in _TOKENS:
        setattr(run, name, getattr(run, name) + (getattr(call, name) or 0))
    run.usage_missing += usage.basis == "missing"


def _price(changes: Changes, run: RunRow, call: CallRow, cost: Cost | None) -> None:
    """What an attempt costs, in place of what its row said before."""
    if call.cost_state is not None:
        run.unpriced -= call.cost_nano is None
        run.cost_nano -= call.cost_nano or 0
    cost = cost or Cost()
    total = None if cost.state == "unpriced" else cost.total
    if total is None:
        run.unpriced += 1
    else:
        run.cost_nano += total
    call.cost_state = "unpriced" if total is None else cost.state
    call.cost_nano, call.input_cost_nano, call.output_cost_nano = total, cost.input, cost.output
    call.cache_read_cost_nano, call.cache_write_cost_nano = cost.cache_read, cost.cache_write
    call.unpriced_reason = cost.reason or None
    call.price = changes.known.price(cost.price_id, cost.price_date) if cost.price_id else None


def _call_repriced(changes: Changes, state: RunState, event: Event, body: CallRepriced) -> None:
    call = _ended_call(changes, state, body.call)
    if call is not None:
        _price(changes, state.row, call, body.cost)


def _call_metered(changes: Changes, state: RunState, event: Event, body: CallMetered) -> None:
    call = _ended_call(changes, state, body.call)
    if call is not None:
        _use(state.row, call, body.usage)
        _price(changes, state.row, call, body.cost)


def _ended_call(changes: Changes, state: RunState, step: int) -> CallRow | None:
    """The row of a call that has ended, about which there is something new to say; its hour is stale."""
    call = changes.calls.get((state.row.pk, step))
    if call is None or call.cost_state is None:
        return None
    changes.stale(state.row, call.started_at)
    return call


# ---- tool calls ------------------------------------------------------------------------------------------------------


def _tool_started(changes: Changes, state: RunState, event: Event, body: ToolStarted) -> None:
    run = state.row
    run.tool_calls += 1
    step = StepRow(
        run=run.pk, step=event.seq, parent=body.parent, kind="tool", name=body.name, agent_type=body.agent_type,
        iteration=body.iteration, started_at=event.at,
    )  # fmt: skip
    changes.start(state, event, step, body.metadata, body.refs)
    tool = ToolRow(
        run=run.pk, step=event.seq, name=body.name, agent_type=step.agent_type, started_at=event.at,
        call_id=body.call_id, requested_by=body.requested_by, position=body.index, classification=body.classification,
        arguments_hash=changes.same_value(body.arguments),
    )  # fmt: skip
    tool.arguments, tool.arguments_payload = changes.place(run, body.arguments)
    changes.tools.new[run.pk, event.seq] = tool


def _tool_ended(changes: Changes, state: RunState, event: Event, body: ToolEnded) -> None:
    run = state.row
    duration = changes.close(state, event.step, event.mono)
    tool = None if duration is None else changes.tools.get((run.pk, event.step))
    if tool is None:
        return
    status = TOOL_STATUS.get(body.state, body.state)
    changes.add_metadata(run, changes.end(state, event.step, status, duration, body.error), body.metadata)
    run.errors += body.state == "failed"
    tool.state, tool.duration_ns, tool.reason = body.state, duration, body.reason
    if body.message is not None:
        tool.result_node = changes.node(state, body.message)
    if body.result is not None:
        tool.result, tool.result_payload = changes.place(run, body.result)
        tool.result_hash = same_bytes(body.result)


# ---- the rest --------------------------------------------------------------------------------------------------------


def _message(changes: Changes, state: RunState, event: Event, body: MessageAppended) -> None:
    receive(state.row, body.message)
    changes.messages.append(changes.append(state, event.seq, body))


def _limit_hit(changes: Changes, state: RunState, event: Event, body: LimitHit) -> None:
    state.row.interventions += body.mode not in ("observe", "warn")
    evidence = _encode(body.evidence).decode() if body.evidence else None
    row = LimitRow(
        run=state.row.pk, seq=event.seq, step=event.step, at=event.at, metric=body.metric, scope=body.scope,
        mode=body.mode, used=_number(body.used), requested=_number(body.requested),
        threshold=_number(body.threshold), reason=body.reason,
        refused_kind=body.refused_kind, refused_name=body.refused_name, evidence=evidence,
    )  # fmt: skip
    changes.limits.append(row)


def _score(changes: Changes, state: RunState, event: Event, body: Score) -> None:
    row = ScoreRow(
        run=state.row.pk, seq=event.seq, at=event.at, target=body.target, name=body.name,
        value=None if body.value is None or isnan(body.value) else body.value,
        label=body.label, kind=body.kind, author=body.author, comment=body.comment,
    )  # fmt: skip
    changes.scores.append(row)


def _number(value: float) -> float:
    """What is not a number counts as 0: SQL has no word for it."""
    return 0.0 if isnan(value) else value


def _note(changes: Changes, state: RunState, event: Event, body: Note) -> None:
    if body.data is not None:
        receive(state.row, body.data)


def _loss(changes: Changes, state: RunState, event: Event, body: Loss) -> None:
    state.row.lost += body.events


_RUN_FACTS = (
    "name", "execution_id", "agent_type", "tenant", "session", "user", "version", "environment", "platform", "source",
    "parent_run", "parent_step", "trace_id", "trace_parent", "owner", "epoch",
)  # fmt: skip
_TOKENS = ("uncached_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
_END_FACTS = (
    "finish_reason", "served_model", "served_tier", "response_id", "request_id", "http_status", "first_token_ns",
    "chunks",
)  # fmt: skip

_HANDLERS: Mapping[type, Callable[[Changes, RunState, Event, Any], None]] = {
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
    Score: _score,
    Note: _note,
    Loss: _loss,
}
