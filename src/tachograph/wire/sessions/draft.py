"""A run being told from a log: numbers its events, pairs tool calls with their results, and closes what stays open.

All readers write through a `Draft`, so all runs keep the same rules: seq without gaps from 0, one end for every start,
ends not before their starts, transcripts that grow at their tip. A call starts when its last input message was there,
as far as the log tells; logs have no monotonic clock, so `mono` is the time since the run began.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Raw, Struct

from tachograph.events import ids
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.content import Content
from tachograph.events.envelope import Body, Event
from tachograph.events.message import MessageAppended
from tachograph.events.note import Note, Score
from tachograph.events.run import Failure, RunEnded, RunStarted, Status, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted, ToolState
from tachograph.wire.lines import encoded, verbatim


class Delegation(Struct, frozen=True):
    """A sub-agent at work: what its own log calls it, and the step of the run that started it."""

    agent: str
    """Claude Code: `<session>/<agent id>`; Codex: the thread's id."""
    run: str
    step: int
    name: str | None = None
    """What kind of agent it is, as the one who started it called it."""


class Recorded(Struct, frozen=True):
    """One run, whole. Its id depends only on where it stands in its source, so importing it again changes nothing."""

    run: str
    events: tuple[Event, ...]
    line: int
    """Where it begins, 1-based."""
    growing: bool = False
    """It is the last of a log that may still grow: read again, it may have more events, or another end."""
    delegations: tuple[Delegation, ...] = ()
    """Sub-agents it started whose runs stand in logs of their own."""


class Problem(Struct, frozen=True):
    """A line that could not be read; the rest went in."""

    line: int
    reason: str


class Origin(Struct, frozen=True):
    """Where records come from, and what they do not say themselves."""

    source: str
    """Name of the file."""
    at: int = 0
    """UTC nanoseconds for records without a time (the time of the file). Ids never depend on it."""
    key: str = ""
    """Identity for records without an id of their own; the source when it is empty."""
    parents: Mapping[str, Sequence[Delegation]] = {}
    """Delegations found in other logs, by `agent`, in order: they link a sub-agent's runs to those that started it."""


Found = Iterator[Recorded | Problem]
"""What a reader yields, in the order of the log."""

Reader = Callable[[Iterable[tuple[int, bytes]], Origin], Found]
"""(lines with their 1-based numbers, where they come from) → runs and problems. A document of JSON is one line."""


