from __future__ import annotations

import pytest

from tachograph.events import ids
from tachograph.events.content import inline
from tachograph.events.run import RunEnded, StepStarted
from tachograph.wire.sessions.draft import Draft, Origin, category, failure, project_of
from tests.wire.recordings import Facts
from tests.wire.sound import faults

NOON = 1_770_000_000_000_000_000


def _draft(at: int | None = NOON, written: int = 0) -> Draft:
    draft = Draft("made-up", "key", at, Origin("f.json", at=written))
    draft.begin("agent", metadata={"a": 1, "b": None})
    return draft


def test_ids_depend_on_format_key_and_recorded_time_alone() -> None:
    """The file's time places the events of a log without times, but never names the run."""
    assert _draft().run == ids.run_id_for("made-up:key", NOON)
    assert _draft(None, 5).run == _draft(None, 6).run == ids.run_id_for("made-up:key", 0)
    assert _draft(None, 5).events[0].at == 5
    assert _draft().events[0].body.source == "made-up:f.json"
    assert _draft().events[0].body.metadata == inline('{"a":1}')


def test_what_is_open_is_closed_with_the_run() -> None:
    """A step, a call and a tool without an end get one at the last thing that happened, innermost first."""
    for status, state in (("cancelled", "cancelled"), ("abandoned", "abandoned")):
        draft = _draft()
        draft.open_step(NOON + 1, StepStarted(kind="agent", name="inner"))
        draft.call("openai", "gpt-4o", at=NOON + 2)
        draft.ask(NOON + 3, "search", "c", None)
        run = draft.finish(status, "", at=NOON + 9)  # type: ignore[arg-type]
        assert faults(run.events) == []
        assert [getattr(e.body, "status", None) or getattr(e.body, "state", None) for e in run.events[4:]] == [
            state
        ] * 4
        assert [event.step for event in run.events[4:]] == [3, 2, 1, 0]
        assert {event.at for event in run.events[4:]} == {NOON + 9}


def test_ends_do_not_come_before_their_starts() -> None:
    """Clocks that step back are bent to the start of the run or the step."""
    draft = _draft()
    draft.say(NOON - 50, "user", b'"hi"')
    call = draft.call("openai", "gpt-4o", at=NOON + 100)
    draft.end_call(call, NOON + 20)
    run = draft.finish("completed", "final_answer")
    assert faults(run.events) == []
    assert [event.mono for event in run.events] == [0, 0, 100, 100, 100]


def test_calls_wait_for_what_came_last() -> None:
    """A call starts when the last message or result was there, and knows the transcript up to it."""
    draft = _draft()
    first = draft.say(NOON + 5, "user", b'{"role":"user"}')
    call = draft.call("openai", "gpt-4o")
    tool = draft.ask(NOON + 7, "search", "c", inline("{}"))
    draft.end_call(call, NOON + 7)
    draft.answer(tool, NOON + 12, "completed")
    again = draft.call("openai", "gpt-4o")
    assert [(draft.events[seq].mono, draft.events[seq].body.input) for seq in (call, again)] == [
        (5, first),
        (12, first),
    ]
    assert [draft.events[seq].body.iteration for seq in (call, tool, again)] == [1, 1, 2]


def test_pending_calls_are_answered_in_order() -> None:
    """Of two calls under one id the older is answered first; of all that wait the oldest is known."""
    draft = _draft()
    one, other, two = (draft.ask(NOON, "t", call_id, None) for call_id in ("a", None, "a"))
    assert (draft.pending("a"), draft.pending(None), draft.pending("b"), draft.waiting) == (one, other, None, one)
    draft.answer(one, NOON, "completed")
    assert (draft.pending("a"), draft.waiting) == (two, other)
    draft.answer(two, NOON, "completed")
    assert draft.pending("a") is None


def test_scores_may_follow_the_end() -> None:
    """What a benchmark adds after the run has ended is part of the record."""
    draft = _draft()
    draft.finish("completed", "final_answer")
    draft.score("reward", value=1.0)
    run = draft.recorded()
    assert faults(run.events) == []
    assert isinstance(run.events[-2].body, RunEnded)
    assert Facts([run]).ends[0].status == "completed"


@pytest.mark.parametrize(
    ("folder", "tags"),
    [("/home/ada/shop/", ("project:shop",)), ("C:\\work\\shop", ("project:shop",)), ("/", ()), (None, ())],
)
def test_a_folder_names_the_project(folder: str | None, tags: tuple[str, ...]) -> None:
    """The last part of the working directory, on any system."""
    assert project_of(folder) == tags


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (401, "auth"),
        (429, "rate_limit"),
        (529, "overloaded"),
        (500, "server_error"),
        (422, "invalid_request"),
        (200, ""),
        (None, ""),
    ],
)
def test_an_http_status_tells_the_class_of_an_error(status: int | None, wanted: str) -> None:
    """The classes of errors that retries and statistics know."""
    assert category(status) == wanted


def test_the_text_of_an_error_is_bounded() -> None:
    """Two thousand characters are enough to see what it was."""
    assert len(failure("E", "x" * 10_000).message) == 2_000
