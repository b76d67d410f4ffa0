from __future__ import annotations

from tachograph.cli.intake import exported
from tachograph.events import codec
from tachograph.events.envelope import Body, Event
from tachograph.events.note import Note
from tachograph.events.run import RunEnded, RunStarted
from tachograph.wire.sessions.draft import Origin, Problem, Recorded
from tests.strategies import Tape

ORIGIN = Origin("export.jsonl")


def _run(name: str, *, ended: bool = True) -> list[Event]:
    bodies: list[Body] = [RunStarted(name=name, execution_id="exec_0_0"), Note(name="x"), RunEnded(status="completed")]
    return [Event(name, seq, seq, seq, 0, body) for seq, body in enumerate(bodies if ended else bodies[:2])]


def _lines(*events: Event) -> list[tuple[int, bytes]]:
    return [(number, codec.to_json(event)) for number, event in enumerate(events, 1)]


def test_runs_come_back_as_they_went_out() -> None:
    """Lines of two runs are two runs, the second still open."""
    first, second = _run("a"), _run("b", ended=False)
    assert list(exported.read(_lines(*first, *second), ORIGIN)) == [
        Recorded("a", tuple(first), 1),
        Recorded("b", tuple(second), 4, growing=True),
    ]


def test_a_run_that_was_resumed_or_waits_may_go_on() -> None:
    """Only its last turn says whether it is over."""
    tape = Tape()
    tape.begin()
    found: list[object] = []
    for status in ("paused", None, "failed", None, "completed"):
        _ = tape.finish(status) if status else tape.resume()
        found += exported.read(_lines(*tape.events), ORIGIN)
    assert [each.growing for each in found if isinstance(each, Recorded)] == [True, True, False, True, False]


def test_what_is_no_event_is_a_problem() -> None:
    """A broken line is reported, and what comes behind the hole it leaves is, too."""
    events = _run("a")
    lines = [(1, codec.to_json(events[0])), (2, b"{broken"), (3, codec.to_json(events[2]))]
    found = list(exported.read(lines, ORIGIN))
    assert [item.line for item in found if isinstance(item, Problem)] == [2, 3]
    assert found[-1] == Recorded("a", (events[0],), 1, growing=True)


def test_an_event_is_known_by_its_fields() -> None:
    """Lines with the fields of an event are events; others are not."""
    assert exported.is_event(codec.to_json(_run("a")[0]))
    assert not exported.is_event(b'{"run":"a"}')
    assert not exported.is_event(b"nothing")
