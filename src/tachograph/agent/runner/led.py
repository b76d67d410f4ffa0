"""A runner in a session: where the conversation comes from, what the session's state becomes, and why there is no turn.

An application that keeps the conversation hands all of it over, and that is what is gone on from. One that hands over
the new message alone goes on from the session's own conversation.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from tachograph.agent.agent import Agent
from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.call import outcome_of
from tachograph.agent.live import Live
from tachograph.agent.runner.history import History, Said
from tachograph.agent.runner.response import Response, failed
from tachograph.agent.session.kept import storable
from tachograph.agent.session.session import Session
from tachograph.agent.session.turn import Turn
from tachograph.errors import (
    HistoryMissing,
    SessionBusy,
    SessionClosed,
    SessionConflict,
    SessionError,
    SettingsError,
    StateMismatch,
    StoreError,
)

CATEGORIES: Mapping[type[Exception], str] = {
    SessionBusy: "session_busy", SessionClosed: "session_closed", SessionConflict: "session_conflict",
    HistoryMissing: "history_missing", StateMismatch: "state_mismatch", StoreError: "store_unavailable",
}  # fmt: skip
"""Error → category of the reply."""

log = logging.getLogger("tachograph.runner")


def turn_of(session: Session, history: History, *, supersede: bool) -> Turn:
    """The turn that answers, in the conversation that was handed over, or, for a message alone, the session's own."""
    return session.turn(supersede=supersede, history=history.messages or None)


def continued(history: History, turn: Turn) -> History:
    """The history with what the session knows, where the application handed over the new message alone."""
    return history if history.said else History(tuple(map(Said, turn.history)), history.prompt, history.left_out)


async def answered(turn: Turn, agent: Agent, history: History, call: Mapping[str, Any]) -> Outcome[Any] | Response:
    """What a run in this turn came to, committed; or the reply of one that could not be. Raises as `Turn.whole`."""
    context, begun = call["context"], list[Live]()
    state = context["session_state"]
    before = deepcopy(state)
    try:
        live = await turn.whole(
            agent, history.prompt, call, begun.append, state=lambda: None if state == before else _kept(state)
        )  # fmt: skip
    except (SessionConflict, StoreError) as problem:  # there may be a reply, but the session does not know it
        return unanswered(problem, outcome_of(begun[0]) if begun else None)
    return outcome_of(live)


def unanswered(problem: SessionError | StoreError, outcome: Outcome[Any] | None = None) -> Response:
    """The reply where a session takes no turn, or does not keep it."""
    category = next(name for kind, name in CATEGORIES.items() if isinstance(problem, kind))
    log.error("no response: %s", type(problem).__name__)
    return failed(category, outcome)


def _kept(state: Any) -> dict[str, Any] | None:
    """A state that was changed, if it can be kept: no reply is lost because of it."""
    try:
        return storable(state)
    except SettingsError as problem:
        log.error("the session's state stays as it was: %s is no JSON object", type(problem.value).__name__)  # noqa: TRY400 - what is in it may be personal
        return None
