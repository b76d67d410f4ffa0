"""What pages that only an admin may use have in common: who may, and what has to be confirmed."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from tachograph.server.endpoint import Ask
from tachograph.server.problems import Refusal

WORD = "delete"
"""What somebody types before much goes."""
MANY_RUNS, MANY_EVENTS = 10, 10_000
"""What is more than that goes only when somebody has typed so."""


class Confirmed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a form says that makes something go for good."""

    seen: Annotated[int, Meta(ge=0)]
    """How many runs it said would go."""
    typed: Annotated[str, Meta(max_length=100)] = ""


def check_admin(ask: Ask) -> None:
    """Refuse whoever may not delete. Raises Refusal."""
    if ask.caller.scope != "admin":
        raise Refusal(
            403, "scope-needed", f"the key {ask.caller.name!r} allows {ask.caller.scope}; this needs admin"
        )  # fmt: skip


def check_whole(ask: Ask, what: str) -> None:
    """Refuse a key for one tenant where something is about all of them. Raises Refusal."""
    if ask.caller.tenant is not None:
        raise Refusal(403, "scope-needed", f"{what} of every tenant; this needs a key for all of them")


def is_large(runs: int, events: int) -> bool:
    """Whether it is so much that a click is not enough."""
    return runs > MANY_RUNS or events > MANY_EVENTS


def objection(confirmed: Confirmed, runs: int, events: int) -> str:
    """Why that is not enough to let so much go; empty when it is."""
    if runs > confirmed.seen:
        return f"More would go by now: {runs:,} runs, not {confirmed.seen:,}. Nothing was deleted; look again."
    if is_large(runs, events) and confirmed.typed.strip().lower() != WORD:
        return f"Nothing was deleted: type {WORD} to say that so much may go."
    return ""
