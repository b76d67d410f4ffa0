from __future__ import annotations

from itertools import pairwise

from hypothesis import given

from tachograph.events import ids
from tachograph.events.content import Content, inline
from tachograph.events.envelope import Event
from tachograph.events.run import Failure
from tachograph.events.usage import Cost, Usage
from tachograph.fold.tree import below as add_up
from tachograph.fold.tree import grow
from tachograph.queries.steps import Below, Repeated, Step, recorded, steps
from tests.strategies import BEGAN, Tape, any_runs, stored

MILLI = 1_000_000


def _nothing(hashes: object) -> dict[bytes, bytes]:
    return {}


def _steps(*tapes: Tape, preview: int = 20) -> list[Step]:
    runs = {tape.run: recorded(tape.events, _nothing) for tape in tapes}
    return list(steps(tapes[0].run, runs, _nothing, preview))


def test_each_kind_of_step_in_full() -> None:
    """A run, a plain step, a call and a tool each say what is known of them, and nothing that does not fit."""
    tape = Tape()
    tape.begin("desk", agent_type="planner", input=inline('"hi"'))
    plan = tape.step("plan", kind="plan", iteration=1, agent_type="thinker", input=inline("[1]"))
    usage, cost = Usage(10, 2, 1, 5, 3, basis="provider"), Cost("priced", total=70)
    call = tape.call("anthropic", "claude", parent=plan, iteration=1, attempt=2, retry_of=1)
    tape.reply(call, usage=usage, cost=cost, reported_cost=71, finish_reason="stop", first_token_ns=5)
    tool = tape.tool("pay", '{"n":1}', parent=plan)
    tape.result(tool, '"no"', "rejected", reason="not allowed", error=Failure("Refused"))
    tape.done(plan, output=inline("[2]"))
    tape.finish("failed", stop_reason="tool_loop", output=inline('"bye"'))
    spent = Below(llm_calls=1, tool_calls=1, input=13, output=5, cost=70)
    run = tape.run
    assert _steps(tape) == [
        Step(
            run=run, step=0, id=run, depth=0, kind="run", name="desk", status="failed", stop_reason="tool_loop",
            agent="planner", at=BEGAN, duration_ns=7 * MILLI, input='"hi"', output='"bye"', below=spent,
        ),
        Step(
            run=run, step=1, id=ids.step_id(run, 1), depth=1, kind="plan", name="plan", status="completed",
            agent="thinker", iteration=1, at=BEGAN + MILLI, begin_ns=MILLI, duration_ns=5 * MILLI, input="[1]",
            output="[2]", below=spent,
        ),
        Step(
            run=run, step=2, id=ids.step_id(run, 2), depth=2, kind="llm", name="claude", status="completed",
            iteration=1, at=BEGAN + 2 * MILLI, begin_ns=2 * MILLI, duration_ns=MILLI, provider="anthropic", attempt=2,
            retry_of=1, finish_reason="stop", first_token_ns=5, usage=usage, cost=cost, reported_cost=71,
            below=Below(llm_calls=1, input=13, output=5, cost=70),
        ),
        Step(
            run=run, step=4, id=ids.step_id(run, 4), depth=2, kind="tool", name="pay", status="rejected",
            reason="not allowed", error=Failure("Refused"), at=BEGAN + 4 * MILLI, begin_ns=4 * MILLI,
            duration_ns=MILLI, input='{"n":1}', output='"no"', below=Below(tool_calls=1),
        ),
    ]  # fmt: skip


def test_repeats_are_marked() -> None:
    """The same tool with the same arguments, in any spelling, is marked: how often, and how many different results."""
    tape = Tape()
    tape.begin()
    for arguments, result in (('{"a":1,"b":2}', '"x"'), ('{"b": 2, "a": 1}', '"x"'), ('{"a":2}', '"x"')):
        tape.result(tape.tool("look", arguments), result)
    for number in range(3):
        tape.result(tape.tool("poll", "{}"), f'"{number}"')
    marks = [step.repeat for step in _steps(tape)]
    assert marks == [None, Repeated(2, 1, 1), Repeated(2, 2, 1), None, *(Repeated(3, nth, 3) for nth in (1, 2, 3))]


def test_what_is_open_or_damaged_shows() -> None:
    """Open steps have no duration, an end without its start is an orphan, and nothing is missing below the run."""
    tape = Tape()
    tape.begin()
    tape.step("waiting")
    tape.reply(tape.call(parent=99))
    tape.events = [event for event in tape.events if event.seq != 2]
    assert [(s.step, s.name, s.status, s.duration_ns, s.orphan, s.at) for s in _steps(tape)] == [
        (0, "desk", "started", None, False, BEGAN),
        (2, "", "completed", None, True, None),
        (1, "waiting", "started", None, False, BEGAN + MILLI),
    ]


def test_a_result_that_stands_in_the_transcript() -> None:
    """A tool's result that was recorded as a message is shown from there."""
    tape = Tape()
    tape.begin()
    tool = tape.tool("look")
    message = tape.say("tool", {"content": "found"})
    tape.result(tool, Content(level="message", size=17), message=message)
    assert _steps(tape)[1].output == '{"content":"found"}'


def test_content_that_was_not_kept_has_no_preview() -> None:
    """Content named by a hash that the store does not have shows nothing."""
    tape = Tape()
    tape.begin(input=stored(inline('"gone"')))
    assert _steps(tape)[0].input is None


def test_runs_below_stand_on_the_axis_of_the_first() -> None:
    """Steps of a run that was started half a second later begin half a second later."""
    parent = Tape("parent")
    parent.begin("parent")
    step = parent.step("ask", kind="delegation")
    child = Tape("child", at=BEGAN + 500 * MILLI, mono=77)
    child.begin("child", parent_run=parent.run, parent_step=step)
    child.step("inner")
    assert [(s.name, s.depth, s.begin_ns // MILLI) for s in _steps(parent, child)] == [
        ("parent", 0, 0), ("ask", 1, 1), ("child", 2, 500), ("inner", 3, 501),
    ]  # fmt: skip


@given(any_runs)
def test_every_step_once_and_sums_that_agree(events: list[Event]) -> None:
    """Whatever was recorded: each step comes once, below its parent, and adds up to what the fold of its tree says."""
    if not events:
        return
    tree = grow(events)
    made = list(steps(tree.run, {tree.run: recorded(events, _nothing)}, _nothing, 10))
    assert sorted(step.step for step in made) == sorted(tree.nodes)
    assert made[0].step == made[0].depth == 0
    assert all(after.depth <= before.depth + 1 for before, after in pairwise(made))
    for step in made:
        whole = add_up(tree.nodes[step.step])
        sums = (step.below.llm_calls, step.below.tool_calls, step.below.input, step.below.output, step.below.cost)
        assert sums == (
            whole.attempts,
            sum(node.kind == "tool" for _, node in tree.nodes[step.step].walk()),
            whole.input_total,
            whole.output,
            whole.cost,
        )
