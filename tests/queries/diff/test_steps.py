from __future__ import annotations

import pytest

from tachograph.events.content import inline
from tachograph.events.run import Failure
from tachograph.events.usage import Usage
from tachograph.queries.diff.steps import DiffStep, beginning, plain, steps
from tachograph.store.ports import Store
from tests.queries.diff.scenes import FIND, kept, taped
from tests.queries.diff.test_sides import of
from tests.strategies import BEGAN, Tape


def shown(store: Store, tape: Tape, preview: int = 100) -> list[DiffStep]:
    """Every step of a run."""
    kept(store, tape)
    found = of(store, tape.run)
    return list(steps(store, found, range(len(found.entries)), preview).values())


def test_calls_with_their_figures_and_words(store: Store) -> None:
    """A model call with usage, cost and what it said and asked for, a tool call with its arguments and result."""
    call, tool, last = shown(store, taped("a", FIND, "Done."))
    assert (call.kind, call.name, call.iteration, call.finish_reason, call.output) == (
        "llm", "gpt-4o", 1, "tool_calls", '→ find({"id":7})',
    )  # fmt: skip
    assert (call.input_tokens, call.output_tokens, call.cache_read_tokens, call.total_cost) == (120, 10, 20, 0.000001)
    assert (call.begin_ms, call.duration_ms, call.status, call.error) == (2, 2, "completed", None)
    assert (tool.input, tool.output, tool.status, tool.input_tokens) == ('{"id":7}', "seven", "completed", None)
    assert (last.output, last.depth) == ("Done.", 0)


def test_what_nobody_knows_is_null(store: Store) -> None:
    """An open step has no duration, a call without usage and price neither tokens nor cost: no zero."""
    tape = Tape("a", at=BEGAN)
    tape.begin()
    tape.reply(tape.call(), usage=Usage())
    tape.tool("pay")
    call, tool = shown(store, tape)
    assert (call.input_tokens, call.output_tokens, call.total_cost, call.output) == (None, None, None, None)
    assert (tool.duration_ms, tool.status, tool.input, tool.output) == (None, "started", None, None)


def test_how_a_step_failed(store: Store) -> None:
    """An error with its message, why a tool call was refused, why a run below stopped."""
    tape, below = Tape("a", at=BEGAN), Tape("b", at=BEGAN + 1_000_000)
    tape.begin()
    tape.reply(tape.call(), "failed", error=Failure("TimeoutError", "too late", "timeout"))
    tape.result(tape.tool("pay"), state="rejected", reason="not today")
    below.begin("below", parent_run=tape.run, parent_step=0)
    below.finish("failed", stop_reason="deadline")
    kept(store, below)
    call, tool, run = shown(store, tape)
    assert call.error is not None
    assert (call.error.type, call.error.message, call.status) == ("TimeoutError", "too late", "failed")
    assert (tool.status, tool.reason) == ("rejected", "not today")
    assert (run.kind, run.stop_reason, run.status) == ("run", "deadline", "failed")


def test_contents_are_cut(store: Store) -> None:
    """As many characters as asked for, and a sign that there are more; none at all for 0."""
    tape = Tape("a", at=BEGAN)
    tape.begin()
    tape.done(tape.step("note", input=inline('"' + "x" * 5_000 + '"')), output=inline('{"a": 1}'))
    (step,) = shown(store, tape, 10)
    assert (step.input, step.output) == ("x" * 10 + "…", '{"a": 1}')
    (bare,) = shown(store, tape, 0)
    assert (bare.input, bare.output) == (None, None)


@pytest.mark.parametrize(
    ("json", "text"), [('"a\\nb"', "a\nb"), ("7", "7"), ('{"a": "b"}', '{"a": "b"}'), ("", ""), (None, None)]
)
def test_a_text_stands_bare(json: str | None, text: str | None) -> None:
    """A JSON string is shown as what it says, other JSON as it stands."""
    assert plain(json) == text


def test_a_beginning() -> None:
    """A text that fits is whole."""
    assert [beginning(text, 3) for text in (None, "", "abc", "abcd")] == [None, "", "abc", "abc…"]
    assert beginning("abc", 0) is None
