"""The tree of a run: every step with its start, its end and its children.

A node keeps the two events that bracket its step and answers from them; nothing is copied out. Steps whose parent is
not there hang below the run and say so (`orphan`), an end without a start makes a node too: damage shows, it does not
hide what is left. Runs that were started by other runs are joined by `forest`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from msgspec import Struct

from tachograph.events.call import CallEnded, CallMetered, CallRepriced
from tachograph.events.envelope import Event
from tachograph.events.note import Score
from tachograph.events.run import Failure, RunEnded, RunResumed, RunStarted
from tachograph.events.usage import Cost, Usage
from tachograph.fold.steps import End, Start, closes, family_of, kind_of, name_of, opened, status_of
from tachograph.fold.totals import Totals, fold


class Span(Struct, frozen=True):
    """Where a step lies on its run's time axis: nanoseconds since the run began, never outside its parent."""

    begin: int
    end: int

    @property
    def length(self) -> int:
        """Nanoseconds from begin to end, at least 0."""
        return self.end - self.begin


@dataclass(slots=True, eq=False)
class Node:
    """One step. `start` is None when only its end (or nothing but its children) was recorded."""

    run: str
    step: int
    start: Event | None = None
    end: Event | None = None
    children: list[Node] = field(default_factory=list)
    """Steps below it in the order they began; below them, runs it started that were joined by `forest`."""
    asides: list[Event] = field(default_factory=list)
    """Events of this step, or about it, that neither start nor end it: messages, limits, notes, scores, late usage,
    new prices, losses, unknown types; of a run that was resumed also its former ends."""
    orphan: bool = False
    """Its parent, or its own start, is not among the events."""

    @property
    def opening(self) -> Start | None:
        """The body of its start event."""
        return None if self.start is None else self.start.body  # type: ignore[return-value]

    @property
    def closing(self) -> End | None:
        """The body of its end event."""
        return None if self.end is None else self.end.body  # type: ignore[return-value]

    @property
    def kind(self) -> str:
        """run, llm, tool, or what the step calls itself."""
        body = self.opening or self.closing
        return kind_of(body) if body is not None else ("custom" if self.step else "run")

    @property
    def name(self) -> str:
        """The name given, for a model call the model; empty when the start was lost."""
        return name_of(self.opening) if self.opening is not None else ""

    @property
    def status(self) -> str:
        """`started` until it ends; then its status, or for a tool call its state."""
        return status_of(self.closing) if self.closing is not None else "started"

    @property
    def error(self) -> Failure | None:
        """The error it ended with."""
        return self.closing.error if self.closing is not None else None

    @property
    def at(self) -> int | None:
        """When it began, UTC nanoseconds; None when its start was lost."""
        return None if self.start is None else self.start.at

    @property
    def duration_ns(self) -> int | None:
        """Monotonic nanoseconds from start to end, at least 0; None while it is open or its start was lost.

        A paused run is open.
        """
        if self.start is None or self.end is None or (self.status == "paused" and isinstance(self.closing, RunEnded)):
            return None
        return max(0, self.end.mono - self.start.mono)

    @property
    def usage(self) -> Usage | None:
        """Tokens of an ended model call, as they were last said; None for every other step."""
        if not isinstance(self.closing, CallEnded):
            return None
        later = (body.usage for body in self._afterwards() if isinstance(body, CallMetered))
        return next(later, self.closing.usage)

    @property
    def cost(self) -> Cost | None:
        """What an ended model call costs by the last price; None for every other step, or when nobody priced it."""
        if not isinstance(self.closing, CallEnded):
            return None
        return next((body.cost for body in self._afterwards()), self.closing.cost)

    def _afterwards(self) -> Iterator[CallMetered | CallRepriced]:
        """What was said about an ended call's usage and cost, the last first."""
        ended = -1 if self.end is None else self.end.seq
        for event in reversed(self.asides):
            if event.seq > ended and isinstance(event.body, CallMetered | CallRepriced):
                yield event.body

    def walk(self) -> Iterator[tuple[int, Node]]:
        """This node and all below it with their depth, parents first."""
        waiting = [(0, self)]
        while waiting:
            depth, node = waiting.pop()
            yield depth, node
            waiting.extend((depth + 1, child) for child in reversed(node.children))


