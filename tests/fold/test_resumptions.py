from __future__ import annotations

from tachograph.events.envelope import Body, Event
from tachograph.events.run import RunEnded, RunResumed, RunStarted
from tachograph.fold.resumptions import Resumption, resumptions


def _events(*bodies: tuple[int, Body]) -> list[Event]:
    return [Event("r", seq, at, at, 0, body) for seq, (at, body) in enumerate(bodies)]


START = RunStarted(name="desk", execution_id="e")


def test_each_time_says_how_the_run_stood_until_then() -> None:
    """Who wanted it, which time it is, the end that holds no more, and how long that was ago."""
    events = _events(
        (0, START),
        (5, RunEnded(status="failed", stop_reason="max_iterations")),
        (9, RunResumed(owner="j", epoch=1, by="ada")),
        (12, RunEnded(status="paused", stop_reason="approval")),
        (11, RunResumed(owner="k", epoch=2)),
        (20, RunEnded(status="completed", stop_reason="final_answer")),
    )
    assert list(resumptions(events)) == [
        Resumption(seq=2, at=9, epoch=1, by="ada", status="failed", stop_reason="max_iterations", stood_ns=4),
        Resumption(seq=4, at=11, epoch=2, status="paused", stop_reason="approval", stood_ns=0),
    ]


def test_a_lost_end_is_unknown() -> None:
    """Nothing is made up: neither how it ended nor when. A run that never went on has no such time."""
    lost = _events((0, START), (9, RunResumed(owner="j", epoch=1)))
    assert list(resumptions(lost)) == [Resumption(seq=1, at=9, epoch=1, status="started")]
    assert list(resumptions(lost[:1])) == []
