"""The tools of one reply: authorised in call order, then run under the limits, then answered in call order.

Every call meets the door exactly once, whatever becomes of it: one that cannot be run is recorded as rejected with its
reason, and the model is told. So every call of a reply has one end and one result, and a repeated bad call counts as a
repetition like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from copy import deepcopy
from functools import partial
from typing import Any

from msgspec import Struct

from tachograph.agent import transcript
from tachograph.agent.crew.passing import NotPassed, Passed, pass_on
from tachograph.agent.hooks import FinishAgent, FinishRun
from tachograph.agent.live import Live
from tachograph.agent.progress import ToolBegan, ToolDone
from tachograph.agent.state import Answered, State
from tachograph.agent.team.delegate import DelegateTool
from tachograph.agent.tools.arguments import Prepared, prepare
from tachograph.agent.tools.execute import Ran, execute
from tachograph.agent.tools.tool import Tool, ToolContext, nobody
from tachograph.agent.transcript import INTERRUPTED
from tachograph.agent.turn import delegation
from tachograph.agent.turn.authorise import authorise, pause
from tachograph.agent.turn.handing import request
from tachograph.agent.turn.plan import FINISHED_BEFORE, Finished, Plan
from tachograph.errors import LimitExceeded, ToolError
from tachograph.events.chat import Part, Text, ToolUse, result
from tachograph.events.tool import WAITS
from tachograph.record import scope
from tachograph.record.intent import ToolCall
from tachograph.record.spell import valid_text
from tachograph.record.step import ToolStep, step

ONE_CALL = frozenset({"block", "skip"})
"""Modes that refuse one call and let the run go on."""
CALLED_OFF = "called off: the whole run was finished by another call"


class Acted(Struct, frozen=True):
    """What came of the calls of one reply."""

    answered: Answered
    finished: Finished | None = None
    limit: LimitExceeded | None = None
    """A limit that ends the run."""
    passed: Passed | None = None
    """Who takes over."""
    waiting: tuple[str, ...] = ()
    """Tools whose calls wait for a person, or a worker's call in them: then the calls of the reply stay open."""


async def act(live: Live, state: State, asked_by: int | None) -> Acted:
    """Run the open calls of the last reply. Raises CancelledError alone; then, too, every call has ended.

    What is known of them by then is where the run stands.
    """
    plans = _plans(live, state)
    tools = live.toolbox()
    finished, handing = None, None
    try:
        for plan in plans:
            if plan.met:
                continue
            if finished is not None:
                plan.refusal = FINISHED_BEFORE
                continue
            finished = await authorise(live, state, plan, tools, None if handing is None else handing.edge)
            handing = plan if plan.hands_over else handing
        if finished is None and any(plan.waits for plan in plans):
            return Acted(Answered(()), waiting=pause(live, plans))
        for plan in plans:
            plan.refusal = FINISHED_BEFORE if plan.waits else plan.refusal
        await _run_all(live, state, [plan for plan in plans if plan is not handing and not plan.met], asked_by)
        if any(plan.paused for plan in plans):
            return _halted(live, plans, finished)
        if handing is not None:  # the last thing that is done: the next agent reads what came of everything else
            await _hand_over(live, state, plans, handing, asked_by, finished)
    except BaseException:
        for plan in plans:
            plan.met = plan.met and not plan.paused
            _never_ran(live, state, plan, asked_by)
        live.advance(_answered(plans))
        raise
    live.done, live.paused = {}, {}
    answered = _answered(plans)
    said = zip(plans, answered.results, strict=True)
    live.shelf.failures.update(one for plan, one in said if plan.state != "completed")
    return Acted(
        answered,
        finished or _finished(plans),
        next((plan.limit for plan in plans if plan.limit is not None), None),
        next((plan.passed for plan in plans if plan.passed is not None), None),
    )


def leave(live: Live, state: State, why: str) -> Answered:
    """The open calls of a reply will not run: each is recorded with its end, and answered with the reason."""
    plans = _plans(live, state)
    for plan in plans:
        if not plan.met:
            plan.refusal = why
            _unrun(live, state, plan)
    return _answered(plans)


