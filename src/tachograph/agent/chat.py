"""A conversation with one agent: what was said stays, and every `ask` is a run of its own.

    chat = Chat(Agent(name="desk", model="gpt-5-mini", tools=[find_order]))
    print(chat.ask_sync("Where is my order?").answer)

Asks at the same time wait for each other. After each the conversation is one that any provider takes, also when the run
was stopped, failed or was called off. Reminders are never part of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

import msgspec
from msgspec import structs

from tachograph.agent.agent import Agent, blocking
from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.call import Call, Prompt, begin, call_of, outcome_of
from tachograph.agent.compact.figures import Context, Metrics
from tachograph.agent.compact.measure import Gauge
from tachograph.agent.compacting.turn import compacted
from tachograph.agent.handle import Handle, Stream
from tachograph.agent.hooks import Hooks
from tachograph.agent.live import Live
from tachograph.agent.pace.schedule import Scheduler
from tachograph.agent.progress import Callback, Emitter, Kind, Subscription, WorkerTold, running_loop
from tachograph.agent.reminders import Reminding, cleaned
from tachograph.agent.run import fly
from tachograph.agent.spec import COMPACTION, equipment
from tachograph.agent.team.dialogues import Team
from tachograph.agent.tools.results import Shelf
from tachograph.agent.tools.tool import Tool
from tachograph.agent.transcript import closed
from tachograph.errors import SettingsError, TachographError
from tachograph.events.chat import HIDDEN, Message, ToolUse, read
from tachograph.providers.port import Delta

Said = Message | Mapping[str, Any]
Result = TypeVar("Result")
_asking: ContextVar[tuple[Chat, ...]] = ContextVar("tachograph_asking", default=())
"""The conversations that the caller is inside an ask of."""


class Chat:
    """One conversation. May be used from several tasks and threads."""

    def __init__(
        self, agent: Agent, *, messages: Sequence[Said] = (), session: str | None = None, **call: Any
    ) -> None:  # fmt: skip
        """`messages` is what was said before; `session` groups the runs; `call` goes with every ask (see `Call`)."""
        self.agent, self.session = agent, session
        self.emitter = Emitter()
        self.usage = Context(lambda: self.agent.port.context_window)
        """Tokens of the conversation, and how full the context window is."""
        self._call = call
        self._messages: tuple[Message, ...] = ()
        self._rewritten = 0
        """How often something other than an addition was made of the conversation."""
        self._tools: dict[str, Tool] = equipment(agent)
        self._immutable: set[str] = set()
        self._instructions: str | None = None
        self._ephemeral: list[str] = []
        self._reminding = Reminding()
        self._gauge = Gauge()
        self._skill: str | None = None
        self._shelf = Shelf()
        self._team = Team()
        self._turns = Scheduler(concurrency=1)
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where an ask is under way."""
        self.replace_messages(messages)

    # ---- talking --------------------------------------------------------------------------------------------------

    async def ask(
        self, prompt: Prompt, *, clear_context: bool = False, source: str = "user", **call: Any
    ) -> Outcome[Any]:
        """Say something and hear the answer. Raises as `Agent.run`. `source` is in the `metadata` that hooks see."""
        return await self._turn(prompt, call, source=source, clear=clear_context)

    async def complete(self, **call: Any) -> Outcome[Any]:
        """Let the model go on from the conversation as it stands: without prompt and hooks.

        Of reminders only those go with it that were said to wait for the next request.
        """
        return await self._turn(None, {**call, "bare": True})

    def ask_sync(self, prompt: Prompt, **call: Any) -> Outcome[Any]:
        """`ask` for programs without an event loop, and for code inside one that cannot await.

        Raises TachographError where it would wait for ever: on the event loop of another ask of this conversation.
        """
        return self._blocking(lambda: self.ask(prompt, **call))

    def start(self, prompt: Prompt, **call: Any) -> Handle[Any]:
        """Ask as a task, which can be called off. The conversation is up to date when its outcome is there."""
        emitter = Emitter(self.emitter)
        return Handle(lambda known: self._fly(prompt, {**call, "emitter": emitter}, known=known), emitter)

    def stream(self, prompt: Prompt, **call: Any) -> Stream[Any]:
        """Ask, and read what the run tells as it happens."""
        return Stream(self.start(prompt, **call))

    async def compact_context(self, **changes: Any) -> Metrics:
        """Make the conversation smaller now: to half of what it is, or as far as `to` says where that is less.

        `changes` are fields of `Compaction` to be used instead of the agent's. A run of its own, in turn with the asks.
        Raises SettingsError, and LimitExceeded where a limit does not let it begin.
        """
        policy = (self.agent.compaction or COMPACTION).but(**changes)
        if not self._messages:
            return Metrics()
        work = partial(compacted, policy=policy)
        try:
            live = await self._fly(None, {"bare": True, "name": "compaction"}, perform=work)
        finally:
            await policy.close()
        return live.compacted or Metrics()

    def compact_context_sync(self, **changes: Any) -> Metrics:
        """`compact_context` for programs without an event loop. Raises as it does."""
        return self._blocking(lambda: self.compact_context(**changes))

    @property
    def context_usage_percentage(self) -> float:
        """How full the context window is; 0 when nobody knows how large that is."""
        return self.usage.context_usage_percentage

    @property
    def tokens_remaining(self) -> int | None:
        """Tokens that are left of the context window; None when nobody knows how large that is."""
        return self.usage.tokens_remaining

    # ---- the conversation -----------------------------------------------------------------------------------------

    @property
    def messages(self) -> tuple[Message, ...]:
        """What was said, without instructions and reminders."""
        return self._messages

    @property
    def message_count(self) -> int:
        """How many messages."""
        return len(self._messages)

    @property
    def has_user_message(self) -> bool:
        """Whether a person has said anything."""
        return any(message.role == "user" for message in self._messages)

    @property
    def assistant_messages(self) -> tuple[Message, ...]:
        """What the model said."""
        return tuple(message for message in self._messages if message.role == "assistant")

    @property
    def last_assistant_message(self) -> Message | None:
        """What the model said last."""
        return self.find_last_message(lambda message: message.role == "assistant")

    def find_last_message(self, wanted: Callable[[Message], bool]) -> Message | None:
        """The last message for which `wanted` is true."""
        place = self.find_last_message_index(wanted)
        return None if place is None else self._messages[place]

    def find_last_message_index(self, wanted: Callable[[Message], bool]) -> int | None:
        """Where that stands, from 0."""
        places = range(len(self._messages) - 1, -1, -1)
        return next((place for place in places if wanted(self._messages[place])), None)

    def add_message(self, message: Said) -> Message:
        """Add a message; reminders in what a person says are taken out and go with the next request alone.

        Returns the message as it was added. Raises ValueError and InvalidTranscript.
        """
        clean, reminders = cleaned(_read(message))
        if clean.role == "system":
            self.configure_system_prompt(clean.text)
            return clean
        added = (*self._messages, clean)
        closed(added)
        self._messages = added
        self._ephemeral += reminders
        return clean

    def replace_messages(self, messages: Sequence[Said]) -> None:
        """Another conversation in place of this one, whole or not at all. Raises ValueError and InvalidTranscript.

        Instructions in it are added to ours, where they do not say the same.
        """
        read_all = closed(_read(message) for message in messages)
        self._rewrite(tuple(message for message in read_all if message.role != "system"))
        for message in read_all:
            if message.role == "system" and message.text not in self.instructions:
                self.configure_system_prompt(message.text)

    def clear_conversation(self) -> None:
        """Forget what was said, to delegates too, and the reminders that wait; instructions and tools stay."""
        self._rewrite(())
        self._team.clear()
        self._gauge = Gauge()
        self._ephemeral.clear()
        self._reminding = Reminding()
        self.usage.clear()

    def undo(self) -> bool:
        """Take back the last thing a person said and all that followed; False when there is none."""
        place = self.find_last_message_index(lambda message: message.role == "user")
        if place is None:
            return False
        self._rewrite(self._messages[:place])
        return True

    def configure_system_prompt(self, prompt: str, *, replace: bool = False) -> None:
        """Add to the instructions, or put others in their place."""
        before = self.instructions
        self._instructions = prompt if replace or not before else f"{before}\n\n{prompt}"

    @property
    def instructions(self) -> str:
        """The system prompt."""
        if self._instructions is not None:
            return self._instructions
        said = self.agent.instructions
        return said if isinstance(said, str) else said(self._call.get("context", {}))

    def add_ephemeral_reminder(self, text: str) -> None:
        """Say something at the tail of the next request, which is no part of the conversation."""
        self._ephemeral.append(text)

    # ---- tools ----------------------------------------------------------------------------------------------------

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The tools that the next request may name."""
        return dict(self._tools)

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Their names, sorted."""
        return tuple(sorted(self._tools))

    @property
    def non_delegation_tool_names(self) -> tuple[str, ...]:
        """Names of tools that are no other agent."""
        return tuple(name for name in self._tools if self._tools[name].classification != "delegation")

    @property
    def tool_count(self) -> int:
        """How many tools."""
        return len(self._tools)

    def has_tool(self, name: str) -> bool:
        """Whether there is a tool of that name."""
        return name in self._tools

    def add_tool(self, thing: Any) -> Tool:
        """Offer one more tool from the next request on. Raises SettingsError for a name that is taken."""
        tool = Tool.of(thing)
        if tool.name in self._tools:
            raise SettingsError("tools", tool.name, "a name that no other tool has")
        self._tools = {**self._tools, tool.name: tool}
        return tool

    def remove_tool(self, name: str) -> Tool | None:
        """Offer a tool no more, from the next request on; None when there is none, or it is immutable."""
        if name in self._immutable or name not in self._tools:
            return None
        found = self._tools[name]
        self._tools = {other: tool for other, tool in self._tools.items() if other != name}
        return found

    def mark_tools_immutable(self, *names: str) -> None:
        """These tools stay, whatever is removed."""
        self._immutable.update(names)

    def remove_mutable_tools(self) -> None:
        """Keep only tools that are immutable."""
        self._tools = {name: tool for name, tool in self._tools.items() if name in self._immutable}

    def mark_skill_loaded(self, path: str | None) -> None:
        """Remember which skill the tools were changed for."""
        self._skill = path

    @property
    def active_skill_path(self) -> str | None:
        """The skill that was loaded last."""
        return self._skill

    @property
    def skill_loaded(self) -> bool:
        """Whether a skill was loaded."""
        return self._skill is not None

    # ---- the model ------------------------------------------------------------------------------------------------

    @property
    def model_id(self) -> str:
        """The model's name as it is requested."""
        return self.agent.port.model

    @property
    def model_provider(self) -> str:
        """Whose it is."""
        return self.agent.port.provider

    @property
    def model_context_window(self) -> int | None:
        """Tokens of input and output together; None when nobody knows."""
        return self.agent.port.context_window

    @property
    def model_lookup_warning(self) -> Mapping[str, Any] | None:
        """The model's name is in no catalogue: what it could have meant. Each run records it once."""
        return self.agent.port.warning

    # ---- watching -------------------------------------------------------------------------------------------------

    def subscribe(self, kind: Kind, callback: Callback) -> Subscription:
        """Hear of everything of a kind that happens in this conversation; see progress.py for the kinds."""
        return self.emitter.subscribe(kind, callback)

    def once(self, kind: Kind, callback: Callback) -> Subscription:
        """The same for the next one alone."""
        return self.emitter.once(kind, callback)

    def setup_context(self, **call: Any) -> None:
        """Say what goes with every run from now on: session, user, tenant, tags, metadata, context, refs."""
        call_of(call)
        self.session = call.pop("session", self.session)
        self._call = {**self._call, **call}

    def setup_logging(self, callback: Callback | None = None) -> Subscription:
        """Log every value that a run tells (logger `tachograph.chat`), or hand it to a callback.

        The log leaves out pieces of a stream, which the reply repeats, and what tools `redact`; a callback gets all.

        Recording needs no setting up: it is always on, and nothing depends on who listens.
        """
        return self.emitter.subscribe(object, callback or _log)

    # ---- keeping --------------------------------------------------------------------------------------------------

    def conversation_snapshot(self) -> dict[str, Any]:
        """The conversation as plain values, for JSON."""
        return {
            "messages": [message.plain() for message in self._messages],
            "model_id": self.model_id,
            "provider": self.model_provider,
        }

    def restore_conversation(self, snapshot: Mapping[str, Any]) -> None:
        """The conversation of a snapshot in place of this one. Raises ValueError when it has no messages."""
        if not isinstance(snapshot.get("messages"), list):
            raise ValueError("a snapshot of a conversation has a list of messages")  # noqa: TRY004 - or none at all
        self.replace_messages(snapshot["messages"])

    # ---- one turn -------------------------------------------------------------------------------------------------

    def _blocking(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        if self._loop is not None and self._loop is running_loop():
            raise TachographError("another ask of this conversation is under way on this event loop: await chat.ask()")
        return blocking(lambda: self.agent.and_close(work()))

    async def _turn(self, prompt: Prompt | None, call: dict[str, Any], **how: Any) -> Outcome[Any]:
        return outcome_of(await self._fly(prompt, call, **how))

    async def _fly(
        self, prompt: Prompt | None, call: dict[str, Any], *, source: str = "user", clear: bool = False,
        known: Callable[[Live], object] = lambda live: None,
        perform: Callable[[Live, Prompt | None], Awaitable[Live]] = fly,
    ) -> Live:  # fmt: skip
        if self._loop is not None and self in _asking.get():
            raise TachographError("this is inside an ask of the same conversation, which would wait for itself")
        async with self._turns.permit("chat", "", 0, None):
            self._loop = asyncio.get_running_loop()
            if clear:
                self.clear_conversation()
            bare = call.pop("bare", False)
            merged = {**self._call, **call, **({"hooks": None, "reminders": ()} if bare else {})}
            said = tuple(self._ephemeral)
            agent = self._bare() if bare else self.agent
            live = begin(agent, self.agent.port, prompt, self._with(merged, source, said))
            known(live)
            del self._ephemeral[: len(said)]
            begun = self._rewritten, len(self._messages)
            inside = _asking.set((*_asking.get(), self))
            try:
                return await perform(live, prompt)
            finally:
                _asking.reset(inside)
                self._loop = None
                self._keep(live, said, *begun)

    def _with(self, merged: dict[str, Any], source: str, said: tuple[str, ...]) -> Call:
        context = {"source": source, **merged.pop("context", {})}
        ours: dict[str, Any] = {
            "session": self.session, "instructions": self._instructions, "emitter": self.emitter, **merged
        }  # fmt: skip
        return Call(
            history=self._messages, context=context, said=said, reminding=self._reminding, shelf=self._shelf,
            team=self._team, gauge=self._gauge, toolbox=lambda: self._tools, **ours,
        )  # fmt: skip

    def _bare(self) -> Agent:
        return self.agent.but(hooks=Hooks(), reminders=())

    def _rewrite(self, messages: tuple[Message, ...]) -> None:
        self._messages, self._rewritten = messages, self._rewritten + 1
        self._gauge = structs.replace(self._gauge, full=0.0, futile=0)

    def _keep(self, live: Live, said: tuple[str, ...], rewritten: int, length: int) -> None:
        """The conversation with what the run added; what was made of it meanwhile goes before that."""
        if self._rewritten != rewritten:
            return
        outcome, added = outcome_of(live), self._messages[length:]
        # While calls wait for a person they stay open; who says something more goes on without them.
        kept = outcome.messages if outcome.status == "paused" and not added else closed((*outcome.messages, *added))
        self._messages = kept
        self._reminding, self._gauge = live.reminding, live.gauge
        self.usage.add(live.spent.usage, live.last_usage, live.compacted)
        if live.waiting[: len(said)] == [*said]:  # it was stopped before any request
            self._ephemeral[:0] = said


def _read(message: Said) -> Message:
    return message if isinstance(message, Message) else read(message)


def _log(value: object) -> None:
    import logging  # noqa: PLC0415 - only who asks for it

    told = value
    while isinstance(told, WorkerTold):
        told = told.value
    if not isinstance(told, Delta):
        facts = _clear(msgspec.to_builtins(value, enc_hook=repr))
        logging.getLogger("tachograph.chat").info("%s %s", type(value).__name__, facts)


def _clear(facts: Any) -> Any:
    """Plain values without the arguments that calls in them hide."""
    if isinstance(facts, list | tuple):
        return [_clear(item) for item in facts]
    if not isinstance(facts, dict):
        return facts
    found = {name: _clear(item) for name, item in facts.items()}
    if isinstance(found.get("hidden"), list):  # a call
        found["arguments"] = msgspec.convert(facts, ToolUse).told()
    call = facts.get("call")
    if isinstance(call, dict) and call.get("hidden") and "arguments" in found:  # what is told of one
        found["arguments"] = HIDDEN
    return found
