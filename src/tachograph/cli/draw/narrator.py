"""One line an event, for whoever watches a run happen.

End events say only which step they end, so a narrator remembers the names and starts of the steps that are open, and
tells how long each took.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from rich.text import Text

from tachograph.cli import human
from tachograph.cli.draw.messages import lines
from tachograph.events.call import CallEnded, CallMetered, CallRepriced, CallStarted
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.message import MessageAppended
from tachograph.events.note import Loss, Note, Score, Unknown
from tachograph.events.run import Failure, RunEnded, RunResumed, RunStarted, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.fold.handoffs import STATES, handing_of, value_of
from tachograph.fold.steps import Open, closes, opened
from tachograph.queries import wording

WIDTH = 100
"""Most characters of recorded text in a line."""
ENDED_RUNS = 1_000
"""Ended runs whose beginning is remembered, for they may go on."""


class Narrator:
    """Tells events one by one. Hand it each run's events in order; runs may be mixed."""

    def __init__(self, *, name_runs: bool = True) -> None:
        self._name_runs = name_runs
        self._open: dict[tuple[str, int], Open] = {}
        self._names: dict[str, str] = {}
        self._over: dict[str, Open] = {}

    def tell(self, event: Event) -> Text:
        """The line of an event: time, run, number, what happened."""
        start = opened(event)
        if start is not None:
            self._open[event.run, start.step] = start
        if isinstance(event.body, RunStarted):
            self._names[event.run] = event.body.name
        elif isinstance(event.body, RunResumed) and (run := self._over.pop(event.run, None)) is not None:
            self._open[event.run, 0] = run
            self._names[event.run] = run.name
        words = Text.assemble((human.moment(event.at, seconds=True)[11:], "dim"), "  ")
        if self._name_runs:
            words.append(human.line(self._names.get(event.run, event.run[:13]), 20).ljust(20), "bold")
            words.append("  ")
        words.append(f"{event.seq:>5}  ", "dim")
        return words.append_text(self._body(event))

    def _body(self, event: Event) -> Text:
        ended = closes(event)
        step = None if ended is None else self._open.pop((event.run, ended), None)
        if isinstance(event.body, RunEnded):
            self._names.pop(event.run, None)
            self._remember(event.run, step)
        told = _TELLERS.get(type(event.body))
        if told is None:
            return _line("event", type(event.body).__name__)
        words: Text = told(event.body)
        if step is not None:
            took = wording.duration(max(0, event.mono - step.mono))
            name = "" if step.kind in ("run", "iteration") else f"{human.step_name(step.kind, step.name, 40)} "
            words = Text.assemble((f"{step.kind:<9}", "bold"), " ", name, words, (f"  {took}", "dim"))
        elif ended is not None:
            words = Text.assemble(("end      ", "bold"), f" of step {ended} ", words)
        return words

    def _remember(self, run: str, began: Open | None) -> None:
        if began is not None:
            self._over[run] = began
        if len(self._over) > ENDED_RUNS:
            del self._over[next(iter(self._over))]


def _line(kind: str, *parts: str | tuple[str, str]) -> Text:
    return Text.assemble((f"{kind:<9}", "bold"), " ", *(part for part in parts if part))


def _status(status: str, reason: str = "") -> tuple[str, str]:
    return wording.outcome(status, reason), human.STATUS_STYLES.get(status, "")


def _detail(content: Content | None) -> str:
    return f"  {human.said(content, WIDTH)}" if content is not None else ""


def _failed(error: Failure | None) -> tuple[str, str]:
    return ("", "") if error is None else (f"  {human.fault(error, WIDTH)}", "red")


def _run_started(body: RunStarted) -> Text:
    session = f"  session {human.line(body.session, 40)}" if body.session else ""
    source = f"  from {human.line(body.source, 60)}" if body.source else ""
    return _line("run", human.line(body.name, 60), (" starts", "cyan"), session, source, (_detail(body.input), "dim"))


def _run_ended(body: RunEnded) -> Text:
    return Text.assemble(_status(body.status, body.stop_reason), _failed(body.error), (_detail(body.output), "dim"))


