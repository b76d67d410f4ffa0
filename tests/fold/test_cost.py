from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.usage import Cost, Usage
from tachograph.fold import cost as money
from tachograph.fold.cost import PriceBook, price, price_book, price_call, usd, usd_text

AT = int(datetime(2026, 11, 2, 12, tzinfo=UTC).timestamp()) * 10**9
GPT_4 = {"gpt-4": {"input": 0.03, "output": 0.06}}


@pytest.fixture(scope="module")
def book() -> PriceBook:
    """The bundled list, with nothing before it."""
    return price_book()


def used(uncached: int | None = None, output: int | None = None, **more: Any) -> Usage:
    """Usage as a provider reports it."""
    return Usage(input_uncached=uncached, output=output, **{"basis": "provider", **more})


def test_an_override_per_thousand_tokens() -> None:
    """gpt-4 at 0.03 and 0.06 per thousand: 1,500 and 500 tokens are 0.045 and 0.030, together 0.075 USD."""
    cost = price(price_book(per_thousand=GPT_4), "openai", "gpt-4", used(1500, 500), AT)
    assert cost == Cost(
        state="priced",
        input=45_000_000,
        output=30_000_000,
        total=75_000_000,
        price_id="override:gpt-4",
        price_date="2026-11-02",
    )
    assert usd(75_000_000) == Decimal("0.075")


@pytest.mark.parametrize(
    ("provider", "model", "usage", "total"),
    [
        # USD per million, by hand from the providers' price lists
        ("openai", "gpt-4-turbo", used(1500, 500), 15_000_000 + 15_000_000),  # not gpt-4's 0.075
        ("openai", "gpt-4o", used(360, 50, cache_read=640), 900_000 + 800_000 + 500_000),
        ("openai", "gpt-4o", used(1000, 500, reasoning=400), 2_500_000 + 5_000_000),
        (
            "anthropic",
            "claude-sonnet-4-5",
            used(100, 10, cache_read=600, cache_write=300, cache_write_1h=100),
            300_000 + 180_000 + 750_000 + 600_000 + 150_000,
        ),
        ("google", "gemini-2.5-pro", used(200_000, 1), 250_000_000 + 10_000),
        ("google", "gemini-2.5-pro", used(200_001, 1), 500_002_500 + 15_000),
        ("google", "gemini-2.5-pro", used(1, 1, cache_read=200_000), 2_500 + 50_000_000 + 15_000),
        ("openai", "text-embedding-3-small", used(1000, None), 20_000),
        ("openai", "text-embedding-3-small", used(1000, 0), 20_000),
        ("anthropic", "claude-sonnet-4-5", used(0, 0, extra={"web_searches": 2}), 20_000_000),
    ],
)
def test_listed_prices_by_hand(book: PriceBook, provider: str, model: str, usage: Usage, total: int) -> None:
    """Known models cost what their providers say: cached tokens once, reasoning inside output, long prompts dearer."""
    cost = price(book, provider, model, usage, AT)
    assert (cost.state, cost.total, cost.input, cost.output) == (
        "priced",
        total,
        total - (cost.output or 0),
        cost.output,
    )


@pytest.mark.parametrize(
    ("provider", "model", "usage", "tier", "reason"),
    [
        ("openai", "gpt-17", used(1, 1), None, "unknown_model"),
        ("", "my-own-llama", used(1, 1), None, "unknown_model"),
        ("acme", "gpt-4o", used(1, 1), None, "unknown_model"),
        ("openai", "ft:gpt-4.1-2025-04-14:acme::x", used(1, 1), None, "unknown_model"),
        ("github-copilot", "gpt-4o", used(1, 1), None, "no_price"),
        ("github-copilot", "gpt-4o", used(0, 0), None, "no_price"),
        ("openai", "text-embedding-3-small", used(1, 1), None, "no_price"),
        ("openai", "gpt-4o", used(1, 1), "scale", "unknown_tier"),
        ("openai", "gpt-4o", Usage(), None, "usage_missing"),
        ("openai", "gpt-4o", used(None, 5), None, "usage_missing"),
        ("openai", "gpt-4o", used(5, None), None, "usage_missing"),
        ("openai", "gpt-4o", used(5, -1), None, "usage_invalid"),
    ],
)
def test_what_is_not_known_is_never_zero(
    book: PriceBook, provider: str, model: str, usage: Usage, tier: str | None, reason: str
) -> None:
    """An unknown model, tier, price or figure makes the call unpriced, with the reason and no amount at all."""
    assert price(book, provider, model, usage, AT, tier) == Cost(state="unpriced", reason=reason)


@pytest.mark.parametrize(
    ("tier", "total"),
    [(None, 11_250_000), ("default", 11_250_000), ("auto", 11_250_000), ("flex", 5_625_000), ("Priority", 22_500_000),
     ("batch", 5_625_000)],
)  # fmt: skip
def test_service_tiers(book: PriceBook, tier: str | None, total: int) -> None:
    """A tier with a listed price has that price; the usual tiers have the list price."""
    assert price(book, "openai", "gpt-5", used(1000, 1000), AT, tier).total == total


