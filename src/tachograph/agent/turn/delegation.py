"""A call of a delegate: a run of its own below the tool's step, inside everything that bounds whoever asked.

It draws from the asker's budget, ends with its deadline, waits in its scheduler and is called off with it. What it
comes to is handed over in words; what ends more than the worker's own run is handed over as what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, NamedTuple

from msgspec import Struct

from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.call import Call, begin, outcome_of
from tachograph.agent.live import Live
from tachograph.agent.progress import Emitter, WorkerTold
from tachograph.agent.state import Wrapped
from tachograph.agent.team.ancestry import barred
from tachograph.agent.team.delegate import MESSAGE, RESET, Delegate, DelegateTool
from tachograph.agent.team.dialogues import Dialogue, forked
from tachograph.agent.team.report import answer_of, report
from tachograph.agent.tools.execute import Ran, told
from tachograph.errors import LimitExceeded, RunFailed
from tachograph.events.chat import ToolUse
from tachograph.record.door import Recorded

_OF_ONE_CALL = frozenset({"block", "skip"})
_ENDING_DEPTH = frozenset({"raise", "handoff"})
"""Modes in which too deep a call ends whoever made it; in all others the call alone fails."""


class _Below(NamedTuple):
    """Where the worker's run begins."""

    record: Recorded
    """The step of the call."""
    dialogue: Dialogue
    kind: str
    """What that is: persistent, copy, fork, fresh."""
    asleep: str = ""
    """The run itself, where it had begun and paused."""


class Delegated(Struct, frozen=True):
    """What came of the call."""

    ran: Ran
    finished: str | None = None
    """The answer of the whole run, where a hook inside has ended that."""
    paused: str = ""
    """The worker's run, when it waits for a person."""
    limit: LimitExceeded | None = None
    """A limit of the asker's, or of a run above it, that ended the worker's run."""


def refused(live: Live, tool: DelegateTool) -> str:
    """Why this delegate may not be asked here, in words for the model; empty when it may."""
    return barred(live.ancestry, tool.delegate.worker.name, recursive=tool.delegate.recursive)


async def delegate(
    live: Live, tool: DelegateTool, call: ToolUse, arguments: Mapping[str, Any], record: Recorded, asleep: str = ""
) -> Delegated:
    """Have the worker do it; `record` is the step of the call, `asleep` its run, where that had paused.

    Raises CancelledError alone.
    """
    how, dialogue = tool.delegate, live.team.dialogue(live.spec.name, tool.name)
    async with AsyncExitStack() as turn:
        try:
            await turn.enter_async_context(dialogue.turn(how.parallel, live.left()))
        except TimeoutError as late:
            said = f"{how.worker.name} was not asked: no time was left to wait for its turn."
            return Delegated(Ran("cancelled", said, late))
        if asleep and live.wake is not None:
            context = dialogue if how.mode == "persistent" else Dialogue()
            return await _asked(live, tool, call, arguments[MESSAGE], _Below(record, context, how.mode, asleep))
        context = _context(live, how, dialogue, reset=bool(arguments.get(RESET)))
        kind = "copy" if how.mode == "persistent" and context is not dialogue else how.mode
        return await _asked(live, tool, call, arguments[MESSAGE], _Below(record, context, kind))


def _context(live: Live, how: Delegate, dialogue: Dialogue, *, reset: bool) -> Dialogue:
    """What the worker knows, and where it is kept what it says."""
    if how.mode == "persistent":
        reply = None if how.parallel == 1 else live.state.reply  # one after the other is not at once
        return dialogue.joined(reply, reset=reset)
    return Dialogue(forked(live.state.messages), live.shelf) if how.mode == "fork" else Dialogue()


async def _asked(live: Live, tool: DelegateTool, call: ToolUse, message: str, below: _Below) -> Delegated:
    worker = tool.delegate.worker
    try:
        child = await _begun(live, tool, call, message, below)
        if isinstance(child, str):  # somebody had it go on by itself, and it has answered
            return Delegated(Ran("completed", child))
    except Exception as problem:  # noqa: BLE001 - whatever keeps it from beginning, whoever asked can go on
        return Delegated(Ran("failed", f"{worker.name} could not begin: {told(problem)}", problem))
    ended: LimitExceeded | None = None
    try:
        await worker.perform(child, None if below.asleep else message)
    except LimitExceeded as raised:
        ended = raised
    finally:
        outcome = outcome_of(child)
        live.children.append(outcome)
        if outcome.status != "paused":
            below.dialogue.keep(outcome.messages, child.reminding)
    if outcome.status == "paused":
        return Delegated(Ran("cancelled", ""), paused=outcome.run_id or "")
    return _handed_over(live, child, outcome, ended)


async def _begun(live: Live, tool: DelegateTool, call: ToolUse, message: str, below: _Below) -> Live | str:
    """Everything its run needs; its answer, where it had paused and has ended meanwhile. Raises as `begin` does."""
    how, trigger, worker, dialogue = tool.delegate, live.record.trigger, tool.delegate.worker, below.dialogue
    changes = {} if how.output is None else {"output": how.output}
    emitter = Emitter()
    emitter.subscribe(object, lambda value: live.emit(WorkerTold(worker=worker.name, call=call, value=value)))
    asked = Call(
        history=dialogue.messages, limits=how.limits, session=trigger.session, user=trigger.user, tenant=trigger.tenant,
        platform=trigger.platform, environment=trigger.environment, context=live.context, shelf=dialogue.shelf,
        metadata={"ancestry": list(live.ancestry), "context": below.kind}, reminding=dialogue.reminding,
        emitter=emitter, below=below.record, tags=trigger.tags,
    )  # fmt: skip
    port, worker = worker.port, worker.but(scheduler=live.spec.scheduler, **changes)
    if below.asleep and live.wake is not None:
        woken = await live.wake(worker, below.asleep, asked)
        if isinstance(woken, str):
            return woken
        asked, message = replace(asked, history=(), **woken), None  # type: ignore[assignment]
    child = begin(worker, port, message, asked)
    child.above, child.team, child.approve = live, dialogue.team, child.approve or live.approve
    return child


def _handed_over(live: Live, child: Live, outcome: Outcome[Any], ended: LimitExceeded | None) -> Delegated:
    name = child.spec.name
    if outcome.completed:
        ran = Ran("completed", answer_of(name, outcome))
        return Delegated(ran, finished=(outcome.answer or "") if child.finishing else None)
    failed = RunFailed(outcome.status, outcome.stop_reason, outcome.detail, outcome)
    limit = _passed_on(ended or child.error or child.wrapping)
    if limit is not None and not limit.above:
        live.record.reached(limit)
        if limit.mode == "wrap_up":
            live.advance(Wrapped(limit.metric))
    return Delegated(Ran("failed", report(name, outcome), failed), limit=limit)


def _passed_on(error: BaseException | None) -> LimitExceeded | None:
    """A limit that was not the worker's own, as whoever asked it meets it."""
    if not isinstance(error, LimitExceeded) or not error.above or error.mode in _OF_ONE_CALL:
        return None
    if error.metric == "max_depth" and error.mode not in _ENDING_DEPTH:
        return None
    return LimitExceeded(
        error.metric, error.used, error.requested, error.threshold, scope=error.scope, mode=error.mode,
        reason=error.reason, above=error.above - 1,
    )  # fmt: skip
