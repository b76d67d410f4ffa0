"""Whether a call of a reply may be made, with which arguments: hooks, guardrails, people. Doubt is a no.

Nothing runs here. A call that waits for a person leaves the whole reply open.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import msgspec

from tachograph.agent.crew.passing import unfit
from tachograph.agent.hooks import Block, FinishAgent, FinishRun, ReplaceOutput
from tachograph.agent.live import Live
from tachograph.agent.people import waiting
from tachograph.agent.progress import Approved, Waiting
from tachograph.agent.state import Asked as Requested
from tachograph.agent.state import Ruled, State
from tachograph.agent.team.delegate import DelegateTool
from tachograph.agent.team.handoff import Handoff
from tachograph.agent.tools.approval import Asked, Decision, Deny, Edit, Pause, decide
from tachograph.agent.tools.arguments import Prepared, Unfit, fit, prepare
from tachograph.agent.tools.tool import Tool
from tachograph.agent.turn import delegation
from tachograph.agent.turn.plan import FINISHED_BEFORE, Finished, Plan
from tachograph.fold import approvals
from tachograph.fold.approvals import Approval
from tachograph.record import scope
from tachograph.record.sanitize import to_json

BARRED = "Not run: a person said that this must not be made again."


async def authorise(
    live: Live, state: State, plan: Plan, tools: Mapping[str, Tool], chosen: Handoff | None
) -> Finished | None:  # fmt: skip
    """Whether a call may run, with which arguments; what ends the work instead. `chosen`: a hand-off before it."""
    prepared = prepare(tools, plan.call)
    if isinstance(prepared, Unfit):
        plan.refusal = prepared.message
        return None
    plan.prepared, plan.edge = prepared, live.edges.get(plan.call.name)
    if plan.edge is not None:
        plan.refusal = unfit(plan.edge, state, chosen)
    elif isinstance(prepared.tool, DelegateTool):
        plan.refusal = delegation.refused(live, prepared.tool)
    if plan.refusal:
        return None
    finished = await _before(live, state, plan, prepared)
    if finished is None and not plan.has_given:
        await _guard(live, plan)
        _bar(live, plan)
        guarded = plan.prepared
        if not plan.refusal and guarded is not None:
            await _approve(live, state, plan, guarded)
        if plan.prepared is not guarded:  # somebody wrote other arguments: nobody has looked at those
            await _guard(live, plan)
            _bar(live, plan)
    return finished


def _bar(live: Live, plan: Plan) -> None:
    """What a person does not want made again is not: compared as the record has it."""
    prepared, barred = plan.prepared, live.barred
    if plan.refusal or prepared is None or not barred:
        return
    tool, recorder = prepared.tool, scope.recorder()
    shown = to_json(live.masked(prepared.given, tool.redact), recorder.limits)
    if waiting.recorded_as(tool.name, recorder.scrubber.capture(shown.text).text) in barred:
        plan.refusal = BARRED


async def _guard(live: Live, plan: Plan) -> None:
    """Guardrails look at the arguments that the tool would get."""
    prepared = plan.prepared
    if plan.refusal or prepared is None:
        return
    name, hidden = prepared.tool.name, prepared.tool.redact
    passed = await live.guard("tool", prepared.given, stage="arguments", tool=name, hidden=hidden)
    if passed.ended is not None:
        plan.refusal = passed.ended.text
    elif passed.content != prepared.given:
        _edited(plan, prepared.tool, passed.content)


async def _before(live: Live, state: State, plan: Plan, prepared: Prepared) -> Finished | None:
    if not live.hooks:
        return None
    try:
        shown = deepcopy(prepared.given)  # what a hook does to it is nothing that the tool or the record knows of
        verdict = await live.fire(live.moment("pre_tool_use", state, call=plan.call, arguments=shown))
    except TimeoutError:
        plan.refusal = "not run: the time of the run was over"
        return None
    match verdict.effect:
        case Block(message=message):
            plan.refusal = message or "Tool execution was blocked by a hook."
        case ReplaceOutput(value=value):
            plan.given, plan.has_given = value, True
        case FinishAgent() | FinishRun() as finish:
            plan.refusal = FINISHED_BEFORE
            return finish
    if verdict.moment.arguments is not shown:
        _edited(plan, prepared.tool, verdict.moment.arguments)
    return None


async def _approve(live: Live, state: State, plan: Plan, prepared: Prepared) -> None:
    tool = prepared.tool
    if not tool.approve:
        return
    pause = live.approve if isinstance(live.approve, Pause) else Pause()
    shown, now = live.masked(prepared.given, tool.redact), live.clock.now()
    asked = waiting.asked(
        pause, plan.call, prepared, shown, iteration=state.iteration, index=plan.index, agent=live.spec.name, now=now
    )  # fmt: skip
    known = live.state.approvals.get(asked.slot)
    if known is not None and known.decided is not None:
        decision = waiting.meant(known, plan.call, prepared)
    elif known is not None and known.expired(now):
        decision = waiting.late(known)
        _ruled(live, plan, known, decision, prepared)
    elif isinstance(live.approve, Pause) and live.record.run_id is not None:
        if known is None or known.is_about(asked):
            plan.waits = known or asked
        else:
            plan.refusal = f"Not allowed: {waiting.ANOTHER}"
        return
    else:
        decision = await _asked(live, state, plan, prepared)
        _ruled(live, plan, known or asked, decision, prepared)
    live.emit(Approved(call=plan.call, decision=decision))
    match decision:
        case Deny(reason=reason):
            plan.refusal = f"Not allowed: {reason}" if reason else "Not allowed."
        case Edit(arguments=arguments):
            _edited(plan, tool, arguments)


async def _asked(live: Live, state: State, plan: Plan, prepared: Prepared) -> Decision:
    """Whoever is there is asked, while the run waits."""
    if isinstance(live.approve, Pause):
        return Deny(f"{prepared.tool.name} needs approval, and a run that is not recorded cannot wait for it.")
    given, run = deepcopy(prepared.given), live.record.run_id or ""
    asked = Asked(prepared.tool, given, run, live.spec.name, plan.call.id, state.iteration)
    return await decide(live.approve, asked, live.left())


def pause(live: Live, plans: list[Plan]) -> tuple[str, ...]:
    """Ask for a person, once for each call that waits; their tools. Nothing of the reply has run."""
    found = [plan.waits for plan in plans if plan.waits is not None]
    for approval in found:
        if approval.slot not in live.state.approvals:
            live.note(approvals.REQUESTED, approval.facts())
            live.advance(Requested(approval))
        live.emit(Waiting(approval=approval))
    return tuple(approval.tool for approval in found)


def _ruled(live: Live, plan: Plan, approval: Approval, decision: Decision, prepared: Prepared) -> None:
    """Record who decided what, when; and stand there."""
    edited = live.masked(decision.arguments, prepared.tool.redact) if isinstance(decision, Edit) else None
    said = waiting.ruling(approval, decision, by="program", at=live.clock.now(), arguments=edited)
    live.note(approvals.DECIDED, msgspec.structs.asdict(said))
    live.advance(Ruled(said))


def _edited(plan: Plan, tool: Tool, arguments: Mapping[str, Any] | None) -> None:
    """Arguments that somebody changed are checked like those of the model."""
    prepared = fit(tool, arguments or {})
    if isinstance(prepared, Prepared):
        plan.prepared = prepared
    else:
        plan.refusal = prepared.message
