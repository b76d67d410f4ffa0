from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given

from tachograph.events.envelope import Event
from tachograph.events.note import Score
from tachograph.limits.backtest import POLICIES, Hit, Line, Tested, backtest, succeeded, tally
from tachograph.limits.loops import Loops
from tests.strategies import Tape, any_runs
from tests.wire.recordings import index, runs

SHIPPED = Loops()


def taped(*calls: tuple[str, Any, Any], agent_type: str | None = None) -> list[Event]:
    """A run of tool calls: tool, arguments, result."""
    tape = Tape()
    tape.begin()
    for name, arguments, result in calls:
        step = tape.tool(name, msgspec.json.encode(arguments).decode(), agent_type=agent_type)
        tape.result(step, msgspec.json.encode(result).decode())
    return tape.events


def test_a_loop_is_stopped_where_it_would_have_been() -> None:
    """Each verdict names its call, its rule and its evidence; after the one that ends the run nothing is looked at."""
    tested = backtest(taped(*[("search", {"q": 1}, "none")] * 20), SHIPPED)
    assert tested.calls == 6
    assert [(hit.number, hit.mode, hit.refused, hit.changed) for hit in tested.hits] == [
        (2, "warn", False, None), (3, "block", True, False), (4, "skip", True, False), (5, "skip", True, False),
        (6, "stop", True, False),
    ]  # fmt: skip
    assert tested.stopped == Hit(
        11, 6, "search", "repeat", "stop", "tool_loop", 5, 6, (1, 3, 5, 7, 9), refused=True, changed=False
    )
    assert (len(tested.warned), len(tested.refused)) == (1, 3)


def test_a_refusal_that_would_have_hidden_news_is_told() -> None:
    """A blocked call whose recorded result was another one was blocked wrongly."""
    calls = [("status", 1, "wait"), ("status", 1, "wait"), ("status", 1, "ready"), ("pay", 1, "paid")]
    [warned, blocked] = backtest(taped(*calls), SHIPPED).hits
    assert (warned.mode, blocked.mode, blocked.changed) == ("warn", "block", True)
    quiet = backtest(taped(*calls), msgspec.structs.replace(SHIPPED, tools={}, warn=None, block=None, skip=None))
    assert quiet == Tested(4)


def test_a_simulated_person_is_no_agent() -> None:
    """Calls of agent type `user` are not counted and stop nothing."""
    assert backtest(taped(*[("look", 1, "same")] * 9, agent_type="user"), SHIPPED) == Tested()


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([], None),
        ([Score(name="reward", value=1.0)], True),
        ([Score(name="reward", value=0.5)], False),
        ([Score(name="resolved", value=1.0), Score(name="correct", value=0.0)], False),
        ([Score(name="taste", value=1.0)], None),
        ([Score(name="reward", value=1.0, target=3)], None),
        ([Score(name="reward", label="good")], None),
    ],
)
def test_scores_of_the_run_say_whether_it_succeeded(scores: Sequence[Score], expected: bool | None) -> None:
    """All judgements of the run itself must be 1; other scores, and those of single steps, do not tell."""
    tape = Tape()
    tape.begin()
    for score in scores:
        tape.add(score)
    assert succeeded(tape.events) is expected


def test_a_line_counts_conversations_and_those_that_had_succeeded() -> None:
    """A conversation counts once for each thing that happens in any of its runs; calls are counted one by one."""
    looped = backtest(taped(*[("t", 1, "r")] * 9), SHIPPED)
    blocked = backtest(taped(("t", 1, "r"), ("t", 1, "r"), ("t", 1, "s")), SHIPPED)
    calm = backtest(taped(("t", 1, "r")), SHIPPED)
    line = tally("mine", [([looped, calm], True), ([blocked], False), ([blocked], True), ([calm], None)])
    assert line == Line(
        policy="mine",
        conversations=4, succeeded=2,
        stopped=1, stopped_succeeded=1,
        refused=3, refused_succeeded=2,
        warned=3, warned_succeeded=2,
        calls_refused=6, calls_changed=2,
    )  # fmt: skip


@given(any_runs)
def test_any_run_can_be_tested(events: list[Event]) -> None:
    """Under every policy: verdicts stand in order, at most one ends the run, and it is the last."""
    for loops in POLICIES.values():
        tested = backtest(events, loops)
        assert [hit.number for hit in tested.hits] == sorted({hit.number for hit in tested.hits})
        assert tested.stopped is None or (tested.stopped == tested.hits[-1] and tested.calls == tested.stopped.number)


def test_loops_in_recorded_conversations_are_found_and_work_is_not(shared_data: Path) -> None:
    """Every runaway of the recorded customer-service conversations is stopped, and no refused call had a new result."""
    found: Counter[str] = Counter()
    for row in index(shared_data):
        if not row["file"].startswith("tau"):
            continue
        [run] = runs(shared_data / "trajectories" / row["file"], row["line"])
        tested = backtest(run.events, SHIPPED)
        if row["loop"] == "runaway":
            found["runaway stopped" if tested.stopped else "runaway missed"] += 1
        elif tested.stopped is not None:
            found["other stopped"] += 1
            found["other stopped, succeeded"] += succeeded(run.events) is True
        found["hidden"] += sum(hit.changed is True for hit in tested.hits)
    assert found == Counter({"runaway stopped": 5, "other stopped": 3, "other stopped, succeeded": 1, "hidden": 0})


def test_every_policy_of_the_report_is_another_one() -> None:
    """The report compares the shipped policy with different ones, among them the three that were asked about."""
    assert len(set(map(repr, POLICIES.values()))) == len(POLICIES)
    assert POLICIES["shipped"] == Loops()
    ladder = POLICIES["warn 2, block 3, skip 4, stop 6"]
    assert (ladder.warn, ladder.block, ladder.skip, ladder.stop) == (2, 3, 4, 6)
    assert POLICIES["3 same calls"].same_calls == 3
