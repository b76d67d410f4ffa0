"""A recorded message in parts: text, thinking, media, tool calls and results, in the shapes that providers use.

What has none of these shapes is shown as the JSON that it is. Nothing here decides what a message means; only how it is
laid out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from tachograph.fold.asks import Answer, Ask, answers, asks
from tachograph.queries import wording

PartKind = Literal["text", "thinking", "media", "json", "refusal", "ask", "result"]


class Part(Struct, frozen=True, kw_only=True):
    """A part of a message."""

    kind: PartKind
    text: str = ""
    name: str = ""
    """Of a tool; of media what it is: `image/png, 12 KiB`."""
    id: str | None = None
    """The provider's id of a tool call."""
    parts: tuple[Part, ...] = ()
    """What a result holds."""
    failed: bool = False
    """Whether a result says that the tool failed."""


_THINKING = ("thinking", "reasoning", "reasoning_text", "summary_text", "redacted_thinking")
_MEDIA_TYPES = (
    "image", "image_url", "input_image", "output_image", "audio", "input_audio", "output_audio", "audio_url", "video",
    "video_url", "file", "input_file", "file_url", "document", "blob", "uri", "media", "inlineData", "inline_data",
    "fileData", "file_data",
)  # fmt: skip
_SHORT = 72
"""Bytes of JSON that stand on one line."""
_WORDS = ("text", "content", "thinking", "refusal", "output", "reasoning", "summary", "data")


def parts(message: Any) -> tuple[Part, ...]:
    """The parts of a message, in order: what it says, then the tools it asks for where they stand apart."""
    try:
        return _parts(message)
    except RecursionError:
        return (Part(kind="json", text="(nested too deeply to be laid out)"),)


def _parts(message: Any) -> tuple[Part, ...]:
    if not isinstance(message, Mapping):
        return tuple(_content(message))
    if message.get("role") in ("tool", "function") or isinstance(message.get("tool_call_id"), str):
        found = tuple(_content(_body(message)))
        if not any(part.kind == "result" for part in found):
            answer = next(iter(answers(message)), Answer(None, None))
            return (Part(kind="result", name=answer.name or "", id=answer.id, parts=found, failed=_failed(message)),)
        return found
    if _kind(message) != "message" and (_is_ask(message) or _is_result(message) or _kind(message) in _THINKING):
        return tuple(_part(message))
    found = (*_thoughts(message), *_content(_body(message)), *_refusal(message))
    known = sum(part.kind == "ask" for part in found)
    return (*found, *(_ask(each) for each in asks(message)[known:]))


def _body(message: Mapping[str, Any]) -> Any:
    for name in ("content", "parts", "text", "output"):
        if message.get(name) is not None:
            return message[name]
    known = {"role", "name", "id", "status", "type", "tool_calls", "function_call", "reasoning_content", "reasoning"}
    known |= {"content", "parts", "refusal", "provider_state", "cache", "tool_call_id"}
    rest = {name: value for name, value in message.items() if name not in known and value is not None}
    return rest or None


def _content(body: Any, *, inside: bool = False) -> Iterator[Part]:
    match body:
        case None | "":
            return
        case str():
            yield Part(kind="text", text=body)
        case list():
            for each in body:
                yield from _part(each, inside) if isinstance(each, Mapping) else _content(each, inside=inside)
        case Mapping():
            yield from _part(body, inside)
        case _:
            yield _plain(body)


def _part(part: Mapping[str, Any], inside: bool = False) -> Iterator[Part]:
    """`inside`: in a result, where calls and results are only what the tool said."""
    kind = _kind(part)
    if inside and (_is_ask(part) or _is_result(part)):
        yield _plain(part)
    elif _is_ask(part):
        yield from (_ask(each) for each in asks({"content": [part]}))
    elif _is_result(part):
        yield _result(part)
    elif kind in _THINKING or part.get("thought") is True or "reasoningContent" in part:
        yield _thinking(part)
    elif kind in _MEDIA_TYPES or any(isinstance(part.get(name), Mapping) for name in _MEDIA_TYPES):
        yield Part(kind="media", name=_media(part))
    elif kind == "refusal" and isinstance(part.get("refusal"), str):
        yield Part(kind="refusal", text=part["refusal"])
    elif isinstance(part.get("text"), str):
        yield Part(kind="text", text=part["text"])
    elif kind in ("text", "output_text", "input_text") and isinstance(part.get("content"), str):
        yield Part(kind="text", text=part["content"])
    else:
        yield _plain(part)


def _thoughts(message: Mapping[str, Any]) -> Iterator[Part]:
    """Thinking that stands beside the content."""
    for name in ("reasoning_content", "reasoning", "thinking"):
        if isinstance(message.get(name), str) and message[name]:
            yield Part(kind="thinking", text=message[name])
            return


def _refusal(message: Mapping[str, Any]) -> Iterator[Part]:
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        yield Part(kind="refusal", text=message["refusal"])


