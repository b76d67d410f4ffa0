from __future__ import annotations

import msgspec
import pytest

from tachograph.events.call import CallMetered, CallRepriced
from tachograph.events.codec import BODY_TYPES
from tachograph.events.content import Content, inline
from tachograph.events.envelope import Body, Event
from tachograph.events.limit import LimitHit
from tachograph.events.note import Loss, Note, Score, Unknown
from tachograph.events.run import Failure, RunEnded, RunResumed, StepStarted
from tachograph.events.usage import Cost, Usage
from tachograph.web.run.events import KINDS, cut, line, mark, types_of, whole
from tests.queries.views.talk import HOSTILE, Talk

RUN = "01a20065-6fe7-7cda-8f91-89a700000000"


def _event(body: Body, step: int = 0) -> Event:
    return Event(RUN, 9, 1_750_000_000_000_000_000, 5, step, body)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (RunEnded(status="failed", stop_reason="tool_error", error=Failure(type="a.B", message="it broke")),
         "failed: tool_error · B: it broke"),
        (RunResumed(owner="o", epoch=2, by="Ada"), "goes on · by Ada"),
        (StepStarted(kind="iteration", name="iteration 4", iteration=4), "iteration 4"),
        (CallMetered(call=3, usage=Usage(input_uncached=7, output=2)), "call 3 · 7 → 2 tokens · —"),
        (CallRepriced(call=3, cost=Cost(state="priced", total=2_000_000_000)), "call 3 now costs $2.00"),
        (LimitHit(metric="deadline", mode="stop", used=2, threshold=1, reason="late"),
         "stop · run deadline: 2 of 1 · late"),
        (Note(name="seen", data=inline('{"a":1}')), 'seen · {"a":1}'),
        (Note(name="seen", data=Content(hash="ab", size=4_096)), "seen · (4 KiB)"),
        (Note(name="seen", data=Content(level="none", size=10)), "seen · (10 B, not kept)"),
        (Score(name="good", value=0.5, comment="fine"), "good 0.5 · rule · fine"),
        (Loss(reason="journal_full", events=2, bytes=1_024), "journal_full: 2 events, 1 KiB could not be recorded"),
        (Unknown("from_later", {}), ""),
    ],
)  # fmt: skip
def test_an_event_in_a_line(body: Body, text: str) -> None:
    """Each type says what matters; a type of a later version stands by its name."""
    assert line(_event(body), RUN).text == text


def test_the_lines_of_a_run() -> None:
    """Every event has a line; it leads to the event and its step, and is as long as what it says of content."""
    talk = Talk()
    lines = [line(event, talk.run) for event in talk.events]
    assert all(each.text for each in lines)
    user = lines[talk.at_seq["user"]]
    assert (user.type, user.text, user.href) == (
        "message_appended", f"user · Where is it? {HOSTILE}", f"/runs/{talk.run}/events/{user.seq}",
    )  # fmt: skip
    assert "in this request only" in lines[talk.at_seq["reminder"]].text
    assert '→ search({"q":"parcel"})' in lines[talk.at_seq["ask"]].text
    assert (lines[0].step_href, lines[talk.at_seq["first"]].kind) == (f"/runs/{talk.run}", "llm")
    assert lines[talk.at_seq["found"]].size > 4_096


def test_what_stands_between_messages() -> None:
    """A limit, a hand-off, a compaction and a run that went on are marks in words."""
    talk = Talk()
    assert mark(talk.events[talk.at_seq["handoff"]], talk.run).label == "hand-off"
    found = [
        mark(_event(body), RUN).label
        for body in (StepStarted(kind="compaction", name="compaction"), RunResumed(owner="o", epoch=1), Note(name="n"))
    ]
    assert found == ["compaction", "resumed", "note"]


def test_kinds_know_every_type() -> None:
    """A kind means its types, a type means itself, and no type is without a kind."""
    assert types_of("run") == {"run_started", "run_ended", "run_resumed"}
    assert (types_of("limit_hit"), types_of("")) == (frozenset({"limit_hit"}), frozenset())
    assert {name for names in KINDS.values() for name in names} == set(BODY_TYPES)


def test_a_whole_event_is_its_json() -> None:
    """On lines, as exports have it."""
    event = _event(Note(name="seen", data=inline('"a"')))
    assert msgspec.json.decode(whole(event))["body"]["name"] == "seen"


def test_a_line_is_cut() -> None:
    """Text on one line, and only its beginning."""
    assert (cut("a\n b"), cut("x" * 200, 10)) == ("a b", "x" * 9 + "…")
