"""The loop's mind: from an agent and a state, what to do next. Pure: it performs nothing and waits for nothing.

The order of questions about a reply: was it cut, was it refused, is it empty, does it ask for another phase, is it the
answer at all, does it fit its type, were the required tools used, does anything else stand against it. Success is what
remains. Every question that can send the model back is bounded.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tachograph.agent.answer.output import Misfit, correction, parse
from tachograph.agent.rules import Phase, Rules
from tachograph.agent.state import End, State
from tachograph.events.chat import ToolUse
from tachograph.fold.handoffs import Handing
from tachograph.fold.trace.event import next_phase

VERIFICATION = "verification"
REQUIRED_TOOLS = "required_tools"


class Ask(Struct, frozen=True):
    """Make a request."""

    tools: bool = True
    """Whether tools may be used."""


class Act(Struct, frozen=True):
    """Run these tools."""

    calls: tuple[ToolUse, ...]


class Nudge(Struct, frozen=True):
    """Ask the model to go on."""

    kind: str
    """empty_reply, not_done, unknown_phase."""
    text: str


class Correct(Struct, frozen=True):
    """Ask again: the reply did not fit its type."""

    errors: tuple[str, ...]
    text: str


class Move(Struct, frozen=True):
    """Begin another phase."""

    phase: Phase


class Refuse(Struct, frozen=True):
    """Send the answer back."""

    gate: str
    text: str


class Check(Struct, frozen=True):
    """Ask whatever stands between a reply and its being the answer: hooks, verification."""

    answer: str
    value: Any


class ToPerson(Struct, frozen=True):
    """Give the run to the person who was asked for."""


class Finish(Struct, frozen=True):
    """The run is over."""

    end: End


Decision = Ask | Act | Nudge | Correct | Move | Refuse | Check | ToPerson | Finish


def decide(rules: Rules, state: State) -> Decision:
    """What to do next."""
    if state.end is not None:
        return Finish(state.end)
    if state.handing is not None and state.handing.state != "failed":
        return _to_person(state.handing)
    if state.open:
        return _act(state)
    if state.reply is None:
        return Ask(tools=not state.wrap_up)
    return _judge(rules, state)


def _to_person(handing: Handing) -> Decision:
    """What was requested is done; what a run that was resumed finds done is not begun again."""
    if handing.state == "requested":
        return ToPerson()
    return Finish(End("completed", "human_handoff", None, None, handing.reason))


def _act(state: State) -> Decision:
    if state.finish == "length":
        return _failed("output_truncated", "a reply with tool calls was cut")
    if state.finish in ("content_filter", "refusal"):
        return _failed("content_filter", "a reply with tool calls was filtered")
    if state.wrap_up:
        return _failed(state.wrap_up, "the model asked for tools in its last turn")
    return Act(state.open)


def _judge(rules: Rules, state: State) -> Decision:
    assert state.reply is not None
    text = state.reply.text if state.answer is None else state.answer
    if state.finish == "length":
        return _failed("output_truncated", "the reply was cut at its most tokens")
    if state.finish in ("content_filter", "refusal"):
        return _failed("content_filter", text[:200])
    if state.wrap_up:
        return _wrapped(rules, state.wrap_up, text)
    if not text.strip():
        return _nudge(
            rules, state, "empty_reply", "Your last reply was empty. Go on with the task, or give the answer."
        )
    if state.answer is not None:  # a hook's words, which ask for nothing
        return _answer(rules, state, text)
    if (moved := _phase(rules, state, text)) is not None:
        return moved
    if rules.done is not None and rules.done not in text:
        hint = f"Go on with the task. When it is done, say so with {rules.done} in your answer."
        return _nudge(rules, state, "not_done", hint)
    return _answer(rules, state, _without(rules.done, text))


def _wrapped(rules: Rules, metric: str, text: str) -> Finish:
    """The words of the last turn: an answer as good as they are, of a run that a limit ended."""
    said = _without(rules.done, text)
    found = parse(rules.output, said)
    if not said.strip():
        return _failed(metric, "the last turn said nothing")
    if isinstance(found, Misfit):
        return _failed(metric, f"wrapped up, but {'; '.join(found.errors)}", said)
    return Finish(End("failed", metric, said, found.value, "wrapped up"))


def _answer(rules: Rules, state: State, text: str) -> Decision:
    found = parse(rules.output, text)
    if isinstance(found, Misfit):
        if state.schema_attempts >= rules.most_schema_retries:
            return _failed("schema_failed", "; ".join(found.errors), text)
        return Correct(found.errors, correction(rules.output, found.errors, rules.nudge))
    missing = [name for name in rules.required_tools if name not in state.succeeded]
    if missing:
        text = f"Not yet: {', '.join(missing)} must be used successfully before you answer."
        return refusal(rules, state, REQUIRED_TOOLS, text)
    if not state.accepted:
        return Check(text, found.value)
    return Finish(End("completed", "final_answer", text, found.value))


def refusal(rules: Rules, state: State, gate: str, text: str) -> Refuse | Finish:
    """A gate does not accept the answer: send it back, or end the run when that was done often enough."""
    if state.refusals.get(gate, 0) < rules.gate_refusals:
        return Refuse(gate, text)
    reason = "required_tool_missing" if gate == REQUIRED_TOOLS else "guardrail_block"
    return _failed(reason, f"{gate}: {text}")


def _phase(rules: Rules, state: State, text: str) -> Decision | None:
    asked = next_phase(text) if rules.phases else ""
    if not asked or asked == state.phase:
        return None
    phase = next((phase for phase in rules.phases if phase.name == asked), None)
    if phase is not None:
        return Move(phase)
    known = ", ".join(phase.name for phase in rules.phases)
    return _nudge(rules, state, "unknown_phase", f"There is no phase {asked!r}; there are {known}.")


def _nudge(rules: Rules, state: State, kind: str, text: str) -> Decision:
    if state.nudges < rules.most_nudges:
        return Nudge(kind, text)
    return _failed("empty_reply" if kind == "empty_reply" else "no_progress", kind)


def _without(done: str | None, text: str) -> str:
    return text if done is None else text.replace(done, "").strip()


def _failed(reason: str, detail: str, answer: str | None = None) -> Finish:
    return Finish(End("failed", reason, answer, None, detail))
