from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.call import CallMetered, CallRepriced
from tachograph.events.envelope import STARTS, Event
from tachograph.events.note import Loss, Score
from tachograph.events.run import Failure, RunEnded, RunResumed, RunStarted
from tachograph.events.usage import Cost, Usage
from tachograph.fold import totals
from tachograph.fold.tree import Node, RunTree, Span, below, forest, grow
from tests.strategies import Tape, any_runs, runs

MS = 1_000_000


def outline(node: Node) -> list[str]:
    """A tree as indented lines: kind, name, status."""
    return [f"{'  ' * depth}{each.kind} {each.name} {each.status}" for depth, each in node.walk()]


def desk() -> Tape:
    """A run with an agent, an iteration, a call that asks for a tool, and a step that is still open."""
    tape = Tape()
    tape.begin("desk")
    agent = tape.step("billing", kind="agent")
    turn = tape.step("iteration 1", kind="iteration", parent=agent)
    call = tape.call("anthropic", "claude-sonnet-4-5", parent=turn)
    tape.reply(call, usage=Usage(output=5, basis="provider"), cost=Cost("priced", total=7))
    tool = tape.tool("refund", "{}", parent=turn, requested_by=call)
    tape.result(tool, state="rejected", error=Failure("NotAllowed"))
    tape.done(turn)
    tape.step("wrap up", kind="observe")
    tape.done(agent, "failed", error=Failure("ValueError", "no"))
    return tape


def test_a_run_becomes_a_tree() -> None:
    """Steps hang below their parents in the order they began, with kind, name and how they ended."""
    tree = grow(desk().events)
    assert outline(tree.root) == [
        "run desk started",
        "  agent billing failed",
        "    iteration iteration 1 completed",
        "      llm claude-sonnet-4-5 completed",
        "      tool refund rejected",
        "  observe wrap up started",
    ]


def test_a_node_answers_from_its_events() -> None:
    """Times, usage, cost and errors are those of the events that bracket the step."""
    tape = desk()
    tree = grow(tape.events)
    call, tool, open_step = tree.nodes[3], tree.nodes[5], tree.nodes[8]
    assert (call.at, call.duration_ns, call.usage, call.cost, call.error) == (
        tape.events[3].at, MS, Usage(output=5, basis="provider"), Cost("priced", total=7), None,
    )  # fmt: skip
    assert (tool.usage, tool.cost, tool.error) == (None, None, Failure("NotAllowed"))
    assert (open_step.duration_ns, open_step.end, open_step.error) == (None, None, None)


def test_the_last_price_and_the_scores_stand_with_their_step() -> None:
    """What is said later about a step is found at the step, and its cost is the last price."""
    tape = desk()
    tape.add(CallRepriced(call=3, cost=Cost("priced", total=8)))
    tape.add(CallRepriced(call=3, cost=Cost("priced", total=9)))
    score = tape.add(Score(name="helpful", target=1))
    tree = grow(tape.events)
    assert tree.nodes[3].cost == Cost("priced", total=9)
    assert [event.seq for event in tree.nodes[1].asides] == [score]
    assert below(tree.nodes[1]).cost == 9


def test_usage_that_was_known_late_stands_with_its_call() -> None:
    """The call answers with the last usage and the last price, whichever event brought it; before its end with none."""
    tape = desk()
    late = Usage(input_uncached=20, output=6, basis="provider")
    tape.add(CallMetered(call=3, usage=late, cost=Cost("priced", total=8)))
    tree = grow(tape.events)
    assert (tree.nodes[3].usage, tree.nodes[3].cost) == (late, Cost("priced", total=8))
    tape.add(CallRepriced(call=3, cost=Cost("priced", total=9)))
    tree = grow(tape.events)
    assert (tree.nodes[3].usage, tree.nodes[3].cost) == (late, Cost("priced", total=9))
    assert (below(tree.nodes[1]).tokens, below(tree.nodes[1]).cost) == (26, 9)
    early = Tape()
    early.begin()
    call = early.call()
    early.add(CallMetered(call=call, usage=late))
    early.reply(call)
    assert grow(early.events).nodes[call].usage == Usage()


