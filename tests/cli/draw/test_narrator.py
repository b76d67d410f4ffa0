from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tachograph.cli.draw.narrator import Narrator, spoken
from tachograph.events.call import CallEnded, CallMetered, CallRepriced, CallStarted
from tachograph.events.content import Content, inline
from tachograph.events.envelope import Body, Event
from tachograph.events.limit import LimitHit
from tachograph.events.message import MessageAppended
from tachograph.events.note import Loss, Note, Score, Unknown
from tachograph.events.run import Failure, RunEnded, RunResumed, RunStarted, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.events.usage import Cost, Usage
from tachograph.queries.events import events
from tachograph.queries.runs import runs
from tachograph.store.sqlite.store import SqliteStore

START = 1_760_000_000_000_000_000
SECOND = 1_000_000_000


def _told(*bodies: tuple[int, Body]) -> list[str]:
    """What is said of events a second apart, without the time and the number; each with its step."""
    narrator = Narrator(name_runs=False)
    found = [Event("r", seq, START + seq * SECOND, seq * SECOND, step, body) for seq, (step, body) in enumerate(bodies)]
    return [narrator.tell(event).plain[17:] for event in found]


def test_a_run_is_told_from_start_to_end() -> None:
    """Starts name what starts, ends name it again, with the outcome and the time it took."""
    assert _told(
        (0, RunStarted(name="desk", execution_id="e", session="s1", source="codex:a.jsonl", input=inline('"help"'))),
        (1, StepStarted(kind="plan", name="think")),
        (1, StepEnded(status="completed")),
        (3, CallStarted(provider="openai", model="gpt-4o", attempt=2)),
        (
            3,
            CallEnded(
                status="completed",
                finish_reason="stop",
                usage=Usage(input_uncached=12_345, output=7),
                cost=Cost(state="priced", total=1_500_000),
            ),
        ),
        (5, ToolStarted(name="look", arguments=inline('{"x":1}'))),
        (5, ToolEnded(state="failed", error=Failure("pkg.Gone", "no file"), result=inline('"none"'))),
        (0, RunEnded(status="failed", stop_reason="tool_error", output=inline('"sorry"'))),
    ) == [
        "run       desk starts  session s1  from codex:a.jsonl  help",
        "plan      think starts",
        "plan      think completed  1 s",
        "llm       gpt-4o asked  attempt 2",
        "llm       gpt-4o completed: stop  12.3k → 7 tokens  $0.0015  1 s",
        'tool      look called  {"x":1}',
        "tool      look failed  Gone: no file  none  1 s",
        "run       failed: tool_error  sorry  7 s",
    ]


def test_everything_else_has_its_line() -> None:
    """Messages, limits, notes, scores, losses, late usage, new prices and types of later versions are told as well."""
    assert _told(
        (0, MessageAppended(role="user", message=inline('{"role":"user","content":"hello"}'))),
        (0, LimitHit(metric="cost", mode="stop", used=3, threshold=2.5, reason="enough")),
        (0, Note(name="remember", data=inline("[1]"))),
        (0, Score(name="judge", value=0.5, kind="judge")),
        (0, Score(name="mood", label="fine")),
        (0, Loss(reason="journal_full", events=3, bytes=2048)),
        (0, CallMetered(call=4, usage=Usage(input_uncached=10, output=5), cost=Cost("priced", total=20_000_000))),
        (0, CallRepriced(call=4, cost=Cost(state="unpriced"))),
        (0, Unknown("dream", {})),
        (0, ToolEnded(state="rejected", reason="not allowed")),
    ) == [
        "message   user  hello",
        "limit     stop  run cost: 3 of 2.5  enough",
        "note      remember  [1]",
        "score     judge 0.5  (judge)",
        "score     mood fine  (rule)",
        "loss      journal_full: 3 events, 2 KiB",
        "usage     call 4  10 → 5 tokens  $0.02",
        "price     call 4 now costs —",
        "unknown   dream",
        "rejected  not allowed",
    ]


