"""What the System page shows of rules, alerts, journals and libraries: their values in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.queries import wording
from tachograph.queries.alerts import Standing
from tachograph.queries.answers.audit import AuditEntry
from tachograph.queries.checkup import JournalState
from tachograph.queries.stats import Group
from tachograph.queries.units import maybe_time
from tachograph.upkeep.alert import EVERYBODY, Alert, amount
from tachograph.upkeep.amounts import time_text
from tachograph.web.assets import Library

HELD = ("runs", "open_runs", "events", "steps", "calls", "tool_calls", "sessions", "payloads", "nodes")
"""Counts of a store, in the order in which they are shown."""
_LISTED = 3
_NAMES = {"calls": "model calls", "payloads": "contents", "nodes": "messages in place"}


class Watched(Struct, frozen=True, kw_only=True):
    """An alert: what it watches, and how it stands."""

    name: str
    what: str
    threshold: str
    window: str
    apart: str
    above: tuple[str, ...]
    fired: datetime | None
    line: str


class Waiting(Struct, frozen=True, kw_only=True):
    """A journal: whose it is, and what waits in it."""

    id: str
    owner: str
    state: str
    seen: datetime | None
    waiting: int
    waiting_bytes: int
    disk_bytes: int
    damaged_bytes: int
    refused: str


class Unpriced(Struct, frozen=True, kw_only=True):
    """A model whose calls have no price."""

    provider: str
    model: str
    calls: int
    unpriced: int

    @property
    def command(self) -> str:
        """What says why."""
        provider = f" --provider {quoted(self.provider)}" if self.provider else ""
        return f"tachograph prices {quoted(self.model)}{provider}"


class KeyLine(Struct, frozen=True, kw_only=True):
    """An access key, without its secret."""

    id: str
    name: str
    scope: str
    tenant: str
    state: str
    """good, expired or revoked."""
    made: datetime
    until: datetime | None


class Done(Struct, frozen=True, kw_only=True):
    """Something that was done to the records."""

    time: datetime
    what: str
    user: str
    tenant: str
    details: str


class Brought(Struct, frozen=True, kw_only=True):
    """A library of the pages."""

    name: str
    version: str
    license: str
    use: str
    is_there: bool


def watched(alert: Alert, standing: Standing) -> Watched:
    """An alert in words."""
    of = f" of {alert.of}" if alert.counted == alert.of and alert.metric != "cost" else ""
    tenant = f", tenant {alert.tenant}" if alert.tenant else ""
    return Watched(
        name=alert.name,
        what=f"{alert.metric.replace('_', ' ')}{of}{tenant}",
        threshold=amount(alert.metric, alert.threshold),
        window=time_text(alert.window),
        apart=alert.by,
        above=standing.above,
        fired=maybe_time(standing.fired_at),
        line=standing.line,
    )


def waiting(journal: JournalState) -> Waiting:
    """A journal in words."""
    owner = "unknown" if journal.pid is None else f"pid {journal.pid}"
    return Waiting(
        id=journal.id,
        owner=f"{owner} on {journal.host}" if journal.host else owner,
        state="recording" if journal.alive else "gone",
        seen=maybe_time(journal.seen_at),
        waiting=journal.waiting,
        waiting_bytes=journal.waiting_bytes,
        disk_bytes=journal.disk_bytes,
        damaged_bytes=journal.damaged_bytes,
        refused=journal.refused,
    )


def held(facts: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """What a store holds, as far as it says so."""
    return [
        (_NAMES.get(name, name.replace("_", " ")).capitalize(), wording.count(facts[name]))
        for name in HELD
        if name in facts
    ]


def unpriced(groups: Iterable[Group]) -> Sequence[Unpriced]:
    """Models with calls that have no price, those with most of them first."""
    found = [
        Unpriced(
            provider=str(group.key[0] or ""), model=str(group.key[1] or ""), calls=group.calls.count,
            unpriced=group.cost.unpriced,
        )
        for group in groups
        if group.cost.unpriced
    ]  # fmt: skip
    return sorted(found, key=lambda each: (-each.unpriced, each.provider, each.model))


def brought(libraries: Iterable[Library], missing: Sequence[str]) -> Sequence[Brought]:
    """The libraries that browsers get."""
    return [
        Brought(
            name=library.name, version=library.version, license=library.license, use=library.use,
            is_there=library.name not in missing,
        )
        for library in libraries
        if not library.tests
    ]  # fmt: skip


def done(entry: AuditEntry) -> Done:
    """An entry of the audit in words."""
    return Done(
        time=entry.time,
        what=entry.action.replace("_", " "),
        user=entry.user or wording.UNKNOWN,
        tenant="every tenant" if entry.tenant == EVERYBODY else entry.tenant,
        details=entry.limit.reason if entry.limit else _said(entry.details),
    )


def _said(details: msgspec.Raw | None) -> str:
    """The facts of an entry: short lists as they are, long ones by their length."""
    facts = {} if details is None else msgspec.json.decode(details)
    if not isinstance(facts, Mapping):
        return str(facts)
    return ", ".join(f"{name.replace('_', ' ')} {_fact(value)}" for name, value in facts.items() if value != [])


def _fact(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    return ", ".join(map(str, value)) if len(value) <= _LISTED else f"{len(value):,}"


def quoted(text: str) -> str:
    """A word of a command: in quotes where a shell would read more into it."""
    plain = text and all(letter.isascii() and (letter.isalnum() or letter in "-_./:@") for letter in text)
    return text if plain and not text.startswith("-") else "'" + text.replace("'", "'\\''") + "'"
