"""The FAQ guardrail: an answer that does not know, or that names a price, though nobody looked into the FAQ for it.

    Agent(…, guardrails=[faq(search, agents=("ana_bot",))])

Such an answer gives way to the first entry that a search of its own finds, or else to a text that says that there is
none. Everything it goes by is data (rules.toml), for Portuguese and English; how well that fits is measured in
docs/guardrails.md. Outside a run, over a finished reply:

    passed = await watched([guardrail], Look("output", reply, query=…, called=…, agent=…))
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Literal

from tachograph.agent.guardrails.guardrail import Guardrail, Look, Mode, Replace, Replacement
from tachograph.agent.guardrails.rule import Rule, found
from tachograph.agent.guardrails.shipped import rules as shipped
from tachograph.agent.guardrails.shipped import texts_of
from tachograph.agent.pace.items import items_of
from tachograph.errors import SettingsError

Search = Callable[[str], Any]
"""Query → entries, the best first, async or not: texts, or things with an `answer`."""
Reason = Literal["uncertain", "price"]

HANDOFF = "conversation_handoff"
LOOKUP = "faq_lookup"
_SUITE = re.compile(r"\bsu[ií]te\s+([^\W_]+)", re.IGNORECASE)


def reason_of(text: str, rules: Sequence[Rule] | None = None) -> Reason | None:
    """Why an answer wants a look into the FAQ; None when it does not."""
    rule = found(_rules() if rules is None else tuple(rules), text)
    return None if rule is None else rule.name  # type: ignore[return-value]  # the names of the rule set


def candidates(query: str, answer: str = "") -> tuple[str, ...]:
    """What to search for, in order: the query, the answer, and the price of the suite that the answer names."""
    suite = _SUITE.search(unicodedata.normalize("NFC", answer))
    hint = f"valor da suíte {suite[1]}" if suite else ""
    squished = (" ".join(text.split()) for text in (query, answer, hint))
    return tuple(dict.fromkeys(text for text in squished if text))


def faq(
    search: Search | None = None, *, locale: str = "pt_BR", agents: Sequence[str] = (), enabled: bool = True,
    lookup: str = LOOKUP, handoff: str = HANDOFF, not_found: str | None = None, rules: Sequence[Rule] | None = None,
    mode: Mode = "enforce", seconds: float = 10.0, name: str = "faq", field: str = "response",
) -> Guardrail:  # fmt: skip
    """The guardrail. Raises SettingsError.

    It does not look when it is not `enabled`; at an answer that is the word for a hand-off (`handoff`); at answers of
    agents other than `agents`, which have what they say from their instructions; where nothing was asked; and after a
    tool was called, since the person spoke, whose name ends with `lookup`. A search that raises is recorded, and found
    nothing. Of an answer that is a JSON object it looks at the `field` alone.
    """
    if search is not None and not callable(search):
        raise SettingsError("search", search, "a function: query → entries, the best first")
    said = texts_of(locale)["faq_not_found"] if not_found is None else not_found
    own = _rules() if rules is None else tuple(rules)
    return Guardrail(
        name=name, on="output", rules=own, does=Replace(partial(_instead, search, own, said, seconds)),
        mode=mode, field=field, agents=tuple(agents), unless_called=(lookup,), seconds=seconds + 1,
        when=lambda look: enabled and look.text != handoff and bool(look.query.strip()),
    )  # fmt: skip


async def _instead(search: Search | None, rules: tuple[Rule, ...], not_found: str, seconds: float, look: Look) -> Any:
    answer, error = "", ""
    try:
        async with asyncio.timeout(seconds):
            answer = await _found(search, candidates(look.query, look.text), seconds) if search is not None else ""
    except Exception as problem:  # noqa: BLE001 - a search of somebody else's: it found nothing
        error = f"{type(problem).__name__}: {problem}"
    if not answer:
        return Replacement(not_found, "FAQ guardrail applied; no FAQ entry found for query.", error)
    why = reason_of(look.text, rules)
    return Replacement(answer, f"FAQ guardrail applied due to {why} response without {LOOKUP} call.")


async def _found(search: Search, queries: Iterable[str], seconds: float) -> str:
    """The answer of the first entry that has one, of the first query that finds any; empty when none does."""
    for query in queries:
        entries = await items_of(search, query, seconds)
        answer = next(filter(None, map(_answer, entries)), "")
        if answer:
            return answer
    return ""


def _answer(entry: Any) -> str:
    said = entry.get("answer") if isinstance(entry, Mapping) else getattr(entry, "answer", entry)
    return said if isinstance(said, str) and said.strip() else ""


@cache
def _rules() -> tuple[Rule, ...]:
    return shipped("faq")
