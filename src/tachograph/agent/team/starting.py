"""Which agent of several begins: the one that is asked for, else the one with a workflow under way, else the first."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from tachograph.agent.team.handoff import Colleague
from tachograph.errors import SettingsError

Some = TypeVar("Some", bound=Colleague)
log = logging.getLogger("tachograph.agent")


def starting_agent(
    agents: Sequence[Some] | Mapping[str, Some],
    explicit: str | Some | None = None,
    last: str | None = None,
    active_workflow: Callable[[], object] | bool | None = None,
) -> Some:
    """Who begins, of these agents, the orchestrator first.

    `explicit` is an agent or its name; `last` is who was last at work in the conversation (`Outcome.agent`), and goes
    on while `active_workflow`, the application's own test, says that something is under way. A test that raises says
    no, and the log says why; it says so too where the last agent is not there any more. Raises SettingsError for an
    explicit one that is not there.
    """
    known = {one.name: one for one in (agents.values() if isinstance(agents, Mapping) else agents)}
    if not known:
        raise SettingsError("agents", agents, "at least one agent")
    if explicit is not None:
        name = explicit if isinstance(explicit, str) else explicit.name
        if name not in known:
            raise SettingsError("explicit", name, f"one of {', '.join(known)}")
        return known[name]
    first = next(iter(known.values()))
    if last is None or last == first.name:
        return first
    if last not in known:
        log.warning("agent %r was last at work and is not there any more: %r begins", last, first.name)
        return first
    return known[last] if _says_so(active_workflow) else first


def _says_so(test: Callable[[], object] | bool | None) -> bool:
    if test is None or isinstance(test, bool):
        return bool(test)
    try:
        said = test()
        if inspect.isawaitable(said):
            close = getattr(said, "close", None)
            if close is not None:
                close()
            raise TypeError("the test is async: await it, and pass what it says")  # noqa: TRY301 - one way out
        return bool(said)
    except Exception:
        log.warning("whether a workflow is active cannot be told: taken as no", exc_info=True)
        return False
