"""`tachograph session`: where conversations stand, what they have used of their limits, and how one begins anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, get_args

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from tachograph.cli import human, options
from tachograph.cli.command import command, command_app
from tachograph.cli.draw.columns import Column, table
from tachograph.cli.quick import QuickCommand
from tachograph.cli.terminal import Terminal
from tachograph.compose import admitter_for, heads_of, scrubber_for
from tachograph.errors import NotFound, SettingsError
from tachograph.events.account import COUNTED, Account, Counted, Standing
from tachograph.queries import wording
from tachograph.queries.units import usd
from tachograph.record.after.audit import audit, keep
from tachograph.store.heads import heads_path
from tachograph.store.ledger import AnyLedger, ledger_path, open_ledger
from tachograph.store.open import is_remote
from tachograph.store.sessions.head import Head, Key, Lease, Status
from tachograph.store.sessions.heads import Heads
from tachograph.upkeep import amounts

app = command_app(
    name="session",
    help="Say where sessions stand and what they have used of their limits; close one, reopen it, let it begin anew.",
    no_args_is_help=True,
)
Session = Annotated[str, typer.Argument(metavar="SESSION", help="The session's id, in full.")]
Tenant = Annotated[str, typer.Option("--tenant", help="Whose session it is.", show_default=True)]

_WORDS: Mapping[Counted, str] = {
    "runs": "runs", "llm_calls": "model calls", "tool_calls": "tool calls", "tokens": "tokens", "nano_usd": "cost",
}  # fmt: skip
_NOTHING = Standing(0, 0, 0)
_DAY = 86_400_000_000_000
STATUSES: tuple[Status, ...] = get_args(Status)


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
    now, key = terminal.clock.now(), _key(terminal, session, tenant)
    with _counted(terminal) as ledger:
        known = {} if ledger is None else _stood(ledger, key, window_ns, now)
    if not known:
        raise NotFound(f"counted session of tenant {tenant!r}", session)
    if terminal.json:
        counts = [_as_json(of, standing) for of, standing in known.items()]
        facts = {"session": session, "tenant": tenant, "window_seconds": window_ns / 1e9, "counts": counts}
        terminal.give(facts)
    else:
        terminal.show(_table(known, window))


@app.command("list", cls=QuickCommand)
@command
def list_(
    terminal: Terminal,
    *,
    status: Annotated[str | None, typer.Option("--status", help=f"Only those: {', '.join(STATUSES)}.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only sessions of this tenant.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Most sessions to list.")] = 20,
) -> None:
    """List the sessions that a runtime leads, the one that changed last first.

    With --json: one object a line.
    """
    if status not in (None, *STATUSES):
        raise SettingsError("--status", status, f"one of {', '.join(STATUSES)}")
    now = terminal.clock.now()
    with _heads(terminal) as heads:
        limit = options.positive("--limit", limit)
        found = [(head, heads.holds(head, now)) for head in heads.newest(tenant=tenant, status=status, limit=limit)]
    with _counted(terminal) as ledger:
        runs = [_runs(ledger, head, now) for head, _ in found]
    if terminal.json:
        for (head, lease), used in zip(found, runs, strict=True):
            terminal.give({**_facts(head, lease), "runs_24h": used})
    elif not found:
        terminal.tell("No such sessions." if status or tenant else "No sessions yet.")
    else:
        terminal.show(table(list(_columns(found, runs)), terminal.out.width))


@app.command(cls=QuickCommand)
@command
def show(terminal: Terminal, session: Session, *, tenant: Tenant = "default") -> None:
    """Show where a session stands, its state, and what it has used of its limits in 24 hours.

    With --json: one object.
    """
    now, key = terminal.clock.now(), _key(terminal, session, tenant)
    with _heads(terminal) as heads:
        head = _there(heads.get(key), key)
        lease = heads.holds(head, now)
    with _counted(terminal) as ledger:
        known = {} if ledger is None else _stood(ledger, key, _DAY, now)
    if terminal.json:
        counts = [_as_json(of, standing) for of, standing in known.items()]
        terminal.give({**_facts(head, lease), "state": head.state, "counts": counts})
        return
    facts = {name: value for name, value in _facts(head, lease).items() if value not in (None, {}, "")}
    terminal.show(*(f"{name:<13} {human.line(_word(value))}" for name, value in facts.items()))
    if head.state:
        terminal.show(f"{'state':<13} {human.line(_word(head.state))}")
    if known:
        terminal.show("", _table(known, "24h"))


@app.command(cls=QuickCommand)
@command
def close(terminal: Terminal, session: Session, *, tenant: Tenant = "default") -> None:
    """Close a session: it takes no turns any more. One that is under way may end. With --json: one object."""
    _stand(terminal, session, tenant, "session_closed", Heads.close_session)


@app.command(cls=QuickCommand)
@command
def reopen(terminal: Terminal, session: Session, *, tenant: Tenant = "default") -> None:
    """Let a session take turns again that was closed, or that a person had. With --json: one object."""
    _stand(terminal, session, tenant, "session_reopened", Heads.reopen)


@app.command(cls=QuickCommand)
@command
def reset(
    terminal: Terminal,
    session: Session,
    *,
    tenant: Tenant = "default",
    history: Annotated[bool, typer.Option("--history", help="Without what was said, too. The log keeps it.")] = False,
    state: Annotated[bool, typer.Option("--state", help="Without the application's state, too.")] = False,
) -> None:
    """Let a session's counts begin anew at 0, so that its limits allow as much again, and take turns again.

    What is on its way then is not counted any more; a turn under way is lost if more than counts goes. With --json:
    one object.
    """
    now, key = terminal.clock.now(), _key(terminal, session, tenant)
    with _heads(terminal) as heads:
        head = None if heads.get(key) is None else heads.reset(key, now, history=history, state=state)
    with _counted(terminal) as ledger:
        cleared = {} if ledger is None else {of: ledger.reset(Account.of_session(*key, of), now) for of in COUNTED}
    had = {of: amount for of, amount in cleared.items() if amount}
    if not had and head is None:
        raise NotFound(f"session of tenant {tenant!r}", session)
    facts = {"session": session, "tenant": tenant, "cleared": {_name(of): _figure(of, had[of]) for of in had}}
    gone = {"history": history, "state": state} if history or state else {}
    _note(terminal, "session_reset", {**facts, **gone}, tenant, now)
    if terminal.json:
        terminal.give({**facts, **gone})
        return
    said = " · ".join(f"{_shown(of, amount)} {_WORDS[of]}" for of, amount in had.items())
    terminal.show(f"{human.line(session)} begins anew.{f' It had come to: {said}.' if said else ''}")


def _stand(
    terminal: Terminal, session: str, tenant: str, action: str, work: Callable[[Heads, Key, int], Head | None]
) -> None:  # fmt: skip
    """Close or reopen."""
    now, key = terminal.clock.now(), _key(terminal, session, tenant)
    with _heads(terminal) as heads:
        head = _there(None if heads.get(key) is None else work(heads, key, now), key)
    _note(terminal, action, {"session": session, "tenant": tenant}, tenant, now)
    if terminal.json:
        terminal.give({"session": session, "tenant": tenant, "status": head.status})
    else:
        terminal.show(f"{human.line(session)} is {head.status}.")


def _there(head: Head | None, key: Key) -> Head:
    if head is None:
        raise NotFound(f"session of tenant {key[0]!r}", key[1])
    return head


def _key(terminal: Terminal, session: str, tenant: str) -> Key:
    return tenant, scrubber_for(terminal.settings).named(session)


@contextmanager
def _heads(terminal: Terminal) -> Iterator[Heads]:
    """Where sessions stand. Raises SettingsError where nobody else could see them."""
    if heads_path(terminal.settings.store_url, terminal.settings.home) is None:
        raise SettingsError("--store", terminal.settings.store_url, "a store that outlives its process")
    heads = heads_of(terminal.settings)
    try:
        yield heads
    finally:
        heads.close()


@contextmanager
def _counted(terminal: Terminal) -> Iterator[AnyLedger | None]:
    """The ledger of the store; None where nothing was counted. Raises SettingsError where there can be none."""
    url, home = terminal.settings.store_url, terminal.settings.home
    path = ledger_path(url, home)
    if path is None:
        raise SettingsError("--store", url, "a store that outlives its process")
    if not path.exists():
        yield None
        return
    # Nothing is claimed here, so no owner is named; and nobody need be found dead, since all commands count all alike.
    ledger = open_ledger(url, home, "", lambda _: True)
    try:
        yield ledger
    finally:
        ledger.close()


def _note(terminal: Terminal, action: str, facts: Mapping[str, Any], tenant: str, now: int) -> None:
    """Leave it in the tenant's audit, where the store is ours to write."""
    settings = terminal.settings
    if is_remote(settings.store_url):
        return
    store = terminal.bare_store
    events = audit(action, facts, at=now, entropy=terminal.clock.entropy(6), tenant=tenant)
    keep(store, admitter_for(settings, store, scrubber_for(settings)), events)


