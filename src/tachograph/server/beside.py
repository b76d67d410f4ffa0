"""What is kept of sessions beside the store, and what can be done to them: close, reopen, reset.

The API and the pages both come through here. What is done leaves an entry in the audit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from tachograph.errors import NotFound
from tachograph.events.account import COUNTED, Account
from tachograph.queries.answers.heads import Beside, SessionHead
from tachograph.record.after import audit as record
from tachograph.server.endpoint import Ask
from tachograph.store.ledger import AnyLedger, ledger_path, open_ledger
from tachograph.store.sessions.head import Head, Key


class Anew(Struct, frozen=True, kw_only=True):
    """What of a session begins anew."""

    counters: bool = True
    history: bool = False
    state: bool = False


def beside(ask: Ask, ledger: AnyLedger | None = None) -> Beside:
    """What is kept of sessions beside the store, for this reader; what was counted only with a ledger."""
    return Beside(ask.service.heads, ask.now, ledger, inside=not ask.service.needs_key)


@contextlib.contextmanager
def ledger_of(ask: Ask) -> Iterator[AnyLedger | None]:
    """The ledger beside the store; None where nothing was counted. Nothing is claimed here, so no owner is named."""
    settings = ask.service.settings
    path = ledger_path(settings.store_url, settings.home)
    if path is None or not path.exists():
        yield None
        return
    ledger = open_ledger(settings.store_url, settings.home, "", lambda owner: True)
    try:
        yield ledger
    finally:
        ledger.close()


def key_of(ask: Ask, session: str, tenant: str | None) -> Key:
    """The session that the caller may mean. Raises NotFound for one of another tenant."""
    own = ask.caller.tenant
    if own is not None and tenant not in (None, own):
        raise NotFound("session", session)
    return own or tenant or "default", session


def close(ask: Ask, key: Key) -> SessionHead:
    """It takes no turns any more. Raises NotFound."""
    return _changed(ask, key, "session_closed", {}, ask.service.heads.close_session)


def reopen(ask: Ask, key: Key) -> SessionHead:
    """It takes turns again. Raises NotFound."""
    return _changed(ask, key, "session_reopened", {}, ask.service.heads.reopen)


def reset(ask: Ask, key: Key, what: Anew) -> SessionHead:
    """It begins anew. Raises NotFound."""

    def work(key: Key, now: int) -> Head | None:
        if what.counters:
            _clear_counters(ask, key)
        return ask.service.heads.reset(key, now, history=what.history, state=what.state)

    facts = {"counters": what.counters, "history": what.history, "state": what.state}
    return _changed(ask, key, "session_reset", facts, work)


def _changed(
    ask: Ask, key: Key, action: str, facts: Mapping[str, Any], work: Callable[[Key, int], Head | None]
) -> SessionHead:  # fmt: skip
    if ask.service.heads.get(key) is None:
        raise NotFound("session", key[1])
    events = record.audit(
        action, {"session": key[1], **facts}, at=ask.now, entropy=ask.service.clock.entropy(6), tenant=key[0],
        user=ask.caller.name,
    )  # fmt: skip
    with ask.service.turns.turn():
        record.keep(ask.service.store, ask.service.admitter, events)
    head = work(key, ask.now)
    if head is None:
        raise NotFound("session", key[1])
    return beside(ask).told(head)


def _clear_counters(ask: Ask, key: Key) -> None:
    with ledger_of(ask) as ledger:
        for of in COUNTED:
            if ledger is not None:
                ledger.reset(Account.of_session(*key, of), ask.now)
