"""When a conversation is made smaller, how far, and by which steps: a value.

A share is of the room that a request has: the model's context window without the tokens reserved for the reply.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

from tachograph.errors import SettingsError
from tachograph.events.chat import Message
from tachograph.limits.estimate import MOST_OUTPUT
from tachograph.providers.models import model as model_of
from tachograph.providers.port import ModelPort

STEPS: Final = ("prune", "summarise", "window")
LEAST_SHOWN: Final = 500
"""Least characters of `prune_above`: what is left of a pruned result, with its handle, fits into them."""
MOST_ATTEMPTS: Final = 2
"""For one overflow."""


class Marks(NamedTuple):
    """Tokens of input at which a conversation is made smaller, and what it is then brought down to."""

    at: int
    to: int


@dataclass(frozen=True, kw_only=True)
class Compaction:
    """How the conversation of an agent is kept small. Raises SettingsError."""

    at: int | float = 0.8
    """Made smaller beyond this: a share up to 1.0, or a whole number of tokens."""
    to: int | float = 0.5
    """Brought down to this: a share, or a whole number of tokens."""
    keep: int = 2
    """Exchanges at the end, the present one among them, that older ones make room for."""
    rounds: int = 4
    """Replies with their results, at the end of the present exchange, that its older ones make room for."""
    keep_first: bool = True
    """Whether the first thing a person said stays as it is; else it may become part of the summary."""
    pinned: Sequence[str] | Callable[[Message], bool] = ("pinned",)
    """Messages that stay as they are, with the call or the results that belong to them: by `name`, or by a function."""
    prune_above: int = 2_000
    """Characters of a tool's result beyond which it gives way to its beginning and a handle."""
    steps: Sequence[str] = STEPS
    """What is tried, in this order, until it is small enough: prune, summarise, window."""
    summariser: str | ModelPort | None = None
    """The model that writes summaries, or its name; None: the agent's own."""
    summary_tokens: int = 1_500
    """Most tokens of a summary."""
    attempts: int = MOST_ATTEMPTS
    """How often a request that did not fit is made smaller and sent again: 0, 1 or 2."""
    seconds: float = 60.0
    """How long a summary may take, all attempts together."""

    def __post_init__(self) -> None:
        """Say at once what cannot be used."""
        for name in ("at", "to"):
            figure = getattr(self, name)
            if isinstance(figure, bool) or figure <= 0 or (isinstance(figure, float) and figure > 1.0):
                raise SettingsError(name, figure, "a share above 0 and up to 1.0, or a whole number of tokens")
        if type(self.at) is type(self.to) and self.to >= self.at:
            raise SettingsError("to", self.to, f"less than at={self.at}")
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise SettingsError(name, getattr(self, name), f"at least {least}")
        if self.attempts > MOST_ATTEMPTS:
            raise SettingsError("attempts", self.attempts, f"at most {MOST_ATTEMPTS} for one overflow")
        if not self.seconds > 0:
            raise SettingsError("seconds", self.seconds, "more than 0")
        if isinstance(self.steps, str) or (unknown := [one for one in self.steps if one not in STEPS]):
            raise SettingsError("steps", self.steps if isinstance(self.steps, str) else unknown, f"of {STEPS}")
        if isinstance(self.pinned, str):
            raise SettingsError("pinned", self.pinned, "several names, or a function of a message")

    @cached_property
    def port(self) -> ModelPort | None:
        """The model of summaries; None for the agent's own. Raises SettingsError, MissingExtra."""
        return model_of(self.summariser) if isinstance(self.summariser, str) else self.summariser

    def but(self, **changes: Any) -> Compaction:
        """The same with some fields changed. Raises SettingsError."""
        known = {one.name for one in fields(self)}
        for name in changes.keys() - known:
            raise SettingsError(name, changes[name], f"no such field of Compaction; there are {', '.join(known)}")
        return replace(self, **changes)

    async def close(self) -> None:
        """Let go of the connections of a model of its own."""
        if "port" in self.__dict__ and self.port is not None:
            await self.port.close()

    def pins(self, message: Message) -> bool:
        """Whether a message stays as it is. One that its function cannot judge does."""
        if not callable(self.pinned):
            return message.name is not None and message.name in self.pinned
        try:
            return bool(self.pinned(message))
        except Exception:  # noqa: BLE001 - the program's own function; what it does not say is no leave to drop anything
            return True

    def marks(self, window: int | None, max_tokens: int | None) -> Marks | None:
        """In tokens of input, for a request that may be answered with so many; None where there is no telling."""
        room = None if window is None else room_of(window, max_tokens)
        at = _tokens(self.at, room)
        if at is None:
            return None
        at = at if room is None else min(at, room)
        to = _tokens(self.to, at if room is None else room) or 1
        return Marks(at, min(to, at))


_LEAST = {
    "keep": 1, "rounds": 1, "prune_above": LEAST_SHOWN, "summary_tokens": 50, "attempts": 0,
}  # fmt: skip


def room_of(window: int, max_tokens: int | None) -> int:
    """Tokens of a context window that a request may take: what a reply needs is set aside, at most half of it."""
    return window - min(max_tokens or MOST_OUTPUT, window // 2)


def _tokens(figure: int | float, room: int | None) -> int | None:
    if isinstance(figure, int):
        return figure
    return None if room is None else int(figure * room)
