"""A rule: what a guardrail looks for, as data. Patterns that mean it, patterns that do not, detectors of credentials.

Patterns are regular expressions over normal text (text.py), so they need neither capitals nor accents, and it does no
harm if they have them. Where an `unless` pattern matches, or something was redacted, no pattern sees anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from msgspec import Struct

from tachograph.agent.guardrails.content import BETWEEN, texts, with_texts
from tachograph.agent.guardrails.text import folded_pattern, normal, places
from tachograph.errors import SettingsError
from tachograph.record.rules import redact
from tachograph.record.rules.rule import Rule as Detector
from tachograph.record.rules.rule import Span, merged

DETECTORS: Mapping[str, tuple[Detector, ...]] = {
    "secrets": redact.SECRETS, **{name: (rule,) for name, rule in redact.OPT_IN.items()},
}  # fmt: skip
"""Name → what finds it: those that mask what is recorded."""
_BLANK = "\0"
_NAME = re.compile("[a-z0-9_]{1,64}")


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """One thing to look for. Raises SettingsError for a pattern or detector that there cannot be."""

    name: str
    """What it is called in the record, as in `price`: small letters, digits and _."""
    patterns: tuple[str, ...] = ()
    """One of them is enough."""
    unless: tuple[str, ...] = ()
    """What looks like it and is not meant."""
    detectors: tuple[str, ...] = ()
    """secrets, email, phone, card: they search the text as it is written."""
    argument: str = ""
    """Of a tool call's arguments, the one that it looks at; empty: all."""
    reason: str = ""
    """Why, in words; the name when empty."""

    def __post_init__(self) -> None:
        """Say at once what cannot be searched for."""
        if not _NAME.fullmatch(self.name):
            raise SettingsError("rule", self.name, "a name of small letters, digits and _")
        for pattern in (*self.patterns, *self.unless):
            _compiled(pattern)
        for name in self.detectors:
            if name not in DETECTORS:
                raise SettingsError(f"rule {self.name}: detectors", name, f"one of {', '.join(DETECTORS)}")

    def finds(self, content: Any) -> bool:
        """Whether any of it is there."""
        return next(self._spans(BETWEEN.join(texts(self._part(content)))), None) is not None

    def redacted(self, content: Any) -> Any:
        """The content with `[redacted:<name>]` in place of whatever it finds; the same object when that is nothing."""
        part = self._part(content)
        said = texts(part)
        spans = list(merged(self._spans(BETWEEN.join(said))))
        if not spans:
            return content
        changed = with_texts(part, iter(_cut(said, spans)))
        return changed if part is content else {**content, self.argument: changed}

    def _part(self, content: Any) -> Any:
        if self.argument and isinstance(content, Mapping):
            return content.get(self.argument)
        return content

    def _spans(self, text: str) -> Iterator[Span]:
        yield from self._matches(text)
        data = text.encode("utf-8", "surrogatepass") if self.detectors else b""
        for name in self.detectors:
            for detector in DETECTORS[name]:
                if detector.screen(data):
                    yield from detector.find(text)

    def _matches(self, text: str) -> Iterator[Span]:
        if not self.patterns:
            return
        searched = redact.MARKER.sub(_blank, normal(text))
        for pattern in self.unless:
            searched = _compiled(pattern).sub(_blank, searched)
        at: list[int] | None = None
        for pattern in self.patterns:
            for match in _compiled(pattern).finditer(searched):
                at = places(text) if at is None else at
                if match.end() > match.start():
                    yield Span(at[match.start()], _end(at, match.end()), self.name)


def found(rules: tuple[Rule, ...], content: Any) -> Rule | None:
    """The first rule that finds something."""
    return next((rule for rule in rules if rule.finds(content)), None)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(folded_pattern(pattern), re.IGNORECASE)
    except re.error as problem:
        raise SettingsError("pattern", pattern, f"a regular expression: {problem}") from problem


def _blank(match: re.Match[str]) -> str:
    return _BLANK * len(match[0])


def _end(at: list[int], end: int) -> int:
    """Where a match ends as it was written: with the whole of its last character, and what cannot be seen behind it."""
    while at[end] == at[end - 1]:
        end += 1
    return at[end]


def _cut(said: tuple[str, ...], spans: list[Span]) -> Iterator[str]:
    """The texts without the spans, which count characters of all texts as one."""
    start = 0
    for text in said:
        pieces, position = [], 0
        for span in spans:
            first, last = max(span.start - start, 0), min(span.end - start, len(text))
            if first >= last:
                continue
            pieces += [text[position:first], redact.marker(span.name) if span.start >= start else ""]
            position = last
        yield "".join((*pieces, text[position:]))
        start += len(text) + len(BETWEEN)
