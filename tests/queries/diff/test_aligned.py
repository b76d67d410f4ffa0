from __future__ import annotations

from tachograph.events.content import inline
from tachograph.events.run import Failure
from tachograph.queries.diff.aligned import Aligned, aligned
from tachograph.queries.find import find
from tachograph.store.ports import Store
from tests.queries.diff.scenes import FIND, PAY, kept, taped
from tests.strategies import BEGAN, Tape

NOT_FOUND = ("find", '{"id":7}', '"nobody"')
OTHER = ("find", '{"id":8}', '"eight"')


def compared(store: Store, left: Tape, right: Tape) -> Aligned:
    """Both runs in the store, side by side."""
    ours, theirs = kept(store, left, right)
    return aligned(store, find(store, ours), find(store, theirs))


def told(found: Aligned) -> list[tuple[str, str, tuple[str, ...]]]:
    """Each pair: the name of its step, the verdict, and in what it differs."""

    def name(left: int | None, right: int | None) -> str:
        entry = found.right.entries[right or 0] if left is None else found.left.entries[left]
        return str(entry.row["name"])

    return [(name(pair.left, pair.right), pair.verdict, found.differing(pair)) for pair in found.diff.pairs]


def test_equal_runs_are_the_same_throughout(store: Store) -> None:
    """The providers' ids of calls differ, the tools that are asked for and all that came of them do not."""
    found = compared(store, taped("a", FIND, PAY, "Done."), taped("b", FIND, PAY, "Done."))
    assert [verdict for _, verdict, _ in told(found)] == ["same"] * 5


def test_another_result_and_another_answer(store: Store) -> None:
    """A tool of which the same was asked and that said something else; then the model says something else, too."""
    found = compared(store, taped("a", FIND, "Done."), taped("b", NOT_FOUND, "Nobody there."))
    assert told(found) == [
        ("gpt-4o", "same", ()),
        ("find", "changed", ("result",)),
        ("gpt-4o", "changed", ("answer",)),
    ]


def test_other_arguments_and_another_model(store: Store) -> None:
    """What was asked differs: the arguments of a tool call, or the model that was called."""
    found = compared(store, taped("a", FIND, "Done."), taped("b", OTHER, "Done.", model="gpt-4o-mini"))
    assert told(found) == [
        ("gpt-4o", "changed", ("model", "answer")),
        ("find", "changed", ("arguments", "result")),
        ("gpt-4o", "changed", ("model",)),
    ]


def test_a_turn_that_only_one_side_has(store: Store) -> None:
    """What follows it is found again, though it is later on the other side."""
    found = compared(store, taped("a", FIND, "Done."), taped("b", FIND, PAY, "Done."))
    assert told(found) == [
        ("gpt-4o", "same", ()),
        ("find", "same", ()),
        ("gpt-4o", "only_right", ()),
        ("pay", "only_right", ()),
        ("gpt-4o", "same", ()),
    ]


def test_steps_that_ended_otherwise(store: Store) -> None:
    """Status, error, finish reason and output are compared; of a plain step its input belongs to what was asked."""

    def one(name: str, status: str, given: str, output: str, finish: str) -> Tape:
        tape = Tape(name, at=BEGAN)
        tape.begin()
        step = tape.step("check", kind="guardrail", input=inline(given))
        tape.done(step, output=inline(output))
        call = tape.call()
        error = Failure("TimeoutError", "late", "timeout") if status == "failed" else None
        tape.reply(call, status, finish_reason=finish, error=error)
        tape.finish()
        return tape

    left, right = one("a", "completed", '"x"', "true", "stop"), one("b", "failed", '"y"', "false", "length")
    assert told(compared(store, left, right)) == [
        ("check", "changed", ("input", "output")),
        ("gpt-4o", "changed", ("status", "error", "finish_reason")),
    ]


def test_contents_that_were_not_kept_agree_by_their_names(store: Store) -> None:
    """An answer of which nothing is there differs from one that is there; two that are not there do not."""

    def one(name: str, said: object) -> Tape:
        tape = Tape(name, at=BEGAN)
        tape.begin()
        call = tape.call()
        node = None if said is None else tape.say("assistant", said, step=call)
        tape.reply(call, output=node)
        tape.finish()
        return tape

    spoken = {"role": "assistant", "content": "Hello."}
    assert told(compared(store, one("a", spoken), one("b", None))) == [("gpt-4o", "changed", ("answer",))]
    assert told(compared(store, one("c", None), one("d", None))) == [("gpt-4o", "same", ())]


def test_the_fork_and_the_run_it_came_from(store: Store) -> None:
    """What the fork took over is not compared: on the other side the steps up to that event are left out."""
    left = taped("a", FIND, PAY, "Done.")
    end_of_find = next(event.seq for event in left.events if event.body.__class__.__name__ == "ToolEnded")
    metadata = inline(f'{{"forked_from": {{"run": "{left.run}", "seq": {end_of_find}}}}}')
    right = taped("b", "No, wait.", metadata=metadata)
    found = compared(store, left, right)
    assert (found.left.taken, found.right.taken) == (2, 0)
    assert [name for name, _, _ in told(found)] == ["gpt-4o", "pay", "gpt-4o"]
    mirrored = aligned(store, find(store, right.run), find(store, left.run))
    assert (mirrored.left.taken, mirrored.right.taken) == (0, 2)
