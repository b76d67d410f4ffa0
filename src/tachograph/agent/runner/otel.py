"""Spans of recorded runs, brought to OpenTelemetry. Only who asks for it loads that package (`tachograph[otel]`).

    Runner(agents, trace=Trace())                       # every reply of this runner, to the program's tracer provider
    export(store.read(run_id), Trace(), fetch)          # a run that is stored, with the times it had

What is exported is read from the record, so it has been redacted, is never on the run's way, and is complete also where
a run was stopped, handed over or cancelled. An exporter that fails is OpenTelemetry's business; that nothing could be
handed to it is counted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec

from tachograph.agent.runner.spans import Naming, Priced, Span, Value, inline, spans
from tachograph.errors import MissingExtra, SettingsError
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.run import RunStarted
from tachograph.events.usage import Cost
from tachograph.fold.cost import PriceBook, price_call
from tachograph.fold.transcript import Fetch, text_of
from tachograph.record import scope
from tachograph.record.scrub import Scrubber

MOST_EVENTS = 100_000
"""Of one reply; the oldest go when there are more."""

log = logging.getLogger("tachograph.runner")
_whose: ContextVar[object] = ContextVar("tachograph_traced", default=None)


class Trace(Naming, frozen=True, kw_only=True):
    """How a runner is traced."""

    tracer: Any = None
    """An OpenTelemetry tracer; None: one of the program's provider."""


class Watch:
    """The events of what happens inside a block, whatever runs and tasks it is in."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._runs: set[str] = set()
        self._mine = object()
        self.scrubber: Scrubber | None = None
        self._prices: Callable[[], PriceBook] | None = None

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        """Collect while the block lasts."""
        recorder = scope.recorder_or_none()
        if recorder is None:
            yield self
            return
        self.scrubber, self._prices = recorder.scrubber, recorder.prices
        token = _whose.set(self._mine)
        subscription = recorder.feed.subscribe(self._wanted, limit=1)
        try:
            yield self
        finally:
            subscription.close()
            _whose.reset(token)

    def _wanted(self, event: Event) -> bool:
        if isinstance(event.body, RunStarted) and _whose.get() is self._mine:
            self._runs.add(event.run)
        if event.run in self._runs and len(self.events) < MOST_EVENTS:
            self.events.append(event)
        return False  # it is kept here; nothing waits in the feed

    def value(self, content: Content | None) -> Any:
        """What a content says, redacted, if the drain has yet to do that."""
        if content is not None and content.level == "pending" and self.scrubber is not None and content.text:
            content = self.scrubber.capture(content.text)
        return inline(content)

    def priced(self, asked: CallStarted, ended: CallEnded, at: int) -> Cost | None:
        """What a call costs, as it will be stored."""
        try:
            return None if self._prices is None else price_call(self._prices(), asked, ended, at)
        except SettingsError:  # prices that cannot be read are none
            return None


def export(
    events: Iterable[Event], trace: Trace, fetch: Fetch | None = None, *, value: Value | None = None,
    priced: Priced | None = None,
) -> int:  # fmt: skip
    """Bring the spans of recorded runs to OpenTelemetry, with the times they had; how many spans.

    They hang below the span that is current there, if one is. Raises MissingExtra.
    """
    tracer = trace.tracer or tracer_of()
    roots = spans(events, trace, value or (lambda content: _fetched(content, fetch)), priced)
    for root in roots:
        _write(tracer, root, None)
    return sum(1 for root in roots for _ in root.walk())


def tracer_of() -> Any:
    """A tracer of the program's provider. Raises MissingExtra."""
    try:
        from opentelemetry import trace as opentelemetry  # noqa: PLC0415 - only who is traced needs it
    except ImportError:
        raise MissingExtra("tracing of a runner", "opentelemetry", "otel") from None
    return opentelemetry.get_tracer("tachograph")


def _write(tracer: Any, span: Span, context: Any) -> None:
    from opentelemetry import trace as opentelemetry  # noqa: PLC0415 - as above

    made = tracer.start_span(span.name, context=context, start_time=span.begin, attributes=dict(span.attributes))
    for mark in span.marks:
        made.add_event(mark.name, dict(mark.attributes), timestamp=mark.at)
    if span.error:
        made.set_status(opentelemetry.Status(opentelemetry.StatusCode.ERROR, span.error))
    below = opentelemetry.set_span_in_context(made, context)
    for child in span.children:
        _write(tracer, child, below)
    made.end(end_time=span.end)


def _fetched(content: Content | None, fetch: Fetch | None) -> Any:
    text = None if content is None else text_of(content, fetch)
    try:
        return None if text is None else msgspec.json.decode(text)
    except msgspec.DecodeError:
        return None
