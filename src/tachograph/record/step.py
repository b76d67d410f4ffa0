"""The three kinds of step: a model call, a tool call, and any work of the program's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, overload

import msgspec

from tachograph.events.call import CallEnded, CallMetered, CallStarted
from tachograph.events.chat import Message
from tachograph.events.content import Content
from tachograph.events.message import MessageAppended
from tachograph.events.note import Note
from tachograph.events.run import Failure, Status, StepEnded, StepKind, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted, ToolState
from tachograph.events.usage import MISSING, PROGRAM, Cost, Usage, is_stated
from tachograph.limits import guard as limits
from tachograph.record.ask import most_output, was_refused
from tachograph.record.door import Recorded, Step, kept
from tachograph.record.intent import Intent, LLMCall, ToolCall, Work, one_of, whole
from tachograph.record.prefix import Known, bytes_of, key_of, role_of
from tachograph.record.recorder import LiveRun, Recorder
from tachograph.record.spell import text_of
from tachograph.record.timeline import Beats


class WorkStep(Step[Work]):
    """A user step. Set `output` (and `metadata`) before it ends."""

    def pause(self) -> None:
        """It ends because its run waits for a person: neither well nor badly. What goes on later is another step."""
        self._status = "paused"

    def transcribe(self, messages: Sequence[Any]) -> int | None:
        """Record a conversation as far as it is not there yet; the node it reaches, or None when that failed."""
        recorder, run = self._recorder, self._run
        if recorder is None or run is None:
            return None
        try:
            return transcribe(recorder, run, messages)
        except Exception as problem:  # noqa: BLE001 - rule: instrumentation never breaks what it wraps
            recorder.fault("transcribe", problem)
            return None

    def _name(self) -> str:
        return self.intent.name

    def _kind_asked(self) -> str:
        if self.intent.kind == "handoff" and self.intent.action_type == limits.PERSON:
            return limits.PERSON
        return one_of(self.intent.kind, StepKind, "custom")  # type: ignore[no-any-return]  # a word of StepKind

    def _asked(self, run: LiveRun) -> limits.Intent:
        asked, work = super()._asked(run), self.intent
        if (work.kind, work.action_type) != ("handoff", "person"):
            return asked
        return msgspec.structs.replace(asked, kind="person")  # those between agents are what is counted

    def _record_start(self, recorder: Recorder, run: LiveRun, parent: int) -> int | None:
        work = self.intent
        started = StepStarted(
            kind=one_of(work.kind, StepKind, "custom"), name=recorder.plain(work.name), parent=parent,
            iteration=whole(work.iteration), agent_type=recorder.word(work.agent_type),
            action_type=recorder.word(work.action_type), input=kept(recorder, work.input),
            metadata=kept(recorder, work.metadata), refs=recorder.words(work.refs),
        )  # fmt: skip
        return recorder.start(run, started, work.kind)

    def _record_end(
        self, recorder: Recorder, run: LiveRun, number: int, status: Status, failure: Failure | None
    ) -> None:
        output, metadata = kept(recorder, self.output), kept(recorder, self.metadata)
        ended = StepEnded(status=status, output=output, error=failure, metadata=metadata)
        recorder.finish(run, lambda seq: ((ended, number),))


class ToolStep(Step[ToolCall]):
    """A tool call. Set `output` to its result."""

    _kind = "tool"
    _state: ToolState | None = None
    _why: str | None = None

    def reject(self, reason: str) -> None:
        """It was not allowed to run."""
        self._state, self._why = "rejected", reason

    def skip(self, reason: str) -> None:
        """It was not run, and the model is told so."""
        self._state, self._why = "skipped", reason

    def give_up(self, reason: str, *, cancelled: bool = False) -> None:
        """Nobody waits for it any more: it is abandoned, or it was cancelled and has ended."""
        self._state, self._why = "cancelled" if cancelled else "abandoned", reason

    def _name(self) -> str:
        return self.intent.name

    def _asked(self, run: LiveRun) -> limits.Intent:
        call = self.intent
        return limits.Intent(
            run.id, "tool", text_of(call.name), tenant=run.tenant, session=run.session, arguments=call.arguments
        )

    def _settled(self, status: Status, failure: Failure | None, error: BaseException | None) -> limits.Settled:
        why = "" if failure is None else failure.type
        return limits.Settled(self._state or status, self._number, result=self.output, error=why)

    def _refused(self, recorder: Recorder, run: LiveRun, parent: int, answer: limits.Refused) -> None:
        super()._refused(recorder, run, parent, answer)
        number = self._record_start(recorder, run, parent)
        if number is not None:
            state: ToolState = "skipped" if answer.mode == "skip" else "rejected"
            recorder.end(run, number, ToolEnded(state=state, reason=answer.reason or answer.metric))
            if run.guard is not None:
                run.guard.recorded(answer, number)

    def _record_start(self, recorder: Recorder, run: LiveRun, parent: int) -> int | None:
        call = self.intent
        started = ToolStarted(
            name=recorder.plain(call.name), call_id=recorder.word(call.call_id), parent=parent,
            requested_by=whole(call.requested_by), index=whole(call.index) or 0, iteration=whole(call.iteration),
            arguments=kept(recorder, call.arguments), classification=recorder.plain(call.classification),
            agent_type=recorder.word(call.agent_type), metadata=kept(recorder, call.metadata),
            refs=recorder.words(call.refs),
        )  # fmt: skip
        return recorder.start(run, started, "tool")

    def _record_end(
        self, recorder: Recorder, run: LiveRun, number: int, status: Status, failure: Failure | None
    ) -> None:
        state: ToolState = self._state or status  # type: ignore[assignment]  # a verdict is never started or paused
        ended = ToolEnded(
            state=state, result=kept(recorder, self.output), error=failure, reason=recorder.word(self._why),
            metadata=kept(recorder, self.metadata),
        )  # fmt: skip
        recorder.finish(run, lambda seq: ((ended, number),))

    def _count(self, run: LiveRun) -> None:
        run.tool_calls += 1


class CallStep(Step[LLMCall]):
    """A model call. Feed it the stream with `add`, or set `reply`; set `usage` when the provider says it."""

    _kind = "llm"
    reply: Any = None
    """The assistant's message in the provider's shape, a text, or a list of messages."""
    usage: Usage | None = None
    """Tokens, when somebody said them; None stays `missing`, never 0."""
    finish_reason: str | None = None
    served_model: str | None = None
    served_tier: str | None = None
    response_id: str | None = None
    request_id: str | None = None
    http_status: int | None = None
    reported_cost: Decimal | None = None
    """What the other side said it cost, in USD."""
    cost: Cost | None = None
    """What it cost, for a program that prices its calls itself; None leaves it to the price list."""
    chunks: int | None = None
    """How many chunks arrived, where they were not handed to `add`."""
    sent: bool | None = None
    """Whether the request reached the provider and was taken; None: as far as an error or the HTTP status tells."""
    _split: tuple[int | None, list[Known]] | None = None
    """What of the messages is recorded already, and what is new; known since the guard asked."""
    _tip: int | None = None
    _beats: Beats | None = None
    _first: int | None = None

    def __init__(self, intent: LLMCall) -> None:
        self.intent = intent
        self._text: list[str] = []

    def add(self, text: str | None = None) -> None:
        """A chunk arrived, with this piece of the reply's text (or none: a keep-alive counts as no content)."""
        recorder = self._recorder
        if recorder is None:
            return
        try:
            elapsed = recorder.clock.mono() - self._started_at
            if self._beats is None:
                self._beats = Beats()
            self._beats.beat(elapsed)
            if text:
                if self._first is None:
                    self._first = elapsed
                self._text.append(text)
        except Exception as problem:  # noqa: BLE001 - rule: instrumentation never breaks the stream it watches
            recorder.fault("add", problem)

    def meter(self, usage: Usage, cost: Cost | None = None) -> None:
        """Say what it used (and what that costs, as for `cost`), now or, when that is known late, after its end."""
        self.usage, self.cost = usage, cost
        recorder, run, number = self._recorder, self._run, self._number
        if recorder is None or run is None or number is None or number in run.open or not run.is_of(recorder):
            return
        try:
            self._record_late(recorder, run, number)
        except Exception as problem:  # noqa: BLE001 - as above
            recorder.fault("meter", problem)

    def _name(self) -> str:
        return self.intent.model

    def _asked(self, run: LiveRun) -> limits.Intent:
        call = self.intent
        self._split, size = run.prefix.measured_split(call.messages, call.reminders)
        tools = bytes_of(call.tools)
        most, replies = most_output(call)
        return limits.Intent(
            run.id, "llm", text_of(call.model), text_of(call.provider or ""), run.tenant, run.session,
            whole(call.attempt) or 1, input_bytes=size + tools, tools=bool(tools), max_output=most, replies=replies,
            tier=None if call.tier is None else text_of(call.tier),
        )  # fmt: skip

    def room(self) -> int | None:
        """Most tokens of output a reply that the request may ask for within its run's limits; None: no limit.

        To be asked before it is entered.
        """
        recorder = self.source()
        if recorder is None:
            return None
        try:
            place = self._place(recorder)
            guard = None if place is None else place[0].guard
            return None if place is None or guard is None else guard.room(self._asked(place[0]))
        except Exception as problem:  # noqa: BLE001 - what cannot be measured is asked for whole, and admitted or not
            recorder.fault("guard", problem)
            return None

    def _settled(self, status: Status, failure: Failure | None, error: BaseException | None) -> limits.Settled:
        usage, cost = self.usage, self.cost
        # Where a reply came or was metered, an error with a status is the program's own.
        answered = usage is not None or self.reply is not None or bool(self._text)
        sent = self.sent if self.sent is not None or not answered else True
        return limits.Settled(
            status, self._number, usage if isinstance(usage, Usage) else None, cost if isinstance(cost, Cost) else None,
            sent=not was_refused(sent, status, self.http_status, error), served_model=self.served_model,
            error="" if failure is None else failure.type,
        )  # fmt: skip

    def _record_start(self, recorder: Recorder, run: LiveRun, parent: int) -> int | None:
        call, ticket = self.intent, self._ticket
        known, fresh = self._split or run.prefix.split(call.messages)
        said = said_of(recorder, [message for _, message in fresh])
        reminders = said_of(recorder, call.reminders) if call.reminders else []
        reserved = None if ticket is None else ticket.reservation
        tools, params, facts = kept(recorder, call.tools), kept(recorder, call.params), kept(recorder, call.metadata)
        plain, word, refs = recorder.plain, recorder.word, recorder.words(call.refs)
        provider, model, operation = plain(call.provider), plain(call.model), plain(call.operation)

        def build(seq: int) -> list[Any]:
            tip = seq + len(said) - 1 if said else known
            reminded = chained(reminders, tip, seq + len(said), ephemeral=True)
            started = CallStarted(
                provider=provider, model=model, operation=operation, parent=parent, iteration=whole(call.iteration),
                attempt=whole(call.attempt) or 1, retry_of=whole(call.retry_of), streaming=bool(call.streaming),
                input=seq + len(said) + len(reminders) - 1 if reminders else tip, tools=tools, params=params,
                tier=word(call.tier), agent_type=word(call.agent_type), purpose=word(call.purpose), metadata=facts,
                refs=refs, reserved=reserved,
            )  # fmt: skip
            return [*chained(said, known, seq), *reminded, (started, None)]

        first = recorder.write(run, build, starts=True)
        if first is None:
            return None
        self._tip = learned(run, [key for key, _ in fresh], said, known, first)
        number = first + len(said) + len(reminders)
        recorder.opened(run, number, "llm")
        return number

    def _record_end(
        self, recorder: Recorder, run: LiveRun, number: int, status: Status, failure: Failure | None
    ) -> None:
        messages, beats, tip = self._messages(), self._beats, self._tip
        said, metadata, word = said_of(recorder, messages), kept(recorder, self.metadata), recorder.word
        usage, cost = self._spent()
        chunks = beats.chunks if beats and self.chunks is None else whole(self.chunks)

        def build(seq: int) -> list[Any]:
            ended = CallEnded(
                status=status, output=seq + len(said) - 1 if said else None, usage=usage, cost=cost,
                reported_cost=_nano(self.reported_cost), finish_reason=word(self.finish_reason),
                served_model=word(self.served_model), served_tier=word(self.served_tier),
                response_id=word(self.response_id), request_id=word(self.request_id),
                http_status=whole(self.http_status), first_token_ns=self._first,
                chunks=chunks, timeline=beats.timeline() if beats else None, error=failure, metadata=metadata,
            )  # fmt: skip
            return [*chained(said, tip, seq), (ended, number)]

        first = recorder.finish(run, build)
        if first is not None:
            learned(run, [key_of(message) for message in messages], said, tip, first)

    def _record_late(self, recorder: Recorder, run: LiveRun, number: int) -> None:
        usage, cost = self._spent()
        if usage != MISSING:
            metered = CallMetered(call=number, usage=usage, cost=cost)
            recorder.finish(run, lambda seq: ((metered, number),))

    def _spent(self) -> tuple[Usage, Cost | None]:
        usage = self.usage if isinstance(self.usage, Usage) else MISSING
        return usage, _stated(self.cost) if isinstance(self.cost, Cost) else None

    def _count(self, run: LiveRun) -> None:
        run.llm_calls += 1

    def _messages(self) -> list[Any]:
        reply = self.reply if self.reply is not None else self.output
        if reply is None and self._text:
            reply = "".join(self._text)
        if reply is None:
            return []
        if isinstance(reply, str):
            return [{"role": "assistant", "content": reply}]
        return list(reply) if isinstance(reply, (list, tuple)) else [reply]


