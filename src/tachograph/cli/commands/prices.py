"""`tachograph prices`: what a model costs, where that is from, and pricing past calls again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import typer
from msgspec import Struct
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tachograph.cli import exits, human, options
from tachograph.cli.command import command, command_app
from tachograph.cli.quick import QuickCommand, QuickGroup
from tachograph.cli.terminal import Terminal
from tachograph.compose import journals_folder, price_book_for
from tachograph.events.usage import Cost
from tachograph.fold.cost import PriceBook
from tachograph.fold.price_rates import CLASSES, Rates, Row
from tachograph.queries import wording
from tachograph.record.after.reprice import Repriced, reprice
from tachograph.record.drain import find_journals


class ShowByDefault(QuickGroup):
    """`prices gpt-4o` is `prices show gpt-4o`, and `prices` alone lists the overrides."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command's name in front where it was left out."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["show", *args]
        return super().parse_args(ctx, args)


app = command_app(
    name="prices",
    cls=ShowByDefault,
    help="Say what a model costs and why, or price past calls again. `prices MODEL` is `prices show MODEL`.",
)


class Priced(Struct, frozen=True, kw_only=True):
    """What one model costs now, in USD per million tokens."""

    model: str
    provider: str
    tier: str
    price_id: str
    """Which row of which list; empty when there is none."""
    reason: str
    """Why it has no price; empty when it has."""
    per_million: dict[str, str]
    """Token class → USD. A class without a rate of its own is absent: `borrowed` says what stands in for it."""
    borrowed: tuple[str, ...]
    longer: dict[int, dict[str, str]]
    """Prompts of more than so many tokens → their rates."""


@app.command("show", cls=QuickCommand)
@command
def show(
    terminal: Terminal,
    model: Annotated[list[str] | None, typer.Argument(metavar="[MODEL]...", help="As it was recorded.")] = None,
    *,
    provider: Annotated[str, typer.Option("--provider", help="Whose model: openai, anthropic, google, …")] = "",
    tier: Annotated[str | None, typer.Option("--tier", help="Service tier: batch, flex, priority, …")] = None,
) -> int:
    """How a model is priced: the row, its rates per million tokens, and what stands in for rates it has not.

    Without a model: the prices you state yourself. Exit code 3 when a model has no price.
    """
    book = price_book_for(terminal.settings)
    if not model:
        _overrides(terminal, book)
        return exits.OK
    found = [price_of(book, provider, name, tier, terminal.clock.now()) for name in model]
    for each in found:
        if terminal.json:
            terminal.give(each)
        else:
            terminal.show(*_draw(each))
    return exits.OK if all(each.price_id for each in found) else exits.NOT_FOUND


@app.command("reprice", cls=QuickCommand)
@command
def reprice_calls(
    terminal: Terminal,
    *,
    since: options.Since = None,
    until: options.Until = None,
    clear: Annotated[bool, typer.Option("--clear", help="Take a cost away where there is no price any more.")] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
) -> int:
    """Price past calls again, each at the prices of its day. What was recorded stays; the last price counts.

    Exit code 1 when something changed meanwhile and could not be priced.
    """
    now = terminal.clock.now()
    period = options.period(terminal, since, until)
    with terminal.progress("pricing"):
        done = reprice(
            terminal.store,
            price_book_for(terminal.settings),
            since_ns=period.since or 0,
            until_ns=now if period.until is None else period.until,
            journals={each.name for each in find_journals(journals_folder(terminal.settings))},
            clear=clear,
            dry=dry,
        )
    if terminal.json:
        terminal.give({**msgspec.to_builtins(done), "difference": done.difference, "dry_run": dry})
    else:
        terminal.show(*_told(done, dry))
    return exits.FOUND_WRONG if done.conflicts else exits.OK


