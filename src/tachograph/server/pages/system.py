"""`/system`: how the server and its store are. What has to be counted first comes as a part of its own.

A key for one tenant sees what is its tenant's: rules and alerts that name it, its keys, its models without a price,
what was done to its records. The store as a whole, journals and the server itself are for keys that see everything.
"""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from tachograph.errors import SettingsError
from tachograph.queries.alerts import standing
from tachograph.queries.answers.audit import AuditAsked, audit
from tachograph.queries.checkup import counted, examine
from tachograph.queries.stats import stats
from tachograph.queries.units import maybe_time, time
from tachograph.server.callers import keys as access
from tachograph.server.endpoint import Ask
from tachograph.server.pages.admins import check_whole
from tachograph.server.pages.site import page, shown
from tachograph.server.service import Service
from tachograph.store.query import Measure, Query
from tachograph.upkeep.policies import Policies, path_of, policies_for
from tachograph.version import VERSION
from tachograph.web import links
from tachograph.web import system as words
from tachograph.web.assets import libraries, missing

_ENTRIES = 15
"""Entries of the audit that are shown, the newest."""


class PartsAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the parts that have to be counted stand in the page: for browsers without scripts."""

    whole: bool = False


def _system(ask: Ask) -> Response:
    parts = _parts(ask) if ask.asked.whole else {"records": None, "prices": None}
    return shown(
        ask,
        "system.html",
        here=links.SYSTEM,
        title="System",
        sees_all=ask.caller.tenant is None,
        versions=_versions(),
        libraries=words.brought(libraries(), missing()),
        keys=_keys(ask),
        sees_keys=ask.caller.scope == "admin",
        audit=[words.done(entry) for entry in audit(ask.store, AuditAsked(limit=_ENTRIES)).entries],
        **_server(ask),
        **_policies(ask),
        **parts,
    )


def _records(ask: Ask) -> Response:
    check_whole(ask, "the store holds the records")
    return shown(ask, "system/records.html", records=_examined(ask))


def _prices(ask: Ask) -> Response:
    return shown(ask, "system/prices.html", prices=_priced(ask))


def _parts(ask: Ask) -> dict[str, Any]:
    return {"records": _examined(ask) if ask.caller.tenant is None else None, "prices": _priced(ask)}


# ---- the parts -------------------------------------------------------------------------------------------------------


def _server(ask: Ask) -> dict[str, Any]:
    """The server's own work."""
    service = ask.service
    return {
        "store": _store_name(ask),
        "rounds": service.rounds,
        "last_round": maybe_time(service.rounds.last_success_at or None),
        "upkeep": service.upkeep,
        "last_prune": maybe_time(service.upkeep.last_prune_at or None),
        "last_watch": maybe_time(service.upkeep.last_watch_at or None),
        "readers": service.live.readers,
        "refused": service.turns.refused,
        "needs_key": service.needs_key,
    }


def _store_name(ask: Ask) -> str:
    """Where the store is, or what kind it is of."""
    url = ask.service.settings.store_url
    return url if _sees_paths(ask) else url.partition(":")[0]


def _sees_paths(ask: Ask) -> bool:
    """Whether the caller is told where things lie: beyond this machine only who may delete all of them."""
    everything = ask.caller.tenant is None and ask.caller.scope == "admin"
    return everything or not ask.service.needs_key


def _examined(ask: Ask) -> dict[str, Any]:
    service = ask.service
    known = counted(service.store, ask.now, service.counts)
    found = examine(service.settings, service.store, known.facts)
    return {
        "found": found,
        "counted": time(known.at),
        "held": words.held(found.facts),
        "journals": [words.waiting(each) for each in found.journals],
        "losses": [(time(loss["at"]), loss) for loss in found.losses],
    }


def _priced(ask: Ask) -> dict[str, Any]:
    settings = ask.service.settings
    found: dict[str, Any] = {
        "list": f"genai-prices {version('genai-prices')}",
        "unpriced": words.unpriced(stats(ask.store, ask.now, by=("provider", "model")).groups),
        "own": "",
        "newest": None,
    }
    if ask.caller.tenant is None:
        newest = Measure("max", "price_date")
        rows = ask.service.store.find(Query("prices", measures=(newest,))).rows
        own = settings.prices or settings.home / "prices.toml"
        found |= {
            "newest": rows[0][newest.name] if rows else None,
            "own": str(own) if own.exists() and _sees_paths(ask) else "",
        }
    return found


def _policies(ask: Ask) -> dict[str, Any]:
    """Rules and alerts; of a tenant those that name it."""
    tenant, service, sees_paths = ask.caller.tenant, ask.service, _sees_paths(ask)
    problem, found = _read(service)
    rules = [rule for rule in found.rules if tenant in (None, rule.tenant)]
    alerts = [alert for alert in found.alerts if tenant in (None, alert.tenant)]
    return {
        "policies_path": str(path_of(service.settings)) if sees_paths else "",
        "policies_problem": problem if sees_paths else "",
        "sees_paths": sees_paths,
        "rules": rules,
        "alerts": [words.watched(alert, standing(ask.store, alert.name)) for alert in alerts],
    }


def _read(service: Service) -> tuple[str, Policies]:
    try:
        return "", policies_for(service.settings)
    except (SettingsError, OSError, UnicodeError) as problem:
        return str(problem), Policies()


def _keys(ask: Ask) -> list[words.KeyLine]:
    """The keys that the caller may know of: those that it could make."""
    if ask.caller.scope != "admin":
        return []
    tenant = ask.caller.tenant
    return [
        words.KeyLine(
            id=key.id, name=key.name, scope=key.scope, tenant=key.tenant, state=_state(key, ask.now),
            made=time(key.created_at), until=maybe_time(key.expires_at),
        )
        for key in access.keys(ask.service.store)
        if tenant in (None, key.tenant)
    ]  # fmt: skip


def _state(key: access.Key, now_ns: int) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "good" if key.is_good(now_ns) else "expired"


def _versions() -> list[tuple[str, str]]:
    return [
        ("Tachograph", VERSION),
        ("Python", platform.python_version()),
        ("Price list", f"genai-prices {version('genai-prices')}"),
        ("Web", f"starlette {version('starlette')}, uvicorn {version('uvicorn')}, jinja2 {version('jinja2')}"),
    ]


ENDPOINTS = (
    page(links.SYSTEM, "How the server and its store are.", _system, asks=PartsAsked),
    page(links.system("records"), "The store and the journals, counted.", _records),
    page(links.system("prices"), "Models without a price.", _prices),
)
