"""`tachograph session`: what a conversation has used of its limits, and how it begins anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.table import Table

from tachograph.cli import human
from tachograph.cli.command import command, command_app
from tachograph.cli.quick import QuickCommand
from tachograph.cli.terminal import Terminal
from tachograph.compose import admitter_for, scrubber_for
from tachograph.errors import NotFound, SettingsError
from tachograph.events.account import COUNTED, Account, Counted, Standing
from tachograph.queries.units import usd
from tachograph.record.after.audit import audit, keep
from tachograph.store.ledger import AnyLedger, ledger_path, open_ledger
from tachograph.store.open import is_remote
from tachograph.upkeep import amounts

app = command_app(
    name="session", help="Say what a session has used of its limits, or let it begin anew.", no_args_is_help=True
)
Session = Annotated[str, typer.Argument(metavar="SESSION", help="The session's id, in full.")]
Tenant = Annotated[str, typer.Option("--tenant", help="Whose session it is.", show_default=True)]

_WORDS: Mapping[Counted, str] = {
    "runs": "runs", "llm_calls": "model calls", "tool_calls": "tool calls", "tokens": "tokens", "nano_usd": "cost",
}  # fmt: skip
_NOTHING = Standing(0, 0, 0)


@app.command(cls=QuickCommand)
@command
def usage(
    terminal: Terminal,
    session: Session,
    *,
    tenant: Tenant = "default",
    window: Annotated[str, typer.Option("--window", metavar="TIME", help="How far to look back: 24h, 7d.")] = "24h",
) -> None:
    """Show what a session has used, as its limits count it, and what is set aside for requests on their way.

    Amounts are kept for as long as limits look back, a day at least; the sum of all for longer. With --json: one
    object.
    """
    try:
        window_ns = amounts.duration(window)
    except ValueError as problem:
        raise SettingsError("--window", window, str(problem)) from problem
    now = terminal.clock.now()
    whose = scrubber_for(terminal.settings).named(session)
    with _ledger(terminal, session) as ledger:
        stood = {of: ledger.standing(Account.of_session(tenant, whose, of), window_ns, now) for of in COUNTED}
    known = {of: standing for of, standing in stood.items() if standing != _NOTHING}
    if not known:
        raise NotFound(f"counted session of tenant {tenant!r}", session)
    if terminal.json:
        counts = [_as_json(of, standing) for of, standing in known.items()]
        facts = {"session": session, "tenant": tenant, "window_seconds": window_ns / 1e9, "counts": counts}
        terminal.give(facts)
    else:
        terminal.show(_table(known, window))


@app.command(cls=QuickCommand)
@command
def reset(terminal: Terminal, session: Session, *, tenant: Tenant = "default") -> None:
    """Let a session's counts begin anew at 0, so that its limits allow as much again.

    What is on its way then is not counted any more. With --json: one object.
    """
    now = terminal.clock.now()
    whose = scrubber_for(terminal.settings).named(session)
    with _ledger(terminal, session) as ledger:
        cleared = {of: ledger.reset(Account.of_session(tenant, whose, of), now) for of in COUNTED}
    had = {of: amount for of, amount in cleared.items() if amount}
    if not had:
        raise NotFound(f"counted session of tenant {tenant!r}", session)
    facts = {"session": session, "tenant": tenant, "cleared": {_name(of): _figure(of, had[of]) for of in had}}
    if not is_remote(terminal.settings.store_url):
        _note(terminal, facts, tenant, now)
    if terminal.json:
        terminal.give(facts)
    else:
        said = " · ".join(f"{_shown(of, amount)} {_WORDS[of]}" for of, amount in had.items())
        terminal.show(f"{human.line(session)} begins anew. It had come to: {said}.")


@contextmanager
def _ledger(terminal: Terminal, session: str) -> Iterator[AnyLedger]:
    """The ledger of the store. Raises SettingsError where there can be none, NotFound where nothing was counted."""
    url, home = terminal.settings.store_url, terminal.settings.home
    path = ledger_path(url, home)
    if path is None:
        raise SettingsError("--store", url, "a store that outlives its process")
    if not path.exists():
        raise NotFound("counted session", session)
    # Nothing is claimed here, so no owner is named; and nobody need be found dead, since both commands count all alike.
    ledger = open_ledger(url, home, "", lambda _: True)
    try:
        yield ledger
    finally:
        ledger.close()


def _note(terminal: Terminal, facts: Mapping[str, Any], tenant: str, now: int) -> None:
    """Leave it in the tenant's audit."""
    store, settings = terminal.bare_store, terminal.settings
    events = audit("session_reset", facts, at=now, entropy=terminal.clock.entropy(6), tenant=tenant)
    keep(store, admitter_for(settings, store, scrubber_for(settings)), events)


def _table(known: Mapping[Counted, Standing], window: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    for column in (f"in {window}", "set aside", "in all"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("reset", no_wrap=True)
    for of, standing in known.items():
        shown = (_shown(of, amount) for amount in (standing.used, standing.reserved, standing.total))
        table.add_row(_WORDS[of], *shown, "" if standing.reset_at is None else _reset(of, standing))
    return table


def _reset(of: Counted, standing: Standing) -> str:
    return f"{human.moment(standing.reset_at)} at {_shown(of, standing.cleared)}"


def _as_json(of: Counted, standing: Standing) -> dict[str, Any]:
    figures = {name: _figure(of, getattr(standing, name)) for name in ("used", "reserved", "total", "cleared")}
    return {"of": _name(of), **figures, "reset_at": human.iso(standing.reset_at)}


def _name(of: Counted) -> str:
    return "usd" if of == "nano_usd" else of


def _figure(of: Counted, amount: int) -> float:
    return usd(amount) if of == "nano_usd" else amount


def _shown(of: Counted, amount: int) -> str:
    return human.money(amount) if of == "nano_usd" else human.count(amount)
