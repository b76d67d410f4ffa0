"""A fork: a new run that begins where a recorded one stood, with another model or other words.

What tools returned then is returned again, so nothing is done twice. A call for which nothing was recorded is made when
it only reads or may be repeated; one with effects is refused, and the model is told, unless the program says otherwise.
So is one that asks a delegate which has such tools: what it would do is another run's affair, and nobody looks there.
Hand-offs are no effects, and are made.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from typing import Any, Literal

import msgspec

from tachograph.agent.agent import Agent
from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.call import Onward, Prompt
from tachograph.agent.crew.crew import members
from tachograph.agent.hooks import Block, Hooks, Moment, ReplaceOutput
from tachograph.agent.resume.recording import Recording, reading, recording
from tachograph.agent.resume.resume import toolbox
from tachograph.agent.state import Resumed, State, advance
from tachograph.agent.team.delegate import DelegateTool
from tachograph.agent.team.handoff import edges_of
from tachograph.agent.tools.tool import Tool
from tachograph.events.chat import read, system
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.fold.transcript import text_of
from tachograph.limits.canonical import spelled
from tachograph.store.ports import Reading

Effects = Literal["recorded", "run"]
"""recorded: a tool that is not repeatable runs only where nothing can come of it; run: like in any run."""
_FIRST = 1_000_000
"""Priority of the hook that gives recorded results: the program's own see what it makes of a call."""
REFUSED = (
    "Not run: this is a fork of an earlier run, nothing was recorded for this call, and it could have effects."
)  # fmt: skip


async def fork(agent: Agent, execution_id: str, seq: int | None = None, **call: Any) -> Outcome[Any]:
    """A new run of `agent` from where an execution's run stood after event `seq` (None: after its last).

    Give another model with `agent.but(model=…)`. For the keywords see `forked`; all others are those of every run.
    Raises as `forked` and `Agent.run`.
    """
    prompt, call = await asyncio.to_thread(lambda: forked(agent, execution_id, seq, **call))
    return await agent.run(prompt, **call)


def forked(
    agent: Agent, execution_id: str, seq: int | None = None, *, prompt: Prompt | None = None,
    instructions: str | None = None, effects: Effects = "recorded", store: Reading | None = None, accept: bool = False,
    **call: Any,
) -> tuple[Prompt | None, dict[str, Any]]:  # fmt: skip
    """The prompt and the call with which `agent` begins a fork: for `Agent.run`, `start` or `stream`.

    `prompt` is what is said next, and None lets the model go on; `instructions` stand in place of the recorded ones;
    `accept` goes on where content was not kept. Raises NotFound, InvalidParameter, CodecError, StoreUnavailable.
    """
    hooks = call.get("hooks") or Hooks()
    with reading(store) as found:
        whole = recording(execution_id, found)
        until = whole.until(seq)
        folded = until.folded(accept=accept)
        if effects == "recorded":
            reply = (folded.asked_by or 0) if folded.state.open else until.seq
            given = Replies(whole, until.seq, agent, reply)
            replies = Hooks()
            replies.on("pre_tool_use", given.give, priority=_FIRST, name="recorded results")
            hooks = replies.merged(hooks)
    origin = {"execution_id": whole.execution_id, "run": whole.run, "seq": until.seq}
    metadata = {**call.get("metadata", {}), "forked_from": origin}
    onward = Onward(_going_on(agent, folded.state, instructions))
    return prompt, {**call, "onward": onward, "reminding": folded.reminding, "metadata": metadata, "hooks": hooks}


def _going_on(agent: Agent, state: State, instructions: str | None) -> State:
    """The state in which the new run begins; it counts its own requests.

    Where the agent that was at work is none of this one's hand-offs, this one is at work.
    """
    state = msgspec.structs.replace(advance(state, Resumed()), iteration=0)
    if state.agent not in members(agent):
        state = msgspec.structs.replace(state, agent=agent.name, visited=(agent.name,))
    if instructions is not None:
        rest = state.messages[1:] if state.messages[:1] and state.messages[0].role == "system" else state.messages
        state = msgspec.structs.replace(state, messages=(system(instructions), *rest))
    return state


class Replies:
    """What tools returned in a recorded run after some event: each result is given once, in the order they came."""

    def __init__(self, whole: Recording, seq: int, agent: Agent, reply: int) -> None:
        """Of the reply that was open there, calls may have ended before: they began behind event `reply`."""
        self._tools = toolbox(agent)
        self._ways = {name for one in members(agent).values() for name in edges_of(one)}
        self._found: dict[tuple[str, bytes], deque[Any]] = defaultdict(deque)
        begun: dict[int, tuple[str, bytes]] = {}
        for event in whole.events:
            body = event.body
            if isinstance(body, ToolStarted) and body.name not in self._ways:
                text = None if body.arguments is None else text_of(body.arguments, whole.store.fetch)
                begun[event.seq] = body.name, spelled(text)
            elif isinstance(body, ToolEnded) and body.state == "completed" and body.result:
                said = text_of(body.result, whole.store.fetch)
                if said is not None and event.step in begun and (event.seq > seq or event.step > reply):
                    given = read({"role": "tool", "content": msgspec.json.decode(said)})
                    self._found[begun[event.step]].append(given.content)

    async def give(self, moment: Moment) -> ReplaceOutput | Block | None:
        """The recorded result of a call; without one, whether it may be made: None when it may."""
        found = self._found.get((moment.tool_name or "", spelled(moment.arguments)))
        if found:
            return ReplaceOutput(found.popleft())
        tool = self._tools.get(moment.tool_name or "")
        return Block(REFUSED) if tool is not None and _may_do(tool) else None


def _may_do(tool: Tool) -> bool:
    """Whether calling it may have effects, of its own or of the delegate that it asks."""
    if not isinstance(tool, DelegateTool):
        return tool.has_effects
    worker = tool.delegate.worker
    return not isinstance(worker, Agent) or any(one.has_effects for one in toolbox(worker).values())
