"""A run performed: what the loop decides is done, what comes of it is a fact, and the facts are where the run stands.

Whatever happens in here (a limit, a provider that fails, a hook that raises, a cancellation) ends in one `End`, one
recorded end of the run, and a conversation that any provider would take.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any

from msgspec import structs

from tachograph.agent import loop, progress
from tachograph.agent.answer.output import Misfit, parse
from tachograph.agent.call import Prompt, outcome_of
from tachograph.agent.compact.figures import passed
from tachograph.agent.compacting.turn import replied
from tachograph.agent.hooks import FinishAgent, FinishRun, Reprompt
from tachograph.agent.live import Live
from tachograph.agent.pace.leaving import hold
from tachograph.agent.pace.watchdog import WATCHDOG, Stall
from tachograph.agent.state import (
    Accepted,
    Corrected,
    End,
    Iterated,
    Moved,
    Nudged,
    Refused,
    Replied,
    Wrapped,
)
from tachograph.agent.transcript import INTERRUPTED
from tachograph.agent.turn import handing
from tachograph.agent.turn.act import act, leave
from tachograph.agent.turn.beginning import prompted, remember, remind, stand, warn
from tachograph.agent.turn.verify import veiled, verified, withheld
from tachograph.errors import LimitExceeded, ModelError
from tachograph.limits.purse import QUIET
from tachograph.record.run import Run, run
from tachograph.record.sanitize import to_json
from tachograph.record.step import step

LAST_TURN = "This is your last turn, and no tools are available in it: give the best answer you can from what you know."


async def fly(live: Live, prompt: Prompt | None) -> Live:
    """A whole run; where it ended is in what is returned.

    Raises CancelledError, and LimitExceeded for a limit of mode `raise`; then, too, everything is closed.
    """
    try:
        with live.record as record, WATCHDOG.watching(lambda stall: _stalled(live, stall)):
            record.narrow(live.part)
            live.emit(progress.RunBegan(run_id=record.run_id or "", agent=live.spec.name, prompt=prompt))
            stand(live)
            try:
                if live.state.end is None:
                    await _work(live, prompt)
            except asyncio.CancelledError:
                record.stop("cancelled", live.called_off)
                record.discarded = live.called_off == "superseded"
                raise
            finally:
                _leave_valid(live)
                if live.closing is not None:
                    live.closing(live)
            _close(record, live)
    except LimitExceeded as refused:
        await _not_begun(live, refused)
    except asyncio.CancelledError:
        live.over(End("cancelled", live.called_off))
        raise
    finally:
        live.seconds = (live.clock.mono() - live.began) / 1e9
        live.emit(progress.RunDone(outcome=outcome_of(live)))
    return live


# ---- the loop -------------------------------------------------------------------------------------------------------


async def _work(live: Live, prompt: Prompt | None) -> None:
    """From the prompt to the end. Raises CancelledError, and LimitExceeded of mode `raise`."""
    try:
        warn(live)
        await prompted(live, prompt)
        await remember(live)
        while live.state.end is None:
            await _part(live)
    except LimitExceeded as refused:
        await _limited(live, refused)
    except ModelError as error:
        await _model_failed(live, error)
    except Exception as error:  # noqa: BLE001 - a fault of ours or of a function of the program: the run ends, honestly
        end = End("failed", "internal_error", detail=f"{type(error).__name__}: {error}")
        live.over(await handing.given(live, end), error)


async def _part(live: Live) -> None:
    """One agent's part of the run, to the end or to a hand-off. All parts but a run's own agent's first are steps."""
    turn, refused = len(live.state.visited), None
    own = turn == 1 and live.state.agent == live.lead
    with nullcontext() if own else step(live.spec.name, kind="agent", agent_type=live.spec.name) as part:
        try:
            while live.state.end is None and len(live.state.visited) == turn:
                if live.left() == 0.0:  # what came while the loop was blocked is too late to count
                    live.expire()
                await _do(live, loop.decide(live.spec, live.state))
        except LimitExceeded as error:
            if part is not None:  # as for an iteration
                part.cancel()
            refused = error
    if refused is not None:
        raise refused


async def _do(live: Live, decision: loop.Decision) -> None:
    await hold()
    match decision:
        case loop.Ask(tools=tools):
            await _turn(live, tools=tools)
        case loop.Act():  # the calls of a reply run inside its turn; these were left open by the history
            await _act(live, None)
        case loop.Nudge(kind=kind, text=text):
            live.note("nudge", {"kind": kind, "text": text, "iteration": live.state.iteration})
            live.emit(progress.Nudged(kind=kind, text=text))
            live.advance(Nudged(text))
        case loop.Correct(errors=errors, text=text):
            _correct(live, errors, text)
        case loop.Move(phase=phase):
            before, after, iteration = live.state.phase, phase.name, live.state.iteration
            text = phase.instructions or f"The phase is now {phase.name}."
            facts = {"from_phase": before, "to_phase": after, "iteration": iteration, "text": text}
            live.note("agent_trace.phase_change", facts)
            live.emit(progress.PhaseChanged(before=before, after=after, iteration=iteration))
            live.advance(Moved(after, text))
        case loop.Refuse(gate=gate, text=text):
            live.note("gate_refused", {"gate": gate, "text": text, "iteration": live.state.iteration})
            live.advance(Refused(gate, text))
        case loop.Check(answer=answer, value=value):
            await _check(live, answer, value)
        case loop.ToPerson():
            live.over(await handing.handed(live))
        case loop.Finish(end=end):
            await _finish(live, end)