def test_spans_lie_inside_their_parents() -> None:
    """A child that outlives its parent, or seems to begin before it, is drawn inside it; open steps reach on."""
    tape = Tape(tick=0)
    tape.begin()
    outer = tape.wait(MS).step("outer")
    late = tape.wait(MS).step("late", parent=outer)
    early = tape.wait(-5 * MS).step("early", parent=outer)
    tape.wait(6 * MS).done(outer)
    tape.wait(MS).done(late)
    still = tape.step("open")
    tape.wait(MS).add(Loss(reason="journal_full"))
    tape.wait(-MS).add(Loss(reason="journal_full"))
    spans = grow(tape.events).spans()
    assert spans == {
        0: Span(0, 5 * MS), outer: Span(MS, 3 * MS), late: Span(2 * MS, 3 * MS), early: Span(MS, 3 * MS),
        still: Span(4 * MS, 5 * MS),
    }  # fmt: skip
    assert spans[late].length == MS


def test_lost_parents_and_lost_starts_are_seen() -> None:
    """A step whose parent is gone, and an end whose start is gone, hang below the run and say so."""
    events = desk().events
    tree = grow([events[0], *events[2:5], *events[6:]])
    assert outline(tree.root) == [
        "run desk started",
        "  iteration iteration 1 completed",
        "    llm claude-sonnet-4-5 completed",
        "  tool  rejected",
        "  observe wrap up started",
        "  custom  failed",
    ]
    assert [node.step for _, node in tree.root.walk() if node.orphan] == [2, 5, 1]
    assert (tree.nodes[5].at, tree.nodes[5].duration_ns) == (None, None)


def test_a_tree_without_its_first_event_still_stands() -> None:
    """When even the start of the run is gone, its steps are there below a run without a name."""
    tree = grow(desk().events[1:])
    assert outline(tree.root)[:2] == ["run  started", "  agent billing failed"]
    assert (tree.started, tree.root.at, tree.spans()[1]) == (None, None, Span(0, 8 * MS))


def test_an_empty_tree_is_a_run_that_is_not_there() -> None:
    """Before the first event there is only a root that knows nothing."""
    tree = RunTree()
    assert (tree.run, tree.seq, outline(tree.root), tree.spans()) == ("", -1, ["run  started"], {0: Span(0, 0)})


def test_the_first_start_and_end_count() -> None:
    """A second end of a step, or a second start of the run, changes nothing, but can be seen."""
    tape = desk()
    again = tape.done(1, "completed")
    tree = grow(tape.events)
    assert tree.nodes[1].status == "failed"
    assert [event.seq for event in tree.nodes[1].asides] == [again]
    second = tape.begin("another name")
    tree = grow(tape.events)
    assert tree.started == tape.events[0].body
    assert second in [event.seq for event in tree.root.asides]


def test_only_an_end_of_its_own_family_ends_a_step() -> None:
    """The end of a tool call that names a plain step does not end it."""
    tape = Tape()
    tape.begin()
    step = tape.step("work")
    tape.result(step, '"4"')
    assert outline(grow(tape.events).root) == ["run desk started", "  custom work started"]
    assert totals.fold(tape.events).tool_ends == {}


def test_events_of_another_run_are_refused() -> None:
    """A tree holds one run: an event of another is a ValueError."""
    tree = grow(desk().events)
    with pytest.raises(ValueError, match="in the tree of run"):
        tree.apply(Event("another", 99, 0, 0, 0, Loss(reason="damage")))


def started(name: str, run: str, parent: str | None = None, step: int | None = None) -> RunTree:
    """The tree of a run that has just begun, started by a step of another."""
    body = RunStarted(name=name, execution_id="e", parent_run=parent, parent_step=step)
    return grow([Event(run, 0, 0, 0, 0, body)])


