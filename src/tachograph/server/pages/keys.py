"""`/system/keys`: access keys are made and revoked. A key's text is on the page that made it, and nowhere else."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from msgspec import Meta, Struct
from starlette.responses import Response

from tachograph.errors import InvalidParameter, NotFound
from tachograph.queries.units import time
from tachograph.record.after import audit
from tachograph.server.callers import keys as access
from tachograph.server.callers.keys import Key, Scope
from tachograph.server.endpoint import Ask
from tachograph.server.pages.site import moved, page, shown
from tachograph.server.problems import invalid
from tachograph.web import links

_DAY_NS = round(timedelta(days=1).total_seconds()) * 1_000_000_000
_Text = Annotated[str, Meta(max_length=200)]


class KeyWanted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made."""

    name: _Text = ""
    scope: Scope = "read"
    tenant: _Text = ""
    days: Annotated[int, Meta(ge=1, le=3_650)] | None = None
    """After how many days it opens nothing; None is never."""


class KeyNamed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be revoked."""

    id: Annotated[str, Meta(max_length=100)]


def _make(ask: Ask) -> Response:
    wanted = ask.filled(KeyWanted)
    service = ask.service
    tenant = wanted.tenant.strip() if ask.caller.tenant is None else ask.caller.tenant
    try:
        minted = access.mint(
            service.store, wanted.name.strip(), wanted.scope, tenant, now_ns=ask.now, entropy=service.clock.entropy,
            expires_at=None if wanted.days is None else ask.now + wanted.days * _DAY_NS,
        )  # fmt: skip
    except InvalidParameter as problem:
        raise invalid(problem.name, f"a key needs a {problem.name}") from problem
    _note(ask, "key_added", minted.key)
    until = None if minted.key.expires_at is None else time(minted.key.expires_at)
    made = shown(
        ask, "system/key.html", here=links.SYSTEM, title="New access key", key=minted.key, text=minted.text, until=until
    )
    made.headers["Cache-Control"] = "no-store"
    return made


def _revoke(ask: Ask) -> Response:
    named = ask.filled(KeyNamed)
    found = next((key for key in access.keys(ask.service.store) if key.id == named.id), None)
    if found is None or ask.caller.tenant not in (None, found.tenant):
        raise NotFound("access key", named.id)
    if found.revoked_at is None:
        _note(ask, "key_revoked", access.revoke(ask.service.store, found.id, ask.now))
    return moved(f"{links.SYSTEM}#keys")


def _note(ask: Ask, what: str, key: Key) -> None:
    """Leave it in the audit of the tenant whose data the key opens."""
    service = ask.service
    facts = {"id": key.id, "name": key.name, "scope": key.scope, "tenant": key.tenant}
    events = audit.audit(
        what, facts, at=ask.now, entropy=service.clock.entropy(6), tenant=key.tenant, user=ask.caller.name
    )
    with service.turns.turn():
        audit.keep(service.store, service.admitter, events)


def _back(ask: Ask) -> Response:
    return moved(f"{links.SYSTEM}#keys")


ENDPOINTS = (
    page(links.KEYS, "Leads to the list of access keys.", _back),
    page(links.KEYS, "Makes an access key.", _make, method="POST", scope="admin", takes=KeyWanted),
    page(f"{links.KEYS}/revoke", "Revokes an access key.", _revoke, method="POST", scope="admin", takes=KeyNamed),
)
