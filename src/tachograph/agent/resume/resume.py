"""Resume: a run that was stopped, paused, failed or whose process died goes on, from its log alone.

It is the same run: its counts, its conversation and its limits go on with it. Nothing that had begun is made again:
where nobody knows how far a call with effects came, a person is asked first, and the run waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from tachograph.agent import loop
from tachograph.agent.agent import Agent
from tachograph.agent.answer.outcome import Outcome, Spending
from tachograph.agent.call import Call, Onward, Prompt, begin, call_of
from tachograph.agent.crew.crew import members
from tachograph.agent.recorded import RecordedState
from tachograph.agent.resume.effects import asked_about, unsettled
from tachograph.agent.resume.recording import Recording, reading, recording
from tachograph.agent.spec import effective, equipment
from tachograph.agent.state import End, Resumed, State, Told, advance
from tachograph.agent.team.delegate import Delegate
from tachograph.agent.team.handoff import edges_of
from tachograph.agent.team.report import answer_of
from tachograph.agent.tools.results import Shelf
from tachograph.agent.tools.tool import Tool
from tachograph.errors import NotResumable, SettingsError
from tachograph.events.chat import read
from tachograph.events.run import Status
from tachograph.events.tool import ToolEnded
from tachograph.events.usage import Usage
from tachograph.fold.state import fold
from tachograph.fold.totals import TOKEN_CLASSES
from tachograph.fold.transcript import text_of
from tachograph.limits.limit import Limits
from tachograph.record.after.resumed import resumed
from tachograph.record.door import Recorded
from tachograph.record.run import Run

GO_ON = "Your last reply broke off or could not be used. Go on with the task from there."
Agents = Agent | Sequence[Agent] | Mapping[str, Agent]
"""An agent, several, or several by name: those that may have begun the run."""


async def resume(execution_id: str, agents: Agents, **call: Any) -> Outcome[Any]:
    """The run of an execution goes on. For the keywords see `taken_up`; all others are those of every run.

    Raises as `taken_up` and `Agent.run`.
    """
    agent, prompt, call = await _taken(execution_id, agents, **call)
    return await agent.run(prompt, **call)


def taken_up(
    execution_id: str, agents: Agents, *, prompt: Prompt | None = None, limits: Limits | str | None = None,
    by: str | None = None, accept: bool = False, below: Recorded | str | None = None, **call: Any,
) -> tuple[Agent, Prompt | None, dict[str, Any]]:  # fmt: skip
    """The agent of the run, and the prompt and call with which it goes on: for `run`, `start` or `stream`. Blocks.

    `agents` are those that may have begun it. `limits` hold in place of the agent's own, and what was used before
    counts. `prompt` is what is said now; None lets it go on as it stood. `by` says who wanted it. `accept` goes on
    where content was not kept. `below` is an open run or step whose limits bound it too. A call with effects of which
    nobody knows whether it happened makes the run wait for a person.

    Raises NotFound, NotResumable, CodecError, SettingsError, InvalidTranscript, StoreError; then nothing has happened.
    """
    with reading(None) as store:
        whole = recording(execution_id, store)
        folded = whole.folded(accept=accept)
        if not folded.begun:
            why = "it ended before its conversation was on record, and nothing has happened: begin it anew"
            raise NotResumable(whole.run, whole.status, why)
        prompt = _unsaid(whole, folded) if prompt is None else prompt
        agent = _lead(agents, folded.state, whole)
        tools = toolbox(agent)
        call = {**call, "reminding": folded.reminding, "limits": limits}
        asks = unsettled(whole, tools)
        if prompt is not None and folded.state.open:
            named = ", ".join(one.name for one in folded.state.open)
            why = f"calls of {named} have no result yet, and nothing is said between: first resume it without a prompt"
            raise NotResumable(whole.run, whole.status, why)
        if prompt is not None and asks:
            named = ", ".join(one.tool for one in asks)
            raise NotResumable(whole.run, whole.status, f"nobody knows whether {named} took effect: first resume it")
        _check(agent, prompt, {**call, "onward": Onward(advance(folded.state, Resumed()))})
        stands = fold(whole.events)
        record = resumed(whole.run, limits=effective(agent, limits, tools), epoch=stands.epoch, by=by, below=below)
        record.take()
        try:
            # Somebody may have decided something meanwhile: what counts is the log as it was taken over.
            whole = replace(whole, events=tuple(record.log))
            folded = whole.folded(accept=accept)
            asks = unsettled(whole, tools)
            state, facts = going_on(agent, folded.state, prompt)
            facts = () if asks else (*asked_about(whole.events, store.fetch), *facts)
            call.setdefault("shelf", _shelf(whole, state))
        except BaseException:
            _leave(record, "failed", "internal_error", paused=whole.status == "paused")
            raise
        onward = Onward(
            state, record, spending(whole), facts, folded.asked_by, asks, folded.done, folded.paused, woken
        )  # fmt: skip
        return agent, prompt, {**call, "onward": onward}


async def _taken(execution_id: str, agents: Agents, **call: Any) -> tuple[Agent, Prompt | None, dict[str, Any]]:
    """`taken_up` beside the event loop; called off meanwhile, the run is given back."""
    taking = asyncio.ensure_future(asyncio.to_thread(lambda: taken_up(execution_id, agents, **call)))
    try:
        return await asyncio.shield(taking)
    except asyncio.CancelledError:
        taking.add_done_callback(_give_back)
        raise


def _give_back(taking: asyncio.Future[tuple[Agent, Prompt | None, dict[str, Any]]]) -> None:
    """A run that was taken up, and that nobody wants any more."""
    if taking.cancelled() or taking.exception() is not None:
        return
    onward: Onward = taking.result()[2]["onward"]
    if onward.record is not None:
        _leave(onward.record, "cancelled", "user_cancel", paused=bool(onward.state.open or onward.asks))


def _leave(record: Run, status: Status, reason: str, *, paused: bool) -> None:
    """It was taken, so it has to end: one that waits for a person does so still."""
    with record:
        if paused:
            record.stop("paused", "approval")
        else:
            record.stop(status, reason)


async def woken(worker: Agent, run: str, asked: Call) -> dict[str, Any] | str:
    """What a delegate's call brings with it to go on with the run in which it had paused; or its answer.

    Raises as `taken_up`.
    """
    end = await asyncio.to_thread(_end_of, run)
    if end is not None and end.status == "completed":
        return answer_of(worker.name, Outcome(status=end.status, stop_reason=end.reason, answer=end.answer))
    _, _, call = await _taken(run, worker, limits=asked.limits, below=asked.below)
    return {name: call[name] for name in ("onward", "reminding", "shelf")}


def _end_of(run: str) -> End | None:
    with reading(None) as store:
        return recording(run, store).folded().state.end


def _unsaid(whole: Recording, folded: RecordedState) -> Prompt | None:
    """What was said as the run began, where it has not joined the conversation: the run ended before it could."""
    said = whole.started.input
    text = None if folded.prompted or said is None else text_of(said, whole.store.fetch)
    return None if text is None else read({"role": "user", "content": msgspec.json.decode(text)})


def _shelf(whole: Recording, state: State) -> Shelf:
    """The results that were cut, under the handles that the conversation names."""
    shelf = Shelf()
    shelf.refill(state.messages, _results(whole))
    return shelf


def _results(whole: Recording) -> Iterator[str]:
    """What tools returned, and what was told of it where that differs; the newest first."""
    for event in reversed(whole.events):
        if not isinstance(event.body, ToolEnded):
            continue
        for content in (event.body.result, event.body.metadata):
            text = None if content is None or content.full_size is not None else text_of(content, whole.store.fetch)
            value = None if text is None else msgspec.json.decode(text)
            value = value.get("told") if isinstance(value, dict) else value
            for part in value if isinstance(value, list) else (value,):
                said = part.get("text") if isinstance(part, dict) else part
                if isinstance(said, str):
                    yield said


def going_on(agent: Agent, state: State, prompt: Prompt | None) -> tuple[State, tuple[Told, ...]]:
    """Where a run goes on that stood so, and what the model is told first: something, where nothing else would."""
    if prompt is not None or state.open:
        return state, ()
    at_work = members(agent).get(state.agent, agent)
    decision = loop.decide(at_work, state)
    stuck = isinstance(decision, loop.Finish) and decision.end.status != "completed"
    return state, (Told("resumed", GO_ON),) if stuck else ()


def spending(whole: Recording) -> Spending:
    """What a run had used, as its outcome would have said."""
    totals = fold(whole.events).totals
    usage = Usage(**{name: getattr(totals, name) for name in TOKEN_CLASSES}) if totals.attempts else Usage()
    return Spending(
        llm_calls=totals.attempts, tool_calls=totals.tool_calls, usage=usage, nano_usd=totals.cost,
        unpriced=totals.costs.get("unpriced", 0),
    )  # fmt: skip


def toolbox(agent: Agent) -> dict[str, Tool]:
    """Tools of all agents that a run of this one may bring to work, below it too; of two names the one with effects."""
    found: dict[str, Tool] = {}
    known: set[int] = set()
    waiting: list[Any] = [agent]
    while waiting:
        one = waiting.pop()
        if id(one) in known or not isinstance(one, Agent):
            continue
        known.add(id(one))
        waiting += (*members(one).values(), *(Delegate.of(other).worker for other in one.delegates))
        ways = {name: edge.tool for name, edge in edges_of(one).items()}
        for name, tool in {**equipment(one), **ways}.items():
            if name not in found or tool.has_effects:
                found[name] = tool
    return found


def _check(agent: Agent, prompt: Prompt | None, call: Mapping[str, Any]) -> None:
    """Whether it could begin. Raises SettingsError, InvalidTranscript."""
    begin(agent, agent.port, prompt, call_of(call))


def _lead(agents: Agents, state: State, whole: Recording) -> Agent:
    """The agent that the run is of. Raises SettingsError when it is not among them."""
    given = [agents] if isinstance(agents, Agent) else list(agents.values() if isinstance(agents, Mapping) else agents)
    at_work = state.agent or whole.started.agent_type or whole.started.name
    fit = [agent for agent in given if at_work in members(agent)]
    named = [agent for agent in fit if agent.name == whole.started.name]
    if fit:
        return (named or fit)[0]
    names = ", ".join(agent.name for agent in given)
    raise SettingsError("agents", names, f"one that has or leads to {at_work!r}, at work in {whole.execution_id}")
