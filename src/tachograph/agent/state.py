"""Where an agent's run stands, and what moves it: one frozen state, one function that takes it a fact further.

Facts are what happened, as the loop learns it; each is recorded (as a call, a tool call, a message or a note), so that
the state is a fold of the run's events (`recorded.py`). Nothing here knows a clock or a provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.events.chat import Message, ToolUse, system
from tachograph.events.run import Status
from tachograph.fold import approvals
from tachograph.fold.approvals import Approval, Approvals, Decided
from tachograph.fold.handoffs import Handing
from tachograph.providers.port import Finish


class End(Struct, frozen=True):
    """How the run ended."""

    status: Status
    reason: str
    """A stop reason of the domain."""
    answer: str | None = None
    value: Any = None
    """The answer as the type that was asked for."""
    detail: str = ""


class State(Struct, frozen=True):
    """Everything the next decision depends on."""

    messages: tuple[Message, ...] = ()
    """What the next request will begin with; valid whenever `open` is empty."""
    agent: str = ""
    """Who is at work."""
    visited: tuple[str, ...] = ()
    """Who was, in order; the last one is."""
    since: int = 0
    """Requests begun before it was at work."""
    iteration: int = 0
    """Requests begun, attempts of one counted once."""
    reply: Message | None = None
    """The last reply, until something follows it."""
    finish: Finish | None = None
    open: tuple[ToolUse, ...] = ()
    """Calls of the last reply that have no result yet."""
    accepted: bool = False
    """Whether the last reply passed what is asked before an answer is one."""
    answer: str | None = None
    """The answer in place of the last reply's text, when a hook replaced it."""
    nudges: int = 0
    """Replies in a row that were neither an answer nor a call."""
    schema_attempts: int = 0
    base: int | None = None
    """Messages before the first reply that did not fit its type."""
    refusals: Mapping[str, int] = {}
    """Gate → how often it refused an answer."""
    phase: str = ""
    succeeded: frozenset[str] = frozenset()
    """Tools that completed at least once."""
    wrap_up: str = ""
    """The metric that allows one more turn, without tools."""
    scratch: Mapping[str, Any] = {}
    """What tools keep for the conversation, by name: values that JSON can say."""
    approvals: Approvals = {}
    """Open calls that wait for a person, or were decided about."""
    barred: tuple[str, ...] = ()
    """Hashes of calls that must not be made again: a person said so."""
    handing: Handing | None = None
    """The way to a person, once one was asked for."""
    end: End | None = None


class Prompted(Struct, frozen=True):
    """Somebody said something."""

    message: Message

    def onto(self, state: State) -> State:
        """It joins the conversation."""
        return _changed(state, messages=(*state.messages, self.message), reply=None, finish=None)


class Recalled(Struct, frozen=True):
    """Something was remembered."""

    block: str
    joins: bool
    """Whether there are instructions that it follows; else it stands before everything."""

    def onto(self, state: State) -> State:
        """It ends the instructions."""
        if not self.joins or not state.messages:
            return _changed(state, messages=(system(self.block), *state.messages))
        first, *rest = state.messages
        return _changed(state, messages=(_changed(first, content=f"{first.text}\n\n{self.block}"), *rest))


class Iterated(Struct, frozen=True):
    """The next request is about to be made."""

    def onto(self, state: State) -> State:
        """What was known of the last reply is forgotten, and that nobody could be reached when the run went on."""
        iteration, handing = state.iteration + 1, state.handing
        handing = None if handing is not None and handing.state == "failed" else handing
        return _changed(
            state, iteration=iteration, reply=None, finish=None, accepted=False, answer=None, handing=handing
        )


class Replied(Struct, frozen=True):
    """The model replied."""

    message: Message
    finish: Finish

    def onto(self, state: State) -> State:
        """The reply stands last; a corrective turn before it has done its work, and goes."""
        before = state.messages if state.base is None else state.messages[: state.base]
        calls = self.message.tool_calls
        return _changed(
            state, messages=(*before, self.message), reply=self.message, finish=self.finish, open=calls,
            nudges=0 if calls else state.nudges,
        )  # fmt: skip


class Answered(Struct, frozen=True):
    """All calls of the last reply have their results, in call order."""

    results: tuple[Message, ...]
    succeeded: tuple[str, ...] = ()
    """Names of those that completed."""
    wrap_up: str = ""
    """The metric of a limit that refused one of them and allows one more turn, without tools."""

    def onto(self, state: State) -> State:
        """Nothing is open any more."""
        known = state.succeeded
        done = known if known.issuperset(self.succeeded) else known.union(self.succeeded)
        return _changed(
            state, messages=(*state.messages, *self.results), open=(), succeeded=done, base=None, reply=None,
            finish=None, wrap_up=state.wrap_up or self.wrap_up, approvals={},
        )  # fmt: skip


class Nudged(Struct, frozen=True):
    """The model was asked to go on."""

    text: str

    def onto(self, state: State) -> State:
        """The text stands behind the reply."""
        return _said(state, self.text, "nudge", nudges=state.nudges + 1)


class Corrected(Struct, frozen=True):
    """A reply did not fit its type; it gives way to a corrective turn."""

    text: str
    """Empty: the same prompt again."""

    def onto(self, state: State) -> State:
        """The corrective turn stands where the first reply stood that did not fit."""
        before = state.messages[:-1] if state.base is None else state.messages[: state.base]
        messages = (*before, _feedback(self.text, "correction")) if self.text else before
        attempts = state.schema_attempts + 1
        return _changed(
            state, messages=messages, base=len(before), schema_attempts=attempts, reply=None, finish=None
        )  # fmt: skip


