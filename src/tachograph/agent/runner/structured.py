"""What a model's answer says: the fields it was asked for, found in whatever it wrote around them.

Models are asked for one JSON object and write prose before it, a second object behind it, a quotation mark too many.
Every JSON object that stands for itself in the text is looked at, and the last one that has a `response` counts; where
there is none, the whole text is the response.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

DEFAULT_REASONING = "Processed by agent"
MOST_CHARS = 200_000
"""Characters of an answer in which objects are looked for; a longer one is taken whole."""

_decoder = json.JSONDecoder(strict=False)
"""Models write line breaks into strings as they are."""
_BEGIN = re.compile(r'\{\s*["}]')


def fields_of(output: Any, text: str) -> dict[str, Any]:
    """The fields of a reply: `output` itself where it is a mapping or a struct with fields, else what the text says."""
    stated = mapping_of(output)
    if stated is not None:
        return stated
    found = next((item for item in reversed(list(objects(text))) if _present(item.get("response"))), None)
    if found is None:
        return {"response": text, "reasoning": DEFAULT_REASONING}
    reasoning = found.get("reasoning")
    return {
        "response": text_of(found["response"]),
        "reasoning": text_of(reasoning) if _present(reasoning) else DEFAULT_REASONING,
        "reaction_emoji": text_of(found.get("reaction_emoji")),
    }


def mapping_of(value: Any) -> dict[str, Any] | None:
    """A value's fields by name, where it is a mapping, or a structure that is written as one; else None."""
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if value is None or isinstance(value, (str, bytes, int, float, list, tuple)):
        return None
    dump = getattr(value, "model_dump", None)  # pydantic's own
    try:
        plain = dump() if callable(dump) else msgspec.to_builtins(value)
    except (TypeError, ValueError):
        return None
    return plain if isinstance(plain, dict) else None


def objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of a text that stand inside no other, in order.

    Quotation marks and brackets of the prose between them mean nothing: what begins like an object and is none is
    passed over by one character.
    """
    if len(text) > MOST_CHARS:
        return
    begin = _BEGIN.search(text)
    while begin is not None:
        try:
            found, end = _decoder.raw_decode(text, begin.start())
        except (ValueError, RecursionError):
            end = begin.start() + 1
        else:
            yield found
        begin = _BEGIN.search(text, end)


def text_of(value: Any) -> str:
    """A field as text: nothing is an empty one, a structure JSON; half characters, which no UTF-8 has, are marked."""
    if value is None:
        return ""
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return said.encode("utf-8", "replace").decode() if not said.isascii() else said


def _present(value: Any) -> bool:
    """Whether a field says anything: blank text, nothing, no and an empty structure do not; a number does."""
    if isinstance(value, str):
        return bool(value.strip())
    return value is not None and value is not False and value not in ([], {})
