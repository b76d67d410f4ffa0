"""Rules applied to a string: what they find gives way to `[redacted:<rule>]`, and nothing else changes.

What stands between two markers is searched like a string of its own, so that redacting again finds nothing new.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tachograph.record.rules import assigned, framed, personal, tokens
from tachograph.record.rules.rule import Rule, Span, merged

SECRETS: tuple[Rule, ...] = (tokens.RULE, assigned.RULE, *framed.RULES)
"""Always on."""

OPT_IN: Mapping[str, Rule] = personal.RULES
"""On when settings name them, and at level `redacted`."""

MARKER = re.compile(r"(\[redacted:[a-z0-9_]{1,64}\])")
_ROUNDS = 8
_WINDOW = 4096
_MARGIN = 16
"""Characters behind a secret by which a rule may have known it (the `@` behind a password): not cut off either."""
_BREAK = re.compile(r"\s\S*\Z")


def marker(name: str) -> str:
    """What stands where something was taken out."""
    return f"[redacted:{name}]"


def masked(text: str, rules: Sequence[Rule], counts: dict[str, int], kind: str | None = None) -> str:
    """The string without what the rules find; `counts` is raised by rule name. The same object if nothing is found.

    `kind` is what the string's name is the name of (`assigned.kind_of`), when it is the value of a JSON key.
    """
    for _ in range(_ROUNDS):
        changed = _once(text if kind is None else _under(kind, text, counts), rules, counts)
        if changed is text:
            break
        text = changed
    return text


def _under(kind: str, text: str, counts: dict[str, int]) -> str:
    part = assigned.secret_in(kind, text, "json")
    if part is None:
        return text
    name = "password" if kind == "pass" else kind
    counts[name] = counts.get(name, 0) + 1
    return text[: part[0]] + marker(name) + text[part[1] :]


def _once(text: str, rules: Sequence[Rule], counts: dict[str, int]) -> str:
    if "[redacted:" not in text:
        return _between(text, rules, counts)
    parts = MARKER.split(text)
    redacted = [part if index % 2 else _between(part, rules, counts) for index, part in enumerate(parts)]
    return text if all(map(_same, parts, redacted)) else "".join(redacted)


def _same(before: str, after: str) -> bool:
    return before is after


def _between(text: str, rules: Sequence[Rule], counts: dict[str, int]) -> str:
    spans = _spans(text, rules)
    if not spans:
        return text
    pieces: list[str] = []
    position = 0
    for start, end, name in merged(spans):
        pieces += text[position:start], marker(name)
        position = end
        counts[name] = counts.get(name, 0) + 1
    return "".join((*pieces, text[position:])) if pieces else text


def _spans(text: str, rules: Sequence[Rule]) -> list[Span]:
    data = text.encode("utf-8", "surrogatepass")
    return [span for _, screen, find in rules if screen(data) for span in find(text)]


def safe_end(text: str, end: int, rules: Sequence[Rule] = (*SECRETS, *OPT_IN.values())) -> int:
    """Where a string may be cut at `end` or a little before, so that no match of a rule is cut in two.

    Looks at 4,096 characters on either side. A word of up to 256 characters is not cut either: a function of the user's
    own may know it.
    """
    if not 0 < end < len(text):
        return max(0, min(end, len(text)))
    first = max(0, end - _WINDOW)
    window, cut = text[first : end + _WINDOW], end - first
    word = _BREAK.search(window, max(0, cut - 256), cut)
    cut = cut if word is None else word.start()
    for span in reversed(list(merged(_spans(window, rules)))):
        if span.start < cut < span.end + _MARGIN:
            cut = span.start
    return first + cut
