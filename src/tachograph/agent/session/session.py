"""A session: one conversation over many runs, agents and processes, written by one at a time.

    session = Session("ticket-17", user="ada")
    outcome = await session.ask(agent, "Where is my order?")      # any process may ask the next

Each ask takes the lease, reads what was said from the log, runs, commits and gives the lease back. A newer message may
supersede the turn in progress (`supersede=True`): its reply is discarded, what the user said stays.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from tachograph.agent.agent import Agent, blocking
from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.call import Prompt, outcome_of
from tachograph.agent.crew.crew import members
from tachograph.agent.handle import Handle
from tachograph.agent.live import Live
from tachograph.agent.progress import Emitter
from tachograph.agent.session.terms import Terms
from tachograph.agent.session.turn import Turn
from tachograph.agent.team.dialogues import Team
from tachograph.errors import SettingsError
from tachograph.events.account import COUNTED, Account
from tachograph.events.chat import Message
from tachograph.store.sessions.head import Head

Agents = Agent | Sequence[Agent] | Mapping[str, Agent]
"""One agent, several, or several by names of the application's own: the first begins."""
Result = TypeVar("Result")


class Session(Terms):
    """One conversation. May be used from several tasks, threads and processes."""

    # ---- talking --------------------------------------------------------------------------------------------------

    def turn(self, *, supersede: bool = False, history: Sequence[Message] | None = None) -> Turn:
        """The next turn, as `async with`: nobody else writes until it ends. Raises SessionError when it is entered.

        With `supersede` a turn that is in progress is called off; without, it is waited for. `history` is for programs
        that keep the conversation themselves: it is gone on from, in place of what the log says.
        """
        return Turn(self, supersede=supersede, history=history)

    async def ask(
        self, agents: Agents, prompt: Prompt | None, *, agent: str | None = None, supersede: bool = False,
        state: Mapping[str, Any] | None = None, **call: Any,
    ) -> Outcome[Any]:  # fmt: skip
        """A whole turn: say something and hear the answer. Raises as `Agent.run`, and SessionError, StoreError.

        Of several agents the one speaks that is named, else who spoke last, also by a hand-off of one of them, else the
        first. `call` is as for `Agent.run`. Superseded by a newer message, the outcome is `cancelled` (`superseded`).
        """
        return outcome_of(await self._fly(agents, prompt, call, agent=agent, supersede=supersede, state=state))

    def ask_sync(self, agents: Agents, prompt: Prompt | None, **how: Any) -> Outcome[Any]:
        """`ask` for programs without an event loop, and for code inside one that cannot await."""
        return blocking(lambda: _and_close(agents, self.ask(agents, prompt, **how)))

    def start(
        self, agents: Agents, prompt: Prompt | None, *, agent: str | None = None, supersede: bool = False,
        state: Mapping[str, Any] | None = None, **call: Any,
    ) -> Handle[Any]:  # fmt: skip
        """Ask as a task, which can be called off. The turn is committed when its outcome is there."""
        emitter = Emitter(call.get("emitter"))
        call = {**call, "emitter": emitter}
        how: dict[str, Any] = {"agent": agent, "supersede": supersede, "state": state}
        return Handle(lambda known: self._fly(agents, prompt, call, known, **how), emitter)

    # ---- how it stands --------------------------------------------------------------------------------------------

    def head(self) -> Head | None:
        """Where it stands; None before its first turn. Raises StoreUnavailable."""
        return self.local.heads.get(self.key)

    def close(self) -> Head | None:
        """Take no turns any more; one under way may end. None when there was no turn. Raises StoreUnavailable."""
        return self.local.heads.close_session(self.key, self._now())

    def reopen(self) -> Head | None:
        """Take turns again: after it was closed, or handed to a person. Raises StoreUnavailable."""
        return self.local.heads.reopen(self.key, self._now())

    def reset(self, *, counters: bool = True, history: bool = False, state: bool = False) -> Head | None:
        """Begin anew: active, and limits allow all again; if asked with nothing said, without state. The log keeps all.

        With nothing said to anybody: delegates know nothing of it any more, either.

        A turn under way is then lost, unless only the counters go. Raises StoreUnavailable.
        """
        now = self._now()
        head = self.local.heads.reset(self.key, now, history=history, state=state)
        if history:
            self.team = Team()
        if counters:
            for of in COUNTED:
                self.system.ledger.reset(Account.of_session(self.key[0], self.key[1], of), now)
        return head

    # ---- one turn -------------------------------------------------------------------------------------------------

    async def _fly(
        self, agents: Agents, prompt: Prompt | None, call: Mapping[str, Any],
        known: Callable[[Live], object] = lambda live: None, *, agent: str | None, supersede: bool,
        state: Mapping[str, Any] | None,
    ) -> Live:  # fmt: skip
        those = _by_name(agents)
        async with self.turn(supersede=supersede) as turn:
            name, start = _chosen(those, agent, turn.agent)
            call = call if start is None else {"start": start, **call}
            return await turn.whole(
                those[name], prompt, call, known, speaks=lambda outcome: _spoke(agents, outcome, name),
                state=lambda: state,
            )  # fmt: skip

    def _now(self) -> int:
        return self.system.recorder.clock.now()


def _by_name(agents: Agents) -> Mapping[str, Agent]:
    if isinstance(agents, Mapping):
        return agents
    known: dict[str, Agent] = {}
    for one in (agents,) if isinstance(agents, Agent) else agents:
        if not isinstance(one, Agent):
            raise SettingsError("agents", one, "an agent, several, or several by name")
        if one.name in known:
            raise SettingsError("agents", one.name, "agents with different names")
        known[one.name] = one
    return known


def _chosen(agents: Mapping[str, Agent], named: str | None, current: str | None) -> tuple[str, str | None]:
    """Who takes the turn, and with whom of those that he hands over to it begins: the one who spoke last."""
    if not agents or (named is not None and named not in agents):
        raise SettingsError("agent", named, f"one of {', '.join(agents) or 'at least one agent'}")
    if named is not None or current is None:
        return named or next(iter(agents)), None
    if current in agents:
        return current, None
    lead = next((name for name, one in agents.items() if current in members(one)), None)
    return (next(iter(agents)), None) if lead is None else (lead, current)


def _spoke(agents: Agents, outcome: Outcome[Any], name: str) -> str:
    """Who speaks next: whoever answered, under the name that he has among these agents."""
    answered = outcome.agent
    if not isinstance(agents, Mapping) or not answered or answered in agents:
        return answered or name
    own = next((known for known, one in agents.items() if one.name == answered), None)
    return own or (answered if answered in members(agents[name]) else name)


async def _and_close(agents: Agents, work: Awaitable[Result]) -> Result:
    """What the work comes to; then the models' connections of this event loop are closed."""
    for one in _by_name(agents).values():
        work = one.and_close(work)
    return await work