def _nano(usd: Any) -> int | None:
    """USD as nano-USD; None for what is no finite amount."""
    try:
        return None if usd is None else int(Decimal(str(usd)).scaleb(9))
    except (ArithmeticError, ValueError):
        return None


def _stated(cost: Cost) -> Cost:
    """A cost that says that no price list made it."""
    if is_stated(cost.price_id):
        return cost
    return msgspec.structs.replace(cost, price_id=f"{PROGRAM}:{cost.price_id}" if cost.price_id else PROGRAM)


Said = list[tuple[str, Content]]
"""(role, content) of messages about to be recorded, in order."""


def said_of(recorder: Recorder, messages: Sequence[Any]) -> Said:
    """Messages ready to be recorded."""
    return [
        (role_of(message), recorder.content(message.plain() if type(message) is Message else message))
        for message in messages
    ]


def chained(said: Said, parent: int | None, seq: int, *, ephemeral: bool = False) -> list[tuple[MessageAppended, int]]:
    """The messages as events, each naming the one before; the first will be event `seq`."""
    bodies = []
    for role, content in said:
        bodies.append((MessageAppended(role=role, parent=parent, message=content, ephemeral=ephemeral), 0))
        parent = seq
        seq += 1
    return bodies


CONVERSATION = "conversation"
"""Note that says where a conversation stands; see `transcribe`."""


