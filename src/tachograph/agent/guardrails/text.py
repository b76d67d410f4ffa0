"""Text as rules search it: lower-case, without accents, with plain apostrophes, and nothing in it that cannot be seen.

So "Não", "NAO" and "não" written with a combining tilde are one word, and a typographic apostrophe is an apostrophe.
Each character is folded by itself: what was found can be pointed at in the text as it was written.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

_PLAIN: Mapping[str, str] = MappingProxyType({
    **dict.fromkeys("`\u00b4\u2018\u2019\u201a\u201b\u2032\u02b9\u02bb\u02bc\u02bd\u02c8\uff07", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
    "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "þ": "th", "\u0131": "i", "ħ": "h",
})  # fmt: skip
"""What Unicode does not take apart: apostrophes, quotation marks, dashes, letters of their own."""
_UNSEEN = ("Mn", "Cf")
"""Accents that stand for themselves, and characters that only format."""
_ROUNDS = 4


def normal(text: str) -> str:
    """A text as rules search it. Doing it again changes nothing."""
    if text.isascii():
        return text.lower().replace("`", "'")
    return text.translate(_FOLDED)


def places(text: str) -> list[int]:
    """For each character of the normal text, the position in the text as it was written; the last one is its end."""
    if text.isascii():
        return list(range(len(text) + 1))
    return [place for place, letter in enumerate(text) for _ in normal(letter)] + [len(text)]


def folded_pattern(pattern: str) -> str:
    """A regular expression whose letters are those of normal text: what is written with accents can match, too."""
    return pattern if pattern.isascii() else "".join(one if one.isascii() else normal(one) for one in pattern)


class _Folded(dict[int, str]):
    """Character → what stands for it; each is worked out once."""

    def __missing__(self, code: int) -> str:
        found = self[code] = _fold(chr(code))
        return found


_FOLDED = _Folded()


def _fold(letter: str) -> str:
    for _ in range(_ROUNDS):
        again = "".join(map(_once, letter))
        if again == letter:
            break
        letter = again
    return letter


def _once(letter: str) -> str:
    plain = _PLAIN.get(letter)
    if plain is not None:
        return plain
    parts = unicodedata.normalize("NFKD", letter)
    return "".join(part.lower() for part in parts if unicodedata.category(part) not in _UNSEEN)
