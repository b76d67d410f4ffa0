"""What a run tells while it happens: frozen values, and the emitter that brings them to whoever listens.

Listening changes nothing. A listener that raises, hangs in its own task or leaves in the middle of a value is counted
or forgotten, and the run, and every other listener, go on as if it had never been there.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from asyncio import AbstractEventLoop, CancelledError
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeAlias

from msgspec import Struct

from tachograph.agent.compact.figures import Metrics
from tachograph.errors import ModelError, SettingsError
from tachograph.events.chat import Message, ToolUse
from tachograph.fold.approvals import Approval
from tachograph.fold.handoffs import Handing
from tachograph.providers.port import Delta, Reply

log = logging.getLogger("tachograph.agent")

MOST_WAITING = 10_000
"""Most async callbacks of one emitter at work; a value that comes on top is not told, and counted as failed."""


class RunBegan(Struct, frozen=True, kw_only=True):
    """A run has an id, and nothing was asked yet."""

    run_id: str
    agent: str = ""
    prompt: Any = None
    """Text, or texts and media in order."""


class IterationBegan(Struct, frozen=True, kw_only=True):
    """A request is about to be made."""

    iteration: int
    """Counted from 1."""


class MessageAdded(Struct, frozen=True, kw_only=True):
    """A message has its place in the conversation; or in one request alone, when it is ephemeral."""

    message: Message
    ephemeral: bool = False


class StreamReset(Struct, frozen=True, kw_only=True):
    """What came of this iteration's reply so far counts no more: the request is made again."""

    attempt: int
    """The one that ended in the middle, counted from 1."""


class ToolBegan(Struct, frozen=True, kw_only=True):
    """A tool call is about to run."""

    call: ToolUse
    arguments: Mapping[str, Any] = {}
    """As the tool gets them."""
    iteration: int = 0


class ToolDone(Struct, frozen=True, kw_only=True):
    """A tool call is in its final state."""

    call: ToolUse
    state: str
    """completed, failed, rejected, skipped, cancelled, abandoned."""
    result: Any = None
    """What the model is told."""
    error: str = ""
    """Class of what ended it."""
    seconds: float = 0.0


class Limited(Struct, frozen=True, kw_only=True):
    """A limit is near, or was reached."""

    notice: Any
    """What the guard said: metric, used, requested, threshold, scope, mode, reason, evidence."""


class Retrying(Struct, frozen=True, kw_only=True):
    """A request failed and is made again."""

    attempt: int
    """The one that failed, counted from 1."""
    delay: float
    """Seconds until the next one."""
    error: ModelError


class RetryExhausted(Struct, frozen=True, kw_only=True):
    """A request was repeated, and is not repeated again."""

    attempts: int
    error: ModelError


class PhaseChanged(Struct, frozen=True, kw_only=True):
    """The loop went from one phase to another."""

    before: str
    after: str
    iteration: int = 0


class SchemaRetried(Struct, frozen=True, kw_only=True):
    """A reply did not fit the type that was asked for; the model is asked again."""

    attempt: int
    """Counted from 1: the first reply is no retry."""
    errors: tuple[str, ...] = ()
    correction: str = ""
    """What the model is told; empty when it is asked the same again."""


class Nudged(Struct, frozen=True, kw_only=True):
    """The model was told to go on."""

    kind: str
    text: str = ""


class ModelWarned(Struct, frozen=True, kw_only=True):
    """Something is doubtful about the model; the run goes on."""

    warning: Mapping[str, Any]


class Approved(Struct, frozen=True, kw_only=True):
    """Somebody was asked about a tool call, and has decided."""

    call: ToolUse
    decision: Any
    """`Allow`, `Deny` or `Edit`, of approval.py."""


class HandedOff(Struct, frozen=True, kw_only=True):
    """Another agent is at work."""

    before: str
    after: str
    reason: str = ""
    """In the model's words."""


class WorkerTold(Struct, frozen=True, kw_only=True):
    """A delegate that is at work tells something: one of these values, also one of its own delegates."""

    worker: str
    """Name of the agent."""
    call: ToolUse
    """The call that it works for."""
    value: Any


class Guarded(Struct, frozen=True, kw_only=True):
    """A guardrail triggered; it may have observed and no more."""

    ruling: Any
    """`Ruling`, of guardrails/watch.py."""


class Waiting(Struct, frozen=True, kw_only=True):
    """The run pauses: a tool call waits for a person."""

    approval: Approval


class HandingOver(Struct, frozen=True, kw_only=True):
    """A person was asked to take over, does, or could not be reached."""

    handing: Handing


class Compacted(Struct, frozen=True, kw_only=True):
    """The conversation was made smaller, or could not be."""

    trigger: str
    """target, overflow, asked."""
    metrics: Metrics
    iteration: int = 0


class RunDone(Struct, frozen=True, kw_only=True):
    """A run is over. Nothing follows it."""

    outcome: Any


Progress: TypeAlias = (
    RunBegan | IterationBegan | MessageAdded | StreamReset | ToolBegan | ToolDone | Limited | Retrying | RetryExhausted
    | PhaseChanged | SchemaRetried | Nudged | ModelWarned | Approved | HandedOff | WorkerTold | Guarded | Waiting
    | HandingOver | Compacted | RunDone | Delta | Reply
)  # fmt: skip

Kind: TypeAlias = type[Any] | tuple[type[Any], ...] | Callable[[Any], bool]
"""A class, several classes, or a function that says of a value whether it is wanted. `object` is every value."""
Callback: TypeAlias = Callable[[Any], Awaitable[Any] | object]


