from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tachograph.queries.alerts import Standing
from tachograph.queries.answers.audit import AuditEntry
from tachograph.queries.checkup import JournalState
from tachograph.upkeep.alert import Alert
from tachograph.web import system as words
from tachograph.web.assets import Library

HOUR = 3_600_000_000_000
WHEN = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("alert", "what", "threshold"),
    [
        (Alert(name="a", metric="cost", threshold=5, window=HOUR), "cost", "$5.00"),
        (Alert(name="a", metric="error_rate", threshold=0.1, window=HOUR, of="runs"), "error rate of runs", "10.0 %"),
        (Alert(name="a", metric="latency_p95", threshold=90, window=HOUR), "latency p95 of calls", "90 s"),
        (
            Alert(name="a", metric="interventions", threshold=3, window=HOUR, tenant="blue"),
            "interventions, tenant blue",
            "3",
        ),
    ],
)
def test_an_alert_in_words(alert: Alert, what: str, threshold: str) -> None:
    """What it watches, above which amount, in which time, and how it stands."""
    shown = words.watched(alert, Standing(fired_at=0, line="it is", above=("everything",)))
    assert (shown.what, shown.window, shown.above, shown.line) == (what, "1h", ("everything",), "it is")
    assert shown.threshold == threshold
    assert shown.fired == datetime(1970, 1, 1, tzinfo=UTC)
    assert words.watched(alert, Standing()).fired is None


def journal(**facts: Any) -> JournalState:
    """A journal that nobody knows anything of."""
    blank: dict[str, Any] = {
        "id": "j", "pid": None, "host": "", "version": "", "alive": False, "started_at": None, "seen_at": None,
        "waiting": 0, "waiting_bytes": 0, "damaged_bytes": 0, "disk_bytes": 0,
    }  # fmt: skip
    return JournalState(**{**blank, **facts})


def test_a_journal_in_words() -> None:
    """Whose it is as far as that is known, and whether its owner lives."""
    assert (words.waiting(journal()).owner, words.waiting(journal()).state) == ("unknown", "gone")
    known = words.waiting(journal(pid=7, host="desk", alive=True, seen_at=0, waiting=3))
    assert (known.owner, known.state, known.waiting) == ("pid 7 on desk", "recording", 3)
    assert known.seen == datetime(1970, 1, 1, tzinfo=UTC)


def test_counts_of_a_store_as_far_as_it_says() -> None:
    """In one order, under names that people use; what a store does not say is left out."""
    assert words.held({"payloads": 1_200, "runs": 3, "schema": 3}) == [("Runs", "3"), ("Contents", "1,200")]


@pytest.mark.parametrize(("model", "provider"), [("gpt-4o", "openai"), ("a model; rm -rf", "it's"), ("--all", "")])
def test_the_command_about_a_price_is_one_that_a_shell_reads(model: str, provider: str) -> None:
    """Names are quoted where a shell would read more into them."""
    command = words.Unpriced(provider=provider, model=model, calls=2, unpriced=1).command
    assert shlex.split(command) == ["tachograph", "prices", model, *(["--provider", provider] if provider else [])]


def test_libraries_of_browsers_are_there_or_not() -> None:
    """Those of tests are none of them."""
    made = [
        Library(name=name, version="1", license="MIT", use="x", files=(), tests=name == "axe")
        for name in ("a", "b", "axe")
    ]
    assert [(each.name, each.is_there) for each in words.brought(made, ("b",))] == [("a", True), ("b", False)]


def entry(details: Any, **facts: Any) -> AuditEntry:
    """Something that was done."""
    blank = {"id": "r", "time": WHEN, "action": "run_deleted", "tenant": "*", "user": None, "limit": None, **facts}
    known = {name: blank[name] for name in AuditEntry.__struct_fields__ if name in blank}
    return AuditEntry(**known, details=None if details is None else msgspec.Raw(msgspec.json.encode(details)))


def test_what_was_done_in_words() -> None:
    """Who is unknown is unknown; short lists stand as they are, long ones by their length, empty ones not at all."""
    done = words.done(entry({"rule": "old", "archives": [], "runs": list("abcd"), "some_runs": ["x", "y"]}))
    assert (done.what, done.user, done.tenant) == ("run deleted", "—", "every tenant")
    assert done.details == "rule old, runs 4, some runs x, y"
    assert words.done(entry(None)).details == ""
    assert words.done(entry("text")).details == "text"