def _plans(live: Live, state: State) -> list[Plan]:
    """The open calls. Those that had ended when another one paused the run have their results."""
    plans = [Plan(call, index) for index, call in enumerate(state.open)]
    for index, (message, completed) in live.done.items():
        plans[index].take(message, completed=completed)
    return plans


def _halted(live: Live, plans: list[Plan], finished: Finished | None) -> Acted:
    """A worker waits for a person, so this run does: what the other calls came to is kept until it goes on."""
    live.done = {
        plan.index: (result(plan.call, plan.content), plan.state == "completed")
        for plan in plans
        if plan.met and not plan.paused
    }
    live.paused = {plan.index: plan.paused for plan in plans if plan.paused}
    limit = next((plan.limit for plan in plans if plan.limit is not None and plan.limit.mode != "wrap_up"), None)
    names = tuple(plan.call.name for plan in plans if plan.paused)
    return Acted(Answered(()), finished or _finished(plans), limit, waiting=names)


def _finished(plans: list[Plan]) -> Finished | None:
    ends = [plan.finished for plan in plans if plan.finished is not None]
    return next((end for end in ends if isinstance(end, FinishRun)), ends[0] if ends else None)


def _unrun(live: Live, state: State, plan: Plan) -> None:
    prepared = prepare(live.toolbox(), plan.call)
    plan.prepared = prepared if isinstance(prepared, Prepared) else None
    plan.state, plan.content = "skipped", plan.refusal
    live.called()
    try:
        with step(_intent(live, state, plan, live.asked_by)) as record:
            record.skip(plan.refusal)
    except LimitExceeded as refused:  # it would not have run anyway; the record says what the guard says
        plan.content = transcript.refused(refused.reason or refused.metric)


def _answered(plans: Iterable[Plan]) -> Answered:
    """What is known by now: the result of each call that has one, and that the others were interrupted."""
    return Answered(
        tuple(result(plan.call, plan.content) for plan in plans),
        tuple(plan.call.name for plan in plans if plan.state == "completed"),
        next((plan.limit.metric for plan in plans if plan.limit is not None and plan.limit.mode == "wrap_up"), ""),
    )


# ---- running --------------------------------------------------------------------------------------------------------


async def _run_all(live: Live, state: State, plans: list[Plan], asked_by: int | None) -> None:
    one_by_one = len(plans) == 1 or any(plan.tool is not None and plan.tool.sequential for plan in plans)
    over = False
    if one_by_one:
        for plan in plans:
            if over:
                plan.refusal = FINISHED_BEFORE
            await _run(live, state, plan, asked_by)
            over = over or plan.finished is not None
        return
    places = asyncio.Semaphore(live.spec.parallel)
    tasks: list[asyncio.Task[None]] = []

    async def placed(plan: Plan) -> None:
        nonlocal over
        async with places:
            if over:
                plan.refusal = FINISHED_BEFORE
            await _run(live, state, plan, asked_by)
            if isinstance(plan.finished, FinishRun):
                over = True
                _call_off(plans, tasks)

    with scope.lending():
        tasks += [asyncio.ensure_future(placed(plan)) for plan in plans]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def _hand_over(
    live: Live, state: State, plans: list[Plan], plan: Plan, asked_by: int | None, finished: Finished | None
) -> None:  # fmt: skip
    """The one hand-off of a reply, when all its other calls have ended: unless they have ended the work."""
    limit = next((before.limit for before in plans if before.limit is not None), None)
    if finished is not None or any(before.finished is not None for before in plans):
        plan.refusal = FINISHED_BEFORE
    elif limit is not None:
        plan.refusal = transcript.refused(limit.reason or limit.metric)
    await _run(live, state, plan, asked_by, plans)


def _call_off(plans: list[Plan], tasks: list[asyncio.Task[None]]) -> None:
    """The whole run is over: delegates at work are called off. Other tools that run are let finish what they do."""
    for plan, task in zip(plans, tasks, strict=True):
        if plan.delegated and not plan.called_off:
            plan.called_off = True
            task.cancel()


