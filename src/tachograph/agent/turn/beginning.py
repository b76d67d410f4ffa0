"""How a run begins: where it stands goes on record, what is said is looked at and joins, and what is remembered too."""

from __future__ import annotations

import msgspec

from tachograph.agent import progress
from tachograph.agent.call import Prompt, message_of
from tachograph.agent.hooks import Block, FinishAgent, FinishRun
from tachograph.agent.live import Live
from tachograph.agent.memory import query_of, recalled
from tachograph.agent.progress import Waiting
from tachograph.agent.reminders import REMINDED, cleaned, due
from tachograph.agent.state import (
    Asked,
    End,
    Prompted,
    Recalled,
    plain,
)
from tachograph.agent.turn.verify import let_in
from tachograph.fold import approvals


def stand(live: Live) -> None:
    """Where the run begins, on record."""
    if not live.again:  # else its own log says that already
        live.record.transcribe(live.state.messages, {"by": "begun", "state": plain(live.state)})
    for approval in live.asks:
        if approval.slot not in live.state.approvals:
            live.note(approvals.REQUESTED, approval.facts())
            live.advance(Asked(approval))
        live.emit(Waiting(approval=approval))
    if live.asks:
        names = ", ".join(approval.tool for approval in live.asks)
        live.over(End("paused", "approval", detail=f"nobody knows whether {names} took effect: somebody has to say"))
    for fact in live.facts:
        live.note("told", fact.facts())
        live.advance(fact)


async def prompted(live: Live, prompt: Prompt | None) -> None:
    """Hooks see the prompt, then it joins the conversation."""
    if prompt is None:
        return None
    message, reminders = cleaned(message_of(prompt))
    live.first = not any(one.role == "user" for one in live.state.messages)
    for event in ("run_start", *(("first_message",) if live.first else ()), "user_prompt") if live.hooks else ():
        verdict = await live.ask_hooks(event, prompt=message.content)
        match verdict.effect:
            case Block(message=text):
                return live.over(End("failed", "guardrail_block", None, None, text or f"blocked by {event}"))
            case FinishAgent() | FinishRun() as finish:
                return live.over(live.end_of(finish))
        if verdict.moment.prompt is not message.content:
            message = message_of(verdict.moment.prompt)
    message, ended = await let_in(live, message, reminders)
    if ended is not None:
        return live.over(End("failed", "guardrail_block", None, None, ended.text))
    live.record.transcribe((*live.state.messages, message), {"by": "prompted"})
    live.advance(Prompted(message))
    live.emit(progress.MessageAdded(message=message))
    return None


async def remember(live: Live) -> None:
    """What is remembered joins the instructions, once: they are the same in every request of the run."""
    memory, query = live.spec.memory, query_of(live.state.messages)
    if memory is None or live.state.end is not None or not live.fresh or not query.strip():
        return
    told = await recalled(memory, query, live.within(memory.seconds), live.note)
    if not told:
        return
    joins = bool(live.instructions)
    live.note("memory_recalled", {"block": told, "joins": joins})
    live.instructions = f"{live.instructions}\n\n{told}" if joins else told
    live.advance(Recalled(told, joins))


def remind(live: Live) -> None:
    """Ask which reminders are due: they wait for the next request."""
    if not live.reminders:
        return
    moment = live.moment("agent_step", live.state, first=live.first, tools=tuple(live.toolbox()))
    before = live.reminding
    texts, live.reminding = due(live.reminders, live.reminding, moment)
    if live.reminding.given != before.given:
        live.note(REMINDED, msgspec.to_builtins(live.reminding))
    for problem in live.reminding.problems:
        live.note("reminder_failed", {"problem": problem})
    live.waiting.extend(texts)


def warn(live: Live) -> None:
    """Say what is doubtful about the model."""
    warning = live.port.warning
    if warning is not None:
        live.note("model_lookup_warning", dict(warning))
        live.emit(progress.ModelWarned(warning=warning))
