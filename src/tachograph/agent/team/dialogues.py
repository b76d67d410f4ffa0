"""Dialogues: what an agent and those it delegates to have said to each other.

They belong to one conversation of whoever asks, so they last as long as that: for a run, or for all runs of a `Chat`.
Two agents that ask the same worker have a dialogue each, and what a worker says to its own workers belongs to its
dialogue. Of several calls in one reply the first goes on with the dialogue, each other with a copy of it as it stood
before: which of them is quicker decides nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tachograph.agent.pace.schedule import Scheduler
from tachograph.agent.reminders import Reminding
from tachograph.agent.tools.results import Shelf
from tachograph.agent.transcript import closed
from tachograph.events.chat import Message, read


class Dialogue:
    """One worker's conversation with whoever asks it."""

    def __init__(self, messages: Sequence[Message] = (), shelf: Shelf | None = None) -> None:
        self.messages = tuple(messages)
        """Without instructions and reminders; always one that a provider takes."""
        self.shelf = shelf or Shelf()
        self.reminding = Reminding()
        self.team = Team()
        """The worker's own dialogues."""
        self._reply: object = None
        """The last reply that asked here."""
        self._before: Dialogue | None = None
        """As it stood before that."""
        self._turns: Scheduler | None = None

    def clear(self) -> None:
        """Forget what was said."""
        self.messages, self.shelf, self.reminding, self.team = (), Shelf(), Reminding(), Team()

    def keep(self, messages: Sequence[Message], reminding: Reminding) -> None:
        """It went on so far."""
        self.messages, self.reminding = closed(messages), reminding

    def copy(self) -> Dialogue:
        """As it stands, to go on with beside it. Large results stay where they are: their handles are in both."""
        copy = Dialogue(self.messages, self.shelf)
        copy.reminding, copy.team = self.reminding, self.team.copy()
        return copy

    def joined(self, reply: object = None, *, reset: bool = False) -> Dialogue:
        """What a call goes on with: this, or a copy where another call of the same reply has it.

        None is a reply of its own. `reset`: from nothing.
        """
        if reply is not None and reply is self._reply and self._before is not None:
            return Dialogue() if reset else self._before.copy()
        if reset:
            self.clear()
        self._reply, self._before = reply, self.copy()
        return self

    @asynccontextmanager
    async def turn(self, most: int | None, seconds: float | None) -> AsyncIterator[None]:
        """Wait until fewer than `most` calls are under way, for so many seconds. Raises TimeoutError."""
        if most is None:
            yield
            return
        if self._turns is None or self._turns.concurrency != most:
            self._turns = Scheduler(concurrency=most)
        async with self._turns.permit("delegate", seconds=seconds):
            yield


class Team:
    """The dialogues of one conversation, by who asks and by which tool."""

    def __init__(self) -> None:
        self._dialogues: dict[tuple[str, str], Dialogue] = {}

    def dialogue(self, asking: str, tool: str) -> Dialogue:
        """That of an agent with one of its delegates."""
        return self._dialogues.setdefault((asking, tool), Dialogue())

    def clear(self) -> None:
        """Forget all of them."""
        self._dialogues.clear()

    def copy(self) -> Team:
        """All of them as they stand."""
        copy = Team()
        copy._dialogues = {key: one.copy() for key, one in self._dialogues.items()}
        return copy

    def plain(self) -> list[dict[str, Any]]:
        """What was said, for JSON: one entry a dialogue, with those of the worker's own inside."""
        return [
            {
                "agent": asking, "tool": tool, "messages": [message.plain() for message in one.messages],
                "team": one.team.plain(),
            }
            for (asking, tool), one in self._dialogues.items()
        ]  # fmt: skip

    @classmethod
    def read(cls, plain: Sequence[Mapping[str, Any]]) -> Team:
        """From what `plain` gave. Raises ValueError, InvalidTranscript and KeyError for what is none of that."""
        team = cls()
        for entry in plain:
            dialogue = team.dialogue(entry["agent"], entry["tool"])
            dialogue.messages = closed(read(message) for message in entry["messages"])
            dialogue.team = cls.read(entry["team"])
        return team


def forked(messages: Sequence[Message]) -> tuple[Message, ...]:
    """A conversation as whoever is asked in the middle of it may be given it.

    Instructions are the asker's own, and a last reply whose calls are still open is not said yet: both are left out.
    """
    said = [message for message in messages if message.role != "system"]
    return closed(said[:-1] if said and said[-1].tool_calls else said)