@pytest.mark.parametrize(
    ("at", "total"),
    [("00:29:59", 685_000), ("00:30:00", 1_370_000), ("16:29:59", 1_370_000), ("16:30:00", 685_000)],
)
def test_prices_by_the_hour(book: PriceBook, at: str, total: int) -> None:
    """DeepSeek's price by night holds to the second."""
    when = int(datetime.fromisoformat(f"2026-11-02T{at}+00:00").timestamp()) * 10**9
    assert price(book, "deepseek", "deepseek-chat", used(1000, 1000), when).total == total


def test_an_override_decides_alone_from_its_day_on() -> None:
    """Before its day the list price holds; from it on the override does, in the usual tier, for its provider only."""
    toml = {"price": [{"model": "gpt-4", "provider": "openai", "from": "2026-11-02", "input": 1, "output": 2}]}
    book = price_book(toml=toml)
    day = 86_400 * 10**9
    call = ("openai", "gpt-4", used(1000, 1000))
    assert price(book, *call, AT).price_id == "override:openai/gpt-4@2026-11-02"
    assert price(book, *call, AT).total == 3_000_000
    assert price(book, *call, AT - day).price_id.startswith("openai/gpt-4@genai-prices-")
    assert price(book, *call, AT, "flex").reason == "unknown_tier"
    assert price(book, "azure", "gpt-4", used(1000, 1000), AT).price_id.startswith("openai/gpt-4@genai-prices-")


def test_a_free_model_is_not_an_unpriced_one() -> None:
    """A price of 0 is a price."""
    book = price_book(per_million={"local": {"input": 0, "output": 0}})
    assert price(book, "ollama", "local", used(10, 10), AT).total == 0
    assert price(book, "ollama", "other", used(10, 10), AT).total is None


def test_a_book_without_the_list_knows_its_overrides_only() -> None:
    """With `bundled=False` only the user's own prices exist."""
    book = price_book(per_thousand=GPT_4, bundled=False)
    assert price(book, "openai", "gpt-4", used(1500, 500), AT).total == 75_000_000
    assert price(book, "openai", "gpt-4-turbo", used(1500, 500), AT).reason == "unknown_model"


def test_a_book_remembers_a_bounded_number_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many names come by, a book keeps a bounded number, and forgetting changes no price."""
    monkeypatch.setattr(money, "REMEMBERED", 8)
    book = price_book(per_thousand=GPT_4, bundled=False)
    costs = [
        price(book, "openai", model, used(1500, 500), AT) for index in range(50) for model in ("gpt-4", f"m{index}")
    ]
    assert len(book.schedules) <= 8
    assert {cost.total for cost in costs[::2]} == {75_000_000}
    assert {cost.reason for cost in costs[1::2]} == {"unknown_model"}


@pytest.mark.parametrize(
    ("ended", "price_id"),
    [
        (CallEnded(status="completed", usage=used(1, 1)), "openai/gpt-4o@"),
        (CallEnded(status="completed", usage=used(1, 1), served_model="gpt-4-turbo-2024-04-09"), "openai/gpt-4-turbo@"),
        (CallEnded(status="completed", usage=used(1, 1), served_tier="priority"), "openai/gpt-4o/priority@"),
        (CallEnded(status="failed", usage=used(1, 1), served_model="acme-1"), ""),
    ],
)
def test_a_call_is_priced_by_what_served_it(book: PriceBook, ended: CallEnded, price_id: str) -> None:
    """The served model and tier decide; what was asked for counts only where the reply does not say."""
    started = CallStarted(provider="openai", model="gpt-4o", tier="default")
    cost = price_call(book, started, ended, AT)
    assert cost.price_id.startswith(price_id)
    assert bool(cost.price_id) == bool(price_id)
    asked: Any = SimpleNamespace(provider="openai", model="gpt-4o", tier="default")
    assert price_call(book, asked, ended, AT) == cost


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (12, "$0.000000012"),
        (1_200, "$0.0000012"),
        (1_234, "$0.0000012"),
        (9_960_000, "$0.01"),
        (10_000_000, "$0.01"),
        (12_345_678, "$0.012"),
        (75_000_000, "$0.075"),
        (500_000_000, "$0.50"),
        (999_600_000, "$1.00"),
        (1_005_000_000, "$1.01"),
        (1_234_567_890_123, "$1,234.57"),
        (-1, "-$0.000000001"),
        (-20_480_000_000, "-$20.48"),
    ],
)
def test_money_for_people(nano: int, text: str) -> None:
    """Cents, or two significant digits of less than that."""
    assert usd_text(nano) == text


@given(st.integers(-(10**18), 10**18))
def test_only_nothing_reads_as_nothing(nano: int) -> None:
    """The text of an amount is near it, has its sign, and is zero for zero alone; as a decimal it is exact."""
    shown = Decimal(usd_text(nano).replace("$", "").replace(",", ""))
    assert (shown == 0) == (nano == 0)
    assert shown == 0 or (shown < 0) == (nano < 0)
    assert abs(shown - usd(nano)) <= abs(usd(nano)) / 20
    assert usd(nano) * 10**9 == nano