def _thinking(part: Mapping[str, Any]) -> Part:
    if _kind(part) == "redacted_thinking":
        return Part(kind="thinking", name="encrypted by the provider")
    text = _words(part.get("reasoningContent", part))
    if not text and any(name in part for name in ("encrypted_content", "signature")):
        return Part(kind="thinking", name="encrypted by the provider")
    return Part(kind="thinking", text=text)


def _words(value: Any) -> str:
    match value:
        case str():
            return value
        case list():
            return "\n".join(filter(None, map(_words, value)))
        case Mapping():
            for name in (*_WORDS, "reasoningText"):
                if value.get(name) and (found := _words(value[name])):
                    return found
    return ""


def _is_ask(part: Mapping[str, Any]) -> bool:
    return bool(asks({"content": [part]}))


def _is_result(part: Mapping[str, Any]) -> bool:
    return bool(answers({"content": [part]}))


def _ask(ask: Ask) -> Part:
    return Part(kind="ask", name=ask.name or "", id=ask.id, text=arguments(ask.arguments))


def _result(part: Mapping[str, Any]) -> Part:
    answer = answers({"content": [part]})[0]
    inner = next((part[key] for key in _INNER if isinstance(part.get(key), Mapping)), part)
    body = next((inner[key] for key in ("content", "output", "response", "result") if inner.get(key) is not None), None)
    return Part(
        kind="result",
        name=answer.name or "",
        id=answer.id,
        parts=tuple(_content(body, inside=True)),
        failed=_failed(inner),
    )


_INNER = ("functionResponse", "function_response", "toolResult")


def _failed(part: Mapping[str, Any]) -> bool:
    return part.get("is_error") is True or part.get("isError") is True or part.get("status") == "error"


def _media(part: Mapping[str, Any]) -> str:
    """What a part carries that is no text: its type and how large it is, never the thing itself."""
    kind = _kind(part)
    holders = [part, *(value for value in part.values() if isinstance(value, Mapping))]
    holders += [value for holder in holders[1:] for value in holder.values() if isinstance(value, Mapping)]
    named = _first(holders, "media_type", "mime_type", "mimeType", "mediaType", "format")
    where = _first(holders, "url", "uri", "fileUri", "file_uri", "image_url", "file_id", "file_url")
    data = _first(holders, "data", "bytes", "file_data", "content", "blob")
    if where.startswith("data:"):
        named, data, where = named or where[5:].partition(";")[0], where.partition(",")[2], ""
    if not named:
        named = next((name for name in (kind, *part) if name in _MEDIA_TYPES), "media").partition("_")[0]
    size = f", {wording.size(len(data) * 3 // 4)}" if data else ""
    return f"{named}{size}{f', at {where}' if where else ''}"


def _first(holders: list[Any], *names: str) -> str:
    found = (holder[name] for name in names for holder in holders if isinstance(holder.get(name), str))
    return next(found, "")


def _kind(part: Mapping[str, Any]) -> str:
    kind = part.get("type")
    return kind if isinstance(kind, str) else ""


def _plain(value: Any) -> Part:
    return Part(kind="json", text=pretty(value))


def arguments(value: Any) -> str:
    """Arguments as JSON; where one of them is a text of several lines, each by its name, with the lines below it.

    Lines of a text stand further in than any name, so that no text can look like another argument.
    """
    found = decoded(value) if isinstance(value, str) else value
    if not isinstance(found, Mapping) or not any(isinstance(each, str) and "\n" in each for each in found.values()):
        return pretty(value)
    return "\n".join(_argument(name, each) for name, each in found.items())


def _argument(name: str, value: Any) -> str:
    shown = name if name.isidentifier() else pretty([name])[1:-1]
    if isinstance(value, str) and "\n" in value:
        lines = "\n".join(f"    {line}" for line in value.split("\n"))
        return f"{shown}: |\n{lines}"
    return f"{shown}: {_encoded(value)}"


def decoded(text: str | None) -> Any:
    """The value that a recorded text spells; the text itself where it is no JSON."""
    try:
        return msgspec.json.decode(text) if text is not None else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text


def pretty(value: Any) -> str:
    """A value as JSON, on lines where it is long; text that is JSON likewise, other text as it stands."""
    if isinstance(value, str):
        found = decoded(value)
        if not isinstance(found, (dict, list)):
            return value
        value = found
    return "" if value is None else _encoded(value)


def _encoded(value: Any) -> str:
    try:
        text = msgspec.json.encode(value)
        return msgspec.json.format(text, indent=-1 if len(text) <= _SHORT else 2).decode()
    except (RecursionError, UnicodeError, TypeError):
        return "(cannot be written as JSON)"


def beginning(text: str, most: int, lines: int) -> str:
    """The beginning of a text: so many characters and lines of it, all of one that is a little longer."""
    if len(text) <= most * 1.2 and text.count("\n") <= lines * 1.2:
        return text
    first = "\n".join(text[:most].split("\n", lines)[:lines])
    return first.rstrip()
