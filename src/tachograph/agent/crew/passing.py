"""One hand-off performed: requested, then applied or failed, as a step of its own below the call that asked for it.

It is the last thing that is done about a reply. Until it is applied the old agent is at work, and whatever goes wrong
leaves it there, with a result that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tachograph.agent.live import Live, Post
from tachograph.agent.pace.bounded import Overdue, answer_of
from tachograph.agent.state import Handed, State
from tachograph.agent.team.carried import told
from tachograph.agent.team.handoff import Handoff
from tachograph.agent.transcript import check, hiding
from tachograph.errors import InvalidTranscript, SettingsError, TachographError
from tachograph.events.chat import Message, read, system
from tachograph.record.step import step

FILTERING = 60.0
"""Seconds that an input filter may take."""
AGENT = "agent"
"""`action_type` of these steps: others of their kind are to a person."""


@dataclass(frozen=True)
class Passed:
    """Another agent takes over."""

    post: Post
    fact: Handed
    before: str
    """Who was at work."""
    reason: str = ""
    """Why, in the model's words."""


@dataclass(frozen=True)
class NotPassed:
    """It does not."""

    text: str
    """What the model is told."""
    problem: BaseException


def unfit(edge: Handoff, state: State, chosen: Handoff | None) -> str:
    """What stands against a hand-off before it is tried, in words for the model; empty when nothing does."""
    name = edge.target.name
    if chosen is not None:
        return f"Not handed over to {name}: this reply already hands over to {chosen.target.name}, and one is enough."
    if name in state.visited and not edge.back:
        return f"Not handed over to {name}: it was at work in this run before, and there is no way back to it. Go on."
    return ""


async def pass_on(
    live: Live, state: State, edge: Handoff, reason: str, messages: tuple[Message, ...]
) -> Passed | NotPassed:  # fmt: skip
    """Hand over a conversation whose calls all have results. Raises LimitExceeded before anything happens."""
    before, after = live.spec.name, edge.target.name
    asked = {"from": before, "to": after, "reason": reason}
    with step(
        f"handoff to {after}", kind="handoff", input=asked, action_type=AGENT, agent_type=before,
        iteration=state.iteration,
    ) as record:  # fmt: skip
        live.heed(record.notices)
        try:
            post = live.posts(after)
            said = await _carried(live, edge, messages, post)
        except Exception as problem:  # noqa: BLE001 - the program's functions may raise what they like: it failed
            record.output = {**asked, "status": "failed"}
            record.fail(problem)
            return NotPassed(f"Not handed over to {after}: that failed. Go on without it.", problem)
        phase = post.spec.phases[0].name if post.spec.phases else ""
        record.output = {**asked, "status": "applied", "phase": phase, "messages": told(messages, said)}
    return Passed(post, Handed(after, said, phase), before, reason)


async def _carried(live: Live, edge: Handoff, messages: tuple[Message, ...], post: Post) -> tuple[Message, ...]:
    """The conversation that the next agent begins with. Raises InvalidTranscript, and what a filter raises."""
    said = messages[1:] if live.instructions else messages
    if edge.input_filter is not None:
        said = await _filtered(live, edge, said, post)
    if not post.instructions:
        return said
    # Instructions that came with the history were the old agent's.
    kept = tuple(message for message in said if message.role != "system")
    return (system(post.instructions, cache=post.spec.cache), *kept)


async def _filtered(live: Live, edge: Handoff, said: tuple[Message, ...], post: Post) -> tuple[Message, ...]:
    assert edge.input_filter is not None
    try:
        ended = await answer_of(edge.input_filter, said, seconds=live.within(FILTERING))
    except Overdue as late:
        raise TachographError(f"the input filter did not finish within {late.seconds:g} s") from late
    if ended.error is not None:
        raise ended.error if isinstance(ended.error, Exception) else TachographError(repr(ended.error))
    found = tuple(_read(ended.value))
    _check(found, said)
    return hiding(found, _hidden(live.toolbox(), post.offered()))


def _read(value: Any) -> Iterable[Message]:
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, Mapping)):
        raise SettingsError("input_filter", value, "a function that gives messages")
    for item in value:
        yield item if isinstance(item, Message) else read(item)


def _check(found: Sequence[Message], before: Sequence[Message]) -> None:
    if not found:
        raise InvalidTranscript(0, "nothing is left of the conversation")
    known = {id(message) for message in before}
    for place, message in enumerate(found):
        if message.role == "system" and id(message) not in known:
            raise InvalidTranscript(place, "instructions, which come from the agent that takes over")
    check(found)


def _hidden(*boxes: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {name: tool.redact for box in boxes for name, tool in box.items() if tool.redact}
