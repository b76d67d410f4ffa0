from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tachograph.agent.guardrails.faq import candidates, faq, reason_of
from tachograph.agent.guardrails.guardrail import Look
from tachograph.agent.guardrails.shipped import texts_of
from tachograph.agent.guardrails.watch import Passed, watched
from tachograph.errors import SettingsError
from tachograph.events.run import StepEnded
from tachograph.testing import Captured
from tests.agent.guardrails.faq_score import OURS, REASONS, corpus, document, score

pytestmark = pytest.mark.anyio
QUERY = "Quanto custa a Stilo?"
UNSURE = "Não tenho essa informação."
NOT_FOUND = (
    "Consultei o FAQ e não encontrei essa informação cadastrada ainda. "
    "Posso te ajudar com outro tema ou te transferir para um atendente."
)


async def guarded(answer: str, search: Any = None, *, look: Any = None, **options: Any) -> Passed:
    """What becomes of an answer."""
    facts = {"query": QUERY, "agent": "ana_bot", **(look or {})}
    return await watched([faq(search, agents=("ana_bot",), **options)], Look("output", answer, **facts))


# ---- the rules, on the corpus -------------------------------------------------------------------------------------


def test_the_corpus_is_large_enough_and_says_each_thing_once() -> None:
    """At least 120 sentences of both languages and all three labels in each of its parts."""
    sentences = corpus()
    assert len(sentences) >= 120
    assert len({one.text for one in sentences}) == len(sentences)
    kinds = {(one.part, one.language, one.reason) for one in sentences}
    assert len(kinds) == 3 * 2 * 3


@pytest.mark.parametrize("part", ["tuned", "held", "fresh"])
def test_the_rules_fit_no_worse_than_those_of_the_document(part: str) -> None:
    """They find more on each part of the corpus, and are nowhere much less often right."""
    sentences = [one for one in corpus() if one.part == part]
    ours, theirs = score(OURS, sentences), score(document, sentences)
    assert ours.recall > theirs.recall
    assert ours.precision > theirs.precision - 0.06


@pytest.mark.parametrize("reason", REASONS)
def test_the_rules_fit_what_they_were_written_for(reason: str) -> None:
    """Precision and recall on the sentences that were looked at while they were written."""
    found = score(OURS, [one for one in corpus() if one.part == "tuned"], reason)
    assert found.precision >= 0.97
    assert found.recall >= 0.97


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I don't have any other questions", None),
        ("Não tenho dúvidas", None),
        ("I cannot help", "uncertain"),
        ("I can\u2019t help", "uncertain"),
        ("Os preços variam", "price"),
        ("custo-benefício", None),
        ("o valor do nosso tempo", None),
        ("I was able to find your booking, and we are able to help.", None),
        ("We're not able to check that.", "uncertain"),
        ("", None),
        ("Não sei o preço, talvez R$ 80.", "uncertain"),
    ],
)
def test_known_false_hits_and_misses_are_mended(text: str, reason: str | None) -> None:
    """What the document's patterns overwrite wrongly, or overlook; and uncertainty goes before a price."""
    assert reason_of(text) == reason


# ---- gates ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "look", "options"),
    [
        pytest.param(UNSURE, {}, {"enabled": False}, id="the feature is off"),
        pytest.param("não sei", {}, {"handoff": "não sei"}, id="the answer is the word for a hand-off"),
        pytest.param(UNSURE, {"agent": "daniela"}, {}, id="another agent answers"),
        pytest.param("Bom dia!", {}, {}, id="there is no reason"),
        pytest.param(UNSURE, {"called": ("captain--faq_lookup",)}, {}, id="the lookup was called"),
        pytest.param(UNSURE, {"query": " \n"}, {}, id="nothing was asked"),
    ],
)
async def test_each_gate_lets_the_answer_pass(answer: str, look: Any, options: Any, events: Captured) -> None:
    """Unchanged, and without a trace."""
    assert await guarded(answer, lambda query: ["x"], look=look, **options) == Passed(answer)
    assert len(events) == 0


@pytest.mark.parametrize("look", [{}, {"called": ("faq_lookup_all", "search")}, {"agent": ""}])
async def test_without_a_gate_it_is_applied(look: Any) -> None:
    """Another tool is no lookup, and an answer of nobody is looked at."""
    assert (await guarded(UNSURE, lambda query: ["x"], look=look)).content == "x"