def _stood(ledger: AnyLedger, key: Key, window_ns: int, now: int) -> dict[Counted, Standing]:
    """How a session's accounts stand, those that were counted."""
    stood = {of: ledger.standing(Account.of_session(*key, of), window_ns, now) for of in COUNTED}
    return {of: standing for of, standing in stood.items() if standing != _NOTHING}


def _runs(ledger: AnyLedger | None, head: Head, now: int) -> int | None:
    """Runs of a session in 24 hours; None where they are not counted."""
    if ledger is None:
        return None
    standing = ledger.standing(Account.of_session(head.tenant, head.id, "runs"), _DAY, now)
    return None if standing == _NOTHING else standing.used + standing.reserved


def _facts(head: Head, lease: Lease | None) -> dict[str, Any]:
    point = head.history
    return {
        "session": head.id, "tenant": head.tenant, "status": head.status, "agent": head.agent, "version": head.version,
        "history": None if point is None else {"run": point.run, "seq": point.seq}, "user": head.user,
        "platform": head.platform, "refs": dict(head.refs), "state_version": head.state_version,
        "created_at": wording.iso(head.created_at), "updated_at": wording.iso(head.updated_at),
        "run": None if lease is None else head.run, "holder": None if lease is None else lease.holder,
        "held_until": None if lease is None else wording.iso(lease.until),
    }  # fmt: skip


