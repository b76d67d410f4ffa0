"""Recorded exchanges of 24 providers, replayed over real HTTP: our reply is what the body and the index state.

What a body states is read by `exchanges`, which knows nothing of the adapter. Every exchange on the four wires has one
place: it is compared, it is an error that must be one, or it stands in `EXCLUDED` with the reason why not.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tachograph.events.usage import MISSING, Cost, Usage
from tachograph.fold.cost import PriceBook, price, price_book
from tachograph.providers.config import HOSTS, NAMES
from tachograph.providers.port import ModelPort, Reply
from tachograph.wire import usage as reading
from tests.providers.asking import Came, ask, port, request, value
from tests.providers.exchanges import Call, Exchange, exchanges, expected
from tests.providers.replay_server import Answer, ReplayServer, Seen, events, halves, ragged, single, whole

pytestmark = [
    pytest.mark.filterwarnings("ignore:Handling of this:UserWarning"),  # the library on items it does not know
    pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning"),  # Anthropic's client
]

Split = Callable[[bytes], list[bytes]]

PLACES: Mapping[str, int] = {"compared": 708, "refused": 26, "not whole": 13}
"""How many replies are compared, how many are refusals (4xx), how many break off or are not there yet."""

EXCLUDED: Mapping[str, tuple[int, str]] = {
    "several replies": (4, "the source joined the streams of several replies into one"),
    "several choices": (2, "a stream of n > 1 answers, which we never ask for; whole bodies of that kind are compared"),
    "legacy function call": (3, "an answer to `functions`, the form before tools, which we never send"),
    "numbered end": (4, "the source stored Gemini's finishReason as a number, which its API never sends"),
    "foreign status": (2, "made by hand: the status `complete`, which the Responses API does not have"),
    "fallback block": (1, "a block of Anthropic's fallback beta in a whole body, which the library cannot read"),
    "foreign item": (1, "x_search_call, an item of xAI's that the library cannot read in a whole body"),
}
"""What is not compared: how many, and why."""

OFF_THE_INDEX = 15
"""Compared replies whose figures our rules of usage read otherwise than the index; tests/wire/test_usage says why."""
AT = 1_763_000_000_000_000_000
"""November 2025: every call is priced at this time."""


def place(exchange: Exchange) -> str:
    """Where an exchange belongs: a key of PLACES or of EXCLUDED."""
    if exchange.status >= 400:
        return "refused"
    reason = next((name for name, holds in _REASONS.items() if holds(exchange)), None)
    if reason is not None:
        return reason
    said = expected(exchange)
    return "not whole" if said.error or not said.finish else "compared"


def _heads(exchange: Exchange) -> int:
    kinds = Counter(payload.get("type") for payload in exchange.payloads)
    return max(kinds["message_start"], kinds["response.created"])


def _choices(exchange: Exchange) -> Iterable[Any]:
    return (choice for payload in exchange.payloads for choice in payload.get("choices") or ())


def _ends(exchange: Exchange) -> Iterable[Any]:
    return (one.get("finishReason") for payload in exchange.payloads for one in payload.get("candidates") or ())


def _items(exchange: Exchange, key: str) -> set[str]:
    return set() if exchange.stream else {one["type"] for one in exchange.payloads[0].get(key) or () if "type" in one}


_REASONS: Mapping[str, Callable[[Exchange], bool]] = {
    "several replies": lambda one: _heads(one) > 1,
    "several choices": lambda one: one.stream and any(choice.get("index") for choice in _choices(one)),
    "legacy function call": lambda one: any(choice.get("finish_reason") == "function_call" for choice in _choices(one)),
    "numbered end": lambda one: any(isinstance(end, int) for end in _ends(one)),
    "foreign status": lambda one: one.payloads[0].get("status") == "complete",
    "fallback block": lambda one: one.wire == "anthropic" and "fallback" in _items(one, "content"),
    "foreign item": lambda one: one.wire == "responses" and "x_search_call" in _items(one, "output"),
}


@pytest.fixture(scope="session")
def recorded(shared_data: Path) -> tuple[Exchange, ...]:
    """All exchanges on the four wires."""
    return exchanges(shared_data / "provider_http")


def test_every_exchange_has_its_place(recorded: tuple[Exchange, ...]) -> None:
    """What is compared, what is an error, and what is left out for a reason make up all there is."""
    counted = Counter(map(place, recorded))
    assert counted == {**PLACES, **{name: count for name, (count, _) in EXCLUDED.items()}}
    assert (sum(counted.values()), len(recorded)) == (764, 764)


def tiny(body: bytes) -> list[bytes]:
    """One byte a piece where that is less than 8 KB, ragged pieces where it is more."""
    return single(body) if len(body) < 8_192 else ragged(body)


@pytest.mark.parametrize("wire", ["chat", "responses", "anthropic", "gemini"])
@pytest.mark.parametrize("split", [whole, events, halves, tiny])
def test_a_reply_is_what_its_body_states(
    wire: str, split: Split, recorded: tuple[Exchange, ...], provider_server: ReplayServer
) -> None:
    """Text, calls, why it ended, who served it, tokens by class, cost: whole, and streamed however it is cut up."""
    streams = split is not whole
    chosen = [one for one in recorded if one.wire == wire and one.stream is streams and place(one) == "compared"]
    came = asyncio.run(replayed(provider_server, chosen, split))
    differences = {one.file: found for one in chosen if (found := difference(one, *came[one.file]))}
    assert chosen
    assert differences == {}


def test_usage_is_that_of_the_index(recorded: tuple[Exchange, ...]) -> None:
    """What a reply is compared with stands in the index: all but a few rows, which are explained elsewhere."""
    off = [one.file for one in recorded if place(one) == "compared" and _off_the_index(one, used(one))]
    assert len(off) == OFF_THE_INDEX, off


def test_most_replies_have_a_price(recorded: tuple[Exchange, ...]) -> None:
    """Comparing costs means something: six in seven compared replies cost something that is known."""
    compared = [one for one in recorded if place(one) == "compared" and one.row["usage_raw"]]
    priced = [one for one in compared if cost(one, expected(one).model, used(one)).total is not None]
    assert len(priced) > 6 / 7 * len(compared)


def test_recorded_refusals_are_errors_of_their_kind(
    recorded: tuple[Exchange, ...], provider_server: ReplayServer
) -> None:
    """Category by status, or by what the recording says it shows; safe to repeat, one request, nothing partial."""
    chosen = [one for one in recorded if place(one) == "refused"]
    came = asyncio.run(replayed(provider_server, chosen, whole))
    found = {one.file: refusal(*came[one.file]) for one in chosen}
    assert found == {one.file: (wanted_refusal(one), 1) for one in chosen}


def test_what_is_not_whole_is_never_a_reply(recorded: tuple[Exchange, ...], provider_server: ReplayServer) -> None:
    """Errors inside a stream, streams without an end, replies that are only queued: errors, with the text so far."""
    chosen = [one for one in recorded if place(one) == "not whole"]
    came = asyncio.run(replayed(provider_server, chosen, events))
    texts: dict[str, str | None] = {}
    for one in chosen:
        seen, reply = came[one.file]
        assert (reply.reply, reply.error is not None, len(seen)) == (None, True, 1), one.file
        partial = reply.error.partial if reply.error else None
        texts[one.file] = partial.message.text if isinstance(partial, Reply) else ""
    assert texts == {one.file: expected(one).text if one.stream else "" for one in chosen}


# ---- how it is asked ------------------------------------------------------------------------------------------------


async def replayed(
    server: ReplayServer, chosen: Iterable[Exchange], split: Split
) -> dict[str, tuple[list[Seen], Came]]:
    """Each exchange asked for once: the requests that the server saw, and what came."""
    found: dict[str, tuple[list[Seen], Came]] = {}
    models: dict[tuple[str, str, str], ModelPort] = {}
    for exchange in chosen:
        mount = f"{exchange.wire}-conformance"
        seen = server.play(mount, answer(exchange, split))
        key = exchange.wire, provider_of(exchange), exchange.row["request_model"] or exchange.row["model"] or "m"
        if key not in models:
            models[key] = port(key[0], server.url(mount), key[2], key[1])
        found[exchange.file] = seen, await ask(models[key], request(stream=exchange.stream))
    for model in models.values():
        await model.close()
    return found


def answer(exchange: Exchange, split: Split) -> Answer:
    """An exchange's response; with a length where it is no stream."""
    pieces = split(exchange.body) if exchange.stream else whole(exchange.body)
    return Answer(pieces, exchange.status, exchange.headers, chunked=exchange.stream)


