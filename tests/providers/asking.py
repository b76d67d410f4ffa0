"""Asking a model of ours and keeping everything that came of it: the pieces, and the reply or the error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tachograph.errors import ModelError
from tachograph.events.chat import user
from tachograph.providers.models import model
from tachograph.providers.port import Delta, ModelPort, Reply, Request, TextDelta, ToolDelta, ToolSpec

TOOL = ToolSpec("lookup", "Looks something up.", {"type": "object", "properties": {"key": {"type": "string"}}})
_APIS: Mapping[str, tuple[str, dict[str, str]]] = {
    "chat": ("openai", {"api_version": "chat"}),
    "responses": ("openai", {"api_version": "responses"}),
    "anthropic": ("anthropic", {}),
    "gemini": ("google", {}),
}
_BASES = {"chat": "/v1", "responses": "/v1", "anthropic": "", "gemini": ""}
"""What the base URL of each wire ends with."""


@dataclass
class Came:
    """What came of one request."""

    pieces: list[Delta] = field(default_factory=list)
    reply: Reply | None = None
    error: ModelError | None = None

    @property
    def text(self) -> str:
        """The text that streamed."""
        return "".join(piece.text for piece in self.pieces if isinstance(piece, TextDelta))

    @property
    def calls(self) -> list[tuple[str, str, str]]:
        """(id, name, arguments) of the tool calls that streamed."""
        found: dict[int, list[str]] = {}
        for piece in self.pieces:
            if isinstance(piece, ToolDelta):
                held = found.setdefault(piece.index, ["", "", ""])
                held[0], held[1] = piece.id or held[0], piece.name or held[1]
                held[2] += piece.arguments
        return [(id_, name, arguments) for id_, name, arguments in found.values()]


def port(wire: str, url: str, name: str = "m", provider: str | None = None, **config: Any) -> ModelPort:
    """A model on one of the four wires, at the mount of a test's server."""
    owner, fixed = _APIS[wire]
    return model(name, provider=provider or owner, base_url=url + _BASES[wire], api_key="k" * 20, **{**fixed, **config})


def request(*, stream: bool, **changes: Any) -> Request:
    """A question, with a tool at hand."""
    given = {"messages": (user("What is the answer?"),), "tools": (TOOL,), "timeout": 20.0, "max_tokens": 256}
    return Request(stream=stream, **{**given, **changes})


async def ask(asked: ModelPort, sent: Request) -> Came:
    """Everything that one request brings."""
    came = Came()
    try:
        async for piece in asked.ask(sent):
            if isinstance(piece, Reply):
                assert came.reply is None
                came.reply = piece
            else:
                assert came.reply is None
                came.pieces.append(piece)
    except ModelError as error:
        came.error = error
    return came


def value(arguments: str) -> Any:
    """Arguments as a value; text that is no JSON as it is."""
    try:
        return json.loads(arguments) if arguments.strip() else {}
    except ValueError:
        return arguments
