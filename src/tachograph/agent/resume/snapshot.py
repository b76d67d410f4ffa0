"""A snapshot: a position in the log and everything that stood there, as a value that JSON can hold.

It is a fold of the log, so two snapshots of one position are the same bytes. What the log cannot say (functions,
what redaction masked, what was never recorded) is named in `warnings`, one sentence each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import msgspec
from msgspec import Struct, structs

from tachograph.agent.call import Onward
from tachograph.agent.reminders import Reminding
from tachograph.agent.resume.recording import Recording, reading, recording
from tachograph.agent.state import Answered, Resumed, State, advance
from tachograph.errors import CodecError
from tachograph.events.chat import HIDDEN, Message
from tachograph.fold.state import RunState
from tachograph.store.ports import Reading

VERSION = 1
"""Of the form; raised when a field changes its meaning. Older ones are read by every later version."""


class Snapshot(Struct, frozen=True, kw_only=True):
    """Where a run stood after its event `seq`, and where the runs stood that it had begun."""

    version: int = VERSION
    execution_id: str
    run: str
    seq: int
    at: int
    """UTC ns of that event."""
    agent: str = ""
    """The agent at work."""
    session: str | None = None
    user: str | None = None
    tenant: str = "default"
    status: str = "started"
    stop_reason: str = ""
    state: State
    """Its conversation and where the loop was."""
    reminding: Reminding = Reminding()
    totals: Mapping[str, Any] = {}
    """What it had used; see `fold.totals`."""
    limits: Mapping[str, Any] = {}
    """Limits reached: scope/metric/mode → how often, when last, figures."""
    tools: tuple[str, ...] = ()
    """Names of the tools of its last request."""
    results: tuple[Message, ...] = ()
    """Of its open calls, where one of them had begun: what was known of each. Nobody may make them again."""
    children: tuple[Snapshot, ...] = ()
    """Delegates, in the order in which they began."""
    warnings: tuple[str, ...] = ()
    """What is not in it."""

    def dump(self) -> bytes:
        """As JSON; equal snapshots are equal bytes."""
        return msgspec.json.encode(self, order="deterministic")

    def call(self) -> dict[str, Any]:
        """Keywords for a run that begins where this one stood: `agent.run("Go on.", **snapshot.call())`.

        It is a run of its own, in any store. Calls that were open when the snapshot was taken are made by it, unless
        one of them had begun: then each has the result that was known, or is interrupted.
        """
        state = advance(self.state, Answered(self.results)) if self.results else self.state
        state = structs.replace(advance(state, Resumed()), iteration=0)
        origin = {"execution_id": self.execution_id, "run": self.run, "seq": self.seq}
        return {
            "onward": Onward(state), "reminding": self.reminding, "session": self.session, "user": self.user,
            "tenant": self.tenant, "metadata": {"forked_from": origin},
        }  # fmt: skip

    @classmethod
    def restore(cls, data: bytes | str) -> Self:
        """From its JSON. Raises CodecError for what is none, and for one of a later version."""
        try:
            version = msgspec.json.decode(data, type=_Version).version
            if version > VERSION:
                raise CodecError(f"a snapshot of version {version}, and this version reads up to {VERSION}: update")
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as problem:
            raise CodecError(f"no snapshot: {problem}") from problem


class _Version(Struct):
    version: int


def snapshot(
    execution_id: str, seq: int | None = None, *, store: Reading | None = None, accept: bool = False
) -> Snapshot:
    """Where the run of an execution stood after event `seq`; None: after its last.

    `accept` goes on where content was not kept: a warning names what is missing. Raises NotFound, InvalidParameter,
    CodecError, StoreUnavailable.
    """
    with reading(store) as found:
        return of_recording(recording(execution_id, found).until(seq), accept=accept)


def of_recording(recorded: Recording, *, accept: bool = False) -> Snapshot:
    """The snapshot at the end of a recording. Raises CodecError for content that was not kept, unless accepted."""
    totals = RunState()
    for event in recorded.events:
        totals.apply(event)
    run, folded, started = totals.snapshot(), recorded.folded(accept=accept), recorded.started
    return Snapshot(
        execution_id=recorded.execution_id, run=recorded.run, seq=recorded.seq, at=recorded.events[-1].at,
        agent=folded.state.agent or started.name, session=started.session, user=started.user, tenant=started.tenant,
        status=run.status, stop_reason=run.stop_reason, state=folded.state, reminding=folded.reminding,
        totals=msgspec.to_builtins(run.totals), limits=msgspec.to_builtins(run.limits), tools=recorded.offered(),
        results=folded.under_way(),
        children=tuple(of_recording(child, accept=accept) for child in recorded.children()),
        warnings=(*folded.losses, *_missing(folded.state)),
    )  # fmt: skip


def _missing(state: State) -> list[str]:
    found = []
    masked = [call.name for message in state.messages for call in message.tool_calls if HIDDEN in call.arguments]
    if masked:
        found.append(f"arguments were masked when they were recorded: of {', '.join(dict.fromkeys(masked))}")
    if state.open:
        found.append(f"calls without a result: {', '.join(call.name for call in state.open)}")
    return [*found, "tools, hooks and other functions are code: a program that goes on brings them"]