def provider_of(exchange: Exchange) -> str:
    """Our provider for it: its own where that may be anywhere, else any that speaks OpenAI's API."""
    if exchange.wire in ("anthropic", "gemini"):
        return {"anthropic": "anthropic", "gemini": "google"}[exchange.wire]
    own = NAMES.get(exchange.row["provider"], exchange.row["provider"])
    host = HOSTS.get(own)
    fits = host is not None and host.movable and host.api == "chat"
    return own if fits and host and (exchange.wire == "chat" or host.responses) else "compatible"


# ---- what came, and what should ------------------------------------------------------------------------------------


def difference(exchange: Exchange, seen: list[Seen], came: Came) -> dict[str, Any]:
    """What a reply says otherwise than its body: name → (found, wanted)."""
    if came.reply is None or len(seen) != 1:
        return {"error": repr(came.error), "cause": repr(came.error and came.error.__cause__), "requests": len(seen)}
    said, reply, wanted = expected(exchange), came.reply, used(exchange)
    calls = [(call.id, call.name, value(call.arguments)) for call in reply.message.tool_calls]
    pairs: dict[str, tuple[Any, Any]] = {
        "text": (reply.message.text, said.text),
        "calls": (calls, _with_ids(said.calls, calls)),
        "distinct ids": (len({id_ for id_, *_ in calls if id_}), len({id_ for id_, *_ in calls})),
        "finish": (reply.finish, said.finish),
        "model": (reply.served_model, said.model or None),
        "usage": (reply.usage, wanted),
        "cost": (cost(exchange, reply.served_model, reply.usage), cost(exchange, said.model, wanted)),
        "reported cost": (reply.reported_cost, reported(exchange)),
        "exchange": (_facts(reply), [("POST", exchange.status, len(exchange.body), "")]),
    }
    if exchange.stream:
        streamed = [(id_, name, value(arguments)) for id_, name, arguments in came.calls]
        pairs |= {"streamed text": (came.text, said.text), "streamed calls": (streamed, calls)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def used(exchange: Exchange) -> Usage:
    """What its body says was used, by the rules of `wire.usage`; missing where it says nothing."""
    raw = exchange.row["usage_raw"]
    return MISSING if raw is None else reading.read(raw)


def _off_the_index(exchange: Exchange, usage: Usage) -> bool:
    if exchange.row["usage_raw"] is None:
        return False
    inclusive, said = exchange.row["usage_inclusive"], exchange.row["usage_reported"]
    ours = (usage.input_total, usage.output, usage.cache_read, usage.cache_write, usage.reasoning)
    names = ("cache_read", "cache_write", "reasoning")
    return ours != (inclusive["input"], inclusive["output"], *(said[name] for name in names))


def _with_ids(calls: list[Call], found: list[Call]) -> list[Call]:
    """Calls that the provider gave no id (Gemini) have one of the library's."""
    made = [id_ for id_, *_ in found] + [""] * len(calls)
    return [(call[0] or made[place], *call[1:]) for place, call in enumerate(calls)]


def _facts(reply: Reply) -> list[Any]:
    return [(one.method, one.status, one.received, one.error) for one in reply.exchanges]


@cache
def _book() -> PriceBook:
    return price_book()


def cost(exchange: Exchange, model: str | None, usage: Usage) -> Cost:
    """What it cost by our price list."""
    return price(_book(), exchange.row["provider"], model or "", usage, AT)


def reported(exchange: Exchange) -> Decimal | None:
    """What the body says it cost in USD, to the nano-dollar that we keep."""
    extra = (exchange.row["usage_reported"] or {}).get("extra") or {}
    ticks, usd = extra.get("cost_in_usd_ticks"), extra.get("cost_reported")
    if ticks is None and usd is None:
        return None
    amount = Decimal(str(usd)) if ticks is None else Decimal(ticks).scaleb(-10)
    return amount.quantize(Decimal("1e-9"))


_CATEGORIES = {400: "invalid_request", 401: "auth", 404: "invalid_request", 429: "rate_limit"}


def wanted_refusal(exchange: Exchange) -> tuple[Any, ...]:
    """(category, status, seconds to wait, safe, partial) of a recorded refusal."""
    full = exchange.status == 400 and "context_length_exceeded" in exchange.file
    told = dict(exchange.headers)
    in_body = re.findall(rb'"retryDelay": *"([0-9.]+)s"', exchange.body)  # Gemini
    waits = [
        float(told[name]) * unit for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)) if name in told
    ]
    waits += map(float, in_body)
    category = "context_overflow" if full else _CATEGORIES[exchange.status]
    return category, exchange.status, waits[0] if waits else None, True, None


def refusal(seen: list[Seen], came: Came) -> tuple[Any, int]:
    """The same of what came, and how many requests there were."""
    if came.error is None:
        return came, len(seen)
    error = came.error
    return (error.category, error.status, error.retry_after, error.safe, error.partial), len(seen)
