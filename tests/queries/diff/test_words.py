from __future__ import annotations

import msgspec
import pytest

from tachograph.events.content import inline
from tachograph.events.usage import Cost, Usage
from tachograph.fold.diff import Verdict
from tachograph.queries.diff import words
from tachograph.queries.diff.answer import DiffAsked, RunDiff, run_diff
from tachograph.queries.diff.totals import Unit
from tachograph.queries.diff.words import Change
from tachograph.store.memory import MemoryStore
from tests.queries.diff.scenes import FIND, PAY, USED, Turn, kept, taped
from tests.strategies import BEGAN, Tape

GONE = ("find", '{"id":7}', '"nobody"')
OTHER = ("find", '{"id":8}', '"seven"')


def compared(left: Tape, right: Tape) -> RunDiff:
    """Two runs side by side."""
    store = MemoryStore()
    ours, theirs = kept(store, left, right)
    return run_diff(store, DiffAsked(left=ours, right=theirs))


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        ((FIND, "Done."), (GONE, "Done."), "2: the tool call find was asked the same and differs in result."),
        ((FIND, "Done."), (FIND, "Gone."), "3: the model call gpt-4o was asked the same and differs in answer."),
        ((FIND, "Done."), (OTHER, "Done."), "1: the model call gpt-4o was asked the same and differs in answer."),
        ((FIND, PAY), (PAY,), "1: only A has the model call gpt-4o there; B has no such step."),
        ((PAY,), (FIND, PAY), "1: only B has the model call gpt-4o there; A has no such step."),
    ],
)
def test_where_they_part_in_a_sentence(left: tuple[Turn, ...], right: tuple[Turn, ...], said: str) -> None:
    """The row, the step, and in what it differs, or who has it."""
    found = compared(taped("a", *left), taped("b", *right))
    assert found.divergence is not None
    where = words.parting(found.divergence)
    assert f"{where.place}: {where.before} {where.name} {where.after}" == said


def test_steps_of_other_kinds_that_were_asked_something_else() -> None:
    """The kind stands as it is; several differences are listed."""

    def one(name: str, given: str, output: str) -> Tape:
        tape = Tape(name, at=BEGAN)
        tape.begin()
        tape.done(tape.step("check", kind="guardrail", input=inline(given)), output=inline(output))
        tape.finish()
        return tape

    found = compared(one("a", "1", "true"), one("b", "2", "false"))
    assert found.divergence is not None
    where = words.parting(found.divergence)
    assert (where.before, where.name, where.after) == ("the guardrail step", "check", "differs in input and output.")
    assert words.count_of(found) == 1


@pytest.mark.parametrize(
    ("unit", "difference", "left", "said"),
    [
        ("ms", 1_500.0, 12_000.0, Change("+1.5 s", "more", "+12.5 %")),
        ("ms", -0.02, None, Change("−20 µs", "less")),
        ("usd", 0.0000001, 0.0, Change("+$0.0000001", "more")),
        ("usd", -0.25, 1.0, Change("−$0.25", "less", "−25.0 %")),
        ("tokens", 12_345, 1_000, Change("+12.3k", "more", "+1234.5 %")),
        ("count", 0, 5, Change("equal", "equal")),
        ("count", None, 5, Change("—", "unknown")),
    ],
)
def test_a_difference_has_a_sign_and_a_way(unit: Unit, difference: float | None, left: float, said: Change) -> None:
    """Nothing is equal but what is, and what nobody knows goes no way."""
    assert words.change(unit, difference, left) == said


def test_lower_bounds_go_no_way() -> None:
    """What is known of both may differ otherwise than both do: it is said."""
    found = compared(
        taped("a", "Done."),
        taped("b", FIND, "Done.", usage=msgspec.structs.replace(USED, output=30), cost=Cost(reason="no_price")),
    )
    by_name = {line.name: line for line in words.lines(found)}
    assert (by_name["Cost"].left, by_name["Cost"].right, by_name["Cost"].change) == (
        "$0.000001", "—", Change("—", "unknown"),
    )  # fmt: skip
    assert (by_name["Output tokens"].left, by_name["Output tokens"].change.text) == ("10", "+50")
    assert words.change("usd", 0.5, 1.0, is_known=False) == Change("+$0.50", "unknown", "of what is known")
    assert words.change("usd", 0.0, 1.0, is_known=False) == Change("equal", "unknown", "of what is known")
    assert words.figure("tokens", 240, is_least=True) == "≥ 240"
    assert [line.name for line in words.lines(found) if line.is_part] == [
        "uncached", "cache read", "cache write", "reasoning",
    ]  # fmt: skip


def test_figures_of_two_steps_that_differ() -> None:
    """Only those that do; what one of them does not know is left out."""
    found = compared(taped("a", "Done."), taped("b", "Gone.", usage=Usage(100, None, None, 12, basis="provider")))
    assert [(name, each.text) for name, each in words.changes(found.pairs[0])] == [("input", "−20"), ("output", "+2")]


def test_what_is_to_be_known_before() -> None:
    """A run beside itself, and runs that have not ended."""
    still = Tape("still", at=BEGAN)
    still.begin("still")
    found = compared(taped("a", "Done."), still)
    assert words.remarks(found.left, found.left) == ("A and B are the same run.",)
    assert words.remarks(found.left, found.right) == ("B has not ended: this is how far it has come.",)
    assert len(words.remarks(found.right, found.right)) == 3


def test_every_verdict_has_a_word() -> None:
    """Each of them, and no two have the same."""
    verdicts: tuple[Verdict, ...] = ("same", "changed", "only_left", "only_right")
    assert len({words.VERDICTS[each] for each in verdicts}) == 4