def _columns(found: Sequence[tuple[Head, Lease | None]], runs: Sequence[int | None]) -> Iterator[Column]:
    heads = [head for head, _ in found]
    yield Column("session", [Text(human.line(head.id, 40), "cyan") for head in heads])
    yield Column("tenant", [Text(human.line(head.tenant, 20), "dim") for head in heads], keep=1)
    yield Column("status", [Text(head.status) for head in heads])
    yield Column("agent", [Text(human.line(head.agent or "", 30)) for head in heads], keep=5)
    yield Column("version", [Text(wording.count(head.version)) for head in heads], right=True, keep=3)
    yield Column("runs 24h", [Text(wording.count(used)) for used in runs], right=True, keep=4)
    yield Column("changed", [Text(human.moment(head.updated_at)) for head in heads], keep=6)
    yield Column("held by", [Text(human.line("" if lease is None else lease.holder, 40)) for _, lease in found], keep=2)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


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
    return {"of": _name(of), **figures, "reset_at": wording.iso(standing.reset_at)}


def _name(of: Counted) -> str:
    return "usd" if of == "nano_usd" else of


def _figure(of: Counted, amount: int) -> float:
    return usd(amount) if of == "nano_usd" else amount


def _shown(of: Counted, amount: int) -> str:
    return wording.money(amount) if of == "nano_usd" else wording.count(amount)