class Draft:
    """The events of one run so far."""

    def __init__(self, source: str, key: str, at: int | None, origin: Origin, line: int = 1) -> None:
        """`source` is the format's name; `at` the start, None when the log has no times."""
        self.began = origin.at if at is None else at
        self.run = ids.run_id_for(f"{source}:{key}", at or 0)
        self.line = line
        self.events: list[Event] = []
        self.tip: int | None = None
        """The transcript's last message."""
        self.ready = self.began
        """When the last thing happened that the next model call could have waited for."""
        self.iteration = 0
        self.delegations: list[Delegation] = []
        self._format, self._origin = source, origin
        self.latest = self.began
        """When the last thing happened."""
        self._growing = False
        self._open: dict[int, tuple[int, type]] = {}
        self._asked: defaultdict[str, deque[int]] = defaultdict(deque)

    # ---- the run --------------------------------------------------------------------------------------------------

    def begin(self, name: str, **facts: Any) -> None:
        """Event 0. `metadata` may be a mapping."""
        if isinstance(facts.get("metadata"), dict):
            facts["metadata"] = encoded({key: item for key, item in facts["metadata"].items() if item is not None})
        body = RunStarted(
            name=name,
            execution_id=ids.execution_id(self.began, self.run),
            source=f"{self._format}:{self._origin.source}",
            **facts,
        )
        self.add(self.began, 0, body)

    def finish(
        self, status: Status, reason: str, *, at: int | None = None, growing: bool = False, **facts: Any
    ) -> Recorded:
        """Close what is still open, innermost first, and then the run, at `at` or when the last thing happened.

        `growing` says that the log may go on with this run, `facts` are fields of RunEnded.
        """
        self.latest = max(self.latest, at or 0)
        self._growing = growing
        tool: ToolState = "cancelled" if status == "cancelled" else "abandoned"
        for step, (_, kind) in sorted(self._open.items(), reverse=True):
            self._close(step, kind, "cancelled" if status == "cancelled" else "abandoned", tool)
        self.add(self.latest, 0, RunEnded(status=status, stop_reason=reason, **facts))
        return self.recorded()

    def recorded(self) -> Recorded:
        """The ended run, with the scores and notes that were added since."""
        return Recorded(self.run, tuple(self.events), self.line, self._growing, tuple(self.delegations))

    # ---- transcript and calls -------------------------------------------------------------------------------------

    def say(self, at: int, role: str, message: Raw | bytes, step: int = 0) -> int:
        """A message joins the transcript at its tip."""
        body = MessageAppended(role=role, parent=self.tip, message=verbatim(message))
        self.tip = self.add(at, step, body)
        self.ready = max(self.ready, at)
        return self.tip

    def call(self, provider: str, model: str, *, at: int | None = None, counted: bool = True, **facts: Any) -> int:
        """A model call starts, at `ready` unless told otherwise. Those that do not count have no iteration number."""
        if counted and (facts.get("attempt", 1) == 1 or not self.iteration):
            self.iteration += 1
        number = self.iteration if counted else None
        body = CallStarted(provider=provider, model=model, iteration=number, input=self.tip, **facts)
        return self._start(self.ready if at is None else at, body)

    def end_call(self, step: int, at: int, status: Status = "completed", **facts: Any) -> None:
        """The call is over."""
        self._end(step, at, CallEnded(status=status, **facts))
        self.ready = max(self.ready, at)

    # ---- tools ----------------------------------------------------------------------------------------------------

    def ask(self, at: int, name: str, call_id: str | None, arguments: Content | None, **facts: Any) -> int:
        """A tool call starts; `facts` are fields of ToolStarted."""
        facts.setdefault("classification", CLASSES.get(name, "other"))
        facts.setdefault("iteration", self.iteration or None)
        body = ToolStarted(name=name, call_id=call_id, arguments=arguments, **facts)
        step = self._start(at, body)
        self._asked[call_id or ""].append(step)
        return step

    def pending(self, call_id: str | None) -> int | None:
        """The tool call that waits longest under this id (ids repeat; calls are answered in order)."""
        waiting = self._asked.get(call_id or "")
        while waiting and waiting[0] not in self._open:
            waiting.popleft()
        return waiting[0] if waiting else None

    def answer(self, step: int, at: int, state: ToolState, **facts: Any) -> None:
        """A tool call ends; `facts` are fields of ToolEnded."""
        self._end(step, at, ToolEnded(state=state, **facts))
        self.ready = max(self.ready, at)

    @property
    def waiting(self) -> int | None:
        """The oldest tool call that has not been answered."""
        return next((step for step, (_, kind) in self._open.items() if kind is ToolStarted), None)

    # ---- everything else ------------------------------------------------------------------------------------------

    def open_step(self, at: int, body: StepStarted) -> int:
        """A plain step starts."""
        return self._start(at, body)

    def end_step(self, step: int, at: int, status: Status = "completed", **facts: Any) -> None:
        """A plain step ends."""
        self._end(step, at, StepEnded(status=status, **facts))

    def note(self, at: int, name: str, data: Content | None = None, step: int = 0) -> None:
        """Something worth keeping."""
        self.add(at, step, Note(name=name, data=data))

    def score(self, name: str, **facts: Any) -> None:
        """A benchmark's judgement, at the end of the run; `facts` are fields of Score."""
        self.add(self.latest, 0, Score(name=name, kind="benchmark", **facts))

    def add(self, at: int, step: int, body: Body) -> int:
        """Append an event, not before the run's start; returns its seq."""
        seq, at = len(self.events), max(at, self.began)
        self.latest = max(self.latest, at)
        self.events.append(Event(self.run, seq, at, at - self.began, step, body))
        return seq

    def _start(self, at: int, body: StepStarted | CallStarted | ToolStarted) -> int:
        step = len(self.events)
        self._open[step] = (at, type(body))
        return self.add(at, step, body)

    def _end(self, step: int, at: int, body: StepEnded | CallEnded | ToolEnded) -> None:
        began, _ = self._open.pop(step)
        self.add(max(at, began), step, body)

    def _close(self, step: int, kind: type, status: Status, tool: ToolState) -> None:
        if kind is ToolStarted:
            self._end(step, self.latest, ToolEnded(state=tool))
        elif kind is CallStarted:
            self._end(step, self.latest, CallEnded(status=status))
        else:
            self._end(step, self.latest, StepEnded(status=status))


def failure(kind: str, message: str, category: str = "") -> Failure:
    """An error as a log tells it; its text bounded to 2,000 characters."""
    return Failure(kind, message[:2_000], category)


def project_of(folder: str | None) -> tuple[str, ...]:
    """The tag of the project an agent worked on: the name of its working directory; empty when nobody knows it."""
    name = "" if folder is None else folder.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return (f"project:{name}",) if name else ()


def category(status: int | None) -> str:
    """Class of an error by its HTTP status; empty when there is none."""
    if status is None or status < 400:
        return ""
    return _CATEGORIES.get(status, "server_error" if status >= 500 else "invalid_request")


_CATEGORIES: Mapping[int, str] = {
    401: "auth", 403: "auth", 408: "timeout", 413: "context_overflow", 429: "rate_limit", 503: "overloaded",
    504: "timeout", 529: "overloaded",
}  # fmt: skip


CLASSES: Mapping[str, str] = {
    **dict.fromkeys(
        ("Glob", "Grep", "LS", "NotebookRead", "Read", "glob", "list_directory", "read_file", "read_many_files",
         "search_file_content", "view_image"), "read"),
    **dict.fromkeys(
        ("Edit", "MultiEdit", "NotebookEdit", "Write", "apply_patch", "edit_file", "replace", "str_replace_editor",
         "write_file"), "write"),
    **dict.fromkeys(
        ("Bash", "KillShell", "bash", "exec_command", "execute_bash", "execute_ipython_cell", "local_shell",
         "run_shell_command", "shell", "shell_command", "terminal", "write_stdin"), "exec"),
    **dict.fromkeys(
        ("WebFetch", "WebSearch", "google_web_search", "web_fetch", "web_search"), "network"),
}  # fmt: skip
"""What tools of well-known agents do, by name."""
