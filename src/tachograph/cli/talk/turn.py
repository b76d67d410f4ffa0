"""One turn at a terminal: the answer as it streams, on stdout; everything else that happens, on stderr.

Ctrl-C, or SIGTERM, calls the turn off, and the turn ends in order: its outcome says `cancelled`, its record is closed.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from rich.text import Text

from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.handle import Handle, Stream
from tachograph.agent.progress import Limited, ModelWarned, Nudged, RetryExhausted, Retrying, StreamReset, ToolDone
from tachograph.cli import exits, human
from tachograph.cli.draw.narrator import Narrator
from tachograph.cli.pick import digits
from tachograph.cli.terminal import Terminal
from tachograph.events.envelope import Event
from tachograph.events.run import RunStarted
from tachograph.fold.steps import closes, opened
from tachograph.providers.port import TextDelta
from tachograph.queries import wording
from tachograph.record import scope

LIMIT_REASONS = frozenset(
    {
        "max_iterations", "max_llm_calls", "max_tool_calls", "max_handoffs", "max_depth", "deadline", "tool_loop",
        "no_progress", "token_budget", "cost_budget", "session_limit", "quota",
    }
)  # fmt: skip
"""Stop reasons that a limit gives."""


_ADVICE = 400
"""Most characters of why a limit warned: what to do about it stands at the end."""


def exit_code(outcome: Outcome[Any]) -> int:
    """What a script can know of a run without reading anything."""
    if outcome.completed:
        return exits.OK
    if outcome.status == "cancelled":
        return exits.INTERRUPTED
    if outcome.status == "paused":
        return exits.WAITS
    return exits.STOPPED if outcome.stop_reason in LIMIT_REASONS else exits.FOUND_WRONG


class Teller:
    """Prints what a run tells."""

    def __init__(self, terminal: Terminal, *, trace: bool = False) -> None:
        self._terminal, self._trace = terminal, trace
        self._midline = False

    def tell(self, value: Any) -> None:
        """One value of the stream."""
        if isinstance(value, TextDelta):
            if not self._terminal.json:
                sys.stdout.write(value.text)
                self._terminal.flush()
                self._midline = not value.text.endswith("\n")
        elif not self._trace and (said := _remark(value)):
            self.end_line()
            self._terminal.err.print(Text(said, "dim"))

    def end_line(self) -> None:
        """What was streamed is over."""
        if self._midline:
            sys.stdout.write("\n")
            self._terminal.flush()
        self._midline = False

    def conclude(self, outcome: Outcome[Any]) -> None:
        """How it ended, for whoever has not seen an answer."""
        self.end_line()
        if self._terminal.json:
            self._terminal.give(as_json(outcome))
        elif not outcome.completed:
            why = f"{outcome.status}: {outcome.stop_reason}" + (f": {outcome.detail}" if outcome.detail else "")
            self._terminal.err.print(Text(why, "red"))
            if outcome.status == "paused" and outcome.execution_id:
                for run in dict.fromkeys(one.run or outcome.run_id or "" for one in outcome.waiting):
                    waits = digits(_execution(outcome, run) or run)
                    self._terminal.tell(f"decide: tachograph approvals allow {waits}  (or deny, edit)")
                self._terminal.tell(f"go on:  tachograph resume {digits(outcome.execution_id)} FILE.py:AGENT")


def _execution(outcome: Outcome[Any], run: str) -> str | None:
    """The execution of that run: the outcome's own, or one below."""
    if outcome.run_id == run:
        return outcome.execution_id
    return next((found for child in outcome.children if (found := _execution(child, run))), None)


def as_json(outcome: Outcome[Any]) -> Mapping[str, Any]:
    """An outcome as one JSON object, without the conversation."""
    spent = outcome.spent
    return {
        "status": outcome.status, "stop_reason": outcome.stop_reason, "answer": outcome.answer,
        "output": outcome.output, "detail": outcome.detail, "message": outcome.message,
        "waiting": outcome.waiting, "run_id": outcome.run_id,
        "execution_id": outcome.execution_id, "session": outcome.session, "last_seq": outcome.last_seq,
        "resumable": outcome.resumable, "iterations": outcome.iterations, "seconds": round(outcome.seconds, 3),
        "llm_calls": spent.llm_calls, "tool_calls": spent.tool_calls, "usage": spent.usage,
        "cost": float(spent.cost), "unpriced_calls": spent.unpriced,
    }  # fmt: skip


