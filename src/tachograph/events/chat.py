"""The messages of a conversation, as values: what a model is sent and what it says.

A message is frozen; the same object stands in every request that begins with it, so comparing two requests is a pointer
comparison a message. Its recorded form (`plain`) is that of OpenAI chat completions, the shape that most programs,
stores and readers share (https://platform.openai.com/docs/api-reference/chat).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

HIDDEN = "[redacted]"
Role = Literal["system", "user", "assistant", "tool"]


class Text(Struct, frozen=True, tag="text"):
    """A piece of text."""

    text: str


class Media(Struct, frozen=True, tag="media"):
    """An image, a sound, a film or a document: its bytes, or a URL where it lies."""

    kind: Literal["image", "audio", "video", "document"]
    media_type: str
    """As in `image/png`."""
    url: str = ""
    data: bytes = b""
    """Its bytes; empty when `url` says where they are."""

    @property
    def address(self) -> str:
        """Its URL; for bytes a `data:` URL."""
        return self.url or f"data:{self.media_type};base64,{b64encode(self.data).decode()}"


Part = Text | Media


class ToolUse(Struct, frozen=True):
    """A tool call that a reply asks for."""

    id: str
    """The provider's id. Models repeat them: never a key."""
    name: str
    arguments: str = "{}"
    """JSON text, exactly as the model wrote it; it may be malformed."""
    hidden: tuple[str, ...] = ()
    """Names of arguments whose values the recorded form leaves out."""

    def told(self) -> str:
        """Its arguments as they are recorded."""
        if not self.hidden:
            return self.arguments
        try:
            found = msgspec.json.decode(self.arguments)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            found = None
        if not isinstance(found, dict):
            return msgspec.json.encode(HIDDEN).decode()
        return msgspec.json.encode({name: HIDDEN if name in self.hidden else found[name] for name in found}).decode()


class Message(Struct, frozen=True, omit_defaults=True):
    """One message. Text-only content is a `str`; with media it is a tuple of parts."""

    role: Role
    content: str | tuple[Part, ...] = ""
    tool_calls: tuple[ToolUse, ...] = ()
    """Of an assistant's message, in its order."""
    tool_call_id: str | None = None
    """Of a tool's message: the call it answers."""
    name: str | None = None
    """Of a tool's message: the tool. Of a user's, where the runtime speaks: nudge, correction, phase or gate."""
    reasoning: str = ""
    """Thinking that the provider shows."""
    provider_state: str | None = None
    """JSON text for the provider that wrote it alone: signatures, encrypted reasoning."""
    cache: bool = False
    """Whether a provider that wants to be told may cache everything up to this message."""

    @property
    def text(self) -> str:
        """Its text, without media."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, Text))

    @property
    def media(self) -> tuple[Media, ...]:
        """What it carries beside text."""
        return () if isinstance(self.content, str) else tuple(part for part in self.content if isinstance(part, Media))

    def plain(self) -> dict[str, Any]:
        """The message as OpenAI chat completions spell it: what is recorded."""
        content: Any = self.content if isinstance(self.content, str) else [_plain_part(part) for part in self.content]
        if self.tool_calls and content == "":
            content = None
        found: dict[str, Any] = {"role": self.role, "content": content}
        if self.tool_calls:
            found["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.told()}}
                for call in self.tool_calls
            ]
        if self.tool_call_id is not None:
            found["tool_call_id"] = self.tool_call_id
        if self.name is not None:
            found["name"] = self.name
        if self.reasoning:
            found["reasoning_content"] = self.reasoning
        if self.provider_state is not None:
            found["provider_state"] = self.provider_state
        if self.cache:
            found["cache"] = True
        return found


def system(text: str, *, cache: bool = False) -> Message:
    """Instructions."""
    return Message("system", text, cache=cache)


def user(content: str | Iterable[str | Part]) -> Message:
    """What a person says: text, or text and media in order."""
    return Message("user", content if isinstance(content, str) else tuple(map(_part, content)))


def assistant(text: str = "", *tool_calls: ToolUse) -> Message:
    """What a model says, and the tools it asks for."""
    return Message("assistant", text, tool_calls)


def result(call: ToolUse, content: str | Iterable[str | Part]) -> Message:
    """The answer to a tool call."""
    said = content if isinstance(content, str) else tuple(map(_part, content))
    return Message("tool", said, tool_call_id=call.id, name=call.name)


def read(plain: Mapping[str, Any]) -> Message:
    """A message from its recorded form, or from what a program holds in the shape of OpenAI chat completions.

    Raises ValueError, naming what cannot be read.
    """
    role = plain.get("role")
    role = "system" if role == "developer" else role
    if role not in ("system", "user", "assistant", "tool"):
        raise ValueError(f"a message's role is system, user, assistant or tool, not {role!r}")
    content = plain.get("content")
    said = "" if content is None else content if isinstance(content, str) else tuple(_parts(content))
    return Message(
        role,  # type: ignore[arg-type]  # one of the four
        said,
        tuple(_call(call) for call in plain.get("tool_calls") or ()),
        plain.get("tool_call_id"),
        plain.get("name"),
        plain.get("reasoning_content") or "",
        plain.get("provider_state"),
        bool(plain.get("cache", False)),
    )


def _part(item: str | Part) -> Part:
    return Text(item) if isinstance(item, str) else item


_MEDIA: Mapping[str, str] = {"image_url": "image", "audio_url": "audio", "video_url": "video", "file_url": "document"}
_KEYS = {kind: key for key, kind in _MEDIA.items()}


def _plain_part(part: Part) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    key = _KEYS[part.kind]
    return {"type": key, key: {"url": part.address, "media_type": part.media_type}}


def _parts(content: Any) -> Iterable[Part]:
    if not isinstance(content, (list, tuple)):
        raise ValueError(f"a message's content is text or a list of parts, not {type(content).__name__}")  # noqa: TRY004 - one error for what cannot be read
    for part in content:
        if isinstance(part, (Text, Media)):
            yield part
        elif isinstance(part, str):
            yield Text(part)
        elif isinstance(part, Mapping) and part.get("type") == "text":
            yield Text(str(part.get("text", "")))
        elif isinstance(part, Mapping) and part.get("type") in _MEDIA:
            yield _media(part)
        else:
            raise ValueError(f"a message's part is a text or one of {', '.join(_MEDIA)}, not {str(part)[:80]}")


def _media(part: Mapping[str, Any]) -> Media:
    key = part["type"]
    held = part.get(key)
    url = held if isinstance(held, str) else str(held.get("url", "")) if isinstance(held, Mapping) else ""
    stated = held.get("media_type") if isinstance(held, Mapping) else None
    guessed = url[5:].partition(";")[0] if url.startswith("data:") else f"{_MEDIA[key]}/*"
    return Media(_MEDIA[key], stated or guessed, url)  # type: ignore[arg-type]  # the values of _MEDIA are the kinds


def _call(call: Any) -> ToolUse:
    if isinstance(call, ToolUse):
        return call
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ValueError(f"a tool call holds a function with a name, not {str(call)[:80]}")  # noqa: TRY004 - as above
    arguments = function.get("arguments")
    return ToolUse(str(call.get("id") or ""), function["name"], arguments if isinstance(arguments, str) else "{}")