def price_of(book: PriceBook, provider: str, model: str, tier: str | None, at_ns: int) -> Priced:
    """What a model costs at a time."""
    row = book.schedule(provider, model, tier).at(at_ns)
    named = {"model": model, "provider": provider, "tier": tier or ""}
    if isinstance(row, Cost):
        return Priced(**named, price_id="", reason=row.reason, per_million={}, borrowed=(), longer={})
    return Priced(
        **named,
        price_id=row.price_id,
        reason="",
        per_million=_rates(row.rates),
        borrowed=tuple(note.replace("_", " ") for _, note in row.rates.marks if note),
        longer={tokens: _rates(rates) for tokens, rates in row.longer},
    )


def _rates(rates: Rates) -> dict[str, str]:
    """USD per million tokens, of the classes that have a rate of their own."""
    lent = {index for index, _ in rates.marks}
    own = {
        name: rate for index, (name, rate) in enumerate(zip(CLASSES, rates.classes, strict=True)) if index not in lent
    }
    own |= {name: rate for name, (rate, note) in rates.apart.items() if not note}
    return {name: f"{Decimal(rate).scaleb(-18).normalize():f}" for name, rate in own.items()}


def _draw(found: Priced) -> Iterator[RenderableType]:
    name = "/".join(part for part in (found.provider, found.model, found.tier) if part)
    if not found.price_id:
        yield Text.assemble((human.line(name), "bold"), (f"  no price: {found.reason.replace('_', ' ')}", "yellow"))
        return
    yield Text.assemble((human.line(name), "bold"), (f"  by {found.price_id}, USD per million tokens", "dim"))
    table = Table(box=None, pad_edge=False, show_header=bool(found.longer), header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    for tokens in found.longer:
        table.add_column(f"above {tokens:,}", justify="right", no_wrap=True)
    for rate, usd in found.per_million.items():
        table.add_row(f"  {rate.replace('_', ' ')}", usd, *(longer.get(rate, "") for longer in found.longer.values()))
    yield table
    if found.borrowed:
        yield Text(f"  without a rate of their own: {', '.join(found.borrowed)}", "dim")


def _overrides(terminal: Terminal, book: PriceBook) -> None:
    stated = [(name, row) for (_, name), rows in sorted(book.overrides.stated.items()) for row in rows]
    if terminal.json:
        for name, each in stated:
            terminal.give({"model": name, "provider": each.provider, "tier": each.tier, "price_id": each.row.price_id})
        return
    path = terminal.settings.prices or terminal.settings.home / "prices.toml"
    if not stated:
        terminal.show(
            f"No prices of your own in {path}; models are priced by the bundled list (`tachograph prices MODEL`)."
        )
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("model", "provider", "tier", "price", *("input", "output")):
        table.add_column(column, no_wrap=True)
    for name, each in stated:
        rates = _rates(each.row.rates) if isinstance(each.row, Row) else {}
        table.add_row(
            human.line(name),
            each.provider,
            each.tier,
            each.row.price_id,
            rates.get("input", ""),
            rates.get("output", ""),
        )
    terminal.show(table)


def _told(done: Repriced, dry: bool) -> Sequence[Text]:
    verb = "would change" if dry else "changed"
    sign = "+" if done.difference >= 0 else "-"
    change = f"{done.newly_priced:,} have a price now, {done.newly_unpriced:,} have none any more"
    difference = f"{sign}{wording.money(abs(done.difference))}"
    lines = [
        f"{done.calls:,} calls looked at, {done.changed:,} {verb}: {change}",
        f"{wording.money(done.before)} before, {wording.money(done.after)} now ({difference})",
    ]
    if done.kept:
        lines.append(f"{done.kept:,} calls keep a cost that the price list does not explain (--clear takes it away)")
    if done.held:
        lines.append(f"{len(done.held):,} runs left alone, they are still being recorded")
    if done.conflicts:
        lines.append(f"{done.conflicts:,} changes were not stored, something else was written meanwhile: run it again")
    return [Text(line) for line in lines]
