"""JSON text, searched string by string, and written back byte for byte where nothing was found.

Works on the text, not on a decoded tree: order, spacing, number formats and duplicate keys stay as they are. The one thing
a plain string cannot know is used here too: under which key a string stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

import msgspec

from tachograph.record.rules import assigned
from tachograph.record.rules.personal import is_card
from tachograph.record.rules.redact import OPT_IN, marker
from tachograph.record.rules.rule import Rule
from tachograph.record.spell import valid_text

Search = Callable[[str, Sequence[Rule], dict[str, int]], str]
"""(decoded string, rules, counts to raise) → the string without what the rules find; the same object if nothing."""


class Literals:
    """One JSON text, searched string by string; knows under which key a string stands."""

    _LITERAL = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"(\s*+:)?', re.DOTALL)
    _BETWEEN = re.compile(r"[\s\[\]{},:]*+(?:(?:true|false|null|-?[0-9][0-9.eE+-]*+)[\s\[\]{},:]*+)*+")
    _FIRST_NUMBER = re.compile(r"\s*+(-?[0-9][0-9.eE+-]*+)")
    _CARD = re.compile(r"(?<![0-9.eE+-])[0-9]{13,19}(?![0-9.eE])")

    def __init__(self, rules: Sequence[Rule], string: Search, counts: dict[str, int]) -> None:
        """`string` searches one decoded string for `rules`; what fires is added to `counts`."""
        self._rules, self._string, self._counts = rules, string, counts
        self._keyed, self._cards = assigned.RULE in rules, OPT_IN["card"] in rules
        self._kind: str | None = None
        self._keys: dict[str, str] = {}

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
        if kind in ("password", "pass") and (number := self._FIRST_NUMBER.match(between)):
            return f'"{self._mark("password")}"{between[number.end() :]}'
        if self._cards and len(between) >= 13:
            return self._CARD.sub(lambda match: f'"{self._mark("card")}"' if is_card(match[0]) else match[0], between)
        return between

    def _literal(self, inner: str, colon: str) -> str:
        """A string with its quotes, and the colon that makes it a key."""
        string = _decoded(inner) if "\\" in inner else inner
        kind, self._kind = self._kind, assigned.kind_of(string) if colon and self._keyed else None
        clean = string
        if kind is not None and (part := assigned.secret_in(kind, string, "json")):
            name = "password" if kind == "pass" else kind
            clean = string[: part[0]] + self._mark(name) + string[part[1] :]
        clean = self._string(clean, self._rules, self._counts)
        if clean is string:
            return f'"{inner}"{colon}'
        return _encoded(self._told_apart(string, clean) if colon else clean) + colon

    def _mark(self, name: str) -> str:
        self._counts[name] = self._counts.get(name, 0) + 1
        return marker(name)

    def _told_apart(self, key: str, clean: str) -> str:
        """Different keys that became equal get a number, or a reader would lose all values but one."""
        if key not in self._keys:
            same = sum(1 for other in self._keys.values() if other.partition("#")[0] == clean)
            self._keys[key] = f"{clean}#{same + 1}" if same else clean
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
