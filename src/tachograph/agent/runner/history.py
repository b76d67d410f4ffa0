"""What an application keeps of a conversation, as messages a model can be sent, and what in it is to be answered.

An item has a role, a content and perhaps the agent that said it. A content is text, texts and media in order, what an
agent answered with fields (its `response` is what was said), or an object that wraps one of these in its `value`. What
no provider would take (a result without its call, an empty message, an attachment of an unknown kind) is left out and
counted: an odd message of long ago is no reason to say nothing today.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from tachograph.agent.runner.structured import text_of
from tachograph.events.chat import Message, Part, Text, ToolUse, read

ROLES = ("user", "assistant", "tool")
"""Whose messages are taken; instructions are the agent's own."""
_LETTERS = {
    "ß": "ss",
    "æ": "ae",
    "Æ": "AE",
    "œ": "oe",
    "Œ": "OE",
    "ø": "o",
    "Ø": "O",
    "đ": "d",
    "Đ": "D",
    "ł": "l",
    "Ł": "L",
}
"""Letters that do not come apart into a plain one and an accent."""


class Said(Struct, frozen=True):
    """A message and the agent whose it is."""

    message: Message
    agent: str | None = None


class History(Struct, frozen=True):
    """A conversation up to now."""

    said: tuple[Said, ...] = ()
    """Without the message that is to be answered."""
    prompt: Message | None = None
    """The last thing a person said; None when nobody said anything."""
    left_out: int = 0
    """Messages, and parts of messages, that could not be taken."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """What was said before."""
        return tuple(one.message for one in self.said)

    @property
    def query(self) -> str:
        """The text that is to be answered: its parts with a blank between them."""
        return "" if self.prompt is None else joined(self.prompt)

    def last_agent(self, orchestrator: str) -> str | None:
        """The agent other than the orchestrator that spoke last; None when none did. Names count as `slug`s."""
        return next((name for one in reversed(self.said) if (name := _speaker(one)) and name != orchestrator), None)

    def plain(self) -> list[dict[str, Any]]:
        """The conversation for instructions, tools and callbacks: role, content, and no agent.

        Every turn begins with the orchestrator, unless the runner decides otherwise; names here must not decide it.
        """
        everything = (*self.messages, *(() if self.prompt is None else (self.prompt,)))
        return [{**message.plain(), "agent_name": None} for message in everything]


def history_of(items: Iterable[Any]) -> History:
    """A conversation from what an application keeps of it. Raises ValueError for what is no message at all."""
    said: list[Said] = []
    waiting: list[str | None] = []
    left_out = 0
    for item in items:
        found, missed = _said(item)
        left_out += missed
        if found is None:
            continue
        message = found.message
        if message.role == "tool":
            if message.tool_call_id not in waiting:
                left_out += 1
                continue
            waiting.remove(message.tool_call_id)
        else:
            waiting = [call.id for call in message.tool_calls]
        said.append(found)
    return _asked(said, left_out)


def slug(name: str) -> str:
    """A name as agents are called by: plain lower-case letters, `_` for everything else ("Ana Bot" → ana_bot)."""
    spelled = "".join(_LETTERS.get(letter, letter) for letter in name)
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", spelled) if not unicodedata.combining(letter))
    return re.sub(r"_{2,}", "_", re.sub(r"[^A-Za-z0-9_-]+", "_", plain)).strip("_").lower()


def joined(message: Message) -> str:
    """The text of a message, its parts with a blank between them."""
    if isinstance(message.content, str):
        return message.content
    return " ".join(part.text for part in message.content if isinstance(part, Text))


def content_of(raw: Any) -> tuple[str | tuple[Part, ...], int]:
    """A content as text or parts, and how many parts of it could not be read."""
    raw = _unwrapped(raw)
    if isinstance(raw, Mapping):
        return text_of(raw.get("response") or dict(raw)), 0
    if not isinstance(raw, Sequence) or isinstance(raw, (str, bytes)):
        return text_of(raw), 0
    parts: list[Part] = []
    left_out = 0
    for item in raw:
        try:
            content = read({"role": "user", "content": [_unwrapped(item)]}).content
        except (ValueError, AttributeError):
            left_out += 1
            continue
        parts += content if not isinstance(content, str) else (Text(content),)
    return tuple(parts), left_out


# ---- one message ----------------------------------------------------------------------------------------------------


def _said(item: Any) -> tuple[Said | None, int]:
    """A message of the conversation, or None for one that is left out; and how much was."""
    if isinstance(item, Message):
        return (Said(item), 0) if item.role in ROLES else (None, 1)
    if not isinstance(item, Mapping):
        raise ValueError(f"an item of a conversation is a mapping or a message, not {type(item).__name__}")  # noqa: TRY004 - one error for what cannot be read
    role, name = str(item.get("role") or ""), item.get("agent_name")
    if role not in ROLES:
        return None, 1
    content, left_out = content_of(item.get("content"))
    calls = tuple(_call(call) for call in item.get("tool_calls") or ()) if role == "assistant" else ()
    if role != "tool" and not calls and not _says(content):
        return None, left_out + (not left_out)
    message = Message(
        role,  # type: ignore[arg-type]  # one of ROLES
        content, calls, item.get("tool_call_id") if role == "tool" else None,
        item.get("name") if role == "tool" else None,
    )  # fmt: skip
    return Said(message, str(name) if name else None), left_out


def _call(call: Any) -> ToolUse:
    """A tool call, as chat completions spell it or flat. Raises ValueError."""
    if isinstance(call, ToolUse):
        return call
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ValueError("a tool call has a name")  # noqa: TRY004 - as above
    arguments = function.get("arguments")
    spelled = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False, default=str)
    return ToolUse(str(call.get("id") or ""), function["name"], spelled)


def _asked(said: list[Said], left_out: int) -> History:
    """The conversation with its last user's message apart: it is what the run is asked."""
    place = next((place for place in range(len(said) - 1, -1, -1) if said[place].message.role == "user"), None)
    if place is None:
        return History(tuple(said), None, left_out)
    return History((*said[:place], *said[place + 1 :]), said[place].message, left_out)


def _speaker(one: Said) -> str:
    return slug(one.agent or "") if one.message.role == "assistant" else ""


def _says(content: str | tuple[Part, ...]) -> bool:
    if isinstance(content, str):
        return bool(content.strip())
    return any(not isinstance(part, Text) or part.text.strip() for part in content)


def _unwrapped(raw: Any) -> Any:
    """What an object of a client library holds in its `value`."""
    plain = raw is None or isinstance(raw, (str, bytes, Mapping, Sequence, Part))
    return raw if plain else getattr(raw, "value", raw)