async def _turn(live: Live, *, tools: bool) -> None:
    """One iteration: a request, and the tools it asks for."""
    number = live.state.iteration + 1
    refused: LimitExceeded | None = None
    with step("iteration", kind="iteration", iteration=number, agent_type=live.spec.name) as turn:
        live.step = turn
        try:
            live.advance(Iterated())
            _backstop(live, number)
            live.emit(progress.IterationBegan(iteration=number))
            live.heed(turn.notices)
            for notice in turn.notices:
                if notice.mode == "wrap_up":
                    live.advance(Wrapped(notice.metric))
            if live.state.wrap_up:
                live.remind(LAST_TURN)
            remind(live)
            reply = await replied(live, tools=tools and not live.state.wrap_up)
            live.advance(Replied(reply.message, reply.finish))
            live.emit(reply)
            await _fill(live)
            live.emit(progress.MessageAdded(message=reply.message))
            if isinstance(loop.decide(live.spec, live.state), loop.Act):
                await _step_hooks(live)
                if live.state.end is None:
                    await _act(live, live.asked_by)
        except LimitExceeded as error:
            # It is the run that the limit ends; the iteration is merely called off, and is no second error.
            turn.cancel()
            refused = error
        finally:
            live.step = None
    if refused is not None:
        raise refused


def _backstop(live: Live, number: int) -> None:
    """A guard that fails admits, and this loop must not go on for ever because of it."""
    most = live.limits.iterations
    if most is not None and number > most + 1 and live.limits.modes.get("iterations", "stop") not in QUIET:
        raise RuntimeError(f"iteration {number} was admitted, though {most:g} are allowed")


async def _fill(live: Live) -> None:
    """Tell when the conversation passes one of the marks of its context window."""
    window, used = live.port.context_window, live.last_usage
    if not window or used.basis == "missing":
        return
    full = 100 * ((used.input_total or 0) + (used.output or 0)) / window
    for mark in passed(live.gauge.full, full):
        live.note("context_warning", {"threshold": mark, "percentage": round(full, 2), "context_limit": window})
        if live.hooks:
            await live.ask_hooks("context_warning")
    live.gauge = structs.replace(live.gauge, full=max(live.gauge.full, full))


async def _act(live: Live, asked_by: int | None) -> None:
    acted = await act(live, live.state, asked_by)
    if acted.waiting and acted.finished is None and acted.limit is None:
        return live.over(End("paused", "approval", detail=f"to be approved: {', '.join(acted.waiting)}"))
    if not acted.waiting:  # else the calls are open still, and whatever ended the run closes them
        live.advance(acted.answered)
    passed = acted.passed
    if passed is not None:
        live.take(passed.post)
        live.advance(passed.fact)
    for message in acted.answered.results:
        live.emit(progress.MessageAdded(message=message))
    if passed is not None:
        live.emit(progress.HandedOff(before=passed.before, after=passed.fact.agent, reason=passed.reason))
        warn(live)
    if acted.finished is not None:
        return live.over(await handing.given(live, live.end_of(acted.finished)))
    if acted.limit is not None and acted.limit.mode == "wrap_up":
        live.wrapping = acted.limit
    elif acted.limit is not None:
        raise acted.limit
    return None


def _correct(live: Live, errors: tuple[str, ...], text: str) -> None:
    attempt = live.state.schema_attempts + 1
    facts = {"attempt": attempt, "errors": list(errors), "nudge_used": bool(text), "correction": text}
    live.note("agent_trace.schema_retry", {**facts, "iteration": live.state.iteration})
    live.emit(progress.SchemaRetried(attempt=attempt, errors=errors, correction=text))
    live.advance(Corrected(text))


async def _check(live: Live, answer: str, value: Any) -> None:
    """Hooks, guardrails and verification look at an answer, in this order."""
    said = await _stop_hooks(live, answer)
    if said is None:
        return None
    passed = await live.guard("output", said)
    if passed.ended is not None:
        return await _do(live, withheld(live, passed.ended))
    replaced = None if passed.content == answer else passed.content
    if replaced is not None:
        found = parse(live.spec.output, replaced)
        if isinstance(found, Misfit):  # the loop has words for that
            return _accept(live, replaced)
        answer, value = replaced, found.value
    if live.spec.verify is not None:
        wrong = await verified(live, live.spec.verify, answer, value)
        if wrong:
            return await _do(live, loop.refusal(live.spec, live.state, loop.VERIFICATION, wrong))
    return _accept(live, replaced)


