"""Where we are: the current run and step, in one context variable.

Tasks and copied contexts inherit it. Two rules make it right where contexts are shared. A step entered inside a
generator is invisible while the generator is suspended at a `yield`, so it never leaks to whoever consumes it; and a
step that has ended is skipped, so leaving depends on no token and on no order.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from tachograph.errors import SettingsError
from tachograph.events.ids import step_id

if TYPE_CHECKING:
    from tachograph.record.recorder import LiveRun, Recorder

_GENERATOR = 0x20 | 0x200
"""inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR, without importing inspect."""
_TRACEPARENT = re.compile(r"\A[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?\Z")


class Scope:
    """One entered step. `outer` is what was current before it."""

    __slots__ = ("frame", "open", "outer", "run", "step")

    def __init__(self, run: LiveRun, step: int, outer: Scope | None, frame: FrameType | None) -> None:
        self.run, self.step, self.outer, self.frame = run, step, outer, frame
        self.open = True

    def visible(self) -> bool:
        """Whether code that runs now is inside this step."""
        frame = self.frame
        return self.open and (frame is None or frame.f_lasti not in _yields(frame.f_code))


log = logging.getLogger("tachograph")

whose: Callable[[], object] | None = None
"""Who keeps something for each thread or task says here whose it is; None while nobody does."""
lent: ContextVar[object] = ContextVar("tachograph_lent", default=None)
"""Whose the work is that a context does for another; None: its own."""
_current: ContextVar[Scope | None] = ContextVar("tachograph_scope", default=None)
_source: Callable[[], Recorder] | None = None


def use(source: Callable[[], Recorder] | None) -> Callable[[], Recorder] | None:
    """Say where steps find their recorder (a function: nothing is opened before the first step); returns the former."""
    global _source
    before, _source = _source, source
    return before


def recorder() -> Recorder:
    """The recorder of this process. Raises SettingsError when there is none, or its settings cannot be used."""
    if _source is None:
        raise SettingsError("recorder", None, "import tachograph, or call tachograph.configure(), before recording")
    return _source()


def recorder_or_none() -> Recorder | None:
    """The recorder, for the door: a program whose recorder cannot be made runs on unrecorded, and the log says why."""
    global _source
    try:
        return recorder()
    except SettingsError as problem:
        log.error("nothing is recorded: %s", problem)  # noqa: TRY400 - the message says it all
        _source = _nothing
        return None
    except Exception:  # rule: instrumentation never breaks what it wraps; it may work next time
        log.exception("this step is not recorded")
        return None


def current(of: Recorder | None = None) -> Scope | None:
    """The innermost step that surrounds the caller; of this recorder, where it is given."""
    scope = _current.get()
    while scope is not None and not (scope.visible() and (of is None or scope.run.recorder is of)):
        scope = scope.outer
    return scope


def enter(run: LiveRun, step: int, caller: FrameType | None, *, surrounds: bool = True) -> Scope:
    """Make a step the current one, unless it does not surround what follows. `caller` is the frame of the `with`."""
    if not surrounds:
        return Scope(run, step, None, None)
    outer = _current.get()
    while outer is not None and not outer.open:
        outer = outer.outer
    _splice(outer)
    scope = Scope(run, step, outer, caller if caller is not None and _is_generator(caller) else None)
    _current.set(scope)
    return scope


def leave(scope: Scope) -> None:
    """The step is over."""
    scope.open = False
    scope.frame = None
    if _current.get() is scope:
        _current.set(scope.outer)


def _splice(scope: Scope | None) -> None:
    """Let go of the steps in a chain that have ended, so that overlapping ones do not keep each other for ever."""
    while scope is not None:
        while scope.outer is not None and not scope.outer.open:
            scope.outer = scope.outer.outer
        scope = scope.outer


@contextlib.contextmanager
def lending() -> Iterator[None]:
    """Tasks and threads that are begun inside the block work for whoever began them: what they trace is theirs."""
    if whose is None:
        yield
        return
    token = lent.set(lent.get() or whose())
    try:
        yield
    finally:
        lent.reset(token)


def traceparent() -> str | None:
    """W3C `traceparent` of the current step, for calls to other systems; None outside a run."""
    scope = current()
    if scope is None:
        return None
    return f"00-{scope.run.trace_id}-{step_id(scope.run.id, scope.step).replace('-', '')[16:]}-01"


def parse_traceparent(header: str | None) -> tuple[str | None, str | None]:
    """Trace id and span id of a `traceparent` header (W3C Trace Context); (None, None) when it is not one."""
    found = _TRACEPARENT.match(header.strip().lower()) if isinstance(header, str) else None
    return (found[1], found[2]) if found and set(found[1]) != {"0"} and set(found[2]) != {"0"} else (None, None)


def _nothing() -> Any:
    return None


def _is_generator(frame: FrameType) -> bool:
    if not frame.f_code.co_flags & _GENERATOR:
        return False
    # A generator that `contextlib` drives is a context manager: its body is meant to surround the caller.
    driver = frame.f_back
    return driver is None or driver.f_code.co_filename != contextlib.__file__


@lru_cache(maxsize=2048)
def _yields(code: CodeType) -> frozenset[int]:
    """Offsets at which a frame of this code is suspended in a `yield` or `yield from` (not in an `await`)."""
    import dis  # noqa: PLC0415 - only programs that record inside generators need it

    found: set[int] = set()
    before = -1
    for instruction in dis.get_instructions(code):
        if instruction.opname == "RESUME" and (instruction.arg or 0) & 3 in (1, 2):
            # Up to 3.12 a suspended frame points at the yield, later at the RESUME behind it.
            found.update((before, instruction.offset))
        before = instruction.offset
    return frozenset(found)