async def _run(
    live: Live, state: State, plan: Plan, asked_by: int | None, plans: Iterable[Plan] = ()
) -> None:  # fmt: skip
    """One call through the door. What it came to is in the plan, also when it is cancelled. `plans`: all calls."""
    plan.met = True
    record = step(_intent(live, state, plan, asked_by))
    began = live.clock.mono()
    try:
        with record:
            hint = live.heed(record.notices)
            await _perform(live, state, plan, record)
            if plan.paused:
                record.give_up(WAITS, cancelled=True)
                record.metadata = {"paused": plan.paused}
                return
            if hint:
                said = plan.content
                plan.content = f"{said}\n\n{hint}" if isinstance(said, str) else (*said, Text(hint))
            if plan.hands_over and plan.state == "completed":
                await _pass_on(live, state, plans, plan, record)
            if plan.has_ended and plan.content != record.output:
                # The record keeps the whole result; what the model is told of it differs, and stands beside.
                record.metadata = {"told": result(plan.call, plan.content).plain()["content"]}
    except LimitExceeded as refused:
        _refuse(plan, refused)
    finally:
        live.called()
        seconds = (live.clock.mono() - began) / 1e9
        said = WAITS if plan.paused else plan.content
        live.emit(ToolDone(call=plan.call, state=plan.state or "cancelled", result=said, seconds=seconds))


async def _pass_on(live: Live, state: State, plans: Iterable[Plan], plan: Plan, record: ToolStep) -> None:
    """The hand-off itself. Until it is applied nothing is known of its call."""
    assert plan.edge is not None
    assert plan.prepared is not None
    if plan.finished is not None:
        plan.state, plan.content = "rejected", FINISHED_BEFORE
        record.reject(FINISHED_BEFORE)
        return
    messages, said = (*state.messages, *_answered(plans).results), plan.content
    plan.state, plan.content, record.output = None, INTERRUPTED, None
    try:
        came = await pass_on(live, state, plan.edge, str(plan.prepared.given.get("reason") or ""), messages)
    except LimitExceeded as refused:
        _refuse(plan, refused)
        (record.skip if plan.state == "skipped" else record.reject)(refused.reason or refused.metric)
        return
    if isinstance(came, NotPassed):
        plan.state, plan.content = "failed", came.text
        record.fail(came.problem)
    else:
        plan.state, plan.content, plan.passed = "completed", said, came
    record.output = _kept(plan.content)


def _never_ran(live: Live, state: State, plan: Plan, asked_by: int | None) -> None:
    """The run was called off before this call began: it has an end all the same."""
    if plan.met:
        return
    live.called()  # refused by a limit or not: it is recorded, once
    try:
        with step(_intent(live, state, plan, asked_by)) as record:
            record.cancel("the run was called off before it began")
    except LimitExceeded as refused:
        _refuse(plan, refused)


def _refuse(plan: Plan, refused: LimitExceeded) -> None:
    plan.content = transcript.refused(refused.reason or refused.metric)
    plan.state = "skipped" if refused.mode == "skip" else "rejected"
    if refused.mode not in ONE_CALL:
        plan.limit = refused


async def _perform(live: Live, state: State, plan: Plan, record: ToolStep) -> None:
    prepared = plan.prepared
    if plan.refusal or prepared is None:
        record.reject(plan.refusal)
        plan.state, plan.content = "rejected", plan.refusal
        return
    live.emit(ToolBegan(call=plan.call, arguments=prepared.given, iteration=state.iteration))
    finished: Finished | None = None
    if plan.has_given:
        ran = Ran("completed", live.text_of(plan.given))
    elif isinstance(prepared.tool, DelegateTool):
        ran, finished = await _delegate(live, plan, prepared, prepared.tool, record)
        if plan.paused:
            return
    else:
        seconds = live.within(prepared.tool.timeout)
        ran = await execute(
            prepared.tool, prepared.arguments, _context(live, state, plan), seconds, late=_late(live, plan)
        )
    ran = await _let_pass(live, prepared.tool, await _after(live, state, plan, ran))
    plan.finished = finished or plan.finished
    plan.state, plan.content = ran.state, live.shelf.fit(ran.content, prepared.tool.most_chars)
    _ended(record, ran)


