"""Where pages are: every address that a page links to is made here, quoted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

OVERVIEW, RUNS, SESSIONS, INTERVENTIONS, SEARCH, SYSTEM = (
    "/", "/runs", "/sessions", "/interventions", "/search", "/system",
)  # fmt: skip
SESSION, COMPARE, KEY = "/session", "/compare", "/key"
STEPS = "/steps"
KEYS, PRUNE = "/system/keys", "/system/prune"
NAVIGATION: tuple[tuple[str, str], ...] = (
    ("Overview", OVERVIEW),
    ("Runs", RUNS),
    ("Sessions", SESSIONS),
    ("Interventions", INTERVENTIONS),
    ("Compare", COMPARE),
    ("Search", SEARCH),
    ("System", SYSTEM),
)


def to(path: str, **asked: Any) -> str:
    """A path with a query; what is None, empty or False is left out."""
    given = {name: _text(value) for name, value in asked.items() if value not in (None, "") and value is not False}
    return f"{path}?{urlencode(given)}" if given else path


def again(path: str, asked: Mapping[str, Any], **changes: Any) -> str:
    """The same page with other parameters."""
    return to(path, **{**asked, **changes})


def runs(**asked: Any) -> str:
    """The list of runs that meet these conditions."""
    return to(RUNS, **asked)


def run(run_id: str, view: str = "", **asked: Any) -> str:
    """A run, or one view of it: transcript, events, cost, receipt."""
    return to(f"{RUNS}/{quote(run_id, safe='')}{'/' if view else ''}{view}", **asked)


def message(run_id: str, seq: int) -> str:
    """One message of a run, whole."""
    return run(run_id, f"transcript/{seq}")


def event(run_id: str, seq: int) -> str:
    """One event of a run, whole."""
    return run(run_id, f"events/{seq}")


def raw_events(run_id: str, seq: int) -> str:
    """One event as the API gives it."""
    return to(f"/api/runs/{quote(run_id, safe='')}/events", after=str(seq - 1), limit=1)


def raw_receipt(run_id: str) -> str:
    """A receipt as the API gives it."""
    return to(f"/api/runs/{quote(run_id, safe='')}/receipt")


def step(step_id: str) -> str:
    """The details of a step, by its id."""
    return run(f"{step_id[:-8]}{0:08x}", f"steps/{quote(step_id, safe='')}")


def text(step_id: str, name: str) -> str:
    """A recorded text of a step, to be kept as a file."""
    return f"{step(step_id)}/{quote(name, safe='')}"


def deletion(run_id: str, part: str = "") -> str:
    """Where somebody is asked whether a run, and what belongs to its execution, is to go; or how much room that has."""
    return run(run_id, f"delete{'/' if part else ''}{part}")


def alone(address: str) -> str:
    """What an address shows, without the page around it."""
    return f"{address}{'&' if '?' in address else '?'}alone=true"


def session(session_id: str, tenant: str | None = None, **asked: Any) -> str:
    """The conversation of a session. Its id may be anything, so it stands in the query."""
    return to(SESSION, id=session_id, tenant=tenant, **asked)


def compare(left: str | None = None, right: str | None = None, **asked: Any) -> str:
    """Two runs side by side; with one of them, what to compare it with."""
    return to(COMPARE, left=left, right=right, **asked)


def compare_steps(left: str | None = None, right: str | None = None, **asked: Any) -> str:
    """The steps of two runs side by side, as a part of a page."""
    return to(f"{COMPARE}/steps", left=left, right=right, **asked)


def interventions(**asked: Any) -> str:
    """The limits that were reached under these conditions."""
    return to(INTERVENTIONS, **asked)


def sessions(**asked: Any) -> str:
    """The list of sessions that meet these conditions."""
    return to(SESSIONS, **asked)


def search(text: str = "", limit: int = 20, **asked: Any) -> str:
    """Messages that contain a text."""
    return to(SEARCH, q=text, limit=None if limit == 20 else limit, **asked)


def live(**asked: Any) -> str:
    """The stream of events of runs that meet these conditions."""
    return to("/api/live", **asked)


def overview(**asked: Any) -> str:
    """What a period came to."""
    return to(OVERVIEW, **asked)


def steps(**asked: Any) -> str:
    """The list of steps, or of model calls (`kind=llm`), that meet these conditions."""
    return to(STEPS, **asked)


def system(part: str = "", **asked: Any) -> str:
    """How the server and its store are, or one part of that: records, prices, logs, start."""
    return to(f"{SYSTEM}{'/' if part else ''}{part}", **asked)


def _text(value: Any) -> str:
    return "true" if value is True else str(value)
