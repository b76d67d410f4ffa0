"""The recorder: gapless, exactly once, never in the way."""

from __future__ import annotations

import gc
import logging
import threading
from typing import Any

import pytest

from tachograph import LLMCall, run, step
from tachograph.events.note import Loss, Note
from tachograph.events.run import RunEnded, StepEnded
from tachograph.record import scope
from tachograph.record.journal import owner_lives
from tachograph.record.recorder import Recorder
from tachograph.testing import Captured


def test_events_of_many_threads_in_one_run_have_no_gap(events: Captured) -> None:
    """Sequence and append happen under one lock."""
    with run("shared") as shared:

        def work() -> None:
            for number in range(200):
                shared.note(str(number))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [event.seq for event in events] == list(range(1602))
    assert [event.mono for event in events] == sorted(event.mono for event in events)


def test_an_end_is_written_once_whoever_comes_first(events: Captured) -> None:
    """The second caller is told so."""
    recorder = scope.recorder()
    with run("desk"):
        at = step("x").__enter__()
        live = scope.current().run
        said = [recorder.end(live, 1, StepEnded(status="failed")) for _ in range(2)]
        at.__exit__(None, None, None)
    assert (said, len(events.of(StepEnded))) == ([True, False], 1)


def test_a_failed_append_takes_no_seq_and_is_owned_up_to(events: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run's next event follows without a gap, behind a loss that counts what is missing."""
    recorder = scope.recorder()
    append = recorder.journal.append
    with run("desk") as desk:
        monkeypatch.setattr(recorder.journal, "append", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        desk.note("lost")
        desk.note("lost too")
        monkeypatch.setattr(recorder.journal, "append", append)
        desk.note("kept")
    assert [(event.seq, event.body) for event in events[1:3]] == [
        (1, Loss(reason="not_recorded", events=2)),
        (2, Note(name="kept")),
    ]
    assert dict(recorder.health.lost) == {"journal_write": 2}


def test_a_finaliser_inside_an_append_waits_its_turn(events: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream collected in the middle of an append ends right after it: no deadlock, no lost end, no gap."""
    recorder = scope.recorder()

    def stream() -> Any:
        with step("stream"):
            yield 1

    held = [stream()]
    with run("desk") as desk:
        next(held[0])
        append = recorder.journal.append

        def collect(payload: bytes, now: int) -> None:
            held.clear()
            gc.collect()
            append(payload, now)

        monkeypatch.setattr(recorder.journal, "append", collect)
        desk.note("interrupted")
    assert [(event.seq, type(event.body)) for event in events[2:4]] == [(2, Note), (3, StepEnded)]


def test_pressed_journals_shed_content_before_events(events: Captured) -> None:
    """Above three quarters of the cap the events stay and their payload goes, counted and marked."""
    recorder = scope.recorder()
    recorder.journal.pressed = True
    with run("desk", input="hello") as desk:
        desk.note("n")
    body: Any = events[0].body
    assert (body.input.text, body.input.marks, body.input.level, recorder.health.shed) == (None, ("shed",), "none", 1)


def test_the_first_loss_and_fault_of_each_kind_is_logged(events: Captured, caplog: pytest.LogCaptureFixture) -> None:
    """A thousand failures make one line."""
    recorder = scope.recorder()
    with caplog.at_level(logging.WARNING, logger="tachograph"):
        for _ in range(3):
            recorder.lose("journal_write", OSError("full"))
            recorder.fault("exit", ValueError("x"))
    assert [record.message for record in caplog.records] == [
        "event not recorded (journal_write): full; see `tachograph doctor`",
        "recorder fault in exit: ValueError('x'); the program is not affected",
    ]


def test_leaving_ends_everything_and_starts_nothing(events: Captured) -> None:
    """All open runs and steps are closed with the reason given; later runs are not recorded."""
    recorder: Recorder = scope.recorder()
    outer = run("outer").__enter__()
    inner = step(LLMCall("m")).__enter__()
    recorder.close_runs(inner_failure(), "cancelled", "signal")
    with run("later"):
        pass
    inner.__exit__(None, None, None)
    outer.__exit__(None, None, None)
    ended = [event.body for event in events.of(RunEnded)]
    assert [(body.status, body.stop_reason) for body in ended] == [("cancelled", "signal")]
    assert len(events) == 4


def inner_failure() -> Any:
    """Why a process leaves."""
    from tachograph.events.run import Failure

    return Failure("SIGTERM", "asked to go", "cancelled")


def test_a_run_that_ended_can_be_let_go_of(events: Captured) -> None:
    """Once; from then on what is said of it is lost, and counted. One that is open, or unknown, cannot be."""
    recorder = scope.recorder()
    with run("desk") as desk:
        assert recorder.let_go(desk.run_id or "") is None
    desk.note("late")
    former = recorder.let_go(desk.run_id or "")
    assert former is not None
    assert (former.id, recorder.let_go(desk.run_id or ""), recorder.let_go("unknown")) == (desk.run_id, None, None)
    desk.note("too late")
    assert [type(event.body) for event in events[1:]] == [RunEnded, Note]
    assert recorder.health.lost == {"let_go": 1}


def test_a_pause_that_cannot_be_written_yet_is_owed(events: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a paused run is written as soon as it can be, like any other."""
    recorder = scope.recorder()
    append = recorder.journal.append
    with run("desk") as desk:
        monkeypatch.setattr(recorder.journal, "append", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        desk.stop("paused", "approval")
    assert events.of(RunEnded) == []
    monkeypatch.setattr(recorder.journal, "append", append)
    recorder.pay()
    assert [event.body.status for event in events.of(RunEnded)] == ["paused"]


def test_the_journal_is_there_when_a_run_is_to_belong_to_it(events: Captured) -> None:
    """Whoever asks for its name can rely on the lock being held."""
    recorder = scope.recorder()
    name = recorder.ready()
    assert (name, owner_lives(recorder.journal.folder)) == (recorder.journal.folder.name, True)