# ---- the fallback ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "answer", "wanted"),
    [
        ("  Quanto\n custa? ", "Não  sei.", ("Quanto custa?", "Não sei.")),
        ("a", "A suíte Stilo é R$ 90", ("a", "A suíte Stilo é R$ 90", "valor da suíte Stilo")),
        ("a", "na SUITE  Império 2", ("a", "na SUITE Império 2", "valor da suíte Império")),
        ("a", "sui\u0301te 12", ("a", "sui\u0301te 12", "valor da suíte 12")),
        ("same", "same", ("same",)),
        ("a", " ", ("a",)),
        ("valor da suíte Jade", "suíte Jade", ("valor da suíte Jade", "suíte Jade")),
    ],
)
def test_what_is_searched_for(query: str, answer: str, wanted: tuple[str, ...]) -> None:
    """The question, the answer, the price of the suite that it names: squished, once each, none of them blank."""
    assert candidates(query, answer) == wanted


def book(entries: dict[str, list[Any]]) -> tuple[list[str], Callable[[str], list[Any]]]:
    """An FAQ, and what it was asked."""
    asked: list[str] = []

    def search(query: str) -> list[Any]:
        asked.append(query)
        return entries.get(query, [])

    return asked, search


@pytest.mark.parametrize("entry", ["R$ 90", {"answer": "R$ 90"}, SimpleNamespace(answer="R$ 90")], ids=type)
async def test_the_first_hit_replaces_the_answer(entry: Any, events: Captured) -> None:
    """Of the first query that finds anything; the record says why."""
    answer = "A suíte Stilo custa 100."
    asked, search = book({"valor da suíte Stilo": [{"answer": " "}, entry, "R$ 95"]})
    passed = await guarded(answer, search)
    assert asked == [QUERY, answer, "valor da suíte Stilo"]
    (ruling,) = passed.rulings
    assert (passed.content, ruling.rule) == ("R$ 90", "price")
    assert ruling.reason == "FAQ guardrail applied due to price response without faq_lookup call."
    assert (ruling.before, ruling.after, ruling.outcome) == (answer, "R$ 90", "replaced")
    assert events.of(StepEnded)[0].body.status == "completed"


async def test_an_async_search_does_too() -> None:
    """The reason is that of the answer."""

    async def search(query: str) -> list[str]:
        return ["Às 7 horas."]

    passed = await guarded(UNSURE, search)
    assert passed.content == "Às 7 horas."
    assert passed.rulings[0].reason == "FAQ guardrail applied due to uncertain response without faq_lookup call."


@pytest.mark.parametrize(
    ("options", "text"),
    [({}, NOT_FOUND), ({"locale": "en"}, texts_of("en")["faq_not_found"]), ({"not_found": "Nada."}, "Nada.")],
)
async def test_without_a_hit_it_says_so(options: Any, text: str) -> None:
    """In the words of the locale, or of the program."""
    for search in (None, lambda query: [], lambda query: None, lambda query: [3, {"answer": None}]):
        passed = await guarded(UNSURE, search, **options)
        assert passed.content == text
        assert passed.rulings[0].reason == "FAQ guardrail applied; no FAQ entry found for query."


async def test_a_search_that_fails_found_nothing(events: Captured) -> None:
    """Its error is recorded, also when it is merely late."""

    def broken(query: str) -> list[str]:
        raise OSError("no line")

    async def late(query: str) -> list[str]:
        await asyncio.sleep(5)
        return ["late"]

    for search, error in ((broken, "OSError: no line"), (late, "TimeoutError")):
        passed = await guarded(UNSURE, search, seconds=0.1)
        assert passed.content == NOT_FOUND
        assert error in passed.rulings[0].error
    assert [event.body.status for event in events.of(StepEnded)] == ["failed", "failed"]


async def test_a_structured_answer_keeps_its_shape() -> None:
    """Only what the customer reads is looked at and replaced."""
    passed = await guarded('{"response":"Não sei.","reasoning":"r"}', lambda query: ["Às 7."])
    assert passed.content == '{"response":"Às 7.","reasoning":"r"}'


def test_an_unknown_locale_is_refused() -> None:
    """When the guardrail is made."""
    with pytest.raises(SettingsError, match="locale"):
        faq(locale="pt")


def test_a_search_that_is_no_function_is_refused() -> None:
    """Before a conversation finds out."""
    with pytest.raises(SettingsError, match="search=3 cannot be used: a function"):
        faq(3)  # type: ignore[arg-type]
