"""A run is given to a person: requested, tried as often as the person says, and then applied or failed.

Each state is recorded before the next thing is done, so that a run that was killed in the middle goes on from there,
with the same effect. No permit is held while anything here waits. What the customer is told follows what really
happened.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from tachograph.agent.live import Live
from tachograph.agent.pace.bounded import Overdue, answer_of
from tachograph.agent.people.person import HandOver, Person, effect_id
from tachograph.agent.progress import HandingOver
from tachograph.agent.state import End, GivenToPerson
from tachograph.errors import LimitExceeded
from tachograph.fold.handoffs import PERSON, Cause, Handing, note_of
from tachograph.record.step import step

log = logging.getLogger("tachograph.agent")

ALERT_SECONDS = 5.0
POLICIES = frozenset({"guardrail_block", "content_filter", "required_tool_missing"})
"""Stop reasons of rules that the program made."""
APPLIED = End("completed", "human_handoff")


class _Tried(NamedTuple):
    attempts: int
    problem: str


async def given(live: Live, end: End, *, asked: bool = False, limited: bool = False) -> End:
    """The end of a run, after it was given to a person where that is due.

    Due is what a limit of mode `handoff` asks for (`asked`), what the model asked for, and what `Person.after` says.
    """
    person, handing = live.spec.person, live.state.handing
    if handing is not None and handing.state == "requested":
        return await handed(live, end)
    if person is None or end.status != "failed" or not (asked or end.reason in person.after):
        return end
    cause: Cause = "limit" if limited else "policy" if end.reason in POLICIES else "error"
    request(live, cause, end.reason, end.detail)
    return await handed(live, end)


def request(live: Live, cause: Cause, metric: str, reason: str) -> None:
    """Ask for a person: recorded, and not done yet. What is asked for already stays as it is."""
    if live.state.handing is None or live.state.handing.state == "failed":
        run = live.record.run_id or live.record.execution_id or live.salt.hex()
        _says(live, live, Handing(effect_id=effect_id(run, cause, metric), cause=cause, metric=metric, reason=reason))


async def handed(live: Live, end: End | None = None) -> End:
    """Do what was requested; how the run ends then. `end` is how it ends when nobody can be reached."""
    handing, person = live.state.handing, live.spec.person
    assert handing is not None
    if end is None or end.status != "failed":
        end = End("failed", handing.metric or "tool_error", detail=handing.reason)
    facts = {"kind": PERSON, "cause": handing.cause, "metric": handing.metric, "reason": handing.reason}
    shown = {**facts, "effect_id": handing.effect_id}
    tried = _Tried(0, "the agent has nobody to hand over to")
    try:
        with step(PERSON, kind="handoff", action_type=PERSON, input=shown) as record:
            if person is not None:
                tried = await _tried(live, person, handing)
            state = _settled(live, record, handing, tried)
            record.output = {"state": state, "attempts": tried.attempts}
            if state == "failed":
                record.fail(tried.problem)
    except LimitExceeded as refused:  # the time was over, and that limit asks for no person
        tried = _Tried(0, str(refused))
        _settled(live, live, handing, tried)
    if not tried.problem:
        return msgspec.structs.replace(APPLIED, detail=handing.reason)
    if person is not None and person.alert is not None:
        await _alert(live, person.alert, _asked(live, handing, tried.attempts, tried.problem))
    log.error("run %s could not be given to a person: %s", live.record.run_id, tried.problem)
    said = f"{end.detail}; handing over failed: {tried.problem}"
    return msgspec.structs.replace(end, status="failed", detail=said)


def unanswered(live: Live) -> None:
    """The run is over, and a person was asked for whom nobody came: that is a failure, whatever ended it."""
    handing = live.state.handing
    if handing is not None and handing.state == "requested":
        _settled(live, live, handing, _Tried(handing.attempts, "the run ended before it was done"))


# ---- trying ---------------------------------------------------------------------------------------------------------


async def _tried(live: Live, person: Person, handing: Handing) -> _Tried:
    """Attempts, until one works, or there is no attempt or no time left."""
    clock = asyncio.get_running_loop().time
    # A run whose time is over, or nearly, is handed over all the same, in a time of its own.
    until = clock() + max(live.within(person.within) or person.within, min(person.within, person.seconds))
    attempt = 0
    while True:
        attempt += 1
        seconds = min(person.seconds, until - clock())
        problem = await _attempt(person.effect, _asked(live, handing, attempt), seconds)
        wait = person.wait * 2 ** (attempt - 1)
        if not problem or attempt >= person.attempts or until - clock() <= wait:
            return _Tried(attempt, problem)
        facts = {"kind": PERSON, "effect_id": handing.effect_id, "attempt": attempt, "problem": problem, "wait": wait}
        live.note("handoff_retry", facts)
        await asyncio.sleep(wait)


async def _attempt(effect: Callable[[HandOver], Any], asked: HandOver, seconds: float) -> str:
    """What went wrong; empty when it is done."""
    try:
        value, error = await answer_of(effect, asked, seconds=seconds)
    except Overdue as late:
        return f"nobody answered within {late.seconds:g} s"
    except RuntimeError as unable:  # no thread could be started
        return f"{type(unable).__name__}: {unable}"
    if error is not None:
        return f"{type(error).__name__}: {error}"
    return "the application says that it is not done" if value is False else ""


async def _alert(live: Live, alert: Callable[[HandOver], Any], asked: HandOver) -> None:
    if problem := await _attempt(alert, asked, ALERT_SECONDS):
        live.note("alert_failed", {"effect_id": asked.effect_id, "problem": problem})
        log.error("the alert of a failed hand-off failed: %s", problem)


# ---- saying ---------------------------------------------------------------------------------------------------------


def _settled(live: Live, record: Any, handing: Handing, tried: _Tried) -> str:
    text = _text(live, handing, applied=not tried.problem)
    changes: dict[str, Any] = {"attempts": tried.attempts, "problem": tried.problem, "text": text}
    changes["state"] = "failed" if tried.problem else "applied"
    changed = msgspec.structs.replace(handing, **changes)
    _says(live, record, changed)
    return changed.state


def _says(live: Live, record: Any, handing: Handing) -> None:
    """Record a state, and be in it."""
    record.note(note_of(handing), handing.facts())
    live.advance(GivenToPerson(handing))
    live.emit(HandingOver(handing=handing))


def _text(live: Live, handing: Handing, *, applied: bool) -> str | None:
    person = live.spec.person
    if person is None:
        return None
    stated = live.context.get("locale")
    locale = stated if isinstance(stated, str) and stated else person.locale
    causes = [one for one in (handing.metric, handing.cause, "error") if one]
    return person.texts.text(locale, causes, "applied" if applied else "failed")


def _asked(live: Live, handing: Handing, attempt: int, problem: str = "") -> HandOver:
    trigger = live.record.trigger
    return HandOver(
        live.record.run_id, trigger.session, handing.metric, handing.reason, cause=handing.cause,
        effect_id=handing.effect_id, attempt=attempt, agent=live.spec.name, tenant=trigger.tenant, user=trigger.user,
        platform=trigger.platform, execution_id=live.record.execution_id, problem=problem,
    )  # fmt: skip
