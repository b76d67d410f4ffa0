"""A session's own state: a JSON object, with the version of the schema that the application wrote it in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tachograph.errors import SettingsError, StateMismatch
from tachograph.store.sessions.head import Head

Upgrade = Callable[[dict[str, Any], int], Mapping[str, Any]]
"""(state, the version it has) → the same in the version that is known."""
_WANTED = "a JSON object that is the same after writing and reading it: text as keys, lists, no tuples, dates or NaN"


def storable(state: Any) -> dict[str, Any]:
    """A state as it will be read back. Raises SettingsError for what JSON would change."""
    try:
        found = msgspec.json.decode(msgspec.json.encode(state))
    except (TypeError, ValueError, RecursionError, OverflowError, msgspec.MsgspecError) as problem:
        raise SettingsError("state", state, f"{_WANTED} ({problem})") from problem
    if not isinstance(found, dict) or found != state:
        raise SettingsError("state", state, _WANTED)
    return found


def state_of(head: Head, known: int, upgrade: Upgrade | None) -> dict[str, Any]:
    """The state in the version that is known. Raises StateMismatch, SettingsError."""
    if not head.state or head.state_version == known:
        return head.state
    if head.state_version > known or upgrade is None:
        raise StateMismatch(head.id, head.state_version, known)
    return storable(dict(upgrade(head.state, head.state_version)))