def test_runs_hang_below_the_steps_that_started_them() -> None:
    """A forest joins child runs to their step, or to the parent run where the step is gone; the rest stay roots."""
    parent = grow(desk().events)
    children = [
        started("by step", "a", parent.run, 1),
        started("by lost step", "b", parent.run, 77),
        started("below a", "c", "a"),
        started("of a lost run", "d", "gone"),
    ]
    roots = forest([*children, parent])
    assert [tree.started and tree.started.name for tree in roots] == ["of a lost run", "desk"]
    assert outline(parent.root) == [
        "run desk started",
        "  agent billing failed",
        "    iteration iteration 1 completed",
        "      llm claude-sonnet-4-5 completed",
        "      tool refund rejected",
        "    run by step started",
        "      run below a started",
        "  observe wrap up started",
        "  run by lost step started",
    ]
    assert below(parent.root).runs == 4
    assert parent.spans() == grow(desk().events).spans()


def test_runs_that_name_each_other_as_parents_do_not_hang() -> None:
    """A circle of parents is cut at one run, which stays a root; so is a run that names itself."""
    circle = [started("a", "a", "c"), started("b", "b", "a"), started("c", "c", "b"), started("d", "d", "d")]
    roots = forest(circle)
    assert [outline(tree.root) for tree in roots] == [
        ["run c started", "  run a started", "    run b started"],
        ["run d started"],
    ]


@given(any_runs)
def test_every_step_is_in_the_tree_once(events: list[Event]) -> None:
    """Walking from the root meets every step exactly once, the started ones all among them."""
    tree = grow(events)
    met = [node for _, node in tree.root.walk()]
    assert sorted(node.step for node in met) == sorted(tree.nodes)
    assert {event.seq for event in events if isinstance(event.body, STARTS)} <= tree.nodes.keys()
    assert sum(len(node.asides) + (node.start is not None) + (node.end is not None) for node in met) == len(
        {event.seq for event in events}
    )


@given(any_runs)
def test_no_time_is_negative_and_children_lie_inside(events: list[Event]) -> None:
    """On any stream, spans nest as the steps do and durations are never negative."""
    tree = grow(events)
    spans = tree.spans()
    assert spans.keys() == tree.nodes.keys()
    assert spans[0].begin == 0
    for _, node in tree.root.walk():
        assert spans[node.step].length >= 0
        assert node.duration_ns is None or node.duration_ns >= 0
        for child in node.children:
            assert spans[node.step].begin <= spans[child.step].begin
            assert spans[child.step].end <= spans[node.step].end


@given(runs())
def test_what_lies_below_the_root_is_the_run(events: list[Event]) -> None:
    """The totals below the root are the totals of the run, and those of the other steps are parts of them."""
    tree = grow(events)
    assert below(tree.root) == totals.fold(events)
    parts = [below(child) for child in tree.root.children]
    assert sum(part.attempts for part in parts) == below(tree.root).attempts
    assert sum(part.cost for part in parts) == below(tree.root).cost


@given(any_runs, st.integers(0, 60))
def test_reading_again_changes_nothing(events: list[Event], place: int) -> None:
    """Events that were applied before are refused and leave the tree as it was."""
    tree = grow(events)
    before = outline(tree.root)
    assert not any(tree.apply(event) for event in events[: place % (len(events) + 1)])
    assert outline(tree.root) == before


@pytest.mark.parametrize("status", ["paused", "failed"])
def test_a_run_that_goes_on_is_open_and_keeps_its_former_end(status: str) -> None:
    """Its tree grows on below the same root, over the whole of its time; a paused run has no duration yet."""
    tape = Tape()
    tape.begin()
    tape.done(tape.step("before"))
    tape.finish(status, stop_reason="because")
    tree = grow(tape.events)
    assert (tree.root.status, tree.root.duration_ns) == (status, None if status == "paused" else 3 * MS)
    tape.wait(10 * MS).resume()
    tree = grow(tape.events)
    assert (tree.root.status, tree.root.duration_ns, tree.root.error) == ("started", None, None)
    tape.done(tape.step("after"))
    tape.finish("completed")
    tree = grow(tape.events)
    assert outline(tree.root) == ["run desk completed", "  custom before completed", "  custom after completed"]
    assert (tree.root.duration_ns, tree.spans()[0]) == (17 * MS, Span(0, 17 * MS))
    assert [type(event.body) for event in tree.root.asides] == [RunEnded, RunResumed]