async def turn(start: Callable[[], Handle[Any]], teller: Teller) -> Outcome[Any]:
    """Start a run, tell it as it happens, and let Ctrl-C or SIGTERM call it off.

    A limit of mode `raise` is an outcome like any other here.
    """
    handle = start()
    with _interrupts(handle):
        async with Stream(handle) as stream:
            async for value in stream:
                teller.tell(value)
    outcome: Outcome[Any] = value.outcome  # the last one is a `RunDone`
    return outcome


@contextmanager
def watched(terminal: Terminal) -> Iterator[None]:
    """While the block lasts, every recorded event is a line on stderr, indented by how deep its step lies."""
    with scope.recorder().feed.subscribe(_Tree(terminal).hears):
        yield


_MARGIN = 17
"""Time and number of an event, which stand in columns of their own."""


class _Tree:
    """Lines of a growing tree."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal, self._narrator = terminal, Narrator(name_runs=False)
        self._depth: dict[tuple[str, int], int] = {}

    def hears(self, event: Event) -> bool:
        """Print one line; nothing is left for a reader of the subscription."""
        depth = self._place(event)
        line = self._narrator.tell(event)
        self._terminal.err.print(Text.assemble(line[:_MARGIN], "  " * depth, line[_MARGIN:]), soft_wrap=True)
        return False

    def _place(self, event: Event) -> int:
        start = opened(event)
        if start is not None:
            above = self._above(event, start.parent)
            self._depth[event.run, start.step] = depth = self._depth.get(above, -1) + 1
            return depth
        ended = closes(event)
        if ended is not None:
            return self._depth.pop((event.run, ended), 0)
        return self._depth.get((event.run, event.step), 0) + 1

    def _above(self, event: Event, parent: int | None) -> tuple[str, int]:
        body = event.body
        if isinstance(body, RunStarted):
            return (body.parent_run or "", body.parent_step or 0)
        return (event.run, parent or 0)


@contextmanager
def _interrupts(handle: Handle[Any]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGTERM)
    with suppress(NotImplementedError, RuntimeError):  # Windows, or not the main thread: then as Python does it
        loop.add_signal_handler(signal.SIGINT, handle.cancel)
        loop.add_signal_handler(signal.SIGTERM, handle.cancel, "signal")
    try:
        yield
    finally:
        with suppress(NotImplementedError, RuntimeError):
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_signal_handler(signal.SIGTERM)
            signal.signal(signal.SIGTERM, before)


def _remark(value: Any) -> str:
    """What a person should know while it happens; nothing for most."""
    match value:
        case StreamReset():
            return "(the reply broke off; what stands above counts no more)"
        case Retrying(delay=delay, error=error):
            return f"({error.category}; again in {delay:.1f} s)"
        case RetryExhausted(attempts=attempts):
            return f"(given up after {attempts} attempts)"
        case ToolDone(call=call, state=state, seconds=seconds, result=result):
            why = "" if state == "completed" else f": {human.line(str(result), 120)}"
            return f"· {call.name} {state} {wording.duration(int(seconds * 1e9))}{why}"
        case Limited(notice=notice):
            why = f": {human.line(notice.reason, _ADVICE)}" if notice.reason else ""
            return f"(limit {notice.metric}: {notice.mode}, {notice.used:g} of {notice.threshold:g}{why})"
        case Nudged(kind=kind):
            return f"(nudged: {kind})"
        case ModelWarned(warning=warning):
            names = ", ".join(one["id"] for one in warning.get("suggestions", ()))
            return (
                f"(the model {warning.get('model')!r} is in no catalogue{f'; did you mean {names}?' if names else ''})"
            )
    return ""
