"""What guardrails look at: a text, texts and media, or arguments. Its texts, and the same with other texts in it.

Media pass as they are. Of arguments every key and every value is a text; one that was no text stays what it was unless
it changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tachograph.events.chat import Media, Text

BETWEEN = "\n"
"""What separates the texts of one content where they are read as one."""


def texts(content: Any) -> tuple[str, ...]:
    """All its texts, in order."""
    return tuple(_texts(content))


def _texts(content: Any) -> Iterator[str]:
    match content:
        case str():
            yield content
        case Text(text=text):
            yield text
        case Media() | None:
            return
        case Mapping():
            for name, item in content.items():
                yield str(name)
                yield from _texts(item)
        case list() | tuple():
            for item in content:
                yield from _texts(item)
        case _:
            yield str(content)


def with_texts(content: Any, said: Iterator[str]) -> Any:
    """The same content with other texts, as many as it has, in order."""
    match content:
        case str():
            return next(said)
        case Text():
            return Text(next(said))
        case Media() | None:
            return content
        case Mapping():
            return {_kept(name, next(said)): with_texts(item, said) for name, item in content.items()}
        case list() | tuple():
            return type(content)(with_texts(item, said) for item in content)
    return _kept(content, next(said))


def _kept(value: Any, said: str) -> Any:
    return value if str(value) == said else said


def reworded(content: Any, text: str) -> Any:
    """One text in place of all its texts; media stay."""
    if isinstance(content, tuple):
        return (Text(text), *(part for part in content if isinstance(part, Media)))
    return text


def with_more(content: Any, text: str) -> Any:
    """The same content, and a text behind it."""
    if isinstance(content, tuple):
        return (*content, Text(text))
    return f"{content}\n\n{text}" if content else text


def field_of(text: str, field: str) -> str | None:
    """The text of a field, of a text that is a JSON object; None when it has none."""
    found = _object(text)
    said = None if found is None else found.get(field)
    return said if isinstance(said, str) else None


def with_part(text: str, field: str, said: str) -> str:
    """The JSON object with another text in the field."""
    return msgspec.json.encode({**(_object(text) or {}), field: said}).decode()


def _object(text: str) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError):
        return None
    return found if isinstance(found, dict) else None