async def _delegate(
    live: Live, plan: Plan, prepared: Prepared, tool: DelegateTool, record: ToolStep
) -> tuple[Ran, Finished | None]:
    """Another agent does it: what came of that, and whether it ended the whole run."""
    plan.delegated = True
    try:
        asleep = live.paused.get(plan.index, "")
        found = await delegation.delegate(live, tool, plan.call, prepared.arguments, record, asleep)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not plan.called_off or task is None or task.uncancel():  # the run itself is called off
            raise
        return Ran("cancelled", CALLED_OFF), None
    finally:
        plan.delegated = False
    plan.limit, plan.paused = found.limit, found.paused
    return found.ran, None if found.finished is None else FinishRun(found.finished)


def _ended(record: ToolStep, ran: Ran) -> None:
    record.output = _kept(ran.content)
    if ran.state == "failed":
        record.fail(ran.error or "failed")
    elif ran.state != "completed":
        record.give_up(str(ran.error or ran.state), cancelled=ran.state == "cancelled")


def _kept(content: str | tuple[Part, ...]) -> Any:
    return content if isinstance(content, str) else result(ToolUse("", ""), content).plain()["content"]


async def _after(live: Live, state: State, plan: Plan, ran: Ran) -> Ran:
    if not live.hooks or plan.prepared is None:
        return ran
    given = deepcopy(plan.prepared.given)
    moment = live.moment("post_tool_use", state, call=plan.call, arguments=given, result=ran.content)
    try:
        verdict = await live.fire(moment)
    except TimeoutError:  # the run is over with the next thing it does
        return ran
    match verdict.effect:
        case FinishAgent() | FinishRun() as finish:
            plan.finished = finish
    changed = verdict.moment.result
    return ran if changed is ran.content else Ran(ran.state, live.text_of(changed), ran.error)


async def _let_pass(live: Live, tool: Tool, ran: Ran) -> Ran:
    """Guardrails look at what the model would get."""
    passed = await live.guard("tool", ran.content, stage="result", tool=tool.name)
    if passed.ended is not None:
        return Ran(ran.state, passed.ended.text, ran.error)
    return ran if passed.content is ran.content else Ran(ran.state, live.text_of(passed.content), ran.error)


def _intent(live: Live, state: State, plan: Plan, asked_by: int | None) -> ToolCall:
    arguments: Any = plan.call.arguments if plan.prepared is None else plan.prepared.given
    tool, hidden = plan.tool, plan.call.hidden
    if hidden:
        arguments = live.masked(arguments, hidden)
    return ToolCall(
        plan.call.name, arguments, call_id=plan.call.id, requested_by=asked_by, index=plan.index,
        classification="other" if tool is None else tool.classification, iteration=state.iteration,
        agent_type=live.spec.name, metadata=tool.told if isinstance(tool, DelegateTool) else None,
    )  # fmt: skip


def _context(live: Live, state: State, plan: Plan) -> ToolContext:
    return ToolContext(
        live.record.run_id or "", live.spec.name, plan.call.id, plan.call.name, state.iteration, live.record.deadline,
        live.context, live.shelf.get, live.state.scratch, live.keep,
        nobody if live.spec.person is None else partial(_ask_person, live),
    )  # fmt: skip


def _ask_person(live: Live, reason: str) -> None:
    if live.state.end is not None:
        raise ToolError("The run is over, and nobody is asked any more.")
    request(live, "model", "", valid_text(str(reason)))


def _late(live: Live, plan: Plan) -> Any:
    facts = {"tool": plan.call.name, "call_id": plan.call.id}
    return lambda ran: live.record.note("late_result", {**facts, "state": ran.state, "content": str(ran.content)})
