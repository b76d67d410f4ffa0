"""`tachograph keys`: who may ask the server."""

from __future__ import annotations

from typing import Annotated, cast, get_args

import msgspec
import typer
from rich.table import Table

from tachograph.cli import human, options
from tachograph.cli.command import command, command_app
from tachograph.cli.quick import QuickCommand
from tachograph.cli.terminal import Terminal
from tachograph.compose import admitter_for, scrubber_for
from tachograph.errors import InvalidParameter, SettingsError
from tachograph.record.after.audit import audit, keep
from tachograph.server.callers.keys import EVERY_TENANT, Key, Scope, keys, mint, revoke

app = command_app(name="keys", help="Make, list and revoke access keys of the server.", no_args_is_help=True)


@app.command(cls=QuickCommand)
@command
def add(
    terminal: Terminal,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is; for people.")],
    *,
    scope: Annotated[
        str, typer.Option("--scope", help="read; write: send events and scores too; admin: delete too.")
    ] = "read",
    tenant: Annotated[
        str, typer.Option("--tenant", help="Whose data it opens; `*` is everybody's.", show_default=True)
    ] = "default",
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="WHEN", help="An ISO date or time from which it opens nothing.")
    ] = None,
) -> None:
    """Make a key and show it. It is shown this once: the store keeps only its hash."""
    if scope not in get_args(Scope):
        raise SettingsError("--scope", scope, f"one of {', '.join(get_args(Scope))}")
    allowed = cast("Scope", scope)
    until = options.when(terminal, "--expires", expires)
    now = terminal.clock.now()
    if until is not None and until <= now:
        raise SettingsError("--expires", expires, "a date or time that is yet to come")
    try:
        minted = mint(
            terminal.bare_store, name, allowed, tenant, now_ns=now, entropy=terminal.clock.entropy, expires_at=until
        )
    except InvalidParameter as problem:
        raise SettingsError(problem.name, problem.value, problem.wanted) from problem
    _note(terminal, "key_added", minted.key)
    if terminal.json:
        terminal.give({**msgspec.to_builtins(minted.key), "text": minted.text})
    else:
        terminal.show(minted.text)
        whose = "every tenant" if tenant == EVERY_TENANT else f"tenant {tenant}"
        terminal.tell(f"{scope} key {minted.key.id} for {whose}. It is not shown again.")


@app.command(cls=QuickCommand)
@command
def ls(terminal: Terminal) -> None:
    """List the keys, oldest first, without their secrets."""
    found = keys(terminal.bare_store)
    if terminal.json:
        terminal.give({"keys": found})
        return
    now = terminal.clock.now()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("id", "name", "scope", "tenant", "made", "state"):
        table.add_column(column, no_wrap=True)
    for key in found:
        table.add_row(key.id, key.name, key.scope, key.tenant, human.moment(key.created_at), _state(key, now))
    terminal.show(table if found else "No keys yet: tachograph keys add NAME.")


@app.command("revoke", cls=QuickCommand)
@command
def revoke_key(
    terminal: Terminal,
    which: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `keys ls` shows it.")],
) -> None:
    """Make a key useless from now on."""
    key = revoke(terminal.bare_store, which, terminal.clock.now())
    _note(terminal, "key_revoked", key)
    if terminal.json:
        terminal.give(key)
    else:
        terminal.show(f"{key.name}: revoked.")


def _note(terminal: Terminal, what: str, key: Key) -> None:
    """Leave it in the audit of the tenant whose data the key opens; `*` is nobody's but those who see everything."""
    store, settings = terminal.bare_store, terminal.settings
    facts = {"id": key.id, "name": key.name, "scope": key.scope, "tenant": key.tenant}
    events = audit(what, facts, at=terminal.clock.now(), entropy=terminal.clock.entropy(6), tenant=key.tenant)
    keep(store, admitter_for(settings, store, scrubber_for(settings)), events)


def _state(key: Key, now: int) -> str:
    if key.revoked_at is not None:
        return f"revoked {human.moment(key.revoked_at)}"
    if key.expires_at is None:
        return "good"
    return f"{'good until' if key.is_good(now) else 'expired'} {human.moment(key.expires_at)}"
