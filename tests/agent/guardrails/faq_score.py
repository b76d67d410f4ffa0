"""How well rules for the FAQ guardrail fit a labelled corpus, ours beside those of the document that it comes from."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tachograph.agent.guardrails.faq import reason_of

CORPUS = Path(__file__).with_name("faq_corpus.toml")
Judge = Callable[[str], str | None]
REASONS = ("uncertain", "price")


class Sentence(NamedTuple):
    """One sentence, with what a guardrail should make of it."""

    part: str
    language: str
    text: str
    reason: str | None


class Score(NamedTuple):
    """Of those it found, how many were right; of those to find, how many it found."""

    hits: int
    found: int
    wanted: int

    @property
    def precision(self) -> float:
        """1.0 when it found nothing."""
        return self.hits / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """1.0 when there was nothing to find."""
        return self.hits / self.wanted if self.wanted else 1.0


def corpus() -> tuple[Sentence, ...]:
    """Every sentence."""
    return tuple(_sentences())


def _sentences() -> Iterator[Sentence]:
    for part, languages in tomllib.loads(CORPUS.read_text(encoding="utf-8")).items():
        for language, labels in languages.items():
            for label, texts in labels.items():
                for text in texts:
                    yield Sentence(part, language, text, None if label == "neither" else label)


def document(text: str) -> str | None:
    """The reason that the document's own patterns give, over text without accents as its language makes it."""
    plain = "".join(_ascii(letter) for letter in unicodedata.normalize("NFC", text)).lower()
    return next((reason for reason, patterns in _DOCUMENT.items() if any(p.search(plain) for p in patterns)), None)


def _ascii(letter: str) -> str:
    first = unicodedata.normalize("NFD", letter)[0]
    return first if first.isascii() else "?"


_DOCUMENT = {
    "uncertain": tuple(map(re.compile, (
        r"\bnao (?:sei|tenho|consigo|possuo)\b",
        r"\bi do not (?:know|have access)\b",
        r"\bi don't (?:know|have|have access)\b",
        r"\bcan'?t (?:access|help|provide)\b",
    ))),
    "price": tuple(map(re.compile, (
        r"r\$\s*\d+",
        r"\b\d+[,.]?\d*\s*(?:reais|real)\b",
        r"\b(?:preco|valor|valores|cust[ao])\b",
    ))),
}  # fmt: skip


def score(judge: Judge, sentences: Sequence[Sentence], reason: str | None = None) -> Score:
    """How a judge does with one reason, or (None) with whether there is a reason at all."""

    def is_it(found: str | None) -> bool:
        return found is not None if reason is None else found == reason

    found = [(is_it(judge(one.text)), is_it(one.reason)) for one in sentences]
    return Score(sum(a and b for a, b in found), sum(a for a, _ in found), sum(b for _, b in found))


OURS: Judge = reason_of
