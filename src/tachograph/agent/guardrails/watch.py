"""Guardrails asked about one thing, one after the other: each sees what those before it left.

What triggers is a step of kind `guardrail`, recorded before anything follows from it: what it saw, what it made of it,
by which rule and why. In mode `observe` that is all there is. A guardrail whose own functions raise, are late, or say
what means nothing, blocks or allows as it declares; no error of theirs leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct

from tachograph.agent.guardrails.content import reworded, with_more, with_part
from tachograph.agent.guardrails.guardrail import (
    Action,
    Append,
    Block,
    Guardrail,
    Look,
    Redact,
    Refuse,
    Replace,
    Replacement,
    part_of,
)
from tachograph.agent.guardrails.rule import found
from tachograph.agent.pace.bounded import Threads, answer_of
from tachograph.errors import LimitExceeded
from tachograph.events.chat import Media, Text
from tachograph.record.step import step

Became = Literal["blocked", "refused", "replaced", "appended", "redacted", "allowed"]
Within = Callable[[float], float | None]
"""The seconds that there are, of so many."""
Note = Callable[[str, Any], object]
Shown = Callable[[Any], Any]
"""A content as it may be recorded."""


class Ruling(Struct, frozen=True):
    """What one guardrail came to that triggered."""

    guardrail: str
    outcome: Became
    """What became of it; in mode `observe`, what would have."""
    mode: str
    rule: str = ""
    reason: str = ""
    before: Any = None
    after: Any = None
    """None where nothing is left of it."""
    text: str = ""
    """What whoever asked is told."""
    error: str = ""
    """What went wrong in a function of the guardrail's own."""

    def facts(self, shown: Shown) -> dict[str, Any]:
        """What is recorded of it, beside what it saw."""
        return {
            "outcome": self.outcome, "mode": self.mode, "rule": self.rule, "reason": self.reason,
            "after": shown(self.after), "text": self.text, **({"error": self.error} if self.error else {}),
        }  # fmt: skip


class Passed(Struct, frozen=True):
    """What all of them came to."""

    content: Any
    """What is left."""
    rulings: tuple[Ruling, ...] = ()
    """Of those that triggered, in order; those that only observe among them."""
    ended: Ruling | None = None
    """The one that blocked or refused, if one did."""
    appended: tuple[str, ...] = ()
    """Texts behind a prompt."""


class _Hit(Struct, frozen=True):
    """A guardrail triggered."""

    rule: str
    reason: str
    error: str = ""
    """It could not look: this is why."""


_THREADS = Threads()  # of their own: what is asked about a tool must not wait for tools to end


async def watched(
    guardrails: Iterable[Guardrail],
    look: Look,
    *,
    within: Within = lambda seconds: seconds,
    note: Note = lambda name, data: None,
    shown: Shown = lambda content: content,
) -> Passed:
    """Show something to guardrails. `note` records what the door refuses to record as a step: the time was over."""
    rulings: list[Ruling] = []
    appended: list[str] = []
    for one in guardrails:
        seen = part_of(look, one.field)
        hit = await _hit(one, seen, within) if one.concerns(look) else None
        if hit is None:
            continue
        ruling = await _recorded(one, seen, hit, within, note, shown)
        rulings.append(ruling)
        if one.mode == "observe":
            continue
        if ruling.outcome in ("blocked", "refused"):
            return Passed(look.content, tuple(rulings), ruling, tuple(appended))
        if ruling.outcome == "appended" and look.on == "input":
            appended.append(ruling.text)
        look = look.with_(ruling.after if seen is look else with_part(look.content, one.field, ruling.after))
    return Passed(look.content, tuple(rulings), None, tuple(appended))


# ---- whether --------------------------------------------------------------------------------------------------------


async def _hit(one: Guardrail, look: Look, within: Within) -> _Hit | None:
    try:
        if one.when is not None and not one.when(look):
            return None
        rule = found(tuple(one.rules), look.content)
        if rule is not None:
            return _Hit(rule.name, rule.reason or rule.name)
        if one.check is None:
            return None if one.rules else _Hit("", "always")
        wrong = _worded(await _asked(one.check, look, within(one.seconds)))
    except Exception as problem:  # noqa: BLE001 - a function of somebody else's
        return _Hit("", "it could not be looked at", _named(problem))
    return _Hit("check", wrong) if wrong else None


def _worded(wrong: Any) -> str:
    if wrong is None or isinstance(wrong, str):
        return wrong or ""
    raise TypeError(f"a check says what is wrong as a text, or None, not {type(wrong).__name__}")


