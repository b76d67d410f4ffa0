"""Models that follow a script, take their time, and cost what their real namesakes would.

Tokens are counted from what goes out and comes back (four letters each), and a prompt that begins like the one before
it is read from the cache.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.cli.desk.pace import Pace
from tachograph.errors import ModelError
from tachograph.events.usage import Usage
from tachograph.providers.port import Delta, Reply, Request, TextDelta
from tachograph.providers.scripted import Call, Say, ScriptedModel

PROVIDERS = {"gpt-4o-mini": "openai", "claude-sonnet-4-5": "anthropic", "claude-haiku-4-5": "anthropic"}
"""Whose the models are; a model that is not here runs in the back room, and nobody has a price for it."""
LETTERS_PER_TOKEN = 4
LEAST_CACHED = 256
"""Tokens of the shortest prompt that a provider keeps."""
WORD_SECONDS = 0.02
_encode = msgspec.json.Encoder().encode


class Turn(Struct, frozen=True):
    """What a model does next: it says something, asks for tools, or has too many visitors."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    seconds: float = 0.9
    """How long it thinks before the first word."""
    overloaded: bool = False


class Model(ScriptedModel):
    """A scripted model at the pace of the desk, for one conversation."""

    def __init__(self, name: str, pace: Pace, script: Iterable[Turn]) -> None:
        turns = (partial(self._take, turn) for turn in script)
        super().__init__(turns, name=name, provider=PROVIDERS.get(name, "back-room"))
        self._pace = pace
        self._last_prompt = 0
        """Its tokens."""

    async def ask(self, request: Request) -> AsyncIterator[Delta | Reply]:
        """The next turn, word by word. Raises ModelError."""
        async for piece in super().ask(request):
            yield piece
            if isinstance(piece, TextDelta):
                self._pace.wait(WORD_SECONDS)

    def _take(self, turn: Turn, request: Request) -> Say | ModelError:
        self._pace.wait(turn.seconds)
        if turn.overloaded:
            words = "it has too many visitors, please come back in a moment"
            return ModelError("overloaded", words, provider=self.provider, model=self.model, status=529)
        pieces = tuple(f"{word} " for word in turn.text.split())
        return Say(turn.text, turn.calls, usage=self._billed(turn, request), chunks=pieces)

    def _billed(self, turn: Turn, request: Request) -> Usage:
        prompt = _tokens((*(message.plain() for message in request.messages), *request.tools))
        cached = self._last_prompt if self._last_prompt >= LEAST_CACHED else 0
        self._last_prompt = prompt
        return Usage(
            input_uncached=prompt - cached, cache_read=cached, cache_write=0, output=_tokens((turn.text, *turn.calls)),
            basis="provider",
        )  # fmt: skip


def _tokens(parts: Iterable[Any]) -> int:
    return sum(len(_encode(part)) for part in parts) // LETTERS_PER_TOKEN