class Moved(Struct, frozen=True):
    """Another phase began."""

    phase: str
    text: str = ""

    def onto(self, state: State) -> State:
        """What the phase says stands behind the reply that asked for it."""
        return _said(state, self.text, "phase", phase=self.phase, nudges=0)


class Told(Struct, frozen=True):
    """The runtime has something to say that is nobody's fault."""

    kind: str
    text: str
    barred: tuple[str, ...] = ()
    """Hashes of the calls that must not be made again, by what is said."""

    def onto(self, state: State) -> State:
        """It stands behind whatever was said last."""
        barred = tuple(dict.fromkeys((*state.barred, *self.barred)))
        return _said(state, self.text, self.kind, barred=barred)

    def facts(self) -> dict[str, Any]:
        """What its note says."""
        return {"kind": self.kind, "text": self.text, **({"barred": self.barred} if self.barred else {})}


class Refused(Struct, frozen=True):
    """A gate did not accept the answer."""

    gate: str
    text: str

    def onto(self, state: State) -> State:
        """Why stands behind the answer."""
        return _said(
            state, self.text, "gate", refusals={**state.refusals, self.gate: state.refusals.get(self.gate, 0) + 1}
        )


class Handed(Struct, frozen=True):
    """Another agent is at work."""

    agent: str
    messages: tuple[Message, ...]
    """The conversation it begins with, its instructions first."""
    phase: str = ""

    def onto(self, state: State) -> State:
        """What was counted of the last agent's replies is forgotten; what tools have done stays done."""
        return _changed(
            state, agent=self.agent, visited=(*state.visited, self.agent), since=state.iteration,
            messages=self.messages, phase=self.phase, reply=None, finish=None, base=None, nudges=0, schema_attempts=0,
            refusals={},
        )  # fmt: skip


class Accepted(Struct, frozen=True):
    """Nothing stands against the answer."""

    answer: str | None = None
    """In place of the reply's text."""

    def onto(self, state: State) -> State:
        """The reply is the answer."""
        return _changed(state, accepted=True, answer=self.answer)


class Wrapped(Struct, frozen=True):
    """A limit was reached that allows one more turn, without tools."""

    metric: str

    def onto(self, state: State) -> State:
        """The next turn is the last."""
        return _changed(state, wrap_up=self.metric)


class Kept(Struct, frozen=True):
    """A tool keeps something for the conversation."""

    name: str
    value: Any
    """None: nothing any more."""

    def onto(self, state: State) -> State:
        """The last value of a name counts."""
        kept = {**state.scratch, self.name: self.value}
        return _changed(state, scratch={name: value for name, value in kept.items() if value is not None})


class Resumed(Struct, frozen=True):
    """A run that had stopped goes on."""

    def onto(self, state: State) -> State:
        """It is not over, and patience with the model begins anew. What was open when it paused is open still."""
        return _changed(
            state, end=None, wrap_up="", accepted=False, answer=None, nudges=0, schema_attempts=0, base=None,
            refusals={},
        )  # fmt: skip


class Asked(Struct, frozen=True):
    """A call waits for a person."""

    approval: Approval

    def onto(self, state: State) -> State:
        """It stands among those that do."""
        return _changed(state, approvals=approvals.requested(state.approvals, self.approval))


class Ruled(Struct, frozen=True):
    """Somebody decided about a call."""

    decided: Decided

    def onto(self, state: State) -> State:
        """The first decision counts."""
        return _changed(state, approvals=approvals.decided(state.approvals, self.decided))


class GivenToPerson(Struct, frozen=True):
    """A person was asked for, came, or did not."""

    handing: Handing

    def onto(self, state: State) -> State:
        """The last word counts."""
        return _changed(state, handing=self.handing)


class Compacted(Struct, frozen=True):
    """The conversation was made smaller."""

    messages: tuple[Message, ...]
    """In place of those before. The last of them, from `base` on, are the same."""

    def onto(self, state: State) -> State:
        """Another conversation; everything else is as it was."""
        less = len(state.messages) - len(self.messages)
        return _changed(state, messages=self.messages, base=None if state.base is None else state.base - less)


class Ended(Struct, frozen=True):
    """The run has its outcome."""

    end: End

    def onto(self, state: State) -> State:
        """Nothing follows; a corrective turn that was not answered is no part of the conversation."""
        waits = state.base is not None and state.reply is None
        messages = state.messages[: state.base] if waits else state.messages
        return _changed(state, end=self.end, messages=messages)


Fact = (
    Prompted | Recalled | Iterated | Replied | Answered | Nudged | Corrected | Moved | Told | Refused | Handed
    | Accepted | Wrapped | Kept | Asked | Ruled | GivenToPerson | Compacted | Resumed | Ended
)  # fmt: skip

_changed = msgspec.structs.replace


def advance(state: State, fact: Fact) -> State:
    """The state after one more fact."""
    return fact.onto(state)


def plain(state: State) -> dict[str, Any]:
    """A state without its messages as plain values, for JSON; only what differs from a fresh one."""
    fresh = State()
    changed = {name: getattr(state, name) for name in State.__struct_fields__ if name != "messages"}
    return {
        name: msgspec.to_builtins(value, order="deterministic")
        for name, value in changed.items()
        if value != getattr(fresh, name)
    }


def read(values: Mapping[str, Any], messages: tuple[Message, ...]) -> State:
    """A state from its plain values and its messages. Raises msgspec.ValidationError."""
    return _changed(msgspec.convert(values, State), messages=messages)


def _said(state: State, text: str, kind: str, **changes: Any) -> State:
    messages = (*state.messages, _feedback(text, kind)) if text else state.messages
    return _changed(state, messages=messages, reply=None, finish=None, base=None, **changes)


def _feedback(text: str, kind: str) -> Message:
    """What the runtime says to the model. It speaks as the user; its name tells it from one, in the record too."""
    return Message("user", text, name=kind)