async def _stop_hooks(live: Live, answer: str) -> str | None:
    """The answer as the hooks leave it; None when they did not accept it, or ended the run."""
    if not live.hooks:
        return answer
    verdict = await live.ask_hooks("agent_stop", answer=answer)
    match verdict.effect:
        case Reprompt(prompt=prompt):
            await _do(live, loop.refusal(live.spec, live.state, "agent_stop", prompt))
            return None
        case FinishRun() as finish:
            live.over(live.end_of(finish))
            return None
    said = verdict.moment.answer
    return said if isinstance(said, str) else to_json(said).text


def _accept(live: Live, replaced: str | None) -> None:
    live.note("answer_accepted", {"replaced": replaced})
    live.advance(Accepted(replaced))


async def _finish(live: Live, end: End) -> None:
    """The last word of the hooks, then the end. Words that are no accepted answer pass the guardrails too."""
    if end.status == "failed" and end.answer is not None:
        end = await veiled(live, end, end.answer)
    if live.hooks:
        verdict = await live.ask_hooks("run_stop", answer=end.answer)
        done = live.state.refusals.get("run_stop", 0)
        if isinstance(verdict.effect, Reprompt) and end.status == "completed" and done < live.spec.gate_refusals:
            return await _do(live, loop.Refuse("run_stop", verdict.effect.prompt))
    return live.over(await handing.given(live, end))


async def _step_hooks(live: Live) -> None:
    if not live.hooks:
        return
    verdict = await live.ask_hooks("agent_step", reply=live.state.reply)
    match verdict.effect:
        case FinishAgent() | FinishRun() as finish:
            live.over(live.end_of(finish))


# ---- the end --------------------------------------------------------------------------------------------------------


async def _limited(live: Live, refused: LimitExceeded) -> None:
    if refused.mode == "raise":
        live.over(_stopped(refused), refused)
        raise refused
    live.error = refused
    end = _stopped(refused)
    if _is_own(live, refused):
        end = await handing.given(live, end, asked=refused.mode == "handoff", limited=True)
    live.over(end, refused)


async def _not_begun(live: Live, refused: LimitExceeded) -> None:
    """The run was refused as a whole, or a limit of mode `raise` has ended it. Raises that."""
    end, person = _stopped(refused), live.spec.person
    wanted = person is not None and (refused.mode == "handoff" or refused.metric in person.after)
    if wanted and live.state.end is None and _is_own(live, refused):
        end = await _handed_outside(live, end)
    live.over(end, refused)
    if refused.mode == "raise":
        raise refused


def _is_own(live: Live, refused: LimitExceeded) -> bool:
    """Whether a limit is this run's affair: one of a run that waits for it is the affair of that."""
    return not refused.above or live.above is None


async def _handed_outside(live: Live, end: End) -> End:
    """The record of a run that may not begin has ended: that a person was asked is a run of the same execution."""
    trigger = live.record.trigger
    live.record = run(
        f"{live.spec.name}: handoff", session=trigger.session, tenant=trigger.tenant, user=trigger.user,
        platform=trigger.platform, execution_id=live.record.execution_id, agent_type=live.spec.name,
    )  # fmt: skip
    live.record.unasked = True
    with live.record as record:
        try:
            end = await handing.given(live, end, asked=True, limited=True)
        except asyncio.CancelledError:
            end = End("cancelled", live.called_off)
            raise
        finally:
            handing.unanswered(live)
            live.over(end)
            _close(record, live)
    return end


async def _model_failed(live: Live, error: ModelError) -> None:
    if live.left() == 0.0:
        try:
            live.expire()
        except LimitExceeded as refused:
            return await _limited(live, refused)
    end = End("failed", "provider_error", None, None, str(error))
    return live.over(await handing.given(live, end), error)


def _stopped(refused: LimitExceeded) -> End:
    return End("failed", refused.metric, None, None, str(refused))


def _leave_valid(live: Live) -> None:
    """Calls without a result get one that says so: the conversation can go on whatever happened.

    Those of a run that is paused stay open, for whoever decides about them.
    """
    handing.unanswered(live)
    end = live.state.end
    if live.state.open and (end is None or end.status != "paused"):
        why = INTERRUPTED if end is None else f"not run: {end.detail or end.reason}"
        live.advance(leave(live, live.state, why))


def _close(record: Run, live: Live) -> None:
    end = live.state.end or End("abandoned", "")
    record.output = end.answer
    if live.error is not None and end.status == "failed":
        record.fail(live.error)
    elif end.detail and end.status not in ("completed", "paused"):
        record.fail(end.detail)
    record.stop(end.status, end.reason)


def _stalled(live: Live, stall: Stall) -> None:
    live.record.note("watchdog", {"seconds": stall.seconds, "stack": stall.stack})