def _run_resumed(body: RunResumed) -> Text:
    by = f"  by {human.line(body.by, 40)}" if body.by else ""
    return _line("run", ("goes on", "cyan"), f"  resumed {body.epoch}×{by}", (_detail(body.limits), "dim"))


def _step_started(body: StepStarted) -> Text:
    name = f"{body.iteration}" if body.kind == "iteration" and body.iteration is not None else body.name
    return _line(body.kind, human.step_name(body.kind, name, 60), (" starts", "cyan"), (_detail(body.input), "dim"))


def _step_ended(body: StepEnded) -> Text:
    return Text.assemble(_status(body.status), _failed(body.error))


def _call_started(body: CallStarted) -> Text:
    again = f"  attempt {body.attempt}" if body.attempt > 1 else ""
    return _line("llm", human.line(body.model, 60), (" asked", "cyan"), (again, "yellow"))


def _call_ended(body: CallEnded) -> Text:
    return Text.assemble(_status(body.status, body.finish_reason or ""), _spent(body), _failed(body.error))


def _spent(body: CallEnded | CallMetered) -> str:
    usage, cost = body.usage, body.cost
    money = wording.money(cost.total if cost else None)
    return f"  {wording.short(usage.input_total)} → {wording.short(usage.output)} tokens  {money}"


def _call_metered(body: CallMetered) -> Text:
    return _line("usage", f"call {body.call}{_spent(body)}")


def _call_repriced(body: CallRepriced) -> Text:
    return _line("price", f"call {body.call} now costs {wording.money(body.cost.total)}")


def _tool_started(body: ToolStarted) -> Text:
    return _line("tool", human.line(body.name, 60), (" called", "cyan"), (_detail(body.arguments), "dim"))


def _tool_ended(body: ToolEnded) -> Text:
    why = f"  {human.line(body.reason, WIDTH)}" if body.reason else ""
    return Text.assemble(_status(body.state), why, _failed(body.error), (_detail(body.result), "dim"))


def _message(body: MessageAppended) -> Text:
    return _line("message", human.line(body.role, 20), (f"  {spoken(body.message, WIDTH)}", "dim"))


def _limit(body: LimitHit) -> Text:
    facts = f"{body.scope} {body.metric}: {body.used:g} of {body.threshold:g}"
    return _line("limit", (human.line(f"{body.mode}  {facts}  {body.reason}", WIDTH), "red"))


def _note(body: Note) -> Text:
    handing = handing_of(body.name, value_of(body.data, None)) if body.name in STATES else None
    if handing is not None:
        said = handing.problem or handing.text or handing.reason
        return _line("note", human.line(body.name, 60), f"  {human.line(said, WIDTH)}")
    return _line("note", human.line(body.name, 60), (_detail(body.data), "dim"))


def _score(body: Score) -> Text:
    value = body.label if body.value is None else f"{body.value:g}"
    return _line("score", f"{human.line(body.name, 60)} {human.line(value or wording.UNKNOWN, 60)}  ({body.kind})")


def _loss(body: Loss) -> Text:
    return _line("loss", (f"{human.line(body.reason, 60)}: {body.events} events, {wording.size(body.bytes)}", "red"))


def _unknown(body: Unknown) -> Text:
    return _line("unknown", human.line(body.type, 60))


_TELLERS: Mapping[type, Callable[[Any], Text]] = {
    RunStarted: _run_started,
    RunEnded: _run_ended,
    RunResumed: _run_resumed,
    StepStarted: _step_started,
    StepEnded: _step_ended,
    CallStarted: _call_started,
    CallEnded: _call_ended,
    CallMetered: _call_metered,
    CallRepriced: _call_repriced,
    ToolStarted: _tool_started,
    ToolEnded: _tool_ended,
    MessageAppended: _message,
    LimitHit: _limit,
    Note: _note,
    Score: _score,
    Loss: _loss,
    Unknown: _unknown,
}


def spoken(message: Content, width: int = 0) -> str:
    """What a message says, on one line: its text, or what it asks for, without the JSON around it."""
    if message.text is None:
        return human.said(message, width)
    try:
        return human.line(" ".join(lines(msgspec.json.decode(message.text))), width)
    except msgspec.DecodeError:
        return human.line(message.text, width)
