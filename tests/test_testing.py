"""What users get for their own tests."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tachograph
import tachograph.testing
from tachograph.events.run import RunEnded, RunStarted
from tachograph.record import scope
from tachograph.testing import CountIds, TickClock, capture


def test_capture_gives_the_same_events_every_time() -> None:
    """Clock tick, ids count: two captures of the same program are equal."""

    def program() -> list[object]:
        with capture() as events, tachograph.run("answer") as run:
            run.output = "42"
        return list(events)

    assert program() == program()


def test_capture_puts_the_recorder_back() -> None:
    """Whatever was recording before goes on, also after an exception."""
    before = scope._source
    with pytest.raises(ValueError, match="over"), capture():
        raise ValueError("over")
    assert scope._source is before


def test_events_can_be_chosen_and_sliced() -> None:
    """By class of body, by place, by slice."""
    with capture() as events:
        for name in ("a", "b"):
            with tachograph.run(name):
                pass
    assert [event.body.name for event in events.of(RunStarted)] == ["a", "b"]
    assert (len(events), events[-1], events[:1]) == (4, events.of(RunEnded)[1], [events[0]])


def test_clocks_and_ids_count() -> None:
    """A reading is a tick further, an id one more."""
    clock, ids = TickClock(start=10, tick=5), CountIds()
    assert ([clock(), clock()], [ids(2), ids(3)]) == ([15, 20], [b"\x00\x01", b"\x00\x00\x02"])


def test_models_for_tests_are_loaded_when_they_are_used() -> None:
    """The module alone loads no room of providers; its names are those of that room, and nothing else is there."""
    code = (
        "import sys, tachograph.testing as t; assert not [m for m in sys.modules if 'providers' in m];"
        "from tachograph.testing import Call, Endless, ReplayModel, Say, ScriptedModel, Silent;"
        "print(ScriptedModel.__module__, ReplayModel.__module__, Say('x').text)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "tachograph.providers.scripted tachograph.providers.replay x\n"
    with pytest.raises(AttributeError, match="no attribute 'Klingon'"):
        tachograph.testing.Klingon  # noqa: B018