def transcribe(
    recorder: Recorder, run: LiveRun, messages: Sequence[Any], noted: Mapping[str, Any] | None = None
) -> int | None:
    """Record those messages of a conversation that no request of the run has shown; the node of the last.

    `noted` goes with them as the note `conversation`: its `node` names the last message, and without one it is the
    message right before the note. None when there is no message, or it could not be kept.
    """
    known, fresh = run.prefix.split(messages)
    if not fresh and noted is None:
        return known
    said = said_of(recorder, [message for _, message in fresh])
    notes = []
    if noted is not None:
        facts = noted if said else {**noted, "node": known}
        notes.append((Note(name=CONVERSATION, data=kept(recorder, facts)), 0))
    first = recorder.write(run, lambda seq: [*chained(said, known, seq), *notes])
    return None if first is None else learned(run, [key for key, _ in fresh], said, known, first)


def learned(run: LiveRun, keys: list[Any], said: Said, parent: int | None, first: int) -> int | None:
    """Remember what was recorded from `first` on; the node of the last message."""
    learn = run.prefix.learn
    for seq, key in enumerate(keys, first):
        learn(key, seq, parent, said[seq - first][1].size)
        parent = seq
    return parent


_STEPS: Mapping[type, type[Step[Any]]] = {LLMCall: CallStep, ToolCall: ToolStep, Work: WorkStep}


@overload
def step(what: LLMCall, *, below: Recorded | str | None = None) -> CallStep: ...
@overload
def step(what: ToolCall, *, below: Recorded | str | None = None) -> ToolStep: ...
@overload
def step(what: str | Work, *, below: Recorded | str | None = None, **facts: Any) -> WorkStep: ...
def step(what: Intent | str, *, below: Recorded | str | None = None, **facts: Any) -> Step[Any]:
    """A step, as context manager (plain or async) or decorator.

    `what` is an `LLMCall`, a `ToolCall`, or the name of a user step; then `facts` are the other fields of `Work`:
    kind, input, iteration, agent_type, action_type, metadata, refs. `below` is a run or step, or the id of one, that is
    open in this process and that it belongs to although it is not inside it.
    """
    intent = Work(what, **facts) if isinstance(what, str) else what
    made = _STEPS[type(intent)](intent)
    made.below = below
    return made
