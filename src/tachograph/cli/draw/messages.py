"""The messages of a call as people read them: who speaks, and what is said, asked for and answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from rich.text import Text

from tachograph.cli import human
from tachograph.fold.asks import asks
from tachograph.queries.transcript import Said, Transcript

STYLES = {
    "system": "dim",
    "developer": "dim",
    "user": "green",
    "assistant": "magenta",
    "model": "magenta",
    "tool": "blue",
}


def draw(found: Transcript) -> Iterator[Text]:
    """The conversation, a block for each message, the reply marked."""
    title = "the whole conversation" if found.call is None else f"call {found.call} · {human.line(found.model or '')}"
    yield Text(title, "dim")
    for said in found.input:
        yield _block(said, "")
    for said in found.output:
        yield _block(said, " answers")


def as_json(found: Transcript) -> Iterator[dict[str, Any]]:
    """The same for programs: one object a message; `message` is what was recorded, byte for byte."""
    for reply, part in ((False, found.input), (True, found.output)):
        for said in part:
            message = None if said.text is None else msgspec.Raw(said.text.encode())
            yield {"call": found.call, "node": said.node, "role": said.role, "reply": reply, "message": message}


def lines(message: Any) -> Iterator[str]:
    """What a message says: its texts, then the tools it asks for."""
    body = message.get("content", message.get("parts", message.get("text"))) if isinstance(message, dict) else message
    yield from _texts(body)
    for ask in asks(message):
        arguments = ask.arguments if isinstance(ask.arguments, str) else msgspec.json.encode(ask.arguments).decode()
        yield f"→ {ask.name}({arguments})"


def _block(said: Said, doing: str) -> Text:
    style = STYLES.get(said.role, "bold")
    words = Text.assemble("\n", (human.line(said.role), f"bold {style}"), (doing, "dim"), "\n")
    if said.text is None:
        return words.append("(not kept)", "dim")
    try:
        message = msgspec.json.decode(said.text)
    except msgspec.DecodeError:
        return words.append(human.block(said.text))
    return words.append(human.block("\n".join(lines(message))) or "(empty)")


def _texts(body: Any) -> Iterator[str]:
    match body:
        case None | {"type": "tool_use" | "function_call" | "tool_call"}:
            return
        case str():
            yield body
        case list():
            for part in body:
                yield from _texts(part)
        case {"text": str(text)} | {"thinking": str(text)} | {"content": str(text)}:
            yield text
        case {"content": list(parts)}:
            yield from _texts(parts)
        case {"functionCall": _} | {"toolUse": _}:
            return
        case _:
            yield msgspec.json.encode(body).decode()