class RunTree:
    """Grows as the events of one run come, in order of seq; events seen before are ignored."""

    def __init__(self) -> None:
        self.root = Node("", 0)
        self.nodes: dict[int, Node] = {0: self.root}
        """Every step by its number."""
        self.seq = -1
        """Seq of the last event."""
        self._origin = 0
        self._latest = 0

    @property
    def run(self) -> str:
        """Id of the run; empty before the first event."""
        return self.root.run

    @property
    def started(self) -> RunStarted | None:
        """What is known of the run from its start; None when that was lost."""
        body = self.root.opening
        return body if isinstance(body, RunStarted) else None

    def apply(self, event: Event) -> bool:
        """Take in one event; False for one that was seen before. Raises ValueError for an event of another run."""
        if self.seq < 0:
            self.root.run = event.run
            self._origin = self._latest = event.mono
        if event.run != self.root.run:
            raise ValueError(f"event of run {event.run} in the tree of run {self.root.run}")
        if event.seq <= self.seq:
            return False
        self.seq = event.seq
        self._latest = max(self._latest, event.mono)
        if isinstance(event.body, RunResumed):
            self._reopen(event)
        elif not self._start(event) and not self._end(event):
            self._aside(event)
        return True

    def spans(self) -> Mapping[int, Span]:
        """Where every step lies on the run's time axis. What is still open reaches to the last event seen."""
        origin = self.root.start.mono if self.root.start else self._origin
        last = self.root.end.mono if self.root.end else self._latest
        found = {0: Span(0, max(0, last - origin))}
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            for child in node.children:
                if child.run == self.run:
                    found[child.step] = _within(child, found[node.step], origin)
                    waiting.append(child)
        return found

    def _start(self, event: Event) -> bool:
        step = opened(event)
        if step is None or (step.parent is None and self.root.start is not None):
            return False
        if step.parent is None:
            self.root.start = event
            return True
        parent = self.nodes.get(step.parent)
        self._hang(Node(self.run, step.step, start=event, orphan=parent is None), parent)
        return True

    def _end(self, event: Event) -> bool:
        step = closes(event)
        if step is None:
            return False
        if step not in self.nodes:
            self._hang(Node(self.run, step, orphan=True), None)
        node = self.nodes[step]
        if node.end is not None or (node.opening and family_of(node.opening) != family_of(event.body)):
            return False
        node.end = event
        return True

    def _reopen(self, event: Event) -> None:
        """The run goes on: what ended it is one of the things that happened in it."""
        if self.root.end is not None:
            self.root.asides.append(self.root.end)
            self.root.end = None
        self.root.asides.append(event)

    def _hang(self, node: Node, parent: Node | None) -> None:
        self.nodes[node.step] = node
        (parent or self.root).children.append(node)

    def _aside(self, event: Event) -> None:
        match event.body:
            case CallMetered(call=about) | CallRepriced(call=about) | Score(target=about):
                step = about
            case _:
                step = event.step
        self.nodes.get(step, self.root).asides.append(event)


def grow(events: Iterable[Event]) -> RunTree:
    """The tree of one run from its events, in order."""
    tree = RunTree()
    for event in events:
        tree.apply(event)
    return tree


def below(node: Node) -> Totals:
    """What a step and everything below it adds up to, joined runs included, at the last prices."""
    by_run: dict[str, list[Event]] = {}
    for _, each in node.walk():
        brackets = (event for event in (each.start, each.end) if event is not None)
        by_run.setdefault(each.run, []).extend((*brackets, *each.asides))
    whole = Totals()
    for events in by_run.values():
        whole += fold(sorted(events, key=lambda event: event.seq))
    return whole


def forest(trees: Iterable[RunTree]) -> list[RunTree]:
    """Hang every run below the step of the run that started it; returns the runs that hang nowhere.

    A run whose parent is not among the trees stays a root, as does one run of each circle of runs that name each other
    as parents. A step that is not there is replaced by the parent run itself.
    """
    known = {tree.run: tree for tree in trees}
    above: dict[str, str] = {}
    roots = []
    for tree in known.values():
        started = tree.started
        parent = known.get(started.parent_run or "") if started is not None else None
        if started is None or parent is None or _is_above(tree.run, parent.run, above):
            roots.append(tree)
            continue
        above[tree.run] = parent.run
        parent.nodes.get(started.parent_step or 0, parent.root).children.append(tree.root)
    return roots


def _is_above(run: str, other: str, above: Mapping[str, str]) -> bool:
    at: str | None = other
    while at is not None and at != run:
        at = above.get(at)
    return at is not None


def _within(node: Node, parent: Span, origin: int) -> Span:
    """The node's own times, held inside its parent's; what it lacks is taken from the parent."""
    begin = parent.begin if node.start is None else min(max(node.start.mono - origin, parent.begin), parent.end)
    end = parent.end if node.end is None else min(max(node.end.mono - origin, begin), parent.end)
    return Span(begin, end)
