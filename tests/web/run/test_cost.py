from __future__ import annotations

import pytest

from tachograph.queries.views.costs import Amounts, CallsAsked, Compared, Costs, Priced, costs, priced_calls
from tachograph.store.memory import MemoryStore
from tachograph.web.run.cost import bases, classes, compared, priced_call, prices, why
from tests.queries.kept import batch
from tests.queries.views.talk import Talk


def _costs(*groups: Amounts, whole: Amounts | None = None) -> Costs:
    priced = tuple(
        Priced(provider="p", model="m", state="priced", price_id="", price_date="", reason="", amounts=each)
        for each in groups
    )
    return Costs(whole=whole or groups[0], groups=priced, compared=None, bases={})


def test_a_rate_is_of_calls_that_have_a_price() -> None:
    """Tokens that nobody paid for do not make the others cheaper."""
    paid, unpaid = Amounts(calls=1, output=10, cost=20, output_cost=20), Amounts(calls=1, output=90)
    whole = Amounts(calls=2, output=100, cost=20, output_cost=20)
    [output] = [each for each in classes(_costs(paid, unpaid, whole=whole)) if each.name == "Output"]
    assert (output.tokens, output.cost, output.rate) == (100, 20, 2_000_000)


def test_each_class_has_its_tokens_cost_and_share() -> None:
    """Parts stand below their whole; what nobody said is unknown, and nothing is not free."""
    whole = Amounts(
        calls=2, uncached=100, cache_read=50, cache_write=0, output=20, cost=1_000, input_cost=700, output_cost=300,
        cache_read_cost=200, cache_write_cost=0,
    )  # fmt: skip
    shown = {each.name: (each.tokens, each.cost, each.rate, each.share) for each in classes(_costs(whole))}
    assert shown == {
        "Input": (150, 700, 4_666_667, 0.7),
        "uncached": (100, 500, 5_000_000, 0.5),
        "cache read": (50, 200, 4_000_000, 0.2),
        "cache write": (0, None, None, None),
        "Output": (20, 300, 15_000_000, 0.3),
        "of it reasoning": (None, None, None, None),
    }


def test_a_cost_that_was_not_split_is_not_split_here() -> None:
    """Where cache reads have no cost of their own, neither has the rest of the input."""
    unsplit = Amounts(calls=1, uncached=1, cache_read=1, cost=5, input_cost=5)
    shown = {each.name: each.cost for each in classes(_costs(unsplit))}
    assert (shown["Input"], shown["uncached"], shown["cache read"]) == (5, None, None)
    assert [each.cost for each in classes(_costs(Amounts()))] == [None] * 6


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (None, ""),
        (Compared(calls=2, reported=5_000_000_000, priced=2, computed=4_000_000_000),
         "$5.00 was reported for 2 calls; $4.00 was computed for them. Reported is $1.00 (25.0 %) more."),
        (Compared(calls=1, reported=4_000_000_000, priced=1, computed=4_000_000_000),
         "$4.00 was reported for 1 call; the same was computed."),
        (Compared(calls=2, reported=5_000_000_000, priced=1, computed=4_000_000_000),
         "$5.00 was reported for 2 calls; $4.00 was computed for 1 of them."),
        (Compared(calls=2, reported=5_000_000_000, priced=0, computed=None),
         "$5.00 was reported for 2 calls; for none of them was a cost computed."),
    ],
)  # fmt: skip
def test_reported_against_computed(found: Compared | None, said: str) -> None:
    """A sentence that never compares what is not of the same calls."""
    assert compared(found) == said


def test_why_there_is_no_price() -> None:
    """The reason as a sentence; one that is not known stands as it is."""
    assert why("priced", "") == ""
    assert why("", "") == "not over"
    assert why("unpriced", "unknown_model") == "no price list has this model"
    assert why("priced", "no_price:web_searches") == "the model has no price for what was used: web searches"
    assert why("unpriced", "of_later") == "of later"


def test_who_counted() -> None:
    """Most calls first."""
    found = Costs(whole=Amounts(), groups=(), compared=None, bases={"missing": 1, "provider": 30})
    assert list(bases(found)) == ["30 calls counted by the provider", "1 call counted by nobody"]


def test_prices_and_calls_of_a_run() -> None:
    """Which price was used for which model, and each call with its own."""
    talk, store = Talk(), MemoryStore()
    store.append(batch(talk.events))
    pk = 1
    first = prices(costs(store, pk).groups)[0]
    assert (first.model, first.price, first.day, first.input, first.cost) == (
        "gpt-4o",
        "list/one",
        "2026-01-02",
        150,
        1_000,
    )
    one, _, three = (priced_call(talk.run, row) for row in priced_calls(store, pk, CallsAsked()).rows)
    assert (one.step, one.cost, one.reported, one.basis) == (
        talk.at_seq["first"],
        1_000,
        1_500,
        "counted by the provider",
    )
    assert (three.cost, three.state, three.why) == (None, "unpriced", "no price list has this model")
