"""A model request in figures."""

from __future__ import annotations

import pytest

from tachograph.events.usage import Cost, Usage
from tachograph.fold.cost import price_book
from tachograph.fold.price_rates import Row
from tachograph.limits.estimate import MOST_OUTPUT, tokens_of
from tachograph.limits.guard import Intent, Settled
from tachograph.limits.reckon import Asked, Used, breaks_its_word, overruns, reckon, used

BOOK = price_book(
    per_million={"m": {"input": 1, "cache_write": 2, "output": 4}, "cheap": {"input": 1, "output": 1}}, bundled=False
)


def prices(provider: str, model: str, tier: str | None) -> Row | Cost:
    """Two models have a price."""
    return BOOK.schedule(provider, model, tier).at(0)


def asked(model: str = "m", most: int | None = 100, size: int = 1000, *, strict: bool = False) -> Asked:
    """A request as it is reckoned."""
    return reckon(Intent("run", "llm", model, input_bytes=size, max_output=most), prices, strict=strict, seen={})


def test_a_request_is_reckoned_at_its_worst() -> None:
    """All input as if it were written to a cache, all output that it allows; nonsense counts as nothing."""
    tokens = tokens_of(1000, "m")
    found = asked()
    assert (found.tokens, found.nano, found.reserved.basis) == (tokens + 100, tokens * 2000 + 100 * 4000, "stated")
    assert asked(most=-5, size=-7).reserved.output == 0
    assert asked(size=-7).reserved.input == tokens_of(0, "m")
    several = Intent("run", "llm", "m", replies=3)
    assert reckon(several, prices, strict=False, seen={}).reserved.output == 3 * MOST_OUTPUT
    unpriced = asked("x", None)
    assert (unpriced.nano, unpriced.reserved.nano, unpriced.rate) == (0, None, "unknown_model")


@pytest.mark.parametrize(
    ("settled", "found"),
    [
        (Settled(usage=Usage(10, 20, 30, 40)), Used(100, 10_000 + 20_000 + 60_000 + 160_000, Usage(10, 20, 30, 40))),
        (Settled(usage=Usage(10, 0, 0, 40), served_model="cheap"), Used(50, 50_000, Usage(10, 0, 0, 40))),
        (Settled(usage=Usage(10, 0, 0, 40), served_model="unheard"), Used(50, 170_000, Usage(10, 0, 0, 40))),
        (Settled(usage=Usage(1, 0, 0, 1), cost=Cost("reported", total=77)), Used(2, 77, Usage(1, 0, 0, 1))),
        (Settled(usage=Usage(1, 0, 0, 1), cost=Cost("unpriced")), Used(2, 5_000, Usage(1, 0, 0, 1))),
        (Settled(usage=Usage(1, 0, 0, 1), cost=Cost("reported", total=-7)), Used(2, 5_000, Usage(1, 0, 0, 1))),
        (Settled(usage=Usage(output=10)), Used(asked().reserved.input + 10, 464_000 + 40_000 - 40_000, None)),
        (Settled(usage=Usage()), Used(asked().tokens, asked().nano)),
        (Settled(sent=False, usage=Usage(1, 0, 0, 1)), Used(0, 0)),
    ],
)
def test_what_came_of_it(settled: Settled, found: Used) -> None:
    """By the model that served it where that has a price, by the program's own figure, or as it was set aside."""
    came = used(asked(), settled, prices)
    if settled.usage == Usage(output=10):
        rest = asked().reserved.input
        assert came == Used(rest + 10, rest * 1000 + 40_000, Usage(output=10))
    else:
        assert came == found


def test_beyond_what_was_set_aside() -> None:
    """Tokens and money are said apart; a promise is broken where the request itself, or its bytes, set the bound."""
    request = asked(most=100)
    beyond = Used(request.tokens + 1, request.nano + 1, Usage(0, 0, 0, request.tokens + 1))
    assert [(notice.metric, notice.used, notice.threshold) for notice in overruns(request, beyond)] == [
        ("token_budget", request.tokens + 1, request.tokens),
        ("cost_budget", (request.nano + 1) / 1e9, request.nano / 1e9),
    ]
    assert [*overruns(request, Used(request.tokens, request.nano))] == []
    assert breaks_its_word(request, beyond, strict=False)
    assert not breaks_its_word(asked(most=None), beyond, strict=False)
    read = Used(10**6, 0, Usage(10**6, 0, 0, 0))
    assert (breaks_its_word(request, read, strict=False), breaks_its_word(request, read, strict=True)) == (False, True)
    assert not breaks_its_word(request, Used(10**6, 0), strict=True)
