"""JSON text, searched string by string, and written back byte for byte where nothing was found.

Works on the text, not on a decoded tree: order, spacing, number formats and duplicate keys stay as they are. The one
thing a plain string cannot know is used here too: under which key a string stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import msgspec

from tachograph.record.rules import assigned
from tachograph.record.rules.personal import is_card
from tachograph.record.rules.redact import marker
from tachograph.record.spell import valid_text

Search = Callable[[str, dict[str, int], str | None], str]
"""(string, counts to raise, kind of the key before it) → the string without secrets; the same object if it has none."""


class Literals:
    """One JSON text, searched string by string; knows under which key a string stands."""

    _LITERAL = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"([ \t]*+:)?', re.DOTALL)
    _BETWEEN = re.compile(r"[\s\[\]{},:]*+(?:(?:true|false|null|-?[0-9][0-9.eE+-]*+)[\s\[\]{},:]*+)*+")
    _FIRST_NUMBER = re.compile(r"\s*+(-?[0-9][0-9.eE+-]*+)")
    _CARD = re.compile(r"(?<![0-9.eE+-])[0-9]{13,19}(?![0-9.eE])")

    def __init__(self, search: Search, counts: dict[str, int], *, cards: bool) -> None:
        """`search` is for one decoded string; what fires is added to `counts`. `cards`: are card numbers to go too?"""
        self._search, self._counts, self._cards = search, counts, cards
        self._kind: str | None = None
        self._keys: dict[str, str] = {}
        self._alike: dict[str, int] = {}

    def scrubbed(self, text: str) -> str | None:
        """The text with secrets masked; None when it is not JSON."""
        pieces: list[str] = []
        position = 0
        for match in self._LITERAL.finditer(text):
            between = text[position : match.start()]
            if between and between != "," and self._BETWEEN.fullmatch(between) is None:
                return None
            pieces += self._gap(between), self._literal(*match.groups(""))
            position = match.end()
        if self._BETWEEN.fullmatch(text, position) is None:
            return None
        pieces.append(self._gap(text[position:]))
        return "".join(pieces)

    def _gap(self, between: str) -> str:
        """What stands between two strings: punctuation, numbers, and with them the end of what the last key named."""
        if not between or between.isspace():
            return between
        kind, self._kind = self._kind, None
        first = ""
        if kind in ("password", "pass") and (number := self._FIRST_NUMBER.match(between)):
            first, between = self._mark("password"), between[number.end() :]
        if self._cards and len(between) >= 13:
            between = self._CARD.sub(lambda match: self._mark("card") if is_card(match[0]) else match[0], between)
        return first + between

    def _literal(self, inner: str, colon: str) -> str:
        """A string with its quotes, and the colon that makes it a key."""
        string = _decoded(inner) if "\\" in inner else inner
        kind, self._kind = self._kind, None
        clean = self._search(string, self._counts, kind)
        if colon:
            self._kind = assigned.kind_of(string) or assigned.kind_of(clean)
        if clean is string:
            return f'"{inner}"{colon}'
        return _encoded(self._told_apart(string, clean) if colon else clean) + colon

    def _mark(self, name: str) -> str:
        """What stands in place of a number."""
        self._counts[name] = self._counts.get(name, 0) + 1
        return f'"{marker(name)}"'

    def _told_apart(self, key: str, clean: str) -> str:
        """Different keys that became equal get a number, or a reader would lose all values but one."""
        if key not in self._keys:
            number = self._alike[clean] = self._alike.get(clean, 0) + 1
            self._keys[key] = clean if number == 1 else f"{clean}#{number}"
        return self._keys[key]


def _decoded(inner: str) -> str:
    try:
        text: str = msgspec.json.decode(f'"{inner}"')
    except (msgspec.DecodeError, UnicodeEncodeError):
        try:
            text = json.loads(f'"{inner}"', strict=False)
        except ValueError:  # an escape that is none: searched as it stands
            return inner
    return text


def _encoded(text: str) -> str:
    return msgspec.json.encode(valid_text(text)).decode()