async def _asked(function: Callable[[Look], Any], look: Look, seconds: float | None) -> Any:
    value, problem = await answer_of(function, look, seconds=seconds, threads=_THREADS)
    if problem is not None:
        raise problem if isinstance(problem, Exception) else RuntimeError(_named(problem))
    return value


def _named(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {problem}"


# ---- what then ------------------------------------------------------------------------------------------------------


async def _recorded(
    one: Guardrail, look: Look, hit: _Hit, within: Within, note: Note, shown: Shown
) -> Ruling:  # fmt: skip
    before = {"on": look.on, **({"tool": look.tool, "of": look.stage} if look.tool else {})}
    record = step(one.name, kind="guardrail", input=shown(look.content), agent_type=look.agent or None, metadata=before)
    try:
        with record:
            ruling = await _ruling(one, look, hit, within)
            record.output = ruling.facts(shown)
            if ruling.error:
                record.fail(ruling.error)
            return ruling
    except LimitExceeded:  # it is no new work, so a run without time is guarded all the same
        ruling = await _ruling(one, look, hit, within)
        note("guardrail", {"name": one.name, **before, "before": shown(look.content), **ruling.facts(shown)})
        return ruling


async def _ruling(one: Guardrail, look: Look, hit: _Hit, within: Within) -> Ruling:
    if hit.error:
        return _fault(one, look, hit)
    try:
        outcome, said = await _done(one.does, one, look, hit, within)
    except Exception as problem:  # noqa: BLE001 - a function of somebody else's
        return _fault(one, look, _Hit(hit.rule, hit.reason, _named(problem)))
    text = _text(one, look, hit) if outcome in ("blocked", "refused", "appended") else ""
    return Ruling(
        one.name, outcome, one.mode, hit.rule, said.reason or hit.reason, look.content, said.content, text, said.error
    )


def _fault(one: Guardrail, look: Look, hit: _Hit) -> Ruling:
    text = f"This was not done, because the guardrail {one.name} could not look at it."
    facts: Mapping[str, Any] = {"rule": hit.rule, "reason": hit.reason, "before": look.content, "error": hit.error}
    if one.blocks_errors:
        return Ruling(one.name, "blocked", one.mode, text=text, **facts)
    return Ruling(one.name, "allowed", one.mode, after=look.content, **facts)


async def _done(
    does: Action, one: Guardrail, look: Look, hit: _Hit, within: Within
) -> tuple[Became, Replacement]:  # fmt: skip
    match does:
        case Block():
            return "blocked", Replacement(None)
        case Refuse():
            return "refused", Replacement(None)
        case Append():
            text = _text(one, look, hit)
            return "appended", Replacement(look.content if look.on == "input" else with_more(look.content, text))
        case Redact():
            content = look.content
            for rule in one.rules:
                content = rule.redacted(content)
            return "redacted", Replacement(content)
        case Replace(by=str()):
            return "replaced", Replacement(reworded(look.content, _text(one, look, hit)))
        case Replace(by=by):
            assert not isinstance(by, str)
            given = await _asked(by, look, within(one.seconds))
            if given is None:
                return "allowed", Replacement(look.content)
            said = given if isinstance(given, Replacement) else Replacement(given)
            return "replaced", Replacement(_fitting(look, said.content), said.reason, said.error)


def _fitting(look: Look, content: Any) -> Any:
    """A function's content, if it is what can stand there. Raises TypeError."""
    if look.stage == "arguments":
        fits = isinstance(content, Mapping)
    elif isinstance(content, str):
        fits = bool(content.strip()) or look.on != "input"
    else:
        parts = content if look.on != "output" and isinstance(content, tuple) else ()
        fits = bool(parts) and all(isinstance(part, (Text, Media)) for part in parts)
    if not fits:
        raise TypeError(f"{content!r:.80} cannot stand there")
    return content


_WORDS: Mapping[type[Any], str] = {
    Block: "This is not possible here: {reason}.",
    Refuse: "This answer was not accepted: {reason}. Answer again without that.",
}


def _text(one: Guardrail, look: Look, hit: _Hit) -> str:
    """The words of its action."""
    does = one.does
    own = does.by if isinstance(does, Replace) else "" if isinstance(does, Redact) else does.text
    words = own if isinstance(own, str) and own else _WORDS.get(type(does), "")
    return words.replace("{reason}", hit.reason)