def test_a_hand_off_is_told_in_words() -> None:
    """To whom, and what the customer is told or why nobody came; a note that says nothing of a person, as it stands."""
    asked = {"kind": "person", "effect_id": "h", "cause": "limit", "reason": "in circles"}
    notes = (
        ("handoff_requested", asked),
        ("handoff_applied", {**asked, "text": "Somebody comes."}),
        ("handoff_failed", {**asked, "text": "Later.", "problem": "no answer"}),
        ("handoff_applied", {"kind": "agent"}),
    )
    assert _told(
        (0, RunStarted(name="desk", execution_id="e")),
        (1, StepStarted(kind="handoff", name="handoff to bookings")),
        (1, StepEnded(status="completed")),
        (3, StepStarted(kind="handoff", name="person")),
        (3, StepEnded(status="completed")),
        *((0, Note(name=name, data=inline(msgspec.json.encode(data).decode()))) for name, data in notes),
    ) == [
        "run       desk starts",
        "handoff   to bookings starts",
        "handoff   to bookings completed  1 s",
        "handoff   to a person starts",
        "handoff   to a person completed  1 s",
        "note      handoff_requested  in circles",
        "note      handoff_applied  Somebody comes.",
        "note      handoff_failed  no answer",
        'note      handoff_applied  {"kind":"agent"}',
    ]


def test_runs_that_mix_are_named() -> None:
    """Where several runs are told at once, each line begins with the time and the name of its run."""
    narrator = Narrator()
    bodies = [RunStarted(name="a", execution_id="e"), RunStarted(name="a very long name of a run", execution_id="e")]
    lines = [narrator.tell(Event(f"r{number}", 0, START, 0, 0, body)).plain for number, body in enumerate(bodies)]
    assert [line[8:38] for line in lines] == ["  a                         0 ", "  a very long name of…      0 "]
    known = narrator.tell(Event("r0", 1, START, 0, 0, Note(name="x"))).plain
    unknown = narrator.tell(Event("0189aaaa-bbbb-7", 1, START, 0, 0, Note(name="x"))).plain
    assert (known[10:11], unknown[10:23]) == ("a", "0189aaaa-bbbb")


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (inline('{"role":"user","content":"hello\\nyou"}'), "hello⏎you"),
        (inline("{broken"), "{broken"),
        (Content(hash="00", size=2048), "(2 KiB)"),
    ],
)
def test_a_message_is_told_by_what_it_says(message: Content, text: str) -> None:
    """Without the JSON around it, or by its size when the text is elsewhere."""
    assert spoken(message) == text


def test_every_event_of_a_real_run_fits_on_a_line(filled: Path) -> None:
    """Whatever the desk did, each event is one line without a control character."""
    store = SqliteStore(filled)
    narrator = Narrator()
    lines = [narrator.tell(event).plain for run in runs(store).runs for event in events(store, run.id)]
    store.close()
    assert len(lines) > 100
    assert [line for line in lines if not line.isprintable()] == []


def test_a_run_that_goes_on_is_told_by_its_name() -> None:
    """Also when it had ended; where its beginning was not told, by its number."""
    narrator = Narrator()
    bodies: list[Body] = [
        RunStarted(name="desk", execution_id="e"), RunEnded(status="paused", stop_reason="approval"),
        RunResumed(owner="j", epoch=2, by="ann", limits=inline('"9 turns"')), RunEnded(status="completed"),
    ]  # fmt: skip
    lines = [
        narrator.tell(Event("r", seq, START, seq * 1_000_000_000, 0, body)).plain for seq, body in enumerate(bodies)
    ]
    assert {line[10:14] for line in lines} == {"desk"}
    assert [line[39:] for line in lines[1:]] == [
        "run       paused: approval  1 s",
        "run       goes on  resumed 2×  by ann  9 turns",
        "run       completed  3 s",
    ]
    alone = Narrator().tell(Event("r", 2, START, 0, 0, RunResumed(owner="j", epoch=1))).plain
    assert alone[39:] == "run       goes on  resumed 1×"
