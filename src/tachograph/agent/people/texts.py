"""What a customer is told when a run is given to a person, by locale: only texts that somebody approved.

A text belongs to a cause and to how it went: `applied`, or `failed`, which promises nothing. Causes are the stop
reasons of the domain, and `limit`, `policy`, `model` and `error` for those without a text of their own. `en` and
`pt_BR` are shipped (locales/); an application adds to them, or puts its own in their place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec

from tachograph.errors import SettingsError

Told = Literal["applied", "failed"]
Locale = Mapping[str, Mapping[str, str]]
"""Cause → how it went → text."""
DEFAULT = "en"
_STATES = ("applied", "failed")


@dataclass(frozen=True)
class Texts:
    """Texts by locale; `own` goes before what is shipped. Raises SettingsError for what is no text."""

    own: Mapping[str, Locale] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Say at once what cannot be used."""
        for locale, causes in self.own.items():
            for cause, texts in causes.items():
                for state, text in texts.items():
                    if state not in _STATES or not isinstance(text, str) or not text.strip():
                        wanted = "a text for `applied` or `failed`"
                        raise SettingsError(f"texts[{locale!r}][{cause!r}][{state!r}]", text, wanted)

    def text(self, locale: str, causes: Sequence[str], state: Told) -> str | None:
        """What is told in this locale for the first of these causes that has a text; None when none has.

        A locale that is not there is read as another one of its language, and then as `en`.
        """
        for name in (*_near(locale, {*self.own, *shipped()}), DEFAULT):
            for cause in causes:
                for known in (self.own, shipped()):
                    text = known.get(name, {}).get(cause, {}).get(state)
                    if text:
                        return text
        return None


@cache
def shipped() -> Mapping[str, Locale]:
    """The texts of the package."""
    folder = files("tachograph.agent.people") / "locales"
    found = sorted((one.name, one) for one in folder.iterdir() if one.name.endswith(".json"))
    read = msgspec.json.Decoder(dict[str, dict[str, str]]).decode
    return {name.removesuffix(".json"): read(one.read_bytes()) for name, one in found}


def _near(locale: str, known: set[str]) -> Iterator[str]:
    """The names of this locale, the nearest first: `pt-br` and `pt` mean `pt_BR` where that is what there is."""
    wanted = locale.replace("-", "_").lower()
    names = sorted(known)
    yield from (name for name in names if name.lower() == wanted)
    language = wanted.partition("_")[0]
    yield from (name for name in names if name.lower() == language)
    yield from (name for name in names if name.lower().partition("_")[0] == language)