class Subscription:
    """One callback of one emitter."""

    def __init__(self, emitter: Emitter, kind: Kind, callback: Callback, *, once: bool) -> None:
        self._emitter = emitter
        self.kind, self.callback, self.once = kind, callback, once
        self.loop = running_loop()
        """Where it was made: async callbacks go there when a value is emitted from a thread without a loop."""

    @property
    def active(self) -> bool:
        """Whether it will be told anything more."""
        return self._emitter.has(self)

    def unsubscribe(self) -> bool:
        """Be told nothing more, not even of a value that is being emitted; False when that was so already."""
        return self._emitter.drop(self)

    def wants(self, value: object) -> bool:
        """Whether the value is of its kind. Raises what a filter function raises."""
        if isinstance(self.kind, (type, tuple)):
            return isinstance(value, self.kind)
        return bool(self.kind(value))


class Emitter:
    """Brings values to callbacks, in the order in which they subscribed. May be used from several threads."""

    def __init__(self, beyond: Emitter | None = None) -> None:
        """`beyond` is told everything that this one is told, before the callbacks here."""
        self._beyond = beyond
        self._subscriptions: tuple[Subscription, ...] = ()
        self._lock = threading.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.failed = 0
        """Callbacks and filters that raised, and async callbacks that could not be scheduled."""

    def subscribe(self, kind: Kind, callback: Callback) -> Subscription:
        """Call `callback` with every value of a kind. The same callback twice is two subscriptions.

        A plain function is called while the value is emitted; an async one runs as a task of the event loop. Raises
        SettingsError.
        """
        return self._add(kind, callback, once=False)

    def once(self, kind: Kind, callback: Callback) -> Subscription:
        """Like `subscribe`, for the next value of that kind alone."""
        return self._add(kind, callback, once=True)

    def clear(self, kind: Kind | None = None) -> int:
        """End every subscription, or those made for exactly this kind; how many there were."""
        with self._lock:
            before = self._subscriptions
            self._subscriptions = tuple(one for one in before if kind is not None and one.kind != kind)
            return len(before) - len(self._subscriptions)

    def count(self, kind: Kind | None = None) -> int:
        """How many subscriptions there are, or how many for exactly this kind."""
        return sum(kind is None or one.kind == kind for one in self._subscriptions)

    def emit(self, value: object) -> None:
        """Tell everybody who wants it. Subscriptions made meanwhile are told of the next value."""
        if self._beyond is not None:
            self._beyond.emit(value)
        for one in self._subscriptions:
            try:
                if one.wants(value) and (self.drop(one) if one.once else self.has(one)):
                    self._tell(one, value)
            except (Exception, CancelledError) as problem:  # a plain function has no cancellation to pass on
                log.warning("callback %r failed: %r", one.callback, problem, exc_info=problem)
                self._count()

    async def settle(self, seconds: float = 1.0) -> bool:
        """Wait for async callbacks of this event loop that are still at work, at most so long; whether all ended."""
        here = asyncio.get_running_loop()
        waited = {task for task in self._tasks if task.get_loop() is here} - {asyncio.current_task()}
        return not waited or not (await asyncio.wait(waited, timeout=seconds))[1]

    def has(self, one: Subscription) -> bool:
        """Whether the subscription is active."""
        return any(one is other for other in self._subscriptions)

    def drop(self, one: Subscription) -> bool:
        """End a subscription; whether it was active."""
        with self._lock:
            before = self._subscriptions
            self._subscriptions = tuple(other for other in before if other is not one)
            return len(self._subscriptions) < len(before)

    def _add(self, kind: Kind, callback: Callback, *, once: bool) -> Subscription:
        several = isinstance(kind, tuple)
        if (several and not all(isinstance(one, type) for one in kind)) or not (several or callable(kind)):  # type: ignore[union-attr]  # a tuple
            raise SettingsError("kind", kind, "a class, several classes, or a function that says what is wanted")
        if not callable(callback):
            raise SettingsError("callback", callback, "something that can be called with a value")
        subscription = Subscription(self, kind, callback, once=once)
        with self._lock:
            self._subscriptions = (*self._subscriptions, subscription)
        return subscription

    def _tell(self, one: Subscription, value: object) -> None:
        answer = one.callback(value)
        if not inspect.isawaitable(answer):
            return
        here, loop = running_loop(), running_loop() or one.loop
        if loop is None or loop.is_closed() or len(self._tasks) >= MOST_WAITING:
            if inspect.iscoroutine(answer):
                answer.close()
            raise RuntimeError("no event loop for an async callback, or too many of them at work")
        if here is not None:
            self._start(one, answer)
        else:
            loop.call_soon_threadsafe(self._start, one, answer)

    def _start(self, one: Subscription, answer: Awaitable[Any]) -> None:
        task = asyncio.get_running_loop().create_task(_awaited(answer))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(one, done))

    def _done(self, one: Subscription, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        problem = None if task.cancelled() else task.exception()
        if problem is not None:
            log.warning("callback %r failed: %r", one.callback, problem, exc_info=problem)
            self._count()

    def _count(self) -> None:
        with self._lock:
            self.failed += 1


def running_loop() -> AbstractEventLoop | None:
    """The event loop of the caller, if it is in one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _awaited(answer: Awaitable[Any]) -> Coroutine[Any, Any, Any]:
    if inspect.iscoroutine(answer):
        return answer

    async def wait() -> Any:
        return await answer

    return wait()
